"""Secrets and configs as files: written on this machine before their container is made, gone when it is gone.

They lie in memory (a tmpfs), so no disk ever has a secret. After a reboot nothing of them is left, and Docker starts
no container whose files are missing: so those of containers that are still there are written again.
"""

import asyncio
import logging
import os
import re
import shutil
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controller.errors import FilesRefused, SafeError
from controller.scheduler.engine import Engine, FileMount
from controller.store import CONTAINER, NORMAL, REVISION, SERVICE, WARNING, Change, Recorder, Safe, Store, reference
from proto.dockrunner import v1 as pb

from .private_folder import NotOurs, make_private, on_tmpfs, write_file
from .revision import revision_of
from .validation.files import SECRETS, place_of

SOURCE = "container-files"
SECRET_MODE, CONFIG_MODE = 0o400, 0o444

_UID = re.compile("[0-9A-Za-z][-0-9A-Za-z]{0,63}")

logger = logging.getLogger("dock_runner.files")


@dataclass(frozen=True)
class _File:
    """One file: its name in the container's folder, and what it is in the container."""

    name: str
    target: str
    content: bytes
    uid: int
    gid: int
    mode: int


class ContainerFiles:
    """The files of each container, in a folder of its own under ``folder``; None when containers are simulated."""

    def __init__(self, folder: Path | None, safe: Safe, store: Store, recorder: Recorder, engine: Engine) -> None:
        self._folder = folder
        self._safe = safe
        self._store = store
        self._recorder = recorder
        self._engine = engine
        self._background: set[asyncio.Task[None]] = set()
        if folder is not None:
            store.subscribe(CONTAINER, self._follow)

    async def make(self, container: pb.Container) -> Sequence[FileMount]:
        """Writes the files of a container, and says where they are to be seen in it.

        Raises:
            FilesRefused: they cannot be written, or not where no disk has them; or the engine is elsewhere.
        """
        template = container.spec.template
        if self._folder is None or not _has_files(template):
            return ()
        if not self._engine.is_local:
            raise FilesRefused(NEEDS_LOCAL_ENGINE)
        folder = self._folder_of(container)
        files = await self._files(template)
        foreign = await asyncio.to_thread(_write, self._folder, folder, files, secret=bool(template.secrets))
        if foreign:
            names = ", ".join(foreign)
            text = f"{names} cannot be given to another user, as Dock Runner does not run as root"
            self._recorder.record(SOURCE, reference(container), WARNING, "FilesNotOwned", text)
        return [FileMount(str(folder / file.name), file.target) for file in files]

    async def restore(self, container: pb.Container) -> None:
        """Writes the files of a container that is there again, if they are not."""
        template = self._template_of(container)
        if self._folder is None or template is None or not _has_files(template):
            return
        again = pb.Container(metadata=container.metadata, spec=pb.ContainerSpec(template=template))
        again.spec.service = container.spec.service
        try:
            paths = [self._folder_of(container) / name for name in _names(template)]
            if await asyncio.to_thread(lambda: all(path.exists() for path in paths)):
                return
            await self.make(again)
        except FilesRefused as error:
            self._recorder.record(SOURCE, reference(container), WARNING, "FilesMissing", str(error))
        else:
            text = "its secrets and configs were not there any more, and are written again"
            self._recorder.record(SOURCE, reference(container), NORMAL, "FilesRestored", text)

    def tidy(self) -> None:
        """Removes, soon, what is left of containers that are gone; to be called when it is known which are there."""
        if self._folder is not None:
            self._begin(self._tidy(self._folder), "tidy files")

    async def settled(self) -> None:
        """Returns when nothing is being removed."""
        while self._background:
            await asyncio.wait(self._background)

    async def _files(self, template: pb.ServiceSpec) -> list[_File]:
        user, group = _numbers(template.user)
        names = iter(_names(template))
        files = []
        for secret in template.secrets:
            try:
                content = await self._safe.read(secret.version)
            except SafeError as error:
                raise FilesRefused(f"secret {secret.source}: {error}", hopeless=False) from None
            mode = secret.mode if secret.HasField("mode") else SECRET_MODE
            uid, gid = int(secret.uid or user), int(secret.gid or group)
            files.append(_File(next(names), place_of(secret, SECRETS), content, uid, gid, mode))
        for config in template.configs:
            mode = config.mode if config.HasField("mode") else CONFIG_MODE
            uid, gid = int(config.uid or 0), int(config.gid or 0)
            files.append(_File(next(names), place_of(config, ""), config.content, uid, gid, mode))
        return files

    def _folder_of(self, container: pb.Container) -> Path:
        """Raises FilesRefused for a uid that leads out of our own folder: it may come from a label."""
        assert self._folder is not None  # noqa: S101  # for the type checker; the callers asked
        if not _UID.fullmatch(container.metadata.uid):
            raise FilesRefused("its uid is none of ours")
        return self._folder / container.metadata.uid

    def _template_of(self, container: pb.Container) -> pb.ServiceSpec | None:
        """What it was made from; of one that was found in the engine, what is kept of its revision."""
        if container.spec.HasField("template"):
            return container.spec.template
        service = self._store.find(SERVICE, container.spec.service)
        if service is not None and revision_of(service.spec) == container.spec.revision:
            return service.spec
        for kept in self._store.list(REVISION, index="service", value=container.spec.service):
            if kept.revision == container.spec.revision:
                return kept.template
        return None

    def _follow(self, change: Change[pb.Container]) -> None:
        gone = change.new
        if change.type != pb.DELETED or gone is None or not _UID.fullmatch(gone.metadata.uid):
            return
        if not gone.spec.HasField("template") or _has_files(gone.spec.template):
            self._begin(asyncio.to_thread(_remove, [self._folder_of(gone)]), f"remove files of {gone.metadata.name}")

    async def _tidy(self, folder: Path) -> None:
        # First the folders and then the objects: an object is there before its folder is.
        found = await asyncio.to_thread(lambda: list(folder.iterdir()) if folder.is_dir() else [])
        known = {container.metadata.uid for container in self._store.list(CONTAINER)}
        await asyncio.to_thread(_remove, [path for path in found if path.name not in known])

    def _begin(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


NEEDS_LOCAL_ENGINE = "secrets and configs need the Engine on this machine, and it is reached over a network"


def _has_files(template: pb.ServiceSpec) -> bool:
    return bool(template.secrets or template.configs)


def _names(template: pb.ServiceSpec) -> Iterator[str]:
    """The name of each file in its container's folder, secrets first; one may be there twice, at two targets."""
    for number, secret in enumerate(template.secrets):
        yield f"secret-{number}-{secret.source}"
    for number, config in enumerate(template.configs):
        yield f"config-{number}-{config.source}"


def _numbers(user: str) -> tuple[str, str]:
    """The numbers of ``USER[:GROUP]``; 0 for a name, whose number is the image's to say."""
    name, _, group = user.partition(":")
    return _number(name), _number(group)


def _number(text: str) -> str:
    return text if text.isascii() and text.isdigit() else "0"


def _write(root: Path, folder: Path, files: Iterable[_File], *, secret: bool) -> list[str]:
    """Runs in a thread. The targets of the files whose owner could not be set."""
    try:
        root.parent.parent.mkdir(mode=0o750, parents=True, exist_ok=True)  # where the socket lies, or may lie
        for path in (root.parent, root):
            make_private(path)
        if secret and not on_tmpfs(root):
            raise FilesRefused(f"secrets need a tmpfs, so that no disk has them, and {root} is not on one")
        make_private(folder)
        return [
            file.target
            for file in files
            if not write_file(folder / file.name, file.content, file.uid, file.gid, file.mode)
        ]
    except NotOurs as error:
        raise FilesRefused(str(error)) from None
    except OverflowError:
        raise FilesRefused("no user or group of a secret or config can have so high a number") from None
    except OSError as error:
        text = (error.strerror or str(error)).lower()
        raise FilesRefused(f"secrets and configs cannot be written to {folder}: {text}", hopeless=False) from None


def _remove(folders: Iterable[Path]) -> None:
    """Runs in a thread."""
    for folder in folders:
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            continue
        except OSError as error:  # it is tried again at the next start
            logger.warning("%s cannot be removed: %s", folder, os.strerror(error.errno or 0))
