#!/usr/bin/env bash
# The demo: sets up what is missing, makes the demo image and runs Dock Runner on deploy/demo/services.toml.
# Options are handed on to Dock Runner, e.g. --engine memory.
set -euo pipefail
cd "$(dirname "$0")/.."
source deploy/host.sh

deploy/setup.sh
options=(--config deploy/demo/services.toml --instance demo)
if [[ "${DOCK_RUNNER_ENGINE:-} $*" =~ (^|[ =])memory( |$) ]]; then
    say "memory engine: containers are only simulated, and nothing is kept"
    options+=(--state-dir none)
    with_docker=
else
    deploy/engine.sh
    deploy/demo/image.sh
    options+=(--state-dir .demo/state)
    # shellcheck disable=SC2016  # for the reader's shell, not for this one
    with_docker='
  curl http://127.0.0.1:8080/        ports 8080 to 8084: each replica has one
  docker rm -f $(docker ps -q -f label=dock-runner.instance=demo)
                                     they come back'
fi

# The options that follow may say otherwise; the log below names what is really served.
socket=$(.venv/bin/python -c 'from controller.settings import default_server; print(default_server().target)')
cat <<TEXT

Dock Runner keeps what runs equal to deploy/demo/services.toml.
  API      $socket
  metrics  http://127.0.0.1:9780/metrics

Try in another terminal, in this folder:
  .venv/bin/dock-runner get services
  .venv/bin/dock-runner get containers$with_docker
  \$EDITOR deploy/demo/services.toml
                                     replicas = 5, or image = "dock-runner-demo:2"

Ctrl-C stops Dock Runner; the containers run on. make clean-demo removes what the demo left.

TEXT
exec .venv/bin/python -m controller "${options[@]}" "$@"
