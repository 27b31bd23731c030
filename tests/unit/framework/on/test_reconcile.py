"""@on.reconcile: called whenever the object, or one that it owns, may have changed: level-triggered."""

from typing import Any

import pytest

from controller.errors import PermanentError, TemporaryError
from controller.framework import Patch, Registry, Result, on
from controller.store import EVENT
from tests.unit.framework.world import failing, noting, running


async def test_reconcile_is_called_for_every_change_and_when_it_asked_to_be(registry: Registry) -> None:
    calls: list[float] = []

    @on.reconcile("Service", registry=registry)
    async def level(**_: Any) -> Result:
        calls.append(world.clock.monotonic())
        return Result(requeue_after=60)

    async with running(registry) as world:
        world.create()
        await world.clock.advance(1)
        world.change("web:2")
        await world.clock.advance(121)
    assert [round(call) for call in calls] == [0, 1, 61, 121]


async def test_an_error_is_retried_with_exponential_backoff_and_said_in_an_event(registry: Registry) -> None:
    calls: list[Any] = []
    on.reconcile("Service", id="it", registry=registry)(failing(calls, lambda: KeyError("oops"), times=3))
    async with running(registry) as world:
        world.create()
        await world.clock.advance(0.0049)
        assert len(calls) == 1
        await world.clock.advance(0.0151)
        assert len(calls) == 3
        await world.clock.advance(0.02)
        assert len(calls) == 4
        assert world.metric("controller_runtime_reconcile_panics_total") == 3
        assert world.metric("controller_runtime_reconcile_errors_total") == 3
        assert world.metric("controller_runtime_reconcile_total", result="error") == 3
        (event,) = world.store.list(EVENT)
        assert (event.reason, event.message, event.count) == ("HandlerFailed", "KeyError: 'oops'", 3)


async def test_it_is_called_after_the_handlers_of_the_cause(registry: Registry) -> None:
    told: list[str] = []
    on.reconcile("Service", id="level", registry=registry)(noting(told, "logger"))
    on.create("Service", id="created", registry=registry)(noting(told, "logger"))
    async with running(registry) as world:
        world.create()
        await world.clock.settle()
    assert [line.extra["handler"] for line in told] == ["created", "level"]  # type: ignore[attr-defined]


async def test_it_is_called_when_a_container_of_the_service_comes_or_goes(registry: Registry) -> None:
    told: list[str] = []
    on.reconcile("Service", id="it", registry=registry)(noting(told, "name"))
    async with running(registry) as world:
        world.create("web")
        world.create("db")
        await world.clock.settle()
        told.clear()
        world.create_container("web-1-abcde", "web")
        await world.clock.settle()
    assert told == ["web"]


async def test_it_is_called_once_an_hour_in_case_nobody_told_of_a_change(registry: Registry) -> None:
    calls: list[str] = []
    on.reconcile("Service", id="it", registry=registry)(noting(calls, "name"))
    async with running(registry) as world:
        world.create()
        await world.clock.advance(3599)
        assert len(calls) == 1
        await world.clock.advance(1)
    assert len(calls) == 2


@pytest.mark.parametrize("source", ["", "notify"])
async def test_it_is_not_called_for_the_status_that_it_writes_itself(registry: Registry, source: str) -> None:
    calls: list[int] = []
    with registry.loading(source):

        @on.reconcile("Service", registry=registry)
        async def level(patch: Patch) -> None:
            calls.append(1)
            patch.status.replicas += 1

    async with running(registry) as world:
        world.create()
        await world.clock.advance(100)
    assert len(calls) == 1


async def test_it_is_called_for_the_status_that_others_write(registry: Registry) -> None:
    calls: list[str] = []
    on.reconcile("Service", id="it", registry=registry)(noting(calls, "name"))
    async with running(registry) as world:
        world.create()
        await world.clock.settle()
        world.write_status(3)
        await world.clock.settle()
    assert len(calls) == 2


async def test_it_is_called_for_the_label_that_it_writes_itself_as_others_have_to_be_told(registry: Registry) -> None:
    calls: list[int] = []
    told: list[Any] = []

    @on.reconcile("Service", registry=registry)
    async def level(patch: Patch) -> None:
        calls.append(1)
        patch.labels["tier"] = "front"

    on.update("Service", id="it", registry=registry)(noting(told, "name"))
    async with running(registry) as world:
        world.create()
        await world.clock.advance(100)
    assert (len(calls), told) == (2, ["web"])


async def test_a_temporary_error_with_a_delay_is_no_failure_of_ours(registry: Registry) -> None:
    calls: list[Any] = []
    on.reconcile("Service", id="it", registry=registry)(failing(calls, lambda: TemporaryError("not yet", delay=30)))
    async with running(registry) as world:
        world.create()
        await world.clock.advance(29)
        assert len(calls) == 1
        await world.clock.advance(1)
        assert len(calls) == 2
        assert world.metric("controller_runtime_reconcile_errors_total") == 0
        assert world.said() == []


@pytest.mark.parametrize(
    ("error", "options", "tries"),
    [(lambda: PermanentError("no"), {}, 1), (lambda: ValueError("no"), {"retries": 3}, 3)],
    ids=["permanent", "retries"],
)
async def test_one_that_gives_up_is_called_again_when_the_object_changes(
    registry: Registry, error: Any, options: Any, tries: int
) -> None:
    calls: list[Any] = []
    on.reconcile("Service", id="it", registry=registry, **options)(failing(calls, error, times=1000))
    async with running(registry) as world:
        world.create()
        await world.clock.advance(3000)
        assert len(calls) == tries
        world.change("web:2")
        await world.clock.advance(100)
    assert [image for image, _ in calls] == ["web:1"] * tries + ["web:2"] * tries


async def test_one_that_fails_keeps_no_other_from_being_called(registry: Registry) -> None:
    calls: list[str] = []
    on.reconcile("Service", id="bad", registry=registry)(failing([], lambda: ValueError("no"), times=1000))
    on.reconcile("Service", id="good", registry=registry)(noting(calls, "name"))
    async with running(registry) as world:
        world.create()
        await world.clock.settle()
        assert calls == ["web"]


def test_a_backoff_of_its_own_is_refused_as_the_queue_has_one(registry: Registry) -> None:
    options: dict[str, Any] = {"backoff": 5}
    with pytest.raises(TypeError, match=r"on\.reconcile has no option 'backoff'"):
        on.reconcile("Service", registry=registry, **options)
