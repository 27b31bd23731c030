"""What is in secrets: into the safe before anybody is shown the declaration, and out of it when nothing has it."""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, MutableMapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from controller.errors import SafeError, Violation
from controller.store import CONTAINER, REVISION, SERVICE, Change, Safe, Store
from proto.dockrunner import v1 as pb

from .validation.files import MAX_CONTENT
from .validation.forms import MAX_KEY

logger = logging.getLogger("dock_runner.safe")

Contents = MutableMapping[str, bytes]
"""What is in the secrets of a declaration, by version."""


class Secrets:
    """Puts the contents of declarations into the safe, and takes out those that nothing refers to any more.

    A service, a revision that is kept and a container object refer to a content, by its version.
    """

    def __init__(self, safe: Safe, store: Store) -> None:
        self._safe = safe
        self._store = store
        self._stale = asyncio.Event()
        self._stale.set()  # an earlier run may have ended before it could
        for kind in (SERVICE, REVISION, CONTAINER):
            store.subscribe(kind, self._follow)

    def taken_out(self, service: pb.Service, old: pb.Service | None, contents: Contents) -> pb.Service:
        """The service with a version in place of each content, which is added to ``contents``.

        A secret of which neither is said has that of the same name: in the same service, else in ``old``.
        """
        if not service.spec.secrets:
            return service
        hidden = pb.Service()
        hidden.CopyFrom(service)
        present = {secret.source: secret.version for secret in old.spec.secrets} if old is not None else {}
        for secret in hidden.spec.secrets:
            if secret.content:
                secret.version = self._safe.version_of(secret.content)
                contents[secret.version] = secret.content
                present[secret.source] = secret.version
                secret.ClearField("content")
        for secret in hidden.spec.secrets:
            secret.version = secret.version or present.get(secret.source, "")
        return hidden

    def violations(self, service: pb.Service, old: pb.Service | None, contents: Contents) -> Iterator[Violation]:
        """Secrets without a content, or with one that is too large; nothing of what is in them."""
        present = versions_of(old.spec.secrets) if old is not None else set()
        for number, secret in enumerate(service.spec.secrets):
            field, name = f"spec.secrets[{number}]", secret.source[:MAX_KEY]
            if not secret.version:
                fix = f"give `file` or `environment` in [secrets.{name}]"
                yield Violation(f"{field}.content", f"secret {name} has no content; {fix}")
            elif len(content := contents.get(secret.version, b"")) > MAX_CONTENT:
                text = f"has {len(content) >> 10} KiB; at most {MAX_CONTENT >> 10} are kept"
                yield Violation(f"{field}.content", text)
            elif not content and secret.version not in self._safe and secret.version not in present:
                text = f"the content of secret {name} is not kept here, and no backup has it: declare it again"
                yield Violation(f"{field}.version", text)

    async def keep(self, contents: Contents, services: Iterable[pb.Service]) -> None:
        """Puts into the safe what these services refer to.

        Raises:
            SafeFull, SafeError: it cannot be kept.
        """
        if contents:
            self._stale.set()  # should nothing come of the declaration
            wanted = {version for service in services for version in versions_of(service.spec.secrets)}
            await self._safe.keep({version: contents[version] for version in contents.keys() & wanted})

    def missing(self, service: pb.Service) -> list[str]:
        """The secrets of a service whose contents are not in the safe, as when its files were lost."""
        return [secret.source for secret in service.spec.secrets if secret.version not in self._safe]

    async def sweep(self, quiet: Callable[[], AbstractAsyncContextManager[None]]) -> None:
        """Removes what nothing refers to, whenever that may be something, until cancelled.

        ``quiet`` is the time in which no declaration is on its way: that might be about to refer to it.
        """
        while True:
            await self._stale.wait()
            async with quiet():
                self._stale.clear()
                try:
                    await self._safe.retain(self._referred_to())
                except SafeError as error:
                    logger.warning("%s", error)

    def _referred_to(self) -> Collection[str]:
        specs = [
            *(service.spec for service in self._store.list(SERVICE)),
            *(revision.template for revision in self._store.list(REVISION)),
            *(container.spec.template for container in self._store.list(CONTAINER)),
        ]
        return {version for spec in specs for version in versions_of(spec.secrets)}

    def _follow(self, change: Change[Any]) -> None:
        before = change.new if change.type == pb.DELETED else change.old
        if before is None or not _secrets(before):
            return
        after = _secrets(change.new) if change.type != pb.DELETED and change.new is not None else ()
        if versions_of(_secrets(before)) - versions_of(after):
            self._stale.set()


def versions_of(secrets: Iterable[pb.Secret]) -> set[str]:
    """Those that are there."""
    return {secret.version for secret in secrets if secret.version}


def _secrets(obj: Any) -> Iterable[pb.Secret]:
    """Those of a service, of a revision or of a container object."""
    if isinstance(obj, pb.ServiceRevision):
        return obj.template.secrets
    if isinstance(obj, pb.Container):
        return obj.spec.template.secrets
    found: Iterable[pb.Secret] = obj.spec.secrets
    return found
