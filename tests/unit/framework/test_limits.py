"""How long a handler is tried, and what becomes of its errors: retries, timeout, backoff, errors."""

import asyncio
import logging
import threading
from itertools import pairwise
from typing import Any

import pytest

from controller.errors import PermanentError, TemporaryError
from controller.framework import Patch, Registry, on
from tests.unit.framework.world import failing, noting, running


async def moments(registry: Registry, seconds: float, **options: Any) -> list[float]:
    """When a handler is called within so many seconds that always fails."""
    calls: list[float] = []

    @on.create("Service", registry=registry, **options)
    async def handler() -> None:
        calls.append(world.clock.monotonic())
        raise ConnectionError("no answer")

    async with running(registry) as world:
        world.create()
        await world.clock.advance(seconds)
    return calls


def pauses(calls: list[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise(calls)]


# Backoff.


async def test_the_pause_doubles_with_every_failure_and_is_at_most_a_tenth_longer(registry: Registry) -> None:
    found = pauses(await moments(registry, 300))
    assert len(found) >= 7
    for number, pause in enumerate(found):
        assert 2**number <= pause <= 2**number * 1.1 + 1e-6
    assert len({pause / 2**number for number, pause in enumerate(found)}) > 1, "not all by the same tenth"


async def test_the_first_pause_may_be_chosen(registry: Registry) -> None:
    found = pauses(await moments(registry, 100, backoff=10))
    assert 10 <= found[0] <= 11
    assert 20 <= found[1] <= 22


async def test_no_pause_is_longer_than_a_thousand_seconds_and_a_tenth(registry: Registry) -> None:
    found = pauses(await moments(registry, 10_000))
    assert all(1000 <= pause <= 1100 for pause in found[10:])
    assert len(found) > 12


async def test_a_container_is_tried_at_least_about_once_a_minute(registry: Registry) -> None:
    calls: list[float] = []

    @on.create("Container", registry=registry)
    async def handler() -> None:
        calls.append(world.clock.monotonic())
        raise ConnectionError("no answer")

    async with running(registry) as world:
        world.create_container()
        await world.clock.advance(1000)
    assert all(60 <= pause <= 66 for pause in pauses(calls)[6:])


# TemporaryError and PermanentError.


async def test_a_temporary_error_is_retried_after_its_delay(registry: Registry) -> None:
    calls: list[Any] = []
    on.create("Service", id="it", registry=registry)(failing(calls, lambda: TemporaryError("not yet", delay=30)))
    async with running(registry) as world:
        world.create()
        await world.clock.advance(29)
        assert calls == [("web:1", 0)]
        await world.clock.advance(1)
        assert calls == [("web:1", 0), ("web:1", 1)]
        await world.clock.advance(1000)
        assert len(calls) == 2


async def test_a_temporary_error_without_a_delay_is_retried_by_the_backoff(registry: Registry) -> None:
    calls: list[Any] = []
    on.create("Service", id="it", backoff=7, registry=registry)(failing(calls, lambda: TemporaryError("not yet")))
    async with running(registry) as world:
        world.create()
        await world.clock.advance(6.9)
        assert len(calls) == 1
        await world.clock.advance(0.9)
        assert len(calls) == 2


async def test_a_temporary_error_is_no_event_and_any_other_one_is(registry: Registry) -> None:
    on.create("Service", id="waits", registry=registry)(failing([], lambda: TemporaryError("not yet", delay=1)))
    on.create("Service", id="broken", registry=registry)(failing([], lambda: KeyError("oops")))
    async with running(registry) as world:
        world.create()
        await world.clock.advance(10)
        assert world.said() == ["KeyError: 'oops'"]


# Retries.


async def test_after_so_many_tries_a_handler_is_given_up_and_an_event_says_so(registry: Registry) -> None:
    calls: list[Any] = []
    with registry.loading("notify"):
        on.create("Service", id="it", retries=3, registry=registry)(
            failing(calls, lambda: TemporaryError("no answer", delay=1), times=1000)
        )
    async with running(registry) as world:
        world.create()
        await world.clock.advance(3500)
        assert [retry for _, retry in calls] == [0, 1, 2]
        assert world.said() == ["notify: it: gave up after 3 tries: no answer"]


async def test_a_handler_that_was_given_up_has_all_its_tries_again_after_an_hour(registry: Registry) -> None:
    calls: list[Any] = []
    on.create("Service", id="it", retries=2, registry=registry)(
        failing(calls, lambda: TemporaryError("no answer", delay=1), times=1000)
    )
    async with running(registry) as world:
        world.create()
        await world.clock.advance(3700)
    assert [retry for _, retry in calls] == [0, 1, 0, 1]


# Timeout.


async def test_a_timeout_cancels_a_coroutine_at_its_moment_and_drops_its_patch(registry: Registry) -> None:
    told: list[Any] = []

    @on.create("Service", timeout=5, registry=registry)
    async def hangs(patch: Patch) -> None:
        patch.spec.user = "app"
        patch.status.replicas = 9
        try:
            await asyncio.Event().wait()
        finally:
            told.append(world.clock.monotonic())

    async with running(registry) as world:
        world.create()
        await world.clock.advance(4.9)
        assert told == []
        await world.clock.advance(100)
        assert told == [5], "in the middle of the call, not between two"
        assert (world.service().spec.user, world.service().status.replicas) == ("", 0)
        assert world.said()[0].endswith("its time of 5 s is up")


async def test_a_thread_whose_time_is_up_is_left_to_itself_and_its_patch_is_dropped(registry: Registry) -> None:
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    @on.create("Service", timeout=5, registry=registry)
    def slow(patch: Patch) -> None:
        begun.set()
        go_on.wait(10)
        patch.spec.user = "app"
        ended.set()

    async with running(registry) as world:
        world.create()
        await world.until(begun.is_set)
        await world.clock.advance(20)
        assert world.said()[0].endswith("its time of 5 s is up")
        go_on.set()
        await world.until(ended.is_set)
        assert world.service().spec.user == ""


async def test_the_timeout_is_of_all_calls_together(registry: Registry) -> None:
    calls: list[float] = []

    @on.create("Service", timeout=25, registry=registry)
    async def handler() -> None:
        calls.append(world.clock.monotonic())
        if len(calls) == 3:
            await asyncio.Event().wait()
        raise TemporaryError("not yet", delay=10)

    async with running(registry) as world:
        world.create()
        await world.clock.advance(24.9)
        assert world.said() == []
        await world.clock.advance(0.1 + 5)
        assert world.said()[-1].endswith("gave up after 25 s: its time of 5 s is up")
    assert calls == [0, 10, 20]


async def test_a_call_that_would_come_after_the_timeout_is_not_waited_for(registry: Registry) -> None:
    on.create("Service", id="it", timeout=25, registry=registry)(
        failing([], lambda: TemporaryError("not yet", delay=60), times=1000)
    )
    async with running(registry) as world:
        world.create()
        await world.clock.settle()
        assert world.said() == ["gave up after 25 s: not yet"]


# Errors.


@pytest.mark.parametrize(("errors", "calls_wanted"), [("ignored", 1), ("permanent", 1), ("temporary", 2)])
async def test_errors_says_what_an_unforeseen_error_means(registry: Registry, errors: str, calls_wanted: int) -> None:
    calls: list[Any] = []
    later: list[str] = []
    on.create("Service", id="it", errors=errors, registry=registry)(failing(calls, lambda: KeyError("oops")))
    on.update("Service", id="it", registry=registry)(noting(later, "name"))
    async with running(registry) as world:
        world.create()
        await world.clock.advance(100)
        assert len(calls) == calls_wanted
        assert world.said()[0] == "KeyError: 'oops'"
        world.change("web:2")
        await world.clock.settle()
        assert len(calls) == calls_wanted + (errors == "permanent"), "what was ignored counts as done"


@pytest.mark.parametrize("error", [TemporaryError("x", delay=1), PermanentError("x")], ids=["temporary", "permanent"])
async def test_errors_does_not_change_what_a_handler_says_itself(registry: Registry, error: Exception) -> None:
    calls: list[Any] = []
    on.create("Service", id="it", errors="ignored", registry=registry)(failing(calls, lambda: error))
    async with running(registry) as world:
        world.create()
        await world.clock.advance(3500)
    assert len(calls) == (2 if isinstance(error, TemporaryError) else 1)


def test_a_mode_that_is_not_there_is_refused(registry: Registry) -> None:
    with pytest.raises(ValueError, match="'never' is not a valid ErrorsMode"):
        on.create("Service", errors="never", registry=registry)


@pytest.mark.parametrize("plain", [True, False], ids=["plain", "coroutine"])
async def test_the_log_has_the_traceback_from_the_handlers_own_frame_on(
    registry: Registry, plain: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def helper() -> None:
        raise ValueError("oops")

    if plain:

        @on.create("Service", registry=registry)
        def announce() -> None:
            helper()
    else:

        @on.create("Service", id="announce", registry=registry)
        async def announce_() -> None:
            helper()

    async with running(registry) as world:
        world.create()
        await world.until(lambda: bool(world.said()))
    (record, *_) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info is not None
    trace = record.exc_info[2]
    assert trace is not None
    assert trace.tb_frame.f_code.co_filename == __file__
    assert trace.tb_frame.f_code.co_name.startswith("announce")
    assert trace.tb_next is not None
    assert trace.tb_next.tb_frame.f_code.co_name == "helper"
