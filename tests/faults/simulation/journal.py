"""A journal that outlives the program: its disk may be slow, full, and die in the middle of a commit."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from random import Random

from controller.errors import JournalError, JournalFull
from controller.store import Record
from tests.clock import ManualClock


class Disk:
    """What survives."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], Record] = {}
        self.tombstones: dict[str, None] = {}
        self.epoch = 1_000
        self.full = False

    def write(self, records: Sequence[Record]) -> None:
        for record in records:
            key = record.kind, record.name
            if record.data is None:
                self.records.pop(key, None)
                if record.kind == "Service":
                    self.tombstones[record.name] = None
            else:
                self.records[key] = record
                self.tombstones.pop(record.name, None)


class SimulatedJournal:
    """One run's journal on a disk. What is being committed when it dies is kept whole, or not at all."""

    def __init__(self, disk: Disk, clock: ManualClock, random: Random) -> None:
        self._disk = disk
        self._clock = clock
        self._random = random
        self._dead = False
        self._turn = asyncio.Lock()
        self._writing: Sequence[Record] = ()
        disk.epoch += 1
        self.epoch: int | None = disk.epoch

    def read(self) -> list[Record]:
        return [self._disk.records[key] for key in sorted(self._disk.records)]

    def deleted(self, kind: str) -> frozenset[str]:
        return frozenset(self._disk.tombstones if kind == "Service" else ())

    async def commit(self, records: Sequence[Record]) -> None:
        async with self._turn:
            self._writing = records
            try:
                await self._clock.sleep(self._random.choice((0.0, 0.001, 0.05)))
                if self._disk.full:
                    raise JournalFull("the disk is full")
                if self._dead:
                    raise JournalError("dead")
                self._disk.write(records)
            finally:
                self._writing = ()

    def die(self) -> None:
        """The process is killed now."""
        self._dead = True
        if self._writing and not self._disk.full and self._random.random() < 0.5:
            self._disk.write(self._writing)

    async def backup(self, target: Path) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        return
