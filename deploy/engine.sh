#!/usr/bin/env bash
# Sees to a Docker Engine: one that answers is used as it is, an installed one is started, and on Debian or Ubuntu it is
# installed by root or with sudo. Everywhere else it says what to do. It never starts a second dockerd.
set -euo pipefail
cd "$(dirname "$0")/.."
source deploy/host.sh

readonly socket=/var/run/docker.sock
readonly log=/var/log/dockerd.log
readonly memory="To look around without Docker: make run ARGS='--engine memory'"
PATH=$PATH:/usr/sbin:/sbin

answers() { reason=$(.venv/bin/python deploy/ping.py); }

# wait_for SECONDS: whether the Engine answers within that time. Not waited for is a dockerd that has ended.
wait_for() {
    local began=$SECONDS
    until answers; do
        ((SECONDS < began + $1)) || return 1
        ((SECONDS < began + 5)) || [[ -n $(running) ]] || return 1
        sleep 0.5
    done
}

# The process id of each dockerd in this network namespace; one in another has a bridge of its own and isn't meant.
running() {
    local pid here there
    here=$(readlink /proc/self/ns/net)
    for pid in $(pidof dockerd); do
        # What can't be read is somebody else's, and counts: better none started than a second one.
        there=$(readlink "/proc/$pid/ns/net" 2>/dev/null) || there=$here
        if [[ $there == "$here" ]]; then echo "$pid"; fi
    done
}

refuse_what_only_the_user_can_mend() {
    local other
    if [[ -n ${DOCKER_HOST:-} ]]; then
        die "DOCKER_HOST is $DOCKER_HOST, and no Docker Engine answers there: $reason" \
            "Start that Engine, or unset DOCKER_HOST to use the one of this machine." "$memory"
    fi
    if [[ -S $socket && ! -w $socket ]]; then
        die "you may not use $socket." \
            "Join its group and log in again: sudo usermod -aG docker $(id -un)" "Or run as root: sudo make run" "$memory"
    fi
    for other in "${XDG_RUNTIME_DIR:-/nonexistent}/docker.sock" "$HOME/.docker/run/docker.sock"; do
        if [[ -S $other ]]; then
            die "$socket doesn't answer, but there is a socket of your own." \
                "Use it: export DOCKER_HOST=unix://$other" "$memory"
        fi
    done
}

install_engine() {
    local packages=(docker.io iptables)
    if ! is_debian; then
        die "no Docker Engine was found, and only on Debian and Ubuntu can it be installed from here." \
            "Install Docker Engine as your system does it, start it, and run make run again." "$memory"
    fi
    can_be_root || die "no Docker Engine was found, and installing one needs root or sudo." \
        "As root: apt-get install docker.io, then: usermod -aG docker $(id -un)" "$memory"
    # Newer releases have the docker command in a package of its own.
    if [[ -n $(apt-cache search --names-only '^docker-cli$' 2>/dev/null) ]]; then packages+=(docker-cli); fi
    install "there is no Docker Engine" "${packages[@]}" ||
        die "docker.io could not be installed; the lines above say why." "$memory"
}

start_engine() {
    can_be_root || die "Docker is installed but doesn't run, and starting it needs root or sudo." \
        "As root: systemctl start docker" "$memory"
    if [[ -d /run/systemd/system ]]; then
        say "starting Docker: systemctl start docker"
        as_root systemctl start docker || die "systemctl start docker failed." "See: journalctl -u docker" "$memory"
    else
        say "starting Docker: dockerd, which writes to $log"
        # shellcheck disable=SC2016  # $1 is for the inner shell
        as_root sh -c 'setsid dockerd >>"$1" 2>&1 </dev/null &' sh "$log"
    fi
    wait_for 60 || die "Docker was started but doesn't answer: $reason" "The end of $log, if there is one:" \
        "$(as_root tail -n 5 "$log" 2>/dev/null)" "$memory"
}

answers && exit 0
refuse_what_only_the_user_can_mend
command -v dockerd >/dev/null || install_engine
if [[ -n $(running) ]]; then # it may be on its way up, as after an installation
    wait_for 30 || die "dockerd runs (process $(running | xargs)) but doesn't answer at $socket: $reason" \
        "If it listens elsewhere, set DOCKER_HOST; if it hangs, restart it." "$memory"
else
    answers || start_engine
fi
# A user who isn't root is shut out from a socket that has just been made.
answers || refuse_what_only_the_user_can_mend
say "the Docker Engine answers"
