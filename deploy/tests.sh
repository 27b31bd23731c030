#!/usr/bin/env bash
# Sees to the programs that the tests with a real Engine need: as root on Debian or Ubuntu they are installed, else the
# tests that need them are skipped and say so.
set -euo pipefail
cd "$(dirname "$0")/.."
source deploy/host.sh
PATH=$PATH:/usr/sbin:/sbin

declare -A package=(
    [dockerd]=docker.io [iptables]=iptables [ip]=iproute2 [busybox]=busybox-static [nsenter]=util-linux
    [docker-registry]=docker-registry [strace]=strace [haproxy]=haproxy
)
missing=()
for program in "${!package[@]}"; do
    command -v "$program" >/dev/null || missing+=("${package[$program]}")
done
((${#missing[@]})) || exit 0
if is_debian && is_root; then
    install "for tests with a real Docker Engine" "${missing[@]}" && exit 0
fi
say "not there: ${missing[*]}. Tests that need them are skipped; run as root on Debian or Ubuntu to have all."
