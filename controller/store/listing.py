"""A list of objects that is made when somebody looks."""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

from proto.dockrunner import v1 as pb


class Listing(Sequence[pb.Service]):
    """Services, read once and only when needed: most of those who are handed them do not look.

    ``at_most``: no more than so many, known without looking.
    """

    def __init__(self, read: Callable[[], Sequence[pb.Service]], at_most: int) -> None:
        self._read = read
        self.at_most = at_most

    @cached_property
    def _services(self) -> Sequence[pb.Service]:
        return self._read()

    def __len__(self) -> int:
        return len(self._services)

    def __iter__(self) -> Iterator[pb.Service]:
        return iter(self._services)

    def __getitem__(self, index: Any) -> Any:
        return self._services[index]
