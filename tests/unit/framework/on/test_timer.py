"""@on.timer: called for each object every ``interval`` seconds, counted from the end of the call before."""

import asyncio
import threading
from contextlib import suppress
from typing import Any

import pytest

from controller.errors import PermanentError, TemporaryError
from controller.framework import Registry, on
from proto.dockrunner import v1 as pb
from tests.unit.framework.world import running


async def test_timers_count_from_the_end_of_a_call_and_end_with_their_object(registry: Registry) -> None:
    calls: list[float] = []

    @on.timer("Service", interval=10, registry=registry)
    async def tick(name: str, **_: Any) -> None:
        calls.append(world.clock.monotonic())
        await world.clock.sleep(3)

    async with running(registry) as world:
        world.create()
        await world.clock.advance(30)
        world.delete()
        await world.clock.advance(100)
    assert calls == [10, 23]


async def test_a_sharp_timer_counts_from_the_begin_of_a_call_and_leaves_out_what_it_overran(registry: Registry) -> None:
    calls: list[float] = []

    @on.timer("Service", interval=10, sharp=True, registry=registry)
    async def tick() -> None:
        calls.append(world.clock.monotonic())
        await world.clock.sleep(25 if len(calls) == 1 else 3)

    async with running(registry) as world:
        world.create()
        await world.clock.advance(65)
    assert calls == [10, 40, 50, 60]


async def test_the_first_call_comes_after_the_initial_delay(registry: Registry) -> None:
    calls: list[float] = []

    @on.timer("Service", interval=10, initial_delay=1, registry=registry)
    async def tick() -> None:
        calls.append(world.clock.monotonic())

    async with running(registry) as world:
        world.create()
        await world.clock.advance(22)
    assert calls == [1, 11, 21]


async def test_an_idle_timer_waits_until_the_object_has_been_left_alone_for_so_long(registry: Registry) -> None:
    calls: list[float] = []

    @on.timer("Service", interval=10, idle=30, registry=registry)
    async def tick() -> None:
        calls.append(world.clock.monotonic())

    async with running(registry) as world:
        world.create()
        await world.clock.advance(25)
        world.change("web:2")
        await world.clock.advance(20)
        world.write_status(1)  # nobody declared anything
        await world.clock.advance(20)
    assert calls == [55, 65]


async def test_a_timer_begins_and_ends_with_the_label_that_it_asks_for(registry: Registry) -> None:
    calls: list[float] = []

    @on.timer("Service", interval=10, labels={"tier": "front"}, registry=registry)
    async def tick() -> None:
        calls.append(world.clock.monotonic())

    async with running(registry) as world:
        world.create()
        await world.clock.advance(15)
        world.label("tier", "front")
        await world.clock.advance(25)
        world.label("tier", None)
        await world.clock.advance(100)
    assert calls == [25, 35]


async def test_a_timer_begins_and_ends_with_the_status_that_it_asks_for(registry: Registry) -> None:
    calls: list[float] = []

    @on.timer("Service", interval=10, field="status.replicas", value=lambda number: number > 2, registry=registry)
    async def tick() -> None:
        calls.append(world.clock.monotonic())

    async with running(registry) as world:
        world.create()
        await world.clock.advance(15)
        world.write_status(3)
        await world.clock.advance(15)
        world.write_status(2)
        await world.clock.advance(100)
    assert calls == [25]


async def test_a_timer_that_fails_for_good_begins_again_when_the_spec_changes(registry: Registry) -> None:
    calls: list[str] = []

    @on.timer("Service", interval=10, registry=registry)
    async def tick(spec: pb.ServiceSpec, **_: Any) -> None:
        calls.append(spec.image)
        raise PermanentError("no")

    async with running(registry) as world:
        world.create()
        await world.clock.advance(100)
        assert calls == ["web:1"]
        assert world.said() == ["no"]
        world.label("tier", "front")
        await world.clock.advance(100)
        assert calls == ["web:1"], "that is no change of the spec"
        world.change("web:2")
        await world.clock.advance(100)
    assert calls == ["web:1", "web:2"]


async def test_a_timer_that_fails_for_good_begins_again_also_when_the_spec_changed_during_its_call(
    registry: Registry,
) -> None:
    calls: list[str] = []

    @on.timer("Service", interval=10, registry=registry)
    async def tick(spec: pb.ServiceSpec) -> None:
        calls.append(spec.image)
        await world.clock.sleep(3)
        raise PermanentError("no")

    async with running(registry) as world:
        world.create()
        await world.clock.advance(11)
        world.change("web:2")
        await world.clock.advance(100)
    assert calls == ["web:1", "web:2"]


async def test_a_timer_that_gave_up_begins_again_only_with_a_spec_that_it_has_not_seen(registry: Registry) -> None:
    calls: list[str] = []

    @on.timer("Service", interval=10, registry=registry)
    async def tick(spec: pb.ServiceSpec) -> None:
        calls.append(spec.image)
        if spec.image == "web:2":
            raise PermanentError("no")

    async with running(registry) as world:
        world.create()
        await world.clock.advance(11)
        world.change("web:2")
        await world.clock.advance(20)
        world.label("tier", "front")
        await world.clock.advance(100)
    assert calls == ["web:1", "web:2"]


async def test_a_timer_that_fails_goes_on_after_its_interval_or_its_backoff_whichever_is_longer(
    registry: Registry,
) -> None:
    calls: list[float] = []

    @on.timer("Service", interval=10, backoff=8, registry=registry)
    async def tick() -> None:
        calls.append(world.clock.monotonic())
        raise ValueError("no")

    async with running(registry) as world:
        world.create()
        await world.clock.advance(100)
    assert calls[:2] == [10, 20]
    assert 16 <= calls[2] - calls[1] <= 17.6
    assert 32 <= calls[3] - calls[2] <= 35.2


async def test_a_timer_may_say_when_to_come_again(registry: Registry) -> None:
    calls: list[float] = []

    @on.timer("Service", interval=10, registry=registry)
    async def tick() -> None:
        calls.append(world.clock.monotonic())
        if len(calls) == 1:
            raise TemporaryError("not yet", delay=2)

    async with running(registry) as world:
        world.create()
        await world.clock.advance(23)
    assert calls == [10, 12, 22]


async def test_a_timer_that_used_up_its_retries_stops_and_an_event_says_so(registry: Registry) -> None:
    calls: list[int] = []

    @on.timer("Service", interval=10, retries=2, registry=registry)
    async def tick(retry: int) -> None:
        calls.append(retry)
        raise ValueError("no")

    async with running(registry) as world:
        world.create()
        await world.clock.advance(1000)
        assert world.said() == ["ValueError: no", "gave up after 2 tries: ValueError: no"]
    assert calls == [0, 1]


async def test_a_timer_whose_call_ignores_that_it_is_cancelled_is_not_called_again(registry: Registry) -> None:
    calls: list[float] = []

    @on.timer("Service", interval=10, registry=registry)
    async def tick() -> None:
        calls.append(world.clock.monotonic())
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    async with running(registry) as world:
        world.create()
        await world.clock.advance(15)
        world.delete()
        await world.clock.advance(100)
    assert calls == [10]


async def test_a_timer_alone_keeps_no_object_from_going(registry: Registry) -> None:
    @on.timer("Service", interval=10, registry=registry)
    async def tick() -> None:
        pass

    async with running(registry) as world:
        world.create()
        await world.clock.settle()
        assert not world.is_held()


@pytest.mark.parametrize("interval", [0, -1])
def test_an_interval_must_be_more_than_nothing(registry: Registry, interval: float) -> None:
    with pytest.raises(ValueError, match="a timer needs an interval of more than 0 seconds"):
        on.timer("Service", interval=interval, registry=registry)


async def test_those_that_hang_beyond_their_time_take_no_thread_from_other_handlers(registry: Registry) -> None:
    hanging: list[str] = []
    called: list[str] = []
    end = threading.Event()

    @on.timer("Service", interval=10, timeout=1, registry=registry)
    def hang(name: str) -> None:
        hanging.append(name)
        end.wait(60)

    @on.update("Service", registry=registry)
    def updated(name: str) -> None:
        called.append(name)

    async with running(registry) as world:
        for number in range(8):
            world.create(f"web-{number}")
        await world.clock.advance(10)
        await world.until(lambda: len(hanging) == 8)
        await world.clock.advance(7)
        world.change("web:2", "web-3")
        await world.until(lambda: called == ["web-3"])
        end.set()
