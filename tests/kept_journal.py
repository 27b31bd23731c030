"""A journal for several runs of the program in one test."""

from collections.abc import Sequence

from controller.store import NoJournal, Record


class KeptJournal(NoJournal):
    """Keeps in memory what it is given, from one run of the program to the next."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], Record] = {}

    def read(self) -> list[Record]:
        return [record for record in self._kept.values() if record.data is not None]

    async def commit(self, records: Sequence[Record]) -> None:
        for record in records:
            self._kept[record.kind, record.name] = record
