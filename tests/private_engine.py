"""A Docker daemon of the tests' own, which they may stop, kill and freeze, and which leaves nothing behind.

It runs in a network namespace of its own, so that its bridge and its firewall rules never meet those of a daemon on
the same machine: a second dockerd in one namespace can delete the first one's bridge. Published ports are therefore
open inside that namespace only: tests reach them by ``enter()``, or through the containers themselves.
"""

import contextlib
import io
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import docker

IMAGE = "dock-runner-test:1"
"""busybox alone; its command sleeps for ever and obeys SIGTERM at once, from when it has logged `ready`."""

_APPLETS = (
    "sh ash cat echo env false head hostname httpd id kill ls mkdir nc nslookup ps pwd rm sleep stat touch true wget"
)
_COMMAND = """CMD ["sh", "-c", "trap 'exit 0' TERM INT; echo ready; while :; do sleep 1000 & wait $!; done"]"""
_numbers = itertools.count(1)


class Unavailable(Exception):
    """A private daemon cannot run here; the message says what is missing."""


def missing() -> str:
    """What keeps a private daemon from running on this machine; empty when nothing does."""
    if os.geteuid() != 0:
        return "a private Docker daemon needs root"
    absent = [name for name in ("dockerd", "containerd", "nsenter", "ip", "iptables") if shutil.which(name) is None]
    return f"not installed: {', '.join(absent)}" if absent else ""


def load_image(host: str, tag: str = IMAGE) -> None:
    """Makes the test image on a daemon out of this machine's static busybox.

    Raises:
        Unavailable: there is no static busybox here.
    """
    busybox = next((path for path in ("/bin/busybox", "/usr/bin/busybox") if _is_static(path)), None)
    if busybox is None:
        raise Unavailable("the test image needs a static busybox: install busybox-static")
    repository, _, name = tag.rpartition(":")
    with contextlib.closing(docker.APIClient(host, version="auto", timeout=60)) as api:
        api.import_image_from_data(
            _root_of_image(busybox), repository=repository, tag=name, changes=[_COMMAND, "ENV PATH=/bin"]
        )


def _is_static(path: str) -> bool:
    """Whether it is an ELF program without an interpreter segment, so that it runs in an otherwise empty image."""
    try:
        with open(path, "rb") as file:
            head = file.read(4096)
    except OSError:
        return False
    return head.startswith(b"\x7fELF") and b"/ld-" not in head


def _root_of_image(busybox: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for folder, mode in (("bin", 0o755), ("etc", 0o755), ("tmp", 0o1777), ("www", 0o755)):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            tar.addfile(entry)
        _add_file(tar, "bin/busybox", Path(busybox).read_bytes(), 0o755)
        _add_file(tar, "etc/passwd", b"root:x:0:0::/:/bin/sh\napp:x:1000:1000::/tmp:/bin/sh\n", 0o644)
        _add_file(tar, "etc/group", b"root:x:0:\napp:x:1000:\nstaff:x:2000:\n", 0o644)
        _add_file(tar, "www/index.html", b"hello\n", 0o644)
        for applet in _APPLETS.split():
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    return out.getvalue()


def _add_file(tar: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    tar.addfile(entry, io.BytesIO(content))


class PrivateEngine:
    """A dockerd with a containerd, a network namespace, a cgroup and a folder of its own.

    As a context manager it is started, and at the end all that it ever made is gone, whatever state it is in.
    """

    def __init__(self, *options: str) -> None:
        self._options = options  # for dockerd, beyond those below
        reason = missing()
        if reason:
            raise Unavailable(reason)
        self.name = f"dr-test-{os.getpid()}-{next(_numbers)}"
        self.folder = Path(tempfile.mkdtemp(prefix=f"{self.name}-"))
        self.host = f"unix://{self.folder}/docker.sock"
        self.log = self.folder / "dockerd.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            _run("ip", "netns", "add", self.name)
            _run("ip", "-n", self.name, "link", "set", "lo", "up")
            self.start()
        except BaseException:
            self.clean_up()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clean_up()

    def start(self) -> None:
        """Starts the daemon and returns when it answers."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self.enter(), "dockerd", "--data-root", f"{self.folder}/data", "--exec-root", f"{self.folder}/exec",
                 "--pidfile", f"{self.folder}/docker.pid", "--host", self.host, "--log-level", "warn",
                 "--exec-opt", "native.cgroupdriver=cgroupfs", "--cgroup-parent", f"/{self.name}", *self._options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + 30
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise Unavailable(f"dockerd did not start:\n{self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.02)

    def answers(self) -> bool:
        """Whether the daemon accepts a new connection and answers on it."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1)
            connection.connect(self.host.removeprefix("unix://"))
            connection.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return b" 200 " in connection.recv(64)
        return False

    def enter(self) -> list[str]:
        """The words before a command line that make it run in the daemon's network."""
        return ["nsenter", f"--net=/var/run/netns/{self.name}"]

    def signal(self, number: signal.Signals) -> None:
        """Sends the daemon a signal and does not wait."""
        if self._process is not None:
            self._process.send_signal(number)

    def wait(self) -> None:
        """Returns when the daemon has ended."""
        if self._process is not None:
            self._process.wait(60)
            self._process = None

    def stop(self) -> None:
        """Stops the daemon and with it the containers, as an administrator would."""
        self.signal(signal.SIGTERM)
        self.wait()

    def kill(self) -> None:
        """Kills the daemon; the containers go on."""
        self.signal(signal.SIGKILL)
        self.wait()
        # The kernel kills its containerd with it. Until init has reaped that one, the next daemon would take it
        # for alive and wait for it in vain.
        (self.folder / "exec/containerd/containerd.pid").unlink(missing_ok=True)

    def freeze(self) -> None:
        """Makes the daemon stop answering: connections are accepted and stay silent."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Makes a frozen daemon go on."""
        self.signal(signal.SIGCONT)

    def clean_up(self) -> None:
        """Ends every process and removes every trace; may be called in any state, and twice."""
        self.kill()
        deadline = time.monotonic() + 30
        while processes := set(self._processes()):
            for process in processes:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            if time.monotonic() > deadline:
                raise RuntimeError(f"processes of {self.name} do not end: {processes}")
            time.sleep(0.02)
        for mount in _mounts(str(self.folder)):
            subprocess.run(["umount", "--lazy", mount], check=False, capture_output=True)
        for cgroup in _cgroups(self.name):
            _remove_cgroup(cgroup)
        subprocess.run(["ip", "netns", "delete", self.name], check=False, capture_output=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _processes(self) -> Iterator[int]:
        """Those in the daemon's cgroup, and containerd and its shims, whose command line names the folder."""
        for cgroup in _cgroups(self.name):
            for file in cgroup.rglob("cgroup.procs"):
                with contextlib.suppress(OSError):
                    yield from map(int, file.read_text().split())
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                with contextlib.suppress(OSError):
                    program, _, arguments = (entry / "cmdline").read_bytes().partition(b"\0")
                    if b"containerd" in program and os.fsencode(self.folder) + b"/" in arguments:
                        yield int(entry.name)


def _run(*command: str) -> None:
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    if result.returncode:
        raise Unavailable(f"{' '.join(command)}: {result.stderr.strip()}")


def _mounts(folder: str) -> list[str]:
    """Mount points under a folder, the innermost first."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return sorted((path for path in (line.split()[4] for line in lines) if path.startswith(f"{folder}/")), reverse=True)


def _cgroups(name: str) -> list[Path]:
    """The cgroup of that name, in the one hierarchy of version 2 or in each of version 1."""
    root = Path("/sys/fs/cgroup")
    return [
        path for path in (root / name, *(entry / name for entry in root.iterdir() if entry.is_dir())) if path.is_dir()
    ]


def _remove_cgroup(cgroup: Path) -> None:
    """A cgroup's files can't be removed, only its folders, from the innermost outwards."""
    for folder, _, _ in os.walk(cgroup, topdown=False):
        with contextlib.suppress(OSError):
            os.rmdir(folder)
