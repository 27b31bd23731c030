"""@on.resume: called once in each run of the program for an object that was handled in an earlier one."""

from typing import Any

import pytest

from controller.errors import TemporaryError
from controller.framework import Registry, on
from tests.unit.framework.world import World, failing, noting, running


async def test_resume_is_told_for_what_was_handled_in_an_earlier_run(registry: Registry) -> None:
    told: list[str] = []
    on.resume("Service", id="resumed", registry=registry)(lambda reason, **_: told.append(reason))
    on.create("Service", id="created", registry=registry)(lambda reason, **_: told.append(reason))
    world = World(registry)
    world.create()
    world.operator.services.remember(world.service())
    await world.operator.start()
    while not told:
        await world.clock.settle()
    await world.operator.stop(1)
    assert told == ["resume"]


@pytest.fixture
def told(registry: Registry) -> list[Any]:
    """What a create, an update and a resume handler are told."""
    told: list[Any] = []
    on.create("Service", id="created", registry=registry)(noting(told, "reason"))
    on.update("Service", id="updated", registry=registry)(noting(told, "reason"))
    on.resume("Service", id="resumed", registry=registry)(noting(told, "reason"))
    return told


async def test_an_object_that_is_created_in_this_run_is_not_resumed_in_it(registry: Registry, told: list[Any]) -> None:
    async with running(registry) as world:
        world.create()
        await world.clock.advance(1)
        world.write_status(1)
        await world.clock.advance(2 * 3600)
    assert told == ["create"]


async def test_each_run_resumes_once(registry: Registry, told: list[Any]) -> None:
    async with running(registry) as world:
        world.create()
        await world.clock.advance(1)
    for _ in range(2):
        told.clear()
        async with running(registry, after=world) as world:
            await world.clock.advance(1)
            world.write_status(1)
            await world.clock.advance(2 * 3600)
        assert told == ["resume"]


async def test_what_changed_between_two_runs_is_told_after_the_resumption(registry: Registry, told: list[Any]) -> None:
    async with running(registry) as world:
        world.create()
        await world.clock.advance(1)
    world.change("web:2")
    async with running(registry, after=world) as later:
        await later.clock.advance(1)
    assert told == ["create", "resume", "update"]


async def test_one_that_fails_is_called_again_and_the_others_are_not(registry: Registry) -> None:
    bad: list[Any] = []
    good: list[str] = []
    on.create("Service", id="created", registry=registry)(noting([], "name"))
    on.resume("Service", id="bad", registry=registry)(failing(bad, lambda: TemporaryError("later", delay=10)))
    on.resume("Service", id="good", registry=registry)(noting(good, "name"))
    async with running(registry) as world:
        world.create()
        await world.clock.advance(1)
    async with running(registry, after=world) as later:
        await later.clock.advance(100)
    assert (bad, good) == ([("web:1", 0), ("web:1", 1)], ["web"])


async def test_resumption_that_fails_keeps_nobody_from_being_told_of_updates(
    registry: Registry, told: list[Any]
) -> None:
    on.resume("Service", id="bad", registry=registry)(failing([], lambda: TemporaryError("later"), times=1000))
    async with running(registry) as world:
        world.create()
        await world.clock.advance(1)
    async with running(registry, after=world) as later:
        await later.clock.advance(1)
        later.change("web:2")
        await later.clock.advance(1)
    assert told == ["create", "resume", "update"]


async def test_an_object_whose_creation_is_not_complete_is_resumed_by_those_who_have_done_their_part(
    registry: Registry, told: list[Any]
) -> None:
    on.create("Service", id="bad", registry=registry)(failing([], lambda: TemporaryError("later"), times=1000))
    async with running(registry) as world:
        world.create()
        await world.clock.advance(1)
        assert told == ["create"]
    async with running(registry, after=world) as later:
        await later.clock.advance(1)
    assert told == ["create", "resume"]
