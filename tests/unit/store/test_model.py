"""The store against a model of a few lines, over random operations."""

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule

from controller.errors import AlreadyExists, BeingDeleted, Conflict, Expired, NotFound, SlowWatcher, StoreError
from controller.store import CONTAINER, Change, Store, Watch
from proto.dockrunner import v1 as pb
from tests.clock import ManualClock

NAMES = st.sampled_from(["a", "b", "c"])
SERVICES = st.sampled_from(["web", "db"])
FINALIZERS = st.sets(st.sampled_from(["f", "g"]))
HISTORY = 12
BUFFER = 6


@dataclass
class Model:
    """One object as it should be."""

    uid: str
    version: str
    service: str
    finalizers: set[str] = field(default_factory=set)
    replicas: int = 0
    generation: int = 1
    deleted: bool = False


class StoreMachine(RuleBasedStateMachine):
    """Containers, because they have an index."""

    versions = Bundle("versions")

    @initialize()
    def begin(self) -> None:
        self.clock = ManualClock()
        self.store = Store(self.clock, history=HISTORY, watch_buffer=BUFFER)
        self.model: dict[str, Model] = {}
        self.changes: list[Change[pb.Container]] = []
        self.store.subscribe(CONTAINER, self.changes.append)
        self.last = int(self.store.version)
        self.written = 0
        self.watches: list[tuple[Watch[pb.Container], dict[str, pb.Container]]] = []
        # Watchers that do not read for a while, with what they know and how many changes there were by then.
        self.stalled: list[tuple[Watch[pb.Container], dict[str, pb.Container], int]] = []

    def teardown(self) -> None:
        for watch, _ in getattr(self, "watches", []):
            watch.close()
        for watch, _, _ in getattr(self, "stalled", []):
            watch.close()

    def expect(self, writes: int) -> None:
        """So many versions have been given out since the last look, each with its change."""
        self.written += writes
        assert len(self.changes) == self.written
        assert int(self.store.version) == self.last + writes
        self.last += writes

    def refused(self, error: type[StoreError], *arguments: object, **options: object) -> None:
        try:
            getattr(self.store, str(arguments[0]))(CONTAINER, *arguments[1:], **options)
        except error:
            self.expect(0)
        else:
            raise AssertionError(f"{arguments} should have raised {error.__name__}")

    @rule(name=NAMES, service=SERVICES, finalizers=FINALIZERS)
    def create(self, name: str, service: str, finalizers: set[str]) -> None:
        metadata = pb.Metadata(name=name, finalizers=finalizers)
        container = pb.Container(metadata=metadata, spec=pb.ContainerSpec(service=service))
        if name in self.model:
            self.refused(AlreadyExists, "create", container)
            return
        made = self.store.create(CONTAINER, container)
        self.expect(1)
        self.model[name] = Model(made.metadata.uid, made.metadata.resource_version, service, set(finalizers))

    @rule(name=NAMES, service=SERVICES)
    def change_the_spec(self, name: str, service: str) -> None:
        def edit(container: pb.Container) -> None:
            container.spec.service = service
            container.status.restart_count = 99  # to no effect

        model = self.model.get(name)
        if model is None:
            self.refused(NotFound, "update", name, edit)
        elif model.deleted and service != model.service:
            self.refused(BeingDeleted, "update", name, edit)
        else:
            changed = self.store.update(CONTAINER, name, edit, uid=model.uid, version=model.version)
            self.expect(int(service != model.service))
            model.generation += int(service != model.service)
            model.service, model.version = service, changed.metadata.resource_version

    @rule(name=NAMES, replicas=st.integers(0, 2))
    def change_the_status(self, name: str, replicas: int) -> None:
        def edit(container: pb.Container) -> None:
            container.status.restart_count = replicas
            container.spec.service = "to no effect"

        model = self.model.get(name)
        if model is None:
            self.refused(NotFound, "update_status", name, edit)
            return
        changed = self.store.update_status(CONTAINER, name, edit)
        # A status that is written for the first time is there from then on, be it empty.
        self.expect(len(self.changes) - self.written if replicas == 0 else int(replicas != model.replicas))
        model.replicas, model.version = replicas, changed.metadata.resource_version

    @rule(name=NAMES, finalizers=FINALIZERS)
    def set_finalizers(self, name: str, finalizers: set[str]) -> None:
        def edit(container: pb.Container) -> None:
            container.metadata.finalizers[:] = sorted(finalizers)

        model = self.model.get(name)
        if model is None:
            self.refused(NotFound, "update", name, edit)
        elif model.deleted and finalizers - model.finalizers:
            self.refused(BeingDeleted, "update", name, edit)
        else:
            before = list(self.store.get(CONTAINER, name).metadata.finalizers)
            changed = self.store.update(CONTAINER, name, edit)
            self.expect(int(before != sorted(finalizers)))
            model.finalizers, model.version = set(finalizers), changed.metadata.resource_version
            if model.deleted and not finalizers:
                del self.model[name]

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        model = self.model.get(name)
        if model is None:
            self.refused(NotFound, "delete", name)
            return
        marked = self.store.delete(CONTAINER, name, uid=model.uid)
        self.expect(int(not model.deleted))
        model.generation += int(not model.deleted)
        model.deleted, model.version = True, marked.metadata.resource_version
        if not model.finalizers:
            del self.model[name]

    @precondition(lambda self: self.model)
    @rule()
    def a_stale_version_is_refused(self) -> None:
        name, model = next(iter(self.model.items()))
        stale = str(int(model.version) - 1)
        self.refused(Conflict, "delete", name, version=stale)
        self.refused(Conflict, "update", name, lambda _: None, version=stale)
        self.refused(Conflict, "update_status", name, lambda _: None, uid="another")

    @rule()
    def watch_from_the_start(self) -> None:
        self.watches.append((self.store.watch(CONTAINER), {}))

    @precondition(lambda self: self.watches)
    @rule()
    def a_watcher_stalls(self) -> None:
        watch, known = self.watches.pop()
        self.stalled.append((watch, known, len(self.changes)))

    @precondition(lambda self: self.stalled)
    @rule()
    def a_stalled_watcher_reads_on(self) -> None:
        """It has missed nothing, or it was closed and is told so; then it lists again."""
        watch, known, seen = self.stalled.pop(0)
        if len(self.changes) - seen <= BUFFER:
            self.watches.append((watch, known))  # the invariant says what it reads
            return
        try:
            watch.__anext__().send(None)
        except SlowWatcher:
            pass
        else:
            raise AssertionError("it was too slow, and has to be told")
        assert self.store.watchers(CONTAINER) == len(self.watches) + len(
            [None for other, _, since in self.stalled if len(self.changes) - since <= BUFFER]
        )

    @rule(target=versions)
    def list_and_remember_the_version(self) -> tuple[str, dict[str, pb.Container], int]:
        listed = {found.metadata.name: found for found in self.store.list(CONTAINER)}
        return self.store.version, listed, len(self.changes)

    @rule(remembered=versions)
    def watch_from_a_lists_version(self, remembered: tuple[str, dict[str, pb.Container], int]) -> None:
        version, listed, seen = remembered
        expired = self.changes[:-HISTORY] and self.changes[-HISTORY - 1].version > int(version)
        try:
            self.watches.append((self.store.watch(CONTAINER, version=version), dict(listed)))
        except Expired:
            assert expired
        else:
            assert not expired
            assert len(self.changes) - seen <= HISTORY

    @invariant()
    def objects_are_those_of_the_model(self) -> None:
        if not hasattr(self, "model"):
            return
        assert sorted(self.model) == [found.metadata.name for found in self.store.list(CONTAINER)]
        assert self.store.count(CONTAINER) == len(self.model)
        for name, model in self.model.items():
            found = self.store.get(CONTAINER, name)
            assert found.metadata.uid == model.uid
            assert found.metadata.resource_version == model.version
            assert found.metadata.generation == model.generation
            assert found.metadata.HasField("delete_time") is model.deleted
            assert set(found.metadata.finalizers) == model.finalizers
            assert (found.spec.service, found.status.restart_count) == (model.service, model.replicas)

    @invariant()
    def the_index_is_consistent(self) -> None:
        if not hasattr(self, "model"):
            return
        for service in ("web", "db"):
            expected = sorted(name for name, model in self.model.items() if model.service == service)
            indexed = self.store.list(CONTAINER, index="service", value=service)
            assert [found.metadata.name for found in indexed] == expected
            assert all(found is self.store.get(CONTAINER, found.metadata.name) for found in indexed)

    @invariant()
    def every_watch_replays_to_what_is_there(self) -> None:
        if not hasattr(self, "model"):
            return
        for watch, known in self.watches:
            last = 0
            for change in drained(watch):
                assert change.new is not None
                assert change.version > last
                last = change.version
                name = change.new.metadata.name
                assert (change.type == pb.ADDED) is (name not in known)
                known[name] = change.new
                if change.type == pb.DELETED:
                    del known[name]
            assert known == {found.metadata.name: found for found in self.store.list(CONTAINER)}


def drained(watch: Watch[pb.Container]) -> list[Change[pb.Container]]:
    """What waits in a watch, without a loop: its reads do not wait while there is something."""
    changes = []
    while watch.bookmark(0) is None:
        try:
            watch.__anext__().send(None)
        except StopIteration as done:
            changes.append(done.value)
    return changes


TestStore = StoreMachine.TestCase
TestStore.settings = settings(max_examples=120, stateful_step_count=50, deadline=None)
