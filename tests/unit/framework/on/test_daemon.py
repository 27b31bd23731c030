"""@on.daemon: called once for each object and may run as long as that is there."""

import asyncio
import threading
from typing import Any

import pytest

from controller.errors import PermanentError, TemporaryError
from controller.framework import Patch, Registry, on
from controller.framework.attempt import Attempts
from controller.framework.attendants import Attendants, Stopped
from controller.framework.context import Context
from controller.framework.indices import Indices
from controller.framework.memory import Memories
from controller.framework.threads import HandlerThreads
from controller.store import SERVICE
from proto.dockrunner import v1 as pb
from tests.clock import ManualClock
from tests.unit.framework.world import running, stubborn


async def test_it_is_told_then_cancelled_and_the_object_goes_only_after(registry: Registry) -> None:
    told: list[Any] = []

    @on.daemon("Service", cancellation_backoff=5, registry=registry)
    async def follow(stopped: Any) -> None:
        await stopped.wait()
        told.append(("told", world.clock.monotonic()))
        try:
            await asyncio.Event().wait()
        finally:
            told.append(("cancelled", world.clock.monotonic()))
            await world.clock.sleep(2)

    async with running(registry) as world:
        world.create()
        await world.clock.advance(1)
        assert world.is_held()
        world.delete()
        await world.clock.advance(6.9)
        assert world.is_there()
        assert told == [("told", 1), ("cancelled", 6)]
        await world.clock.advance(0.1)
        assert not world.is_there()


async def test_the_object_goes_as_soon_as_it_has_ended_by_itself(registry: Registry) -> None:
    @on.daemon("Service", cancellation_backoff=60, registry=registry)
    async def follow(stopped: Any) -> None:
        while not await stopped.wait(10):
            pass

    async with running(registry) as world:
        world.create()
        await world.clock.advance(15)
        world.delete()
        await world.clock.settle()
        assert not world.is_there()


async def test_one_that_does_not_end_is_left_to_itself_in_the_end(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    @on.daemon("Service", cancellation_backoff=5, cancellation_timeout=20, registry=registry)
    async def follow() -> None:
        await ignores_it()

    with stubborn() as ignores_it:
        async with running(registry) as world:
            world.create()
            await world.clock.advance(1)
            world.delete()
            await world.clock.advance(24)
            assert world.is_there()
            await world.clock.advance(1)
            assert not world.is_there()
    assert "does not end though it was cancelled; it is left to itself" in caplog.text


async def test_release_waits_for_no_daemon(registry: Registry) -> None:
    with registry.loading("notify"):

        @on.daemon("Service", cancellation_timeout=1e6, registry=registry)
        async def follow() -> None:
            await ignores_it()

    with stubborn() as ignores_it:
        async with running(registry) as world:
            world.create()
            await world.clock.advance(1)
            world.delete()
            await world.clock.advance(100)
            assert world.is_there()
            world.release()
            await world.clock.settle()
            assert not world.is_there()


async def test_a_plain_function_has_a_thread_of_its_own_and_the_object_goes_when_that_has_ended(
    registry: Registry,
) -> None:
    names: list[str] = []
    told, end = threading.Event(), threading.Event()

    @on.daemon("Service", registry=registry)
    def follow(stopped: Any) -> None:
        names.append(threading.current_thread().name)
        stopped.wait()
        told.set()
        end.wait(10)

    async with running(registry) as world:
        world.create()
        await world.until(lambda: bool(names))
        assert names == ["daemon " + follow.__qualname__]
        world.delete()
        await world.until(told.is_set)
        assert world.is_there(), "its thread is at work still"
        end.set()
        await world.until(lambda: not world.is_there())


async def test_a_thread_that_does_not_end_is_left_to_itself_in_the_end(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    called, end = threading.Event(), threading.Event()

    @on.daemon("Service", cancellation_timeout=20, registry=registry)
    def stubborn() -> None:
        called.set()
        end.wait(60)

    async with running(registry) as world:
        world.create()
        await world.until(called.is_set)
        world.delete()
        await world.clock.advance(19)
        assert world.is_there()
        await world.clock.advance(1)
        assert not world.is_there()
        end.set()
    assert "does not end though it was told; it is left to itself" in caplog.text


async def test_many_plain_daemons_keep_no_thread_from_other_handlers(registry: Registry) -> None:
    begun: list[str] = []
    called: list[str] = []

    @on.daemon("Service", registry=registry)
    def follow(name: str, stopped: Any) -> None:
        begun.append(name)
        stopped.wait()

    @on.create("Service", registry=registry)
    def created(name: str) -> None:
        called.append(name)

    async with running(registry) as world:
        for number in range(20):
            world.create(f"web-{number}")
        await world.until(lambda: len(begun) == len(called) == 20)


async def test_one_that_has_ended_begins_again_when_the_spec_changes(registry: Registry) -> None:
    calls: list[str] = []

    @on.daemon("Service", registry=registry)
    async def once(spec: pb.ServiceSpec) -> None:
        calls.append(spec.image)

    async with running(registry) as world:
        world.create()
        await world.clock.advance(1000)
        world.label("tier", "front")
        world.write_status(1)
        await world.clock.advance(1000)
        assert calls == ["web:1"]
        world.change("web:2")
        await world.clock.advance(1)
    assert calls == ["web:1", "web:2"]


async def test_one_that_ends_begins_again_also_when_the_spec_changed_while_it_ran(registry: Registry) -> None:
    calls: list[str] = []

    @on.daemon("Service", registry=registry)
    async def slow(spec: pb.ServiceSpec) -> None:
        calls.append(spec.image)
        await world.clock.sleep(10)

    async with running(registry) as world:
        world.create()
        await world.clock.advance(5)
        world.change("web:2")
        world.change("web:3")
        await world.clock.advance(100)
    assert calls == ["web:1", "web:3"]


async def test_one_that_fails_for_good_stops_and_an_event_says_so_until_the_spec_changes(registry: Registry) -> None:
    calls: list[str] = []

    @on.daemon("Service", registry=registry)
    async def follow(spec: pb.ServiceSpec) -> None:
        calls.append(spec.image)
        raise PermanentError("no such queue")

    async with running(registry) as world:
        world.create()
        await world.clock.advance(10_000)
        assert (calls, world.said()) == (["web:1"], ["no such queue"])
        world.change("web:2")
        await world.clock.advance(10_000)
    assert calls == ["web:1", "web:2"]


async def test_one_that_fails_begins_again_after_its_backoff(registry: Registry) -> None:
    calls: list[float] = []

    @on.daemon("Service", backoff=10, registry=registry)
    async def follow(retry: int) -> None:
        calls.append(world.clock.monotonic())
        if retry == 0:
            raise ValueError("no")
        if retry == 1:
            raise TemporaryError("not yet", delay=100)

    async with running(registry) as world:
        world.create()
        await world.clock.advance(1000)
    assert 10 <= calls[1] <= 11
    assert calls[2] == calls[1] + 100
    assert len(calls) == 3


async def test_it_begins_after_its_initial_delay(registry: Registry) -> None:
    calls: list[float] = []

    @on.daemon("Service", initial_delay=7, registry=registry)
    async def follow() -> None:
        calls.append(world.clock.monotonic())

    async with running(registry) as world:
        world.create()
        await world.clock.advance(10)
    assert calls == [7]


async def test_it_ends_and_begins_with_the_label_that_it_asks_for(registry: Registry) -> None:
    told: list[str] = []

    @on.daemon("Service", labels={"tier": "front"}, cancellation_backoff=1, registry=registry)
    async def follow(stopped: Any) -> None:
        told.append("begun")
        await stopped.wait()
        told.append("ended")

    async with running(registry) as world:
        world.create()
        await world.clock.advance(1)
        held = []
        for tier in ("front", "back", "front"):
            world.label("tier", tier)
            await world.clock.advance(1)
            held.append(world.is_held())
        assert held == [True, False, True]
        assert told == ["begun", "ended", "begun"]


async def test_it_ends_when_the_program_stops(registry: Registry) -> None:
    told: list[str] = []

    @on.daemon("Service", cancellation_backoff=1, registry=registry)
    async def follow(stopped: Any) -> None:
        await stopped.wait()
        told.append("ended")

    async with running(registry) as world:
        world.create()
        await world.clock.settle()
    assert told == ["ended"]


async def test_what_it_wants_changed_is_written_when_it_ends(registry: Registry) -> None:
    @on.daemon("Service", registry=registry)
    async def count(patch: Patch) -> None:
        patch.status.replicas = 7

    async with running(registry) as world:
        world.create()
        await world.clock.settle()
        assert world.service().status.replicas == 7


async def test_a_wait_for_the_end_that_is_cancelled_leaves_nothing_behind() -> None:
    clock = ManualClock()
    waiting = asyncio.create_task(Stopped(clock).wait(60))
    await clock.settle()
    waiting.cancel()
    await clock.settle()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_look_at_what_runs_for_one_object_is_no_longer_with_many_others(registry: Registry) -> None:
    looks: list[str] = []

    class Metadata:
        @property
        def uid(self) -> str:
            looks.append("uid")
            return service.metadata.uid

    class Going:
        metadata = Metadata()

    @on.daemon("Service", registry=registry)
    async def follow(stopped: Any) -> None:
        await stopped.wait()

    async with running(Registry()) as world:
        for number in range(100):
            world.create(f"web-{number}")
        service = world.service("web-50")
        context = Context(
            registry, world.store, world.recorder, world.clock, world.metrics, HandlerThreads(1), Indices()
        )
        attendants = Attendants(Attempts(context, SERVICE), Memories(SERVICE), lambda _: None)
        attendants.start()
        await world.clock.settle()
        assert not attendants.halt(Going()), "it has been told, and has not ended yet"
        assert len(looks) < 10
        await attendants.stop()


async def test_the_end_of_the_program_waits_for_none_that_ignores_it(registry: Registry) -> None:
    @on.daemon("Service", registry=registry)
    async def follow() -> None:
        await ignores_it()

    @on.event("Service", registry=registry)
    async def told() -> None:
        await ignores_it()

    @on.reconcile("Service", registry=registry)
    async def reconcile() -> None:
        await ignores_it()

    with stubborn() as ignores_it:
        async with asyncio.timeout(10), running(registry, grace=0.1) as world:
            world.create()
            await world.clock.settle()
