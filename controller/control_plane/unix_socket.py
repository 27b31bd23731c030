"""The unix socket of the API: its folder, its permissions, and never somebody else's."""

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from controller.errors import StartError

FOLDER_MODE = 0o750
SOCKET_MODE = 0o660
_PATH_LIMIT = 107  # bytes: sockaddr_un.sun_path, less the final zero
_PATIENCE = 2.0  # seconds; whoever does not refuse at once is there


async def prepare(path: Path) -> None:
    """Makes the folder when it is missing, and clears away the socket that a dead process left.

    The caller holds the instance lock, so that no two come here at once.

    Raises:
        StartError: somebody answers there, or the path cannot be used.
    """
    if len(os.fsencode(path)) > _PATH_LIMIT:
        raise StartError(f"the socket path {path} is longer than {_PATH_LIMIT} bytes: choose a shorter one")
    found = _look(path)
    if found is None:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise StartError(f"{path} is there and is no socket: move it away or listen elsewhere")
    if await _answers(path):
        raise StartError(f"another process serves on {path}: stop it first or listen elsewhere")
    remove(path, found.st_ino)


@contextmanager
def permissions() -> Iterator[None]:
    """Sockets made within are for owner and group alone. Holds no await: the umask is the whole process's."""
    before = os.umask(0o777 & ~SOCKET_MODE)
    try:
        yield
    finally:
        os.umask(before)


def inode(path: Path) -> int:
    """Which file the path is now."""
    return path.lstat().st_ino


def remove(path: Path, expected: int) -> None:
    """Deletes the socket, unless another has taken its place."""
    with contextlib.suppress(FileNotFoundError):
        if inode(path) == expected:
            path.unlink()


def _look(path: Path) -> os.stat_result | None:
    try:
        _make_folder(path.parent)
        return path.lstat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StartError(f"cannot use the socket {path}: {error.strerror}") from error


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
        folder.chmod(FOLDER_MODE)  # whatever the umask
    elif folder.stat().st_uid not in (0, os.geteuid()):
        raise StartError(f"{folder} belongs to somebody else: whoever reaches the API is root; choose another --listen")


async def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            async with asyncio.timeout(_PATIENCE):
                await asyncio.get_running_loop().sock_connect(probe, str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:  # a full queue, no permission, no answer in time: somebody is there
            return True
        return True
