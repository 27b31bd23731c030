# shellcheck shell=bash
# What the other scripts know of the machine: is it Debian or Ubuntu, who is root, how a package gets installed.
# To be sourced. OS_RELEASE_FILE names another os-release file.

# Bold on a terminal, plain elsewhere.
say() {
    if [[ -t 1 ]]; then printf '\033[1m==> %s\033[0m\n' "$*"; else printf '==> %s\n' "$*"; fi
}

# The first argument says what is wrong, each further one is a line on what to do about it.
die() {
    printf '\nerror: %s\n' "$1" >&2
    shift
    (($# == 0)) || printf '  %s\n' "$@" >&2
    exit 1
}

is_debian() {
    local file=${OS_RELEASE_FILE:-/etc/os-release}
    [[ -r $file ]] && grep -Eq '^ID(_LIKE)?=.*(debian|ubuntu)' "$file" && command -v apt-get >/dev/null
}

is_root() { [[ $(id -u) == 0 ]]; }

# A password is asked for only where somebody can type it.
can_be_root() {
    is_root && return
    command -v sudo >/dev/null || return 1
    [[ -t 0 && -z ${CI:-} ]] || sudo -n true 2>/dev/null
}

as_root() {
    if is_root; then "$@"; else sudo "$@"; fi
}

can_install() { is_debian && can_be_root; }

# install WHY PACKAGE...: says so first. Tries without a fresh package list, which saves seconds where there is one.
install() {
    local why=$1
    shift
    say "installing $* ($why)"
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@")
    as_root "${apt[@]}" >/dev/null 2>&1 && return
    as_root apt-get update -qq && as_root "${apt[@]}" >/dev/null
}
