"""The in-memory object store: versions, optimistic concurrency, finalizers, indices, watches."""

import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from controller.clock import Clock
from controller.errors import AlreadyExists, BeingDeleted, Conflict, Expired, NotFound
from proto.dockrunner import v1 as pb

from .changes import Change, Matches
from .kinds import KINDS, Kind, T
from .table import Subscriber, Table
from .watch import Watch

VERSIONS_PER_MILLISECOND = 1_000_000

Edit = Callable[[T], None]


class Store:
    """All objects, in memory, with the semantics of the Kubernetes API.

    Belongs to one event loop and its thread; no method waits, so each is atomic. Objects that it returns are shared
    and must not be mutated: ``update`` and ``update_status`` hand a copy to their ``edit``. A write that changes
    nothing makes no version and no event. One counter gives every effective write its version; it starts at ``epoch``,
    by default the time, in milliseconds, so that a version of an earlier run of the program is recognised.

    Subscribers are told of all changes in the order of the versions, also of those that a subscriber makes.
    """

    def __init__(
        self, clock: Clock, *, kinds: Iterable[Kind[Any]] = KINDS, history: int = 4096, watch_buffer: int = 1024,
        epoch: int | None = None,
    ) -> None:  # fmt: skip
        self._clock = clock
        begin = int(clock.now().timestamp() * 1000) if epoch is None else epoch
        self._first = self._version = begin * VERSIONS_PER_MILLISECOND
        self._thread = threading.get_ident()
        self._untold: deque[tuple[Table[Any], Change[Any]]] = deque()
        self._telling = False
        self._watch_buffer = watch_buffer
        self._tables: dict[str, Table[Any]] = {kind.name: Table(kind, self._first, history) for kind in kinds}

    @property
    def version(self) -> str:
        """The version of the newest write."""
        return str(self._version)

    # Reading.

    def find(self, kind: Kind[T], name: str) -> T | None:
        """The object, or None."""
        return self._table(kind).objects.get(name)

    def get(self, kind: Kind[T], name: str) -> T:
        """The object.

        Raises:
            NotFound: there is none of that name.
        """
        found = self.find(kind, name)
        if found is None:
            raise NotFound(f"{kind.name.lower()} {name!r} not found")
        return found

    def list(self, kind: Kind[T], *, index: str | None = None, value: str = "") -> list[T]:
        """All objects of the kind by name, or those alone for which ``index`` gives ``value``."""
        table = self._table(kind)
        objects = table.objects if index is None else table.indices[index].get(value, {})
        return sorted(objects.values(), key=lambda obj: obj.metadata.name)

    def knows(self, uid: str) -> bool:
        """Whether there is an object of that uid, of whatever kind."""
        return any(uid in table.indices["uid"] for table in self._tables.values())

    def count(self, kind: Kind[Any]) -> int:
        """How many objects there are."""
        return len(self._table(kind).objects)

    # Writing.

    def create(self, kind: Kind[T], obj: T) -> T:
        """Stores a copy of a new object and returns it, with its uid, generation and version.

        A uid and a time of creation that are given are kept: a container found in Docker has a uid already.

        Raises:
            AlreadyExists: there is one of that name.
        """
        return self._add(kind, self.draft(kind, obj))

    def draft(self, kind: Kind[T], obj: T) -> T:
        """What ``create`` would store of an object, without a version; storing that changes it no more."""
        new = kind.message()
        new.CopyFrom(obj)
        new.metadata.uid = obj.metadata.uid or str(uuid.uuid4())
        new.metadata.generation = 1
        if not obj.metadata.HasField("create_time"):
            new.metadata.create_time.FromDatetime(self._clock.now())
        new.metadata.ClearField("delete_time")
        return new

    def restore(self, kind: Kind[T], obj: T) -> T:
        """Stores a copy of an object of an earlier run, as it is but for a new version.

        Raises:
            AlreadyExists: there is one of that name.
        """
        new = kind.message()
        new.CopyFrom(obj)
        return self._add(kind, new)

    def update(self, kind: Kind[T], name: str, edit: Edit[T], *, uid: str = "", version: str = "") -> T:
        """Changes labels, annotations, finalizers and spec; what ``edit`` does to the status has no effect.

        The removal of the last finalizer of an object that is marked for deletion deletes it.

        Raises:
            NotFound: there is no such object.
            Conflict: ``uid`` or ``version`` is given and not current.
            BeingDeleted: the spec would change, or a finalizer come, after deletion was asked for.
        """
        table, old, new = self._open(kind, name, uid, version)
        edit(new)
        _keep_server_fields(old, new)
        if kind.spec(old) is not None:
            _restore(old, new, "status")
        if kind.spec(new) != kind.spec(old):
            if old.metadata.HasField("delete_time"):
                raise BeingDeleted(f"{kind.name.lower()} {name!r} is being deleted")
            new.metadata.generation += 1
        if old.metadata.HasField("delete_time"):
            if set(new.metadata.finalizers) - set(old.metadata.finalizers):
                raise BeingDeleted(f"{kind.name.lower()} {name!r} is being deleted: finalizers can only be removed")
            if not new.metadata.finalizers:
                return self._commit(table, pb.DELETED, old, new)
        return self._put(table, old, new)

    def update_status(self, kind: Kind[T], name: str, edit: Edit[T], *, uid: str = "") -> T:
        """Changes the status alone (of an Event: everything but its metadata).

        Raises:
            NotFound, Conflict: as ``update``.
        """
        table, old, new = self._open(kind, name, uid, "")
        edit(new)
        new.metadata.CopyFrom(old.metadata)
        if kind.spec(old) is not None:
            _restore(old, new, "spec")
        return self._put(table, old, new)

    def delete(self, kind: Kind[T], name: str, *, uid: str = "", version: str = "") -> T:
        """Deletes the object, or marks it while it has finalizers; a second call is harmless.

        Raises:
            NotFound, Conflict: as ``update``.
        """
        table, old, new = self._open(kind, name, uid, version)
        if old.metadata.HasField("delete_time"):
            return old
        new.metadata.delete_time.FromDatetime(self._clock.now())
        new.metadata.generation += 1
        if new.metadata.finalizers:
            return self._put(table, old, new)
        return self._commit(table, pb.DELETED, old, new)

    # Following.

    def subscribe(self, kind: Kind[T], subscriber: Subscriber[T]) -> None:
        """Has ``subscriber`` called with every change from now on, within the write: it must be quick."""
        self._table(kind).subscribers.append(subscriber)

    def watch(
        self, kind: Kind[T], matches: Matches[T] = lambda _: True, *, version: str = "", initial: bool = False
    ) -> Watch[T]:
        """A stream of the changes after ``version``; without one it begins with what is there, as ADDED.

        ``initial`` also begins with what is there, and ends that part by a bookmark.

        Raises:
            Expired: the version is not, or no longer, in the history.
        """
        table = self._table(kind)
        resume = self._resumable(table, version) if version else None
        watch: Watch[T] = Watch(matches, self._watch_buffer, table.watches.remove)
        if resume is None or initial:
            # The oldest version first, so that a reader that breaks off on the way misses nothing when it resumes.
            for obj in sorted(table.objects.values(), key=lambda obj: int(obj.metadata.resource_version)):
                if matches(obj):
                    watch.begin(Change(pb.ADDED, int(obj.metadata.resource_version), None, obj))
            if initial:
                watch.begin(Change(pb.BOOKMARK, self._version))
        else:
            for change in table.history.after(resume):
                if seen := change.seen_by(matches):
                    watch.begin(seen)
        table.watches.append(watch)
        return watch

    def watchers(self, kind: Kind[Any]) -> int:
        """How many watches are open."""
        return len(self._table(kind).watches)

    # Inside.

    def _table(self, kind: Kind[T]) -> Table[T]:
        return self._tables[kind.name]

    def _add(self, kind: Kind[T], new: T) -> T:
        table = self._table(kind)
        if new.metadata.name in table.objects:
            raise AlreadyExists(f"{kind.name.lower()} {new.metadata.name!r} already exists")
        return self._commit(table, pb.ADDED, None, new)

    def _open(self, kind: Kind[T], name: str, uid: str, version: str) -> tuple[Table[T], T, T]:
        """The table, the object, and a copy to edit."""
        old = self.get(kind, name)
        if uid and uid != old.metadata.uid:
            raise Conflict(f"{kind.name.lower()} {name!r} is another one now: its uid is {old.metadata.uid}")
        if version and version != old.metadata.resource_version:
            raise Conflict(f"{kind.name.lower()} {name!r} has changed since version {version}: read it again")
        new = kind.message()
        new.CopyFrom(old)
        return self._table(kind), old, new

    def _put(self, table: Table[T], old: T, new: T) -> T:
        return old if new == old else self._commit(table, pb.MODIFIED, old, new)

    def _commit(self, table: Table[T], change: pb.ChangeType.ValueType, old: T | None, new: T) -> T:
        if threading.get_ident() != self._thread:
            raise RuntimeError("the store belongs to the event loop; in a thread use patch, or an async handler")
        self._version += 1
        new.metadata.resource_version = str(self._version)
        recorded = Change(change, self._version, old, new)
        table.record(recorded)
        self._untold.append((table, recorded))
        if not self._telling:
            self._tell()
        return new

    def _tell(self) -> None:
        """Tells the subscribers; what they write meanwhile comes after what they are being told of."""
        failed: list[Exception] = []
        self._telling = True
        try:
            while self._untold:
                table, change = self._untold.popleft()
                for subscriber in table.subscribers:
                    try:
                        subscriber(change)
                    except Exception as error:  # noqa: BLE001  # the others are to be told all the same; it is raised below
                        failed.append(error)
        finally:
            self._telling = False
        if failed:
            raise failed[0]

    def _resumable(self, table: Table[Any], version: str) -> int:
        number = int(version) if version.isascii() and version.isdigit() and len(version) < 20 else -1
        if number < self._first:
            raise Expired(f"version {version} is not of this run of the server: list again")
        if number > self._version:
            raise Expired(f"version {version} lies in the future: list again")
        if number < table.history.floor:
            raise Expired(f"version {version} is older than the history: list again")
        return number


def _restore(old: Any, new: Any, field: str) -> None:
    """Makes a message field what it was. One that was absent stays absent: an empty one would count as a change."""
    new.ClearField(field)
    if old.HasField(field):
        getattr(new, field).CopyFrom(getattr(old, field))


def _keep_server_fields(old: Any, new: Any) -> None:
    """Takes back what an edit may have done to the metadata that only the store writes."""
    for field in ("name", "uid", "generation", "resource_version"):
        setattr(new.metadata, field, getattr(old.metadata, field))
    for field in ("create_time", "delete_time"):
        _restore(old.metadata, new.metadata, field)
