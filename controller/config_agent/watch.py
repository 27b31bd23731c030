"""Notices that a file or folder may have changed. Events are hints; a look every few seconds is what counts."""

import asyncio
import contextlib
import logging
import os
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path as FilePath

from watchfiles import awatch

from controller.clock import Clock

from .document import toml_files

DEBOUNCE = 0.1  # seconds that a file must have been left alone
LOOK_EVERY = 5.0  # seconds
_MAX_LINKS = 40  # as the kernel's own limit

logger = logging.getLogger("dock_runner.config")

Stamp = tuple[int, ...]


@dataclass(frozen=True)
class Fingerprint:
    """What can be told of a file or folder without reading it. ``newest``: last write, seconds of the wall clock."""

    stamps: Mapping[str, Stamp]
    newest: float | None


def fingerprint(path: FilePath, included: Iterable[str] = ()) -> Fingerprint:
    """Looks at a file, or at a folder and each `*.toml` in it, and at further files; what is not there has no stamp.

    When a folder was written to does not count: other files may come and go in it all the time.
    """
    stamps: dict[str, Stamp] = {}
    newest: list[float] = []
    for file in [path, *_toml_files(path), *map(FilePath, sorted(included))]:
        with contextlib.suppress(OSError, ValueError):
            found = os.stat(file)
            stamps[str(file)] = (found.st_dev, found.st_ino, found.st_mode)
            if not stat.S_ISDIR(found.st_mode):
                newest.append(found.st_mtime)
                stamps[str(file)] += (found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    return Fingerprint(stamps, max(newest, default=None))


def _toml_files(path: FilePath) -> Sequence[FilePath]:
    try:
        return toml_files(path)
    except (OSError, ValueError):
        return []


def folders(path: FilePath) -> Mapping[str, Stamp]:
    """Where an event can tell of a change: the folder of every link on the way to the file, or the nearest above it
    that exists, and the folder itself if it is one. The stamp tells a folder from a later one of the same name."""
    places: dict[str, Stamp] = {}
    link = os.path.abspath(path)
    for _ in range(_MAX_LINKS):
        _include(places, os.path.dirname(link))
        target = _next_link(link)
        if target is None:
            break
        link = target
    if os.path.isdir(path):
        _include(places, os.path.abspath(path))
        _include(places, os.path.realpath(path))
    return places


def _next_link(path: str) -> str | None:
    """The path with its first symbolic link replaced by what that points at; None when it has none.

    First, because a Kubernetes ConfigMap is swapped at a link in the middle: `file` → `..data/file`, `..data` → new.
    """
    parts = path.split(os.sep)
    for count in range(2, len(parts) + 1):
        prefix = os.sep.join(parts[:count])
        with contextlib.suppress(OSError):
            target = os.readlink(prefix)
            return os.path.normpath(os.path.join(os.path.dirname(prefix), target, *parts[count:]))
    return None


def _include(places: dict[str, Stamp], folder: str) -> None:
    while True:
        try:
            found = os.stat(folder)
        except OSError:
            found = None
        if found is not None and stat.S_ISDIR(found.st_mode):
            places[folder] = (found.st_dev, found.st_ino)
            return
        if folder == os.path.dirname(folder):
            return
        folder = os.path.dirname(folder)


class FileWatch:
    """Calls ``changed`` once it watches, and then whenever the fingerprint of ``path``, or of what it includes, is
    another one than before.

    The path need not exist. Its folders are watched, not the file: editors and ConfigMaps put a new one in its place.
    """

    def __init__(self, path: FilePath, clock: Clock, executor: Executor, changed: Callable[[], None]) -> None:
        self._path = path
        self._clock = clock
        self._executor = executor
        self._changed = changed
        self._hint = asyncio.Event()
        self._included: Set[str] = frozenset()

    def include(self, files: Set[str]) -> None:
        """Further files to watch from now on, instead of those before."""
        if files != self._included:
            self._included = files
            self._hint.set()

    async def run(self) -> None:
        """Watches until cancelled."""
        seen: Fingerprint | None = None
        _, watched = await self._look()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._look_regularly())
            stop = asyncio.Event()
            listener = tasks.create_task(self._listen(watched, stop))
            while True:
                await self._hint.wait()
                self._hint.clear()
                now, around = await self._look()
                if around != watched or listener.done():
                    stop.set()
                    await listener
                    watched, stop = around, asyncio.Event()
                    listener = tasks.create_task(self._listen(watched, stop))
                if now != seen:
                    seen = now
                    self._changed()

    async def _look(self) -> tuple[Fingerprint, Mapping[str, Stamp]]:
        included = self._included

        def look() -> tuple[Fingerprint, Mapping[str, Stamp]]:
            places = dict(folders(self._path))
            for file in included:
                places |= folders(FilePath(file))
            return fingerprint(self._path, included), places

        return await asyncio.get_running_loop().run_in_executor(self._executor, look)

    async def _look_regularly(self) -> None:
        while True:
            await self._clock.sleep(LOOK_EVERY)
            self._hint.set()

    async def _listen(self, watched: Mapping[str, Stamp], stop: asyncio.Event) -> None:
        """Turns the kernel's events into hints, until told to stop or a watched folder itself is no longer the same."""
        # By the time that this is called the kernel watches: what happened until then has no event of its own.
        asyncio.get_running_loop().call_soon(self._hint.set)
        changes = awatch(*watched, watch_filter=None, debounce=int(DEBOUNCE * 1000), stop_event=stop, recursive=False)
        try:
            async with contextlib.aclosing(changes):
                async for change in changes:
                    self._hint.set()
                    if any(place in watched for _, place in change):
                        return
        except (OSError, RuntimeError) as error:
            logger.warning("no events for %s, looking every %g s instead: %s", self._path, LOOK_EVERY, error)
            await stop.wait()
