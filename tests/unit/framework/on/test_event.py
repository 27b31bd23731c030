"""@on.event: called for every change of an object, also of its status; its errors are said and not retried."""

import asyncio
from typing import Any

from controller.framework import Patch, Registry, Result, on
from proto.dockrunner import v1 as pb
from tests.unit.framework.world import failing, noting, running


async def test_it_is_told_in_order_what_comes_changes_and_goes(registry: Registry) -> None:
    told: list[Any] = []

    @on.event("Service", registry=registry)
    async def follow(type: str, name: str, old: Any, new: pb.Service) -> None:  # noqa: A002  # the argument's name
        told.append((type, name, old and old.spec.image, new.spec.image))

    async with running(registry) as world:
        world.create()
        await world.clock.settle()
        world.change("web:2")
        await world.clock.settle()
        world.delete()
        await world.clock.settle()
    assert told == [
        ("ADDED", "web", None, "web:1"),
        ("MODIFIED", "web", "web:1", "web:2"),
        ("DELETED", "web", "web:2", "web:2"),
    ]


async def test_what_is_there_at_the_start_is_told_as_added(registry: Registry) -> None:
    told: list[Any] = []
    on.create("Service", id="created", registry=registry)(noting([], "name"))
    on.event("Service", id="it", registry=registry)(noting(told, "type", "name"))
    async with running(registry) as world:
        world.create()
        await world.clock.settle()
    told.clear()
    async with running(registry, after=world) as later:
        await later.clock.settle()
    assert told == [("ADDED", "web")]


async def test_a_status_write_is_told_too(registry: Registry) -> None:
    told: list[Any] = []

    @on.event("Service", registry=registry)
    async def follow(status: pb.ServiceStatus) -> None:
        told.append(status.replicas)

    async with running(registry) as world:
        world.create()
        await world.clock.settle()
        world.write_status(3)
        await world.clock.settle()
    assert told == [0, 3]


async def test_changes_while_it_is_busy_are_told_afterwards_those_that_only_modify_as_one(registry: Registry) -> None:
    told: list[Any] = []
    go_on = asyncio.Event()

    @on.event("Service", registry=registry)
    async def follow(type: str, old: Any, new: pb.Service) -> None:  # noqa: A002  # the argument's name
        told.append((type, old and old.spec.image, new.spec.image))
        await go_on.wait()

    async with running(registry) as world:
        world.create()
        await world.clock.settle()
        for number in range(2, 6):
            world.change(f"web:{number}")
        world.delete()
        world.create(image="web:6")
        world.change("web:7")
        go_on.set()
        await world.clock.settle()
    assert told == [
        ("ADDED", None, "web:1"),
        ("MODIFIED", "web:1", "web:5"),
        ("DELETED", "web:5", "web:5"),
        ("ADDED", None, "web:6"),
        ("MODIFIED", "web:6", "web:7"),
    ]


async def test_a_busy_handler_does_not_delay_the_events_of_another_object(registry: Registry) -> None:
    told: list[str] = []

    @on.event("Service", registry=registry)
    async def follow(name: str) -> None:
        if name == "slow":
            await asyncio.Event().wait()
        told.append(name)

    async with running(registry) as world:
        world.create("slow")
        world.create("web")
        await world.clock.settle()
    assert told == ["web"]


async def test_a_handler_is_not_told_of_the_status_that_it_writes_itself(registry: Registry) -> None:
    told: list[str] = []

    @on.event("Service", registry=registry)
    async def follow(type: str, patch: Patch) -> None:  # noqa: A002  # the argument's name
        told.append(type)
        patch.status.replicas += 1

    async with running(registry) as world:
        world.create()
        await world.clock.advance(100)
        assert world.service().status.replicas == 1
    assert told == ["ADDED"]


async def test_what_one_handler_writes_another_one_is_told(registry: Registry) -> None:
    writer: list[str] = []
    told: list[Any] = []

    @on.event("Service", registry=registry)
    async def write(type: str, patch: Patch) -> None:  # noqa: A002  # the argument's name
        writer.append(type)
        patch.status.replicas = 5

    @on.event("Service", registry=registry)
    async def follow(type: str, status: pb.ServiceStatus) -> None:  # noqa: A002  # the argument's name
        told.append((type, status.replicas))

    async with running(registry) as world:
        world.create()
        await world.clock.settle()
    assert told == [("ADDED", 0), ("MODIFIED", 5)]
    assert writer == ["ADDED"]


async def test_two_handlers_that_answer_each_other_for_ever_do_not_stop_everything_else(registry: Registry) -> None:
    told: list[int] = []
    enough = asyncio.Event()

    async def answer(status: pb.ServiceStatus) -> None:
        told.append(status.replicas)
        status.replicas += 0 if enough.is_set() else 1

    on.event("Service", id="first", registry=registry)(answer)
    on.event("Service", id="second", registry=registry)(answer)
    async with running(registry) as world:
        world.create()
        while len(told) < 10:  # noqa: ASYNC110  # that others have turns is what is tested
            await asyncio.sleep(0)
        enough.set()
        await world.clock.settle()
    assert 10 <= len(told) < 20


async def test_an_error_is_said_and_not_retried_and_keeps_nothing_from_the_others(registry: Registry) -> None:
    calls: list[Any] = []
    told: list[str] = []
    on.event("Service", id="bad", registry=registry)(failing(calls, lambda: ValueError("no"), times=1000))
    on.event("Service", id="good", registry=registry)(noting(told, "type"))
    async with running(registry) as world:
        world.create()
        await world.clock.advance(5000)
        assert world.said() == ["ValueError: no"]
        world.change("web:2")
        await world.clock.settle()
    assert [image for image, _ in calls] == ["web:1", "web:2"]
    assert told == ["ADDED", "MODIFIED"]


async def test_notes_of_the_first_event_are_there_at_the_next_and_for_other_handlers(registry: Registry) -> None:
    told: list[int] = []
    seen: list[int] = []

    @on.event("Service", registry=registry)
    async def follow(memo: Any) -> None:
        memo.seen = getattr(memo, "seen", 0) + 1
        told.append(memo.seen)

    @on.reconcile("Service", registry=registry)
    async def level(memo: Any) -> Result:
        seen.append(getattr(memo, "seen", 0))
        return Result()

    async with running(registry) as world:
        world.create()
        await world.clock.settle()
        world.change("web:2")
        await world.clock.settle()
    assert told == [1, 2]
    assert seen[-1] >= 1
