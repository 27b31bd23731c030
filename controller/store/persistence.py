"""Keeps the journal equal to the store: ahead of a declaration, behind everything else.

A declaration is in the journal before anybody sees it, so that what was acknowledged is not lost and what is refused
was never there. What the program itself changes (finalizers, what handlers have done) is written as soon as may be,
and again until the journal takes it: after a crash it is found out anew.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from controller.clock import Clock
from controller.errors import JournalError
from proto.dockrunner import v1 as pb

from .changes import Change
from .journal import Journal, Record
from .kinds import KINDS, Kind
from .store import Store

RETRY_MIN = 1.0
RETRY_MAX = 30.0

Key = tuple[str, str]

logger = logging.getLogger("dock_runner.journal")


class Persistence:
    """The journaled kinds of a store, and what the framework remembers of their objects."""

    def __init__(self, store: Store, journal: Journal, clock: Clock) -> None:
        self._store = store
        self._journal = journal
        self._clock = clock
        self._kinds = {kind.name: kind for kind in KINDS if kind.journaled}
        self._kept: dict[Key, bytes] = {}
        self._behind: dict[Key, Record] = {}
        # What the journal is being given now: what it will have, unless it refuses.
        self._under_way: dict[Key, Record] = {}
        self._ahead: set[Key] = set()
        self._wake = asyncio.Event()
        self.trouble = ""
        """Why the journal does not take anything now; empty while it does."""

    def restore(self, records: Iterable[Record]) -> list[Record]:
        """Puts into the store what an earlier run kept, and follows it from then on; the records of others."""
        others = []
        for record in records:
            if record.data is None:
                continue
            self._kept[record.kind, record.name] = record.data
            kind = self._kinds.get(record.kind)
            if kind is None:
                others.append(record)
            else:
                self._store.restore(kind, kind.message.FromString(record.data))
        for kind in self._kinds.values():
            self._store.subscribe(kind, self._follower(kind))
        return others

    @asynccontextmanager
    async def ahead(self, kind: Kind[Any], objects: Sequence[Any]) -> AsyncIterator[None]:
        """Within it, the objects are in the journal as they are about to be written to the store.

        Those that are marked for deletion and have no finalizers are taken out of it. All or nothing.

        Raises:
            JournalFull, JournalError: they could not be kept, and must not be written.
        """
        records = [_gone(kind, obj) if _goes(obj) else record_of(kind, obj) for obj in objects]
        keys = [(record.kind, record.name) for record in records]
        self._ahead.update(keys)
        try:
            await self._journal.commit(records)
            self._note(records)
            yield
        finally:
            self._ahead.difference_update(keys)
            for key in keys:  # others may have written to them meanwhile
                self._compare(kind, key[1])

    def keep(self, record: Record) -> None:
        """Has a record kept soon; a later one of the same object takes its place."""
        key = (record.kind, record.name)
        under_way = self._under_way.get(key)
        if (under_way.data if under_way is not None else self._kept.get(key)) == record.data:
            self._behind.pop(key, None)
            return
        self._behind[key] = record
        self._wake.set()

    async def run(self) -> None:
        """Writes what is behind, until cancelled."""
        failures = 0
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self.flush()
            except JournalError as error:
                if not self.trouble:
                    logger.error("%s; it is tried again until it goes", error)
                self.trouble = str(error)
                await self._clock.sleep(min(RETRY_MIN * 2.0**failures, RETRY_MAX))
                failures = min(failures + 1, 16)
                self._wake.set()
            else:
                if self.trouble:
                    logger.info("the journal takes writes again")
                self.trouble, failures = "", 0

    async def flush(self) -> None:
        """Writes what is behind now.

        Raises:
            JournalError: it could not be kept, and still is to be.
        """
        records = [
            record for key, record in self._behind.items() if key not in self._ahead and key not in self._under_way
        ]
        if not records:
            return
        for record in records:
            key = (record.kind, record.name)
            self._under_way[key] = self._behind.pop(key)
        try:
            await self._journal.commit(records)
        except BaseException:
            for record in records:
                self._behind.setdefault((record.kind, record.name), record)
            raise
        finally:
            for record in records:
                del self._under_way[record.kind, record.name]
        self._note(records)

    async def backup(self, target: Path) -> None:
        """Makes ``target`` a file with all that is kept as of now.

        Raises:
            JournalFull, JournalError: it could not be made.
        """
        await self.flush()
        await self._journal.backup(target)

    async def close(self) -> None:
        """Writes what is left, and closes the journal."""
        with suppress(JournalError):
            await self.flush()
        await self._journal.close()

    def _note(self, records: Iterable[Record]) -> None:
        for record in records:
            if record.data is None:
                self._kept.pop((record.kind, record.name), None)
            else:
                self._kept[record.kind, record.name] = record.data

    def _follower(self, kind: Kind[Any]) -> Any:
        def follow(change: Change[Any]) -> None:
            if change.new is not None:
                self._compare(kind, change.new.metadata.name, change.new.metadata.uid)

        return follow

    def _compare(self, kind: Kind[Any], name: str, uid: str = "") -> None:
        """Notes what is to be written for one object of the store, if anything is."""
        obj = self._store.find(kind, name)
        if obj is not None:
            self.keep(record_of(kind, obj))
        else:
            self.keep(Record(kind.name, name, uid, None))


def record_of(kind: Kind[Any], obj: Any) -> Record:
    """What is kept of an object: all but its status and its version, which are found out anew."""
    kept = kind.message()
    kept.CopyFrom(obj)
    if kind.spec(obj) is not None:
        kept.ClearField("status")
    kept.metadata.ClearField("resource_version")
    return Record(kind.name, obj.metadata.name, obj.metadata.uid, kept.SerializeToString(deterministic=True))


def _goes(obj: pb.Service) -> bool:
    return obj.metadata.HasField("delete_time") and not obj.metadata.finalizers


def _gone(kind: Kind[Any], obj: Any) -> Record:
    return Record(kind.name, obj.metadata.name, obj.metadata.uid, None)
