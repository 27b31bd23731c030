"""A list of objects that is made when somebody looks."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from proto.dockrunner import v1 as pb


class Listing(Sequence[pb.Service]):
    """Services, read once and only when needed: most of those who are handed them do not look. It may grow.

    ``at_most``: no more than so many, known without looking. ``memo``: what those who look have worked out of it, so
    that they need not do so for each of many services again.
    """

    def __init__(self, read: Callable[[], Sequence[pb.Service]], at_most: int) -> None:
        self._read = read
        self._services: list[pb.Service] | None = None
        self._added: list[pb.Service] = []
        self.at_most = at_most
        self.memo: dict[str, Any] = {}

    def add(self, service: pb.Service) -> None:
        """One more, at the end."""
        self.at_most += 1
        (self._added if self._services is None else self._services).append(service)

    def _list(self) -> Sequence[pb.Service]:
        if self._services is None:
            self._services = [*self._read(), *self._added]
        return self._services

    def __len__(self) -> int:
        return len(self._list())

    def __iter__(self) -> Iterator[pb.Service]:
        return iter(self._list())

    def __getitem__(self, index: Any) -> Any:
        return self._list()[index]
