"""Folders and files of this machine that nobody else reads, on a file system that no disk has."""

import contextlib
import errno
import os
import stat
from pathlib import Path

_MOUNTS = Path("/proc/self/mountinfo")


class NotOurs(Exception):
    """Somebody else has a folder of that name."""


def make_private(folder: Path) -> None:
    """Makes a folder that only its owner enters, if it is not there; that is who runs this program.

    Raises:
        NotOurs: it is there and belongs to somebody else, or is a link. OSError: it cannot be made.
    """
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700, parents=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise NotOurs(f"{folder} is no folder of this user's")
    folder.chmod(0o700)  # also one that was there already


def on_tmpfs(path: Path) -> bool:
    """Whether what lies there is in memory alone.

    Raises:
        OSError: there is no such path.
    """
    device = path.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in _MOUNTS.read_text(errors="replace").splitlines():
        before, _, after = line.partition(" - ")
        if before.split()[2] == wanted:
            return after.split()[0] in ("tmpfs", "ramfs")
    return False


def write_file(path: Path, content: bytes, uid: int, gid: int, mode: int) -> bool:
    """Writes a file, all of it or nothing; False when it could not be given to its owner, and is ours.

    Raises:
        OSError: it cannot be written.
    """
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            owned = _give(descriptor, uid, gid)
            os.fchmod(descriptor, mode)  # after the owner, whose change can take bits away
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    return owned


def _give(descriptor: int, uid: int, gid: int) -> bool:
    try:
        os.fchown(descriptor, uid, gid)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EINVAL):
            raise
        return os.fstat(descriptor).st_uid == uid
    return True
