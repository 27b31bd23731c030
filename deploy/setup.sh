#!/usr/bin/env bash
# Makes .venv with the locked versions and the project itself, in place. Does nothing when that is done already.
# PYTHON names the interpreter to use, 3.11 or later.
set -euo pipefail
cd "$(dirname "$0")/.."
source deploy/host.sh

readonly lock=deploy/requirements-dev.txt
readonly stamp=.venv/.installed

# Debian ships venv apart from Python, so both are asked for.
is_usable() {
    command -v "$1" >/dev/null &&
        "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3.13 python3.12 python3.11 python3}; do
        if is_usable "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

install_python() {
    can_install || return 1
    install "no Python 3.11 or later with venv was found" python3 python3-venv || return 1
    if ! find_python >/dev/null; then # an older release, which may have a newer Python beside its own
        install "this release's python3 is older than 3.11" python3.11 python3.11-venv || return 1
    fi
}

make_venv() {
    local python here
    here=$(pwd -P)
    # The scripts in a virtual environment name its folder: a copied or moved one is made anew.
    if .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null &&
        [[ ! -e $stamp || $(head -n 1 "$stamp") == "$here" ]]; then
        return
    fi
    python=$(find_python) || install_python >&2 || die "no Python 3.11 or later with its venv module was found." \
        "Install one (Debian, Ubuntu: apt-get install python3 python3-venv), or name it: make run PYTHON=/path/to/python3.12"
    python=${python:-$(find_python)} || die "Python is installed, but is no 3.11 or later with the venv module."
    say "making .venv with $("$python" -V)"
    "$python" -m venv --clear .venv
}

wanted=$(pwd -P)$'\n'$(cat "$lock" pyproject.toml | sha256sum)
if [[ -x .venv/bin/python && -e $stamp && $(<"$stamp") == "$wanted" ]]; then
    exit 0
fi
make_venv
rm -f "$stamp"
say "installing the locked versions into .venv"
pip=(.venv/bin/python -m pip --disable-pip-version-check install --quiet)
"${pip[@]}" --require-hashes -r "$lock" || die "the packages could not be installed." \
    "The lines above say why. A network or a package index that pip is set up for is needed this once."
# The build backend is one of the locked packages: nothing that isn't locked is fetched.
"${pip[@]}" --no-deps --no-build-isolation -e .
printf '%s\n' "$wanted" >"$stamp"
