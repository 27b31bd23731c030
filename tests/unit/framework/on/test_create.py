"""@on.create: called for an object that was never handled, until it succeeds once."""

import threading
from typing import Any

from controller.errors import PermanentError, TemporaryError
from controller.framework import FINALIZER, Patch, Registry, on
from controller.store import SERVICE
from proto.dockrunner import v1 as pb
from tests.unit.framework.world import failing, noting, running


async def test_create_update_and_delete_are_each_told_once_with_what_changed(registry: Registry) -> None:
    told: list[Any] = []

    @on.create("Service", registry=registry)
    async def created(name: str, old: Any, reason: str, answer: int) -> None:
        told.append((reason, name, old, answer))

    @on.update("Service", registry=registry)
    async def updated(old: pb.Service, new: pb.Service, diff: Any, reason: str) -> None:
        told.append((reason, old.spec.image, new.spec.image, [difference.path for difference in diff]))

    @on.delete("Service", registry=registry)
    async def deleted(name: str, reason: str) -> None:
        told.append((reason, name))

    async with running(registry) as world:
        world.create()
        await world.clock.advance(1)
        assert FINALIZER in world.store.get(SERVICE, "web").metadata.finalizers
        world.change("web:2")
        await world.clock.advance(1)
        world.store.delete(SERVICE, "web")
        await world.clock.advance(1)
        assert world.store.find(SERVICE, "web") is None
    assert told == [
        ("create", "web", None, 42),
        ("update", "web:1", "web:2", [("spec", "image")]),
        ("delete", "web"),
    ]


async def test_a_plain_function_is_called_in_a_thread(registry: Registry) -> None:
    threads: list[threading.Thread] = []

    @on.create("Service", registry=registry)
    def created(**_: Any) -> None:
        threads.append(threading.current_thread())

    async with running(registry) as world:
        world.create()
        await world.until(lambda: bool(threads))
    assert threads[0] is not threading.main_thread()


async def test_a_plain_function_that_waits_holds_nothing_else_up(registry: Registry) -> None:
    go_on = threading.Event()
    told: list[str] = []

    @on.create("Service", registry=registry)
    def slow(name: str) -> None:
        if name == "slow":
            go_on.wait(10)
        told.append(name)

    async with running(registry) as world:
        world.create("slow")
        world.create("quick")
        await world.until(lambda: told == ["quick"])
        go_on.set()
        await world.until(lambda: told == ["quick", "slow"])


async def test_what_succeeded_is_not_called_again_when_another_handler_of_the_cause_fails(registry: Registry) -> None:
    good: list[Any] = []
    bad: list[Any] = []
    on.create("Service", id="good", registry=registry)(failing(good, ValueError, times=0))
    on.create("Service", id="bad", registry=registry)(failing(bad, lambda: TemporaryError("later", delay=1), times=2))
    async with running(registry) as world:
        world.create()
        await world.clock.advance(10)
    assert (len(good), len(bad)) == (1, 3)


async def test_all_handlers_of_a_creation_are_called_in_one_pass_as_they_were_declared(registry: Registry) -> None:
    told: list[Any] = []
    for name in ("first", "second", "third"):
        on.create("Service", id=name, registry=registry)(noting(told, "logger"))
    async with running(registry) as world:
        world.create()
        await world.clock.settle()
        assert [logger.extra["handler"] for logger in told] == ["first", "second", "third"]
        assert world.metric("controller_runtime_reconcile_total", result="success") == 1


async def test_a_permanent_error_is_not_retried_within_the_hour_unless_the_object_changes(registry: Registry) -> None:
    calls: list[Any] = []
    on.create("Service", id="it", registry=registry)(failing(calls, lambda: PermanentError("never")))
    async with running(registry) as world:
        world.create()
        await world.clock.advance(3500)
        assert calls == [("web:1", 0)]
        assert world.metric("controller_runtime_terminal_reconcile_errors_total") == 1
        assert world.metric("controller_runtime_reconcile_errors_total") == 1
        world.change("web:2")
        await world.clock.advance(1)
        assert calls == [("web:1", 0), ("web:2", 0)], "what was never handled well is still to be created"


async def test_a_handler_that_succeeded_is_told_of_no_second_creation_while_another_one_fails(
    registry: Registry,
) -> None:
    told: list[str] = []
    on.create("Service", id="good", registry=registry)(noting(told, "reason"))
    on.create("Service", id="bad", registry=registry)(failing([], lambda: PermanentError("never"), times=1000))
    async with running(registry) as world:
        world.create()
        await world.clock.advance(1)
        world.change("web:2")
        await world.clock.advance(1)
    assert told == ["create"]


async def test_a_creation_that_fails_keeps_no_other_handler_from_being_told_of_updates(registry: Registry) -> None:
    told: list[Any] = []

    @on.update("Service", registry=registry)
    async def updated(old: pb.Service, new: pb.Service) -> None:
        told.append((old.spec.image, new.spec.image))

    on.create("Service", id="bad", registry=registry)(failing([], lambda: PermanentError("never"), times=1000))
    async with running(registry) as world:
        world.create()
        await world.clock.advance(1)
        world.change("web:2")
        await world.clock.advance(1)
        world.change("web:3")
        await world.clock.advance(1)
    assert told == [("web:1", "web:2"), ("web:2", "web:3")]


async def test_what_a_creation_changes_itself_is_no_second_creation(registry: Registry) -> None:
    told: list[str] = []

    @on.create("Service", registry=registry)
    async def grow(patch: Patch, reason: str) -> None:
        told.append(reason)
        patch.spec.replicas = 3

    on.create("Service", id="bad", registry=registry)(failing([], lambda: PermanentError("never"), times=1000))
    async with running(registry) as world:
        world.create()
        await world.clock.advance(1)
        assert world.service().spec.replicas == 3
    assert told == ["create"]


async def test_an_object_of_another_uid_under_the_name_is_created_anew(registry: Registry) -> None:
    told: list[str] = []
    on.create("Service", id="it", registry=registry)(noting(told, "uid"))
    async with running(registry) as world:
        world.create()
        await world.clock.advance(1)
        world.delete()
        world.create()
        await world.clock.advance(1)
        assert len(set(told)) == 2
        assert told[1] == world.service().metadata.uid


async def test_containers_have_handlers_as_services_do(registry: Registry) -> None:
    told: list[Any] = []
    on.create("Container", id="it", registry=registry)(noting(told, "name", "spec"))
    async with running(registry) as world:
        world.create_container("web-1-abcde")
        await world.clock.advance(1)
    assert told == [("web-1-abcde", pb.ContainerSpec(service="web"))]
