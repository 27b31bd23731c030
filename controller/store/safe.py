"""The safe: what is in secrets, apart from all that is shown. A content is known by its version, which says nothing."""

import asyncio
import errno
import hashlib
import hmac
import logging
import os
import secrets
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TypeVar

from controller.errors import SafeError, SafeFull, StartError

T = TypeVar("T")

_KEY = "key"
_KEY_SIZE = 32  # bytes
_VERSION_SIZE = 32  # characters
_UNFINISHED = ".new"

logger = logging.getLogger("dock_runner.safe")


class Safe:
    """Contents by version: a file each in ``folder``, or in memory alone without one.

    A version is a keyed hash, so the same content has the same one, and nobody without the key can try out what is
    behind it. The key lies in the folder, or in ``key_file``: with another one all contents would have changed.
    What is kept is on the disk when :meth:`keep` returns.
    """

    def __init__(self, folder: Path | None = None, key_file: Path | None = None) -> None:
        self._folder = folder
        self._key_file = key_file or (folder / _KEY if folder is not None else None)
        self._key = secrets.token_bytes(_KEY_SIZE)
        self._versions: set[str] = set()
        self._contents: dict[str, bytes] = {}
        self._lock = asyncio.Lock()

    async def open(self) -> None:
        """Finds what an earlier run has kept.

        Raises:
            StartError: it cannot be read, or is not as it was written.
        """
        if self._key_file is not None:
            await self._alone(self._open)

    def version_of(self, content: bytes) -> str:
        """The version of a content, in hexadecimal digits."""
        return hmac.new(self._key, content, hashlib.sha256).hexdigest()[:_VERSION_SIZE]

    def __contains__(self, version: object) -> bool:
        return version in self._versions

    async def keep(self, contents: Mapping[str, bytes]) -> None:
        """Keeps contents by their versions.

        Raises:
            SafeFull: there is no room on the disk. SafeError: they cannot be written. Some may be kept all the same.
        """
        if contents:
            await self._alone(lambda: self._keep(contents))

    async def read(self, version: str) -> bytes:
        """A content.

        Raises:
            SafeError: it is not there, or cannot be read.
        """
        return await self._alone(lambda: self._read(version))

    async def retain(self, versions: Collection[str]) -> None:
        """Removes all other contents.

        Raises:
            SafeError: some could not be removed; they are forgotten all the same until the next start.
        """
        if self._versions - set(versions):
            await self._alone(lambda: self._retain(versions))

    async def _alone(self, work: Callable[[], T]) -> T:
        """Does it, in a thread when there is a disk: one after the other, and to its end though the caller goes."""
        if self._key_file is None:
            return work()

        async def run() -> T:
            async with self._lock:
                return await asyncio.to_thread(work)

        task = asyncio.create_task(run(), name="safe")
        task.add_done_callback(lambda it: it.cancelled() or it.exception())
        return await asyncio.shield(task)

    # What follows runs in the thread.

    def _open(self) -> None:
        assert self._key_file is not None  # noqa: S101  # for the type checker; the caller asked
        try:
            for folder in {self._key_file.parent, self._folder or self._key_file.parent}:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                folder.chmod(0o700)  # whatever the umask
                _sync(folder.parent)
            if self._key_file.exists():
                self._key = self._key_file.read_bytes()
            else:
                _write(self._key_file, self._key)
            for path in self._folder.iterdir() if self._folder is not None else ():
                if path.name.endswith(_UNFINISHED):
                    path.unlink()
                elif path.name != _KEY:
                    self._versions.add(path.name)
        except OSError as error:
            raise StartError(f"the secrets in {self._key_file.parent} cannot be read: {_reason(error)}") from error
        if len(self._key) != _KEY_SIZE:
            text = "without it every secret counts as changed, and its containers are replaced"
            raise StartError(f"{self._key_file} is no key of {_KEY_SIZE} bytes: bring it back or remove it; {text}")

    def _keep(self, contents: Mapping[str, bytes]) -> None:
        for version, content in contents.items():
            if version in self._versions:
                continue
            if self._folder is None:
                self._contents[version] = content
            else:
                try:
                    _write(self._folder / version, content)
                except OSError as error:
                    kind = SafeFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else SafeError
                    text = "the disk is full" if kind is SafeFull else _reason(error)
                    raise kind(f"a secret could not be written to {self._folder}: {text}") from None
            self._versions.add(version)

    def _read(self, version: str) -> bytes:
        if version not in self._versions:
            raise SafeError("its content is not there any more; declare it again")
        if self._folder is None:
            return self._contents[version]
        try:
            return (self._folder / version).read_bytes()
        except OSError as error:
            if isinstance(error, FileNotFoundError):
                self._versions.discard(version)  # so that it is written when it is declared again
            raise SafeError(f"its content cannot be read: {_reason(error)}; declare it again") from None

    def _retain(self, versions: Collection[str]) -> None:
        failures = []
        for version in self._versions - set(versions):
            self._versions.discard(version)
            self._contents.pop(version, None)
            if self._folder is not None:
                try:
                    (self._folder / version).unlink(missing_ok=True)
                except OSError as error:
                    failures.append(_reason(error))
        if failures:
            raise SafeError(f"{len(failures)} contents could not be removed from {self._folder}: {failures[0]}")
        if self._folder is not None:
            logger.debug("the safe has %d contents", len(self._versions))


def _write(path: Path, content: bytes) -> None:
    """All there or not at all, and on the disk when it returns."""
    beside = path.with_name(path.name + _UNFINISHED)
    beside.unlink(missing_ok=True)
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        beside.replace(path)
        _sync(path.parent)
    except OSError:
        beside.unlink(missing_ok=True)
        raise


def _sync(folder: Path) -> None:
    """Has the disk know what is in a folder."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
