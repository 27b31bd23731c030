"""What survives a restart of the program: how far each handler is with what it has to do."""

import asyncio
from typing import Any

import pytest

from controller.errors import PermanentError, TemporaryError
from controller.framework import Registry, on
from controller.framework.memory import Memories, Memory, Progress
from controller.store import SERVICE
from proto.dockrunner import v1 as pb
from tests.clock import ManualClock
from tests.unit.framework.world import World, failing, noting, running


async def test_what_succeeded_is_not_called_again_after_a_restart_in_the_middle(registry: Registry) -> None:
    good: list[str] = []
    bad: list[Any] = []
    on.create("Service", id="good", registry=registry)(noting(good, "name"))
    on.create("Service", id="bad", registry=registry)(failing(bad, lambda: TemporaryError("later", delay=60)))
    async with running(registry) as world:
        world.create()
        await world.clock.advance(10)
    assert (len(good), bad) == (1, [("web:1", 0)])
    async with running(registry, after=world) as later:
        await later.clock.advance(49)
        assert len(bad) == 1, "its pause goes on over the restart"
        await later.clock.advance(1)
    assert (len(good), bad) == (1, [("web:1", 0), ("web:1", 1)])


async def test_what_succeeded_is_kept_before_the_next_handler_is_called(registry: Registry) -> None:
    good: list[str] = []
    calls: list[str] = []

    @on.create("Service", registry=registry)
    async def first(name: str) -> None:
        good.append(name)

    @on.create("Service", registry=registry)
    async def second(name: str) -> None:
        calls.append(name)
        if len(calls) == 1:
            await asyncio.Event().wait()

    crashed = World(registry)
    crashed.create()
    await crashed.operator.start()
    await crashed.clock.settle()
    assert (good, calls) == (["web"], ["web"])
    async with running(registry, after=crashed) as later:  # while the first run still hangs: it ended without a word
        await later.clock.settle()
    assert (good, calls) == (["web"], ["web", "web"])
    await crashed.operator.stop(0.03)


async def test_a_change_that_some_have_seen_is_told_to_the_others_alone(registry: Registry) -> None:
    good: list[Any] = []
    bad: list[Any] = []

    def images(told: list[Any], fails: bool) -> Any:
        async def handler(old: pb.Service, new: pb.Service) -> None:
            told.append((old.spec.image, new.spec.image))
            if fails and len(told) == 1:
                raise PermanentError("never")

        return handler

    on.update("Service", id="good", registry=registry)(images(good, fails=False))
    on.update("Service", id="bad", registry=registry)(images(bad, fails=True))
    async with running(registry) as world:
        world.create()
        await world.clock.advance(1)
        world.change("web:2")
        await world.clock.advance(1)
    async with running(registry, after=world) as later:
        await later.clock.advance(1)
        later.change("web:3")
        await later.clock.advance(1)
    assert good == [("web:1", "web:2"), ("web:2", "web:3")]
    assert bad == [("web:1", "web:2"), ("web:1", "web:2"), ("web:2", "web:3")]


async def test_a_way_back_during_the_restart_is_told_to_who_saw_the_way_there(registry: Registry) -> None:
    good: list[Any] = []

    @on.update("Service", field="spec.image", registry=registry)
    async def well(old: str, new: str) -> None:
        good.append((old, new))

    on.update("Service", id="bad", registry=registry)(failing([], lambda: PermanentError("never"), times=1000))
    async with running(registry) as world:
        world.create()
        await world.clock.advance(1)
        world.change("web:2")
        await world.clock.advance(1)
    world.change("web:1")
    async with running(registry, after=world) as later:
        await later.clock.advance(1)
    assert good == [("web:1", "web:2"), ("web:2", "web:1")]


async def test_what_changed_while_the_program_was_down_is_told_as_an_update(registry: Registry) -> None:
    told: list[Any] = []
    on.create("Service", id="created", registry=registry)(noting(told, "reason"))
    on.update("Service", id="updated", field="spec.image", registry=registry)(noting(told, "old", "new"))
    async with running(registry) as world:
        world.create()
        await world.clock.advance(1)
    world.change("web:2")
    async with running(registry, after=world) as later:
        await later.clock.advance(1)
    assert told == ["create", ("web:1", "web:2")]


async def test_the_count_of_tries_and_the_begin_of_the_timeout_survive(registry: Registry) -> None:
    told: list[Any] = []

    @on.create("Service", retries=3, registry=registry)
    async def waits(retry: int, runtime: float) -> None:
        told.append((retry, runtime))
        raise TemporaryError("not yet", delay=10)

    async with running(registry) as world:
        world.create()
        await world.clock.advance(5)
    async with running(registry, after=world) as later:
        await later.clock.advance(100)
        assert later.said() == ["gave up after 3 tries: not yet"]
    assert told == [(0, 0.0), (1, 10.0), (2, 20.0)]


async def test_a_handler_that_is_new_in_this_run_is_not_told_of_what_was_created_before(registry: Registry) -> None:
    on.create("Service", id="known", registry=registry)(noting([], "name"))
    async with running(registry) as world:
        world.create()
        await world.clock.advance(1)
    told: list[Any] = []
    on.create("Service", id="new", registry=registry)(noting(told, "reason"))
    on.update("Service", id="new", registry=registry)(noting(told, "reason"))
    async with running(registry, after=world) as later:
        await later.clock.advance(1)
        assert told == []
        later.change("web:2")
        await later.clock.advance(1)
    assert told == ["update"]


async def test_what_is_kept_of_an_object_goes_with_it(registry: Registry) -> None:
    on.create("Service", id="it", registry=registry)(noting([], "name"))
    async with running(registry) as world:
        world.create()
        await world.clock.advance(1)
        assert set(world.kept) == {("Memory/service", "web")}
        world.delete()
        await world.clock.advance(1)
        assert not world.kept


async def test_of_containers_nothing_is_kept_as_docker_is_asked(registry: Registry) -> None:
    on.create("Container", id="it", registry=registry)(noting([], "name"))
    async with running(registry) as world:
        world.create_container()
        await world.clock.advance(1)
        assert not world.kept


async def test_what_has_not_changed_is_not_kept_again(registry: Registry) -> None:
    on.create("Service", id="it", registry=registry)(noting([], "name"))
    on.reconcile("Service", id="it", registry=registry)(noting([], "name"))
    async with running(registry) as world:
        world.create()
        await world.clock.advance(1)
        world.kept.clear()
        world.write_status(1)
        await world.clock.advance(2 * 3600)
        assert not world.kept


@pytest.mark.parametrize("reason", ["create", "update", "delete"])
def test_a_memory_reads_back_as_it_was_kept(reason: str) -> None:
    clock, kept = ManualClock(), dict[str, Any]()
    before, after = (pb.Service(spec=pb.ServiceSpec(image=image)) for image in ("web:1", "web:2"))
    service = pb.Service(metadata=pb.Metadata(name="web", uid="u"))
    memories = Memories(SERVICE, lambda record: kept.update({record.name: record}))
    memory = memories.of(service)
    memory.remembered, memory.seen, memory.about = before, {"notify/update/it": after}, (reason, after)
    memory.progress = {
        "notify/update/it": Progress(clock.now(), success=True),
        "notify/update/bad": Progress(clock.now(), retries=2, delayed=clock.now(), message="not yet"),
    }
    memories.save("web")
    later = Memories(SERVICE)
    later.load(kept.values())
    found = later.find("web", "u")
    assert isinstance(found, Memory)
    assert (found.remembered, found.seen, found.about) == (memory.remembered, memory.seen, memory.about)
    assert found.progress == memory.progress
    assert later.find("web", "another") is None
