"""@on.probe: called for each /readyz; the program is not ready while it raises, and what it returns is shown."""

import asyncio

from controller.framework import Registry, on
from tests.unit.framework.world import running


async def test_a_probe_that_returns_is_well_and_what_it_returns_is_shown(registry: Registry) -> None:
    @on.probe(id="queue", registry=registry)
    async def depth(answer: int) -> str:
        return f"{answer} messages wait"

    @on.probe(id="silent", registry=registry)
    def silent() -> None:
        pass

    async with running(registry) as world:
        assert await world.operator.probe() == {"queue": (True, "42 messages wait"), "silent": (True, "")}


async def test_a_probe_that_raises_is_not_well_and_says_why(registry: Registry) -> None:
    @on.probe(id="db", registry=registry)
    async def db() -> None:
        raise ConnectionError("no database")

    @on.probe(id="mute", registry=registry)
    async def mute() -> None:
        raise KeyError

    async with running(registry) as world:
        assert await world.operator.probe() == {"db": (False, "no database"), "mute": (False, "KeyError")}


async def test_a_probe_goes_by_the_name_of_its_module(registry: Registry) -> None:
    with registry.loading("notify"):

        @on.probe(registry=registry, id="db")
        async def db() -> None:
            pass

    async with running(registry) as world:
        assert await world.operator.probe() == {"notify: db": (True, "")}


async def test_a_probe_that_does_not_answer_within_5_seconds_is_not_well(registry: Registry) -> None:
    @on.probe(id="hangs", registry=registry)
    async def hangs() -> None:
        await asyncio.Event().wait()

    async with running(registry) as world:
        asking = asyncio.create_task(world.operator.probe())
        await world.clock.advance(4.9)
        assert not asking.done()
        await world.clock.advance(0.1)
        assert asking.done()
        assert await asking == {"hangs": (False, "its time of 5 s is up")}
