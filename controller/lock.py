"""The instance lock: one controller per instance and state."""

import fcntl
import os
import shlex
import sys
from pathlib import Path
from typing import Self

from controller.errors import StartError


class InstanceLock:
    """Held from ``with`` to its end, and released by the kernel when the process dies, however it dies.

    One file lies beside the state, so that no two use the same journal, and one beside the socket, so that no two
    serve the same instance; ``state_dir`` is None when nothing is kept. Both may be one folder. The files say who
    holds them, and stay: deleting one would let two processes lock two files of one name.
    """

    def __init__(self, state_dir: Path | None, runtime_dir: Path, instance: str) -> None:
        self._instance = instance
        self._paths = [(runtime_dir / f"{instance}.socket.lock", 0o750)]
        if state_dir is not None:
            self._paths.insert(0, (state_dir / f"{instance}.lock", 0o700))
        self._files: list[int] = []

    def acquire(self) -> None:
        """Takes the lock.

        Raises:
            StartError: another process holds it, and which; or a file cannot be made.
        """
        try:
            for path, folder_mode in self._paths:
                self._lock(path, folder_mode)
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Gives the lock back; harmless when it is not held."""
        while self._files:
            os.close(self._files.pop())

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _lock(self, path: Path, folder_mode: int) -> None:
        try:
            if not path.parent.is_dir():
                path.parent.mkdir(mode=folder_mode, parents=True, exist_ok=True)
                path.parent.chmod(folder_mode)  # whatever the umask
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise StartError(f"cannot make the lock {path}: {error.strerror}") from error
        self._files.append(file)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StartError(
                f"instance {self._instance!r} is running already: {_holder(file)} holds {path}; "
                "stop it first, or choose another --instance"
            ) from None
        except OSError as error:
            raise StartError(f"cannot lock {path}: {error.strerror}") from error
        os.ftruncate(file, 0)
        os.pwrite(file, f"{os.getpid()}\n{shlex.join(sys.orig_argv)}\n".encode(errors="replace"), 0)


def _holder(file: int) -> str:
    pid, _, command = os.pread(file, 4096, 0).decode(errors="replace").partition("\n")
    return f"process {pid} ({' '.join(command.split())})" if pid else "another process"
