"""A journal that outlives the program that is tested, and not the test."""

from collections.abc import Sequence
from pathlib import Path

from controller.clock import Clock
from controller.errors import JournalError
from controller.store import SERVICE, Record


class MemoryJournal:
    """A :class:`controller.store.Journal` without a disk: each run of the program reads what those before it kept."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._records: dict[tuple[str, str], Record] = {}
        self._deleted: set[str] = set()
        self._epoch = 0

    @property
    def epoch(self) -> int:
        """Milliseconds since 1970, or more; greater each time that it is asked for, which every run does once."""
        self._epoch = max(int(self._clock.now().timestamp() * 1000), self._epoch + 1)
        return self._epoch

    def read(self) -> list[Record]:
        return [self._records[key] for key in sorted(self._records)]

    def deleted(self, kind: str) -> frozenset[str]:
        return frozenset(self._deleted) if kind == SERVICE.name else frozenset()

    async def commit(self, records: Sequence[Record]) -> None:
        """Keeps the records at once."""
        for record in records:
            key = (record.kind, record.name)
            if record.data is None:
                self._records.pop(key, None)
            else:
                self._records[key] = record
            if record.kind == SERVICE.name:
                (self._deleted.add if record.data is None else self._deleted.discard)(record.name)

    async def backup(self, target: Path) -> None:  # noqa: ARG002  # nothing is put there
        """Always refuses.

        Raises:
            JournalError: there is no file to be copied.
        """
        raise JournalError("a journal without a disk cannot be backed up")

    async def close(self) -> None:
        """Returns at once: the next run goes on with it."""
