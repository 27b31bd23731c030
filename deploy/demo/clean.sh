#!/usr/bin/env bash
# Removes what the demo left: its containers, networks, volumes, images and the folder .demo. Nothing else.
set -euo pipefail
cd "$(dirname "$0")/../.."
source deploy/host.sh

# The arguments of a process are separated by zero bytes, so this pattern doesn't match grep's own.
if grep -laP -- '-m\x00controller\x00(.*\x00)?--instance\x00demo\x00' /proc/[0-9]*/cmdline 2>/dev/null | grep -q .; then
    die "the demo still runs and would make everything anew." "Stop it first, with Ctrl-C."
fi
if [[ -x .venv/bin/python ]]; then
    .venv/bin/python deploy/demo/clean.py
elif command -v docker >/dev/null && [[ -n $(docker ps -aq -f label=dock-runner.instance=demo) ]]; then
    die "the demo's containers are still there, and .venv, which is needed to remove them, is not." "First: make venv"
fi
rm -rf .demo
