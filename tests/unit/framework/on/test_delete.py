"""@on.delete: called when deletion is asked for, until it is done; the object stays as long, by a finalizer."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from controller.errors import PermanentError, TemporaryError
from controller.framework import Patch, Registry, Result, on
from controller.store import CONTAINER, SERVICE
from tests.unit.framework.world import failing, noting, running, stubborn

WAY_OUT = "`dock-runner delete web --force` goes on without it"


async def test_an_object_goes_only_when_its_delete_handler_is_done(registry: Registry) -> None:
    answers = [Result(done=False, requeue_after=5), Result()]

    @on.delete("Service", registry=registry)
    async def deleted(**_: Any) -> Result:
        return answers.pop(0)

    async with running(registry) as world:
        world.create()
        await world.clock.advance(1)
        world.store.delete(SERVICE, "web")
        await world.clock.advance(4)
        assert world.store.get(SERVICE, "web").metadata.HasField("delete_time")
        await world.clock.advance(1)
        assert world.store.find(SERVICE, "web") is None


async def test_without_a_delete_handler_there_is_no_finalizer(registry: Registry) -> None:
    on.create("Service", id="it", registry=registry)(failing([], ValueError, times=0))
    async with running(registry) as world:
        world.create()
        await world.clock.advance(1)
        assert not world.store.get(SERVICE, "web").metadata.finalizers
        world.store.delete(SERVICE, "web")
        assert world.store.find(SERVICE, "web") is None


async def test_the_finalizer_comes_and_goes_with_the_label_that_the_handler_asks_for(registry: Registry) -> None:
    told: list[str] = []
    on.delete("Service", labels={"tier": "front"}, id="it", registry=registry)(noting(told, "name"))
    async with running(registry) as world:
        world.create()
        await world.clock.advance(1)
        held = [world.is_held()]
        for tier in ("front", "back", "front", None):
            world.label("tier", tier)
            await world.clock.advance(1)
            held.append(world.is_held())
        assert held == [False, True, False, True, False]
        world.delete()
        assert not world.is_there(), "nobody wants to be told, so nobody is waited for"
    assert told == []


async def test_no_other_handler_of_the_object_is_called_once_deletion_is_asked_for(registry: Registry) -> None:
    told: list[str] = []
    for activity in (on.create, on.update, on.resume, on.reconcile):
        activity("Service", id="it", registry=registry)(noting(told, "reason"))
    on.delete("Service", id="it", registry=registry)(failing([], lambda: TemporaryError("later"), times=1000))
    async with running(registry) as world:
        world.create()
        await world.clock.advance(1)
        world.delete()
        told.clear()
        await world.clock.advance(1)
        world.label("tier", "front")
        await world.clock.advance(1)
        assert world.is_there()
    assert told == []


async def test_a_handler_that_is_done_is_not_called_again_while_another_one_fails(registry: Registry) -> None:
    good: list[str] = []
    bad: list[Any] = []
    on.delete("Service", id="good", registry=registry)(noting(good, "name"))
    on.delete("Service", id="bad", registry=registry)(failing(bad, lambda: TemporaryError("later", delay=5), times=2))
    async with running(registry) as world:
        world.create()
        await world.clock.advance(1)
        world.delete()
        await world.clock.advance(1)
        world.label("tier", "front")  # a deletion is one and the same, whatever becomes of the object meanwhile
        await world.clock.advance(20)
        assert not world.is_there()
    assert (len(good), len(bad)) == (1, 3)


async def test_a_handler_that_is_done_is_not_called_again_after_a_restart(registry: Registry) -> None:
    good: list[str] = []
    bad: list[Any] = []
    with registry.loading("notify"):
        on.delete("Service", id="good", registry=registry)(noting(good, "name"))
        on.delete("Service", id="bad", registry=registry)(failing(bad, lambda: TemporaryError("later"), times=1))
    async with running(registry) as world:
        world.create()
        await world.clock.advance(1)
        world.delete()
        await world.clock.settle()
    async with running(registry, after=world) as later:
        await later.clock.advance(5)
        assert not later.is_there()
    assert (len(good), len(bad)) == (1, 2)


async def test_what_a_handler_writes_into_the_status_does_not_call_it_again(registry: Registry) -> None:
    calls: list[int] = []

    with registry.loading("notify"):

        @on.delete("Service", registry=registry)
        async def count(patch: Patch) -> Result:
            calls.append(1)
            patch.status.replicas += 1
            return Result(done=False)

    async with running(registry) as world:
        world.create()
        await world.clock.advance(1)
        world.delete()
        await world.clock.advance(10)
        assert world.service().status.replicas == 1
    assert len(calls) == 1


def never(**_: Any) -> None:
    raise PermanentError("the account is locked")


async def ever_again(**_: Any) -> None:
    raise TemporaryError("the server does not answer", delay=1)


async def waits_on(**_: Any) -> Result:
    return Result(done=False)


async def hangs(**_: Any) -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("handler", "options", "why"),
    [
        (never, {}, "the account is locked"),
        (ever_again, {"retries": 3}, "gave up after 3 tries: the server does not answer"),
        (ever_again, {"timeout": 5}, "gave up after 5 s: the server does not answer"),
        (waits_on, {"timeout": 5}, "its time of 5 s is up"),
        (hangs, {"timeout": 5}, "gave up after 5 s: its time of 5 s is up"),
    ],
    ids=["permanent error", "retries", "timeout of many calls", "timeout of one that waits", "timeout of one call"],
)
async def test_one_that_gives_up_blocks_the_deletion_and_a_condition_says_why_and_what_to_do(
    registry: Registry, handler: Callable[..., Any], options: dict[str, Any], why: str
) -> None:
    with registry.loading("notify"):
        on.delete("Service", id="unbook", registry=registry, **options)(handler)
    async with running(registry) as world:
        world.create()
        await world.clock.advance(1)
        world.delete()
        await world.until(lambda: bool(world.said()) or handler is not never)
        await world.clock.advance(20)
        condition = world.condition("DeletionBlocked")
        assert condition is not None
        assert (condition.status, condition.reason) == ("True", "HandlerGaveUp")
        assert condition.message == f"handler notify: unbook: {why}; {WAY_OUT}"
        assert any(said.endswith(why) for said in world.said())
        world.release()
        await world.clock.settle()
        assert not world.is_there()


async def test_a_deletion_that_was_blocked_and_goes_on_says_so(registry: Registry) -> None:
    calls: list[Any] = []
    with registry.loading("notify"):
        on.delete("Service", id="first", registry=registry)(failing(calls, lambda: PermanentError("locked")))
        on.delete("Service", id="second", registry=registry)(failing([], lambda: TemporaryError("wait"), times=1000))
    async with running(registry) as world:
        world.create()
        await world.clock.advance(1)
        world.delete()
        await world.clock.advance(1)
        condition = world.condition("DeletionBlocked")
        assert condition is not None
        assert condition.status == "True"
        await world.clock.advance(3600)
        condition = world.condition("DeletionBlocked")
        assert condition is not None
        assert (condition.status, condition.message) == ("False", "")


async def asked_to_go(registry: Registry, handler: Callable[..., Any], called: Callable[[], bool]) -> None:
    """Deletes a service, waits until the handler is called, and releases it."""
    with registry.loading("notify"):
        on.delete("Service", id="it", registry=registry)(handler)
    async with running(registry, grace=0.1) as world:
        world.create()
        await world.clock.advance(1)
        world.delete()
        await world.until(called)
        await world.clock.advance(10_000)
        assert world.is_there()
        world.release()
        await world.clock.settle()
        assert not world.is_there()


async def test_release_lets_an_object_go_whose_handler_hangs_for_ever(registry: Registry) -> None:
    calls: list[str] = []
    cancelled: list[str] = []

    async def handler(name: str) -> None:
        calls.append(name)
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(name)

    await asked_to_go(registry, handler, lambda: bool(calls))
    assert cancelled == ["web"]


async def test_release_lets_an_object_go_whose_handler_ignores_that_it_is_cancelled(registry: Registry) -> None:
    calls: list[str] = []

    async def handler(name: str) -> None:
        calls.append(name)
        await ignores_it()

    with stubborn() as ignores_it:
        await asked_to_go(registry, handler, lambda: bool(calls))


async def test_release_lets_an_object_go_whose_handler_hangs_in_a_thread(registry: Registry) -> None:
    calls: list[str] = []
    end = threading.Event()

    def handler(name: str) -> None:
        calls.append(name)
        end.wait(60)

    try:
        await asked_to_go(registry, handler, lambda: bool(calls))
    finally:
        end.set()


async def test_one_release_is_enough_for_all_handlers_of_the_users(registry: Registry) -> None:
    told: list[str] = []

    async def handler(logger: Any) -> None:
        told.append(logger.extra["handler"])
        await asyncio.Event().wait()

    with registry.loading("notify"):
        on.delete("Service", id="first", registry=registry)(handler)
        on.delete("Service", id="second", registry=registry)(handler)
    async with running(registry) as world:
        world.create()
        await world.clock.advance(1)
        world.delete()
        await world.clock.advance(1)
        world.release()
        await world.clock.settle()
        assert not world.is_there()
    assert told == ["first"]


async def test_release_does_not_pass_over_the_handlers_that_are_built_in(registry: Registry) -> None:
    may_go: list[bool] = []

    @on.delete("Service", registry=registry)
    async def built_in() -> Result:
        return Result(done=bool(may_go), requeue_after=60)

    with registry.loading("notify"):
        on.delete("Service", id="users", registry=registry)(never)
    async with running(registry) as world:
        world.create()
        await world.clock.advance(1)
        world.delete()
        await world.until(lambda: bool(world.said()))
        world.release()
        await world.clock.advance(600)
        assert world.is_there()
        may_go.append(True)
        await world.clock.advance(60)
        assert not world.is_there()


async def test_of_a_built_in_handler_nobody_is_told_that_it_can_be_passed_over(registry: Registry) -> None:
    on.delete("Service", id="built in", registry=registry)(never)
    async with running(registry) as world:
        world.create()
        await world.clock.advance(1)
        world.delete()
        await world.until(lambda: world.condition("DeletionBlocked") is not None)
        condition = world.condition("DeletionBlocked")
        assert condition is not None
        assert condition.message == "handler built in: the account is locked"


async def test_a_release_is_of_the_containers_of_the_service_as_well(registry: Registry) -> None:
    calls: list[str] = []
    with registry.loading("notify"):

        @on.delete("Container", registry=registry)
        async def hangs_on(name: str) -> None:
            calls.append(name)
            await asyncio.Event().wait()

    async with running(registry) as world:
        world.create()
        world.create_container("web-1-abcde")
        await world.clock.advance(1)
        world.store.delete(CONTAINER, "web-1-abcde")
        await world.clock.advance(1)
        assert calls == ["web-1-abcde"]
        world.release()
        await world.clock.settle()
        assert world.store.find(CONTAINER, "web-1-abcde") is None
