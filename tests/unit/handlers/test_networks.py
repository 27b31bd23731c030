"""Networks go with the last container of the last service that names them."""

from dataclasses import replace
from unittest.mock import patch

import pytest

from controller.errors import EngineError, EngineUnavailable
from controller.scheduler.engine import LABEL_SERVICE, LABEL_UID
from controller.scheduler.memory import MemoryEngine
from controller.store import CONTAINER, SERVICE, Store
from controller.testing import Harness
from handlers.instance import Instance
from handlers.naming import container_name
from handlers.networks import Networks
from proto.dockrunner import v1 as pb
from tests.clock import ManualClock

OWN = "dock-runner-default"


class World:
    """A store and an engine with networks in it; nothing runs."""

    def __init__(self) -> None:
        clock = ManualClock()
        self.store = Store(clock)
        self.engine = MemoryEngine(clock)
        self.networks = Networks(self.store, self.engine, Instance("default"))

    def service(self, name: str, *networks: str, deleted: bool = False) -> None:
        spec = pb.ServiceSpec(networks={network: pb.NetworkAttachment() for network in networks})
        self.store.create(SERVICE, pb.Service(metadata=pb.Metadata(name=name, finalizers=["f"]), spec=spec))
        if deleted:
            self.store.delete(SERVICE, name)

    def container(self, name: str, *networks: str, deleted: bool = True, adopted: bool = False) -> pb.Container:
        made = pb.Container(metadata=pb.Metadata(name=name, finalizers=["f"]), spec=pb.ContainerSpec(service="web"))
        for network in networks:
            if adopted:
                made.status.addresses[network] = "10.0.0.9"
            else:
                made.spec.template.networks[network].SetInParent()
            self.engine.networks[network if adopted else f"{OWN}-{network}"] = pb.NetworkDefinition()
        if not adopted:
            made.spec.template.SetInParent()
        self.store.create(CONTAINER, made)
        return self.store.delete(CONTAINER, name) if deleted else self.store.get(CONTAINER, name)


@pytest.fixture
def world() -> World:
    return World()


async def test_networks_that_nobody_names_go(world: World) -> None:
    await world.networks.left(world.container("web-1", "a", "b"))
    assert set(world.engine.networks) == set()


async def test_networks_that_a_service_names_stay(world: World) -> None:
    world.service("api", "a")
    await world.networks.left(world.container("web-1", "a", "b"))
    assert set(world.engine.networks) == {f"{OWN}-a"}


async def test_networks_that_a_container_of_an_older_revision_names_stay(world: World) -> None:
    world.container("web-2", "a", deleted=False)
    await world.networks.left(world.container("web-1", "a", "b"))
    assert set(world.engine.networks) == {f"{OWN}-a"}


async def test_who_is_being_deleted_names_nothing(world: World) -> None:
    world.service("web", "a", deleted=True)
    world.container("web-2", "a")
    await world.networks.left(world.container("web-1", "a"))
    assert set(world.engine.networks) == set()


async def test_an_external_network_is_not_even_asked_for(world: World) -> None:
    made = world.container("web-1")
    made.spec.template.networks["lent"].definition.external = True
    world.engine.networks["lent"] = pb.NetworkDefinition()
    await world.networks.left(made)
    assert set(world.engine.networks) == {"lent"}


async def test_of_an_adopted_container_the_networks_are_noted_while_it_has_addresses(world: World) -> None:
    made = world.container("web-1", f"{OWN}-old", adopted=True)
    world.networks.note(made)
    made = world.store.update_status(CONTAINER, "web-1", lambda edited: edited.status.addresses.clear())
    await world.networks.left(made)
    assert set(world.engine.networks) == set()


async def test_a_network_that_cannot_be_removed_holds_up_neither_the_container_nor_the_others(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    remove = world.engine.remove_network

    async def refuse(name: str) -> None:
        if name.endswith("-a"):
            raise EngineError("no")
        await remove(name)

    with patch.object(world.engine, "remove_network", refuse):
        await world.networks.left(world.container("web-1", "a", "b"))
    assert set(world.engine.networks) == {f"{OWN}-a"}
    assert caplog.messages == [f"network {OWN}-a cannot be removed: no"]


async def test_without_an_answer_it_is_tried_again(world: World) -> None:
    made = world.container("web-1", "a")
    world.engine.go_away()
    with pytest.raises(EngineUnavailable):
        await world.networks.left(made)
    world.engine.come_back()
    await world.networks.left(made)
    assert set(world.engine.networks) == set()


async def test_the_instances_network_lives_as_long_as_services_do() -> None:
    async with Harness() as dock:
        engine = dock.program.engine
        assert isinstance(engine, MemoryEngine)
        await dock.apply("web", image="i:1", replicas=2)
        await dock.apply("api", image="i:1")
        await dock.apply("web", image="i:2", replicas=0)
        await dock.delete("web")
        await dock.advance(60)
        assert dock.services() == ["api"]
        assert set(engine.networks) == {OWN}
        await dock.apply("api", image="i:1", replicas=0)
        await dock.advance(60)
        assert set(engine.networks) == {OWN}
        await dock.apply("api", image="i:1", replicas=3)
        await dock.advance(60)
        await dock.delete("api")
        await dock.advance(60)
        assert (dock.services(), set(engine.networks)) == ([], set())


async def test_after_a_restart_the_network_goes_with_adopted_containers_too() -> None:
    async with Harness() as dock:
        engine = dock.program.engine
        assert isinstance(engine, MemoryEngine)
        await dock.apply("web", image="i:1", replicas=2)
        await dock.restart()
        await dock.delete("web")
        await dock.advance(60)
        assert (dock.services(), set(engine.networks)) == ([], set())


async def test_the_network_of_an_orphan_goes_with_it_though_no_service_names_it() -> None:
    async with Harness() as dock:
        engine = dock.program.engine
        assert isinstance(engine, MemoryEngine)
        await dock.apply("web", image="i:1", manager="file")
        request = Instance("default").request(dock.containers("web")[0])
        await dock.delete("web", manager="file")
        await dock.advance(60)
        labels = {**request.labels, LABEL_SERVICE: "lost", LABEL_UID: "u"}
        await engine.ensure_network(OWN, pb.NetworkDefinition())
        name = container_name("default", "lost", 1, "u")
        await engine.start(await engine.create(replace(request, uid="u", name=name, labels=labels)))
        await dock.restart()
        assert dock.containers("lost")[0].status.addresses
        dock.program.orphans.declared("file")
        await dock.advance(60)
        assert (dock.containers("lost"), set(engine.networks)) == ([], set())
