"""Lists in pages: all pages of one list show the same moment."""

import secrets
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic

from controller.clock import Clock
from controller.errors import Expired, Invalid, Violation
from controller.store import Store
from controller.store.kinds import T

MAX_PAGE_SIZE = 1000
_LIFETIME = 300.0  # seconds
_SNAPSHOTS = 64


@dataclass(frozen=True)
class Page(Generic[T]):
    """Part of a list, the version of the store that it shows, and the token of the next page, or an empty one."""

    objects: Sequence[T]
    resource_version: str
    next_page_token: str = ""


@dataclass(frozen=True)
class _Snapshot:
    query: tuple[str, ...]
    objects: Sequence[Any]
    resource_version: str
    expires: float


class Pages:
    """Remembers the lists that clients are paging through: the newest ``snapshots`` of them, each for 5 minutes.

    A snapshot costs little, as the objects are shared with the store.
    """

    def __init__(self, store: Store, clock: Clock, *, snapshots: int = _SNAPSHOTS) -> None:
        self._store = store
        self._clock = clock
        self._limit = snapshots
        self._snapshots: OrderedDict[str, _Snapshot] = OrderedDict()

    def page(self, query: tuple[str, ...], size: int, token: str, read: Callable[[], Sequence[T]]) -> Page[T]:
        """At most ``size`` objects (0: all, and never more than 1000 otherwise) of what ``read`` gives.

        ``query`` says what is listed: a token is good for the list that it came with alone.

        Raises:
            Invalid: the size is negative, or the token is of another list.
            Expired: the token is unknown, or its list is forgotten.
        """
        if size < 0:
            raise Invalid([Violation("page_size", f"{size} is negative; leave it out to get everything")])
        if not token:
            return self._cut(None, _Snapshot(query, read(), self._store.version, self._expiry()), 0, size)
        key, _, offset = token.rpartition(".")
        snapshot = self._snapshots.get(key)
        if snapshot is None or snapshot.expires <= self._clock.monotonic() or not _is_offset(offset, snapshot):
            raise Expired("this page_token is unknown or has expired: list again from the start")
        if snapshot.query != query:
            raise Invalid([Violation("page_token", "it belongs to another list; repeat that list's request with it")])
        return self._cut(key, snapshot, int(offset), size)

    def _cut(self, key: str | None, snapshot: _Snapshot, offset: int, size: int) -> Page[Any]:
        end = offset + min(size, MAX_PAGE_SIZE) if size else len(snapshot.objects)
        if end >= len(snapshot.objects):
            return Page(snapshot.objects[offset:], snapshot.resource_version)
        token = f"{key or self._keep(snapshot)}.{end}"
        return Page(snapshot.objects[offset:end], snapshot.resource_version, token)

    def _keep(self, snapshot: _Snapshot) -> str:
        now = self._clock.monotonic()
        while self._snapshots:  # the oldest come first, as all live equally long
            oldest = next(iter(self._snapshots.values()))
            if len(self._snapshots) < self._limit and oldest.expires > now:
                break
            self._snapshots.popitem(last=False)
        key = secrets.token_urlsafe(12)
        self._snapshots[key] = snapshot
        return key

    def _expiry(self) -> float:
        return self._clock.monotonic() + _LIFETIME


def _is_offset(text: str, snapshot: _Snapshot) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10 and int(text) < len(snapshot.objects)
