"""A deletion with volumes takes along those that nobody else names, and survives whatever comes between."""

from collections.abc import Mapping

import pytest

from controller.control_plane.write import hold_for_volumes
from controller.scheduler.engine import LABEL_SERVICE
from controller.scheduler.memory import MemoryEngine
from controller.store import SERVICE, VOLUMES_FINALIZER
from controller.testing import Harness
from handlers.instance import Instance
from handlers.volumes import going
from proto.dockrunner import v1 as pb

DATA = pb.Mount(type="volume", source="data", target="/data")


def service(name: str, *mounts: pb.Mount | str, deleted: bool = False) -> pb.Service:
    made = pb.Service(metadata=pb.Metadata(name=name, uid=f"uid-{name}"))
    made.spec.volumes.extend(pb.Mount(source=it, target="/d") if isinstance(it, str) else it for it in mounts)
    if deleted:
        made.metadata.delete_time.GetCurrentTime()
    return made


def made_for(name: str, *volumes: str) -> Mapping[str, Mapping[str, str]]:
    return {volume: {LABEL_SERVICE: name} for volume in volumes}


def goes(of: pb.Service, present: Mapping[str, Mapping[str, str]], *others: pb.Service) -> list[str]:
    return going(of, present, [of, *others], Instance("default"))


def test_its_own_named_volumes_go_and_no_others() -> None:
    bind = pb.Mount(type="bind", source="/data", target="/d")
    web = service("web", "data", "cache", bind, pb.Mount(target="/anonymous"))
    assert goes(web, made_for("web", "data", "cache", "older", "data-1", "/data", "")) == ["cache", "data"]


def test_what_another_service_names_stays_unless_that_goes_too() -> None:
    web, api = service("web", "data", "cache"), service("api", "data")
    assert goes(web, made_for("web", "data", "cache"), api) == ["cache"]
    assert goes(web, made_for("api", "data", "cache"), service("api", "data", deleted=True)) == ["cache", "data"]


def test_a_volume_goes_by_its_name_in_docker() -> None:
    exact = pb.Mount(source="x", target="/d", definition=pb.VolumeDefinition(name="exact.name"))
    web = service("web", exact, "data")
    assert going(web, made_for("web", "exact.name", "exact-name", "data", "blue-data"), [web], Instance("blue")) == [
        "blue-data", "exact.name",
    ]  # fmt: skip


def test_each_slots_volume_goes_also_of_slots_that_are_no_more_when_it_was_made_for_the_service() -> None:
    web = service("web", "data-{slot}")
    present = {**made_for("web", "data-1", "data-17", "data-x", "data-0"), **made_for("api", "data-2")}
    assert goes(web, present) == ["data-1", "data-17"]


def test_a_slots_volume_stays_that_another_service_names() -> None:
    web = service("web", "data-{slot}")
    assert goes(web, made_for("web", "data-1", "data-2"), service("api", "data-2")) == ["data-1"]
    assert goes(service("api", "data-2"), made_for("api", "data-2"), web) == []


async def volumes(dock: Harness) -> list[str]:
    return sorted(await dock.program.engine.volumes())


async def test_without_being_asked_a_deletion_leaves_the_volumes() -> None:
    async with Harness() as dock:
        await dock.apply("web", image="i:1", volumes=[DATA])
        await dock.delete("web")
        await dock.advance(60)
        assert (dock.services(), await volumes(dock)) == ([], ["data"])


async def test_volumes_go_after_the_containers_and_before_the_service() -> None:
    async with Harness() as dock:
        await dock.apply("web", image="i:1", volumes=[DATA])
        await dock.delete("web", volumes=True)
        await dock.advance(60)
        assert (dock.services(), await volumes(dock)) == ([], [])
        assert "VolumeRemoved" in {event.reason for event in dock.events("web")}


async def test_a_volume_in_use_is_left_and_that_is_said() -> None:
    async with Harness() as dock:
        await dock.apply("web", image="i:1", volumes=[DATA])
        engine = dock.program.engine
        assert isinstance(engine, MemoryEngine)
        request = Instance("default").request(dock.containers("web")[0])
        await engine.create(type(request)(**{**vars(request), "name": "stranger", "uid": "other", "labels": {}}))
        await dock.delete("web", volumes=True)
        await dock.advance(60)
        assert (dock.services(), await volumes(dock)) == ([], ["data"])
        assert "data is in use by a container" in {event.message for event in dock.events("web")}


@pytest.mark.parametrize("restart", [True, False], ids=["restarted", "going on"])
async def test_an_outage_in_between_makes_the_deletion_wait(restart: bool) -> None:
    async with Harness() as dock:
        await dock.apply("web", image="i:1", volumes=[DATA])
        await dock.apply("web", image="i:1", volumes=[DATA], replicas=0)
        await dock.advance(60)
        dock.engine.go_away()
        await dock.advance(10)
        await dock.delete("web", volumes=True)
        await dock.advance(60)
        assert VOLUMES_FINALIZER in dock.service("web").metadata.finalizers
        dock.engine.come_back()
        if restart:
            await dock.restart()
        await dock.advance(60)
        assert (dock.services(), await volumes(dock)) == ([], [])


async def test_a_deletion_of_a_service_that_was_never_handled_is_finished_too() -> None:
    async with Harness() as dock:
        await dock.apply("web", image="i:1", volumes=[DATA], replicas=0)

        def as_if_new(edited: pb.Service) -> None:
            edited.metadata.ClearField("finalizers")
            hold_for_volumes(edited)

        dock.store.update(SERVICE, "web", as_if_new)
        dock.store.delete(SERVICE, "web")
        await dock.advance(10)
        assert dock.services() == []
