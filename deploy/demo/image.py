"""Makes the images ``dock-runner-demo:1`` and ``:2``: a static busybox and three small programs.

Usage: ``image.py [BUSYBOX...]``, further places to look for a static busybox. Exit status 3: there is none.
Images that are up to date already are left alone.
"""

import hashlib
import io
import struct
import sys
import tarfile
from collections.abc import Iterable
from pathlib import Path

import docker
from docker.errors import DockerException, ImageNotFound

NAME = "dock-runner-demo"
VERSIONS = ("1", "2")
LABEL = "dock-runner.demo"  # its value, a digest of the content, tells whether an image is up to date
PLACES = ("/bin/busybox", "/usr/sbin/busybox", "/bin/busybox.static", "/usr/lib/initramfs-tools/bin/busybox")
COMMANDS = ("cat", "date", "echo", "env", "hostname", "httpd", "ls", "mkdir", "ps", "sh", "sleep", "uname", "wget")
NO_BUSYBOX = 3
ELF_INTERPRETER = 3  # PT_INTERP: the segment that only dynamically linked programs have

# Process 1 gets no default signal handling from the kernel: without the trap a stop would take its whole grace period.
PROGRAMS = {
    "web": """\
        # Serves one line that tells which container of which version answers.
        mkdir -p /www
        echo "Hello from $(hostname), version $VERSION. ${GREETING:-}" >/www/index.html
        httpd -f -h /www &
        """,
    "clock": """\
        # Prints the time.
        while :; do date "+%H:%M:%S version $VERSION"; sleep "${EVERY:-1}"; done &
        """,
    "visit": """\
        # Asks a service by its name, again and again.
        : "${URL:=http://web/}"
        while :; do wget -q -O - "$URL" || echo "no answer from $URL"; sleep "${EVERY:-5}"; done &
        """,
}


def is_static(program: bytes) -> bool:
    """Whether it is a 64-bit little-endian ELF program that needs no loader."""
    if program[:6] != b"\x7fELF\x02\x01":
        return False
    start = struct.unpack_from("<Q", program, 32)[0]
    size, count = struct.unpack_from("<HH", program, 54)
    kinds = (struct.unpack_from("<I", program, start + i * size)[0] for i in range(count))
    return ELF_INTERPRETER not in kinds


def find_busybox(places: Iterable[str]) -> bytes | None:
    """Returns the first static busybox."""
    for place in places:
        path = Path(place)
        if path.is_file() and is_static(program := path.read_bytes()):
            return program
    return None


def script(body: str) -> bytes:
    """Returns a program that runs ``body``'s background job until it ends or is asked to stop."""
    lines = (line.strip() for line in body.strip().splitlines())
    return "\n".join(["#!/bin/sh", "trap 'exit 0' TERM INT", *lines, "wait", ""]).encode()


def filesystem(busybox: bytes) -> bytes:
    """Returns the image's files as a tar archive, the same for the same busybox."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, mode in (("bin", 0o755), ("etc", 0o755), ("tmp", 0o1777), ("www", 0o755)):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, mode
            tar.addfile(folder)
        files = {"bin/busybox": busybox, "etc/passwd": b"root:x:0:0:root:/:/bin/sh\n"}
        files |= {f"bin/{name}": script(body) for name, body in PROGRAMS.items()}
        for name, content in files.items():
            file = tarfile.TarInfo(name)
            file.size, file.mode = len(content), 0o644 if name.startswith("etc/") else 0o755
            tar.addfile(file, io.BytesIO(content))
        for name in COMMANDS:
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    return archive.getvalue()


def make(client: docker.DockerClient, files: bytes) -> None:
    """Makes each image that is missing or out of date."""
    digest = hashlib.sha256(files).hexdigest()[:16]
    for version in VERSIONS:
        try:
            if client.images.get(f"{NAME}:{version}").labels.get(LABEL) == digest:
                continue
        except ImageNotFound:
            pass
        changes = ['CMD ["web"]', "ENV PATH=/bin", f"ENV VERSION={version}", "EXPOSE 80", f"LABEL {LABEL}={digest}"]
        client.api.import_image_from_data(files, repository=NAME, tag=version, changes=changes)
        print(f"made the image {NAME}:{version}")


def main(further: list[str]) -> int:
    """Returns the exit status."""
    busybox = find_busybox([*PLACES, *further])
    if busybox is None:
        return NO_BUSYBOX
    try:
        make(docker.from_env(), filesystem(busybox))
    except DockerException as error:
        print(f"error: the demo image could not be made: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
