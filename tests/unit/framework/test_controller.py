"""The loop: which object is handled when, by whom, and what it counts. What each decorator does is in on/."""

import asyncio
from typing import Any

from controller.errors import PermanentError, TemporaryError
from controller.framework import Registry, on
from tests.unit.framework.world import noting, running


async def test_a_failing_object_does_not_delay_another(registry: Registry) -> None:
    told: list[str] = []

    @on.create("Service", registry=registry)
    async def created(name: str, **_: Any) -> None:
        if name == "bad":
            raise ValueError
        told.append(name)

    async with running(registry) as world:
        world.create("bad")
        for name in ("a", "b", "c"):
            world.create(name)
        await world.clock.settle()
    assert told == ["a", "b", "c"]


async def test_one_object_is_never_in_two_hands_at_once(registry: Registry) -> None:
    at_work: list[str] = []
    most = [0]

    @on.reconcile("Service", registry=registry)
    async def level(name: str) -> None:
        at_work.append(name)
        most[0] = max(most[0], at_work.count(name))
        await world.clock.sleep(1)
        at_work.remove(name)

    async with running(registry) as world:
        world.create()
        for number in range(2, 6):
            await world.clock.advance(0.3)
            world.change(f"web:{number}")
        await world.clock.advance(10)
    assert most == [1]


async def test_a_change_during_a_pass_is_told_in_the_next_one(registry: Registry) -> None:
    told: list[Any] = []

    @on.update("Service", registry=registry, field="spec.image")
    async def updated(old: str, new: str) -> None:
        told.append((old, new))
        await world.clock.sleep(1)

    async with running(registry) as world:
        world.create()
        await world.clock.advance(1)
        world.change("web:2")
        await world.clock.advance(0.5)
        world.change("web:3")
        await world.clock.advance(5)
    assert told == [("web:1", "web:2"), ("web:2", "web:3")]


async def test_a_filter_that_fails_stops_no_other_handler_and_no_object_from_going(
    registry: Registry, caplog: Any
) -> None:
    told: list[str] = []

    def shouts(value: str) -> bool:
        return value.upper() == "FRONT"  # fails where there is no such label

    with registry.loading("notify"):
        for declare in (on.create, on.update, on.resume, on.delete, on.event, on.reconcile, on.daemon):
            declare("Service", id="picky", labels={"tier": shouts}, registry=registry)(noting([], "name"))
        on.timer("Service", id="picky", labels={"tier": shouts}, interval=1, registry=registry)(noting([], "name"))
    on.reconcile("Service", id="built in", registry=registry)(noting(told, "spec"))
    async with running(registry) as world:
        world.create()
        await world.clock.advance(5)
        world.change("web:2")
        await world.clock.advance(5)
        world.delete()
        await world.clock.advance(5)
        assert not world.is_there()
        assert world.metric("controller_runtime_reconcile_panics_total") == 0
    assert [spec.image for spec in told] == ["web:1", "web:2"]  # type: ignore[attr-defined]
    assert "the filter of a handler failed" in caplog.text


async def test_results_are_counted_as_in_controller_runtime(registry: Registry) -> None:
    errors: list[Exception | None] = [ValueError("no"), PermanentError("no"), TemporaryError("wait", delay=1), None]

    @on.reconcile("Service", registry=registry)
    async def level() -> None:
        error = errors.pop(0)
        if error is not None:
            raise error

    async with running(registry) as world:
        world.create()
        await world.clock.advance(0.1)
        world.change("web:2")
        await world.clock.advance(2)
        results = {
            result: world.metric("controller_runtime_reconcile_total", result=result)
            for result in ("success", "error", "requeue", "requeue_after")
        }
        assert results == {"success": 1, "error": 2, "requeue": 0, "requeue_after": 1}
        assert world.metric("controller_runtime_reconcile_errors_total") == 2
        assert world.metric("controller_runtime_terminal_reconcile_errors_total") == 1
        assert world.metric("controller_runtime_reconcile_panics_total") == 1


async def test_a_handler_that_does_not_end_is_cancelled_when_the_program_stops(registry: Registry) -> None:
    told: list[str] = []

    @on.reconcile("Service", registry=registry)
    async def hangs() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            told.append("cancelled")

    async with running(registry, grace=0.1) as world:
        world.create()
        await world.clock.settle()
    assert told == ["cancelled"]
