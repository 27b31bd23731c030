#!/usr/bin/env bash
# Makes the images dock-runner-demo:1 and :2 from a static busybox, without a registry. Nothing is installed for it:
# where the machine has no static busybox, Debian's package is fetched and unpacked in .demo.
set -euo pipefail
cd "$(dirname "$0")/../.."
source deploy/host.sh

readonly none=3 # image.py's exit status when no static busybox is there

make_images() { .venv/bin/python deploy/demo/image.py .demo/busybox/bin/busybox; }

fetch_busybox() {
    is_debian || return 1
    say "fetching the package busybox-static into .demo (it is not installed)"
    mkdir -p .demo/busybox
    (
        cd .demo
        apt-get download -qq busybox-static 2>/dev/null ||
            { can_be_root && as_root apt-get update -qq && apt-get download -qq busybox-static; }
        dpkg-deb -x busybox-static_*.deb busybox
        # Releases whose /bin is a link keep the program in usr/bin.
        if [[ ! -e busybox/bin/busybox ]]; then
            mkdir -p busybox/bin
            cp busybox/usr/bin/busybox busybox/bin/busybox
        fi
    )
}

status=0
make_images || status=$?
if ((status == none)); then
    fetch_busybox || die "the demo image needs a static busybox, and none was found." \
        "Put one at /bin/busybox (Debian, Ubuntu: apt-get install busybox-static)," \
        "or run your own file: .venv/bin/dock-runner --config YOUR.toml"
    status=0
    make_images || status=$?
fi
exit "$status"
