"""What belongs to an object goes with it: matched by uid, as in Kubernetes."""

from typing import Any

from controller.store import CONTAINER, REVISION, SERVICE, Change, GarbageCollector, Kind, Store, owner_of
from proto.dockrunner import v1 as pb
from tests.clock import ManualClock
from tests.unit.store.objects import a_service


class World:
    """A store that is collected, and what its subscribers were told, in order."""

    def __init__(self) -> None:
        self.store = Store(ManualClock())
        self.told: list[tuple[str, int]] = []
        kinds: tuple[Kind[Any], ...] = (SERVICE, REVISION, CONTAINER)
        for kind in kinds:
            self.store.subscribe(kind, self._note)
        GarbageCollector(self.store)
        for kind in kinds:
            self.store.subscribe(kind, self._note)

    def _note(self, change: Change[Any]) -> None:
        assert change.new is not None
        self.told.append((f"{pb.ChangeType.Name(change.type)} {change.new.metadata.name}", change.version))

    def child(self, name: str, *owners: pb.Service, finalizers: tuple[str, ...] = ()) -> pb.Container:
        metadata = pb.Metadata(name=name, owners=map(owner_of, owners), finalizers=finalizers)
        return self.store.create(CONTAINER, pb.Container(metadata=metadata))

    def names(self) -> list[str]:
        return [it.metadata.name for it in self.store.list(CONTAINER)]


def test_children_of_every_kind_go_with_their_owner_and_others_stay() -> None:
    world = World()
    web, api = world.store.create(SERVICE, a_service("web")), world.store.create(SERVICE, a_service("api"))
    world.child("web-1", web)
    world.child("api-1", api)
    world.child("nobody's")
    world.store.create(REVISION, pb.ServiceRevision(metadata=pb.Metadata(name="web.1", owners=[owner_of(web)])))
    world.store.delete(SERVICE, "web")
    assert world.names() == ["api-1", "nobody's"]
    assert not world.store.list(REVISION)


def test_a_child_with_finalizers_is_marked() -> None:
    world = World()
    web = world.store.create(SERVICE, a_service("web"))
    world.child("web-1", web, finalizers=("f",))
    world.store.delete(SERVICE, "web")
    assert world.store.get(CONTAINER, "web-1").metadata.HasField("delete_time")


def test_an_owner_that_waits_for_its_finalizers_keeps_its_children() -> None:
    world = World()
    web = world.store.create(SERVICE, a_service("web", finalizers=["f"]))
    world.child("web-1", web)
    world.store.delete(SERVICE, "web")
    assert world.names() == ["web-1"]
    world.store.update(SERVICE, "web", lambda service: service.metadata.finalizers.remove("f"))
    assert world.names() == []


def test_another_owner_under_the_same_name_owns_nothing_of_it() -> None:
    world = World()
    first = world.store.create(SERVICE, a_service("web"))
    world.store.delete(SERVICE, "web")
    second = world.store.create(SERVICE, a_service("web"))
    world.child("of the first", first)
    world.child("of the second", second)
    assert world.names() == ["of the second"], "an owner that is gone owns nothing, whatever its name"


def test_a_child_stays_while_one_of_its_owners_is_there() -> None:
    world = World()
    web, api = world.store.create(SERVICE, a_service("web")), world.store.create(SERVICE, a_service("api"))
    world.child("shared", web, api)
    world.store.delete(SERVICE, "web")
    assert world.names() == ["shared"]
    world.store.delete(SERVICE, "api")
    assert world.names() == []


def test_everybody_is_told_of_the_owner_before_its_children_and_by_rising_versions() -> None:
    world = World()
    web = world.store.create(SERVICE, a_service("web"))
    world.child("web-1", web)
    world.child("web-2", web)
    with world.store.watch(CONTAINER, version=world.store.version):
        world.told.clear()
        world.store.delete(SERVICE, "web")
    told = world.told[::2]
    assert [text for text, _ in told] == ["DELETED web", "DELETED web-1", "DELETED web-2"]
    assert world.told[1::2] == told, "also those who subscribed after the collector"
    assert [version for _, version in told] == sorted(version for _, version in told)


def test_an_object_that_comes_to_name_an_owner_that_is_not_there_goes() -> None:
    world = World()
    world.child("web-1")

    def belong(container: pb.Container) -> None:
        container.metadata.owners.add(kind="Service", name="web", uid="never was")

    world.store.update(CONTAINER, "web-1", belong)
    assert world.names() == []


def test_a_chain_of_owners_goes_from_its_top_however_long_it_is() -> None:
    world = World()
    above = pb.Container(metadata=pb.Metadata(uid="top"))
    world.store.create(SERVICE, a_service("web", uid="top"))
    for number in range(2000):
        owner = pb.OwnerReference(uid=above.metadata.uid)
        metadata = pb.Metadata(name=f"link-{number}", owners=[owner])
        above = world.store.create(CONTAINER, pb.Container(metadata=metadata))
    world.store.delete(SERVICE, "web")
    assert world.names() == []


def test_a_name_that_somebody_used_again_meanwhile_is_left_alone() -> None:
    store = Store(ManualClock())

    def replace(change: Change[pb.Container]) -> None:
        if change.new is not None and change.new.metadata.owners and change.type == pb.ADDED:
            store.delete(CONTAINER, "web-1")
            store.create(CONTAINER, pb.Container(metadata=pb.Metadata(name="web-1", labels={"new": "1"})))

    store.subscribe(CONTAINER, replace)
    GarbageCollector(store)
    store.create(CONTAINER, pb.Container(metadata=pb.Metadata(name="web-1", owners=[pb.OwnerReference(uid="gone")])))
    assert store.get(CONTAINER, "web-1").metadata.labels == {"new": "1"}


def test_of_what_is_restored_that_stays_whose_owner_is_there() -> None:
    world = World()
    web = world.store.restore(SERVICE, a_service("web", uid="1"))
    for name, owner in (("web.1", owner_of(web)), ("db.1", pb.OwnerReference(uid="2"))):
        world.store.restore(REVISION, pb.ServiceRevision(metadata=pb.Metadata(name=name, uid=name, owners=[owner])))
    assert [it.metadata.name for it in world.store.list(REVISION)] == ["web.1"]


async def test_watchers_see_the_owner_go_before_its_children() -> None:
    world = World()
    web = world.store.create(SERVICE, a_service("web"))
    world.child("web-1", web)
    version = world.store.version
    with world.store.watch(SERVICE, version=version) as services, world.store.watch(CONTAINER, version=version) as rest:
        world.store.delete(SERVICE, "web")
        owner, child = await anext(services), await anext(rest)
    assert (owner.type, child.type) == (pb.DELETED, pb.DELETED)
    assert owner.version < child.version
