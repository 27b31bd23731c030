"""When handlers are called, and what becomes of what they raise."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from controller.errors import PermanentError, TemporaryError
from controller.framework import FINALIZER, Operator, Registry, Result, on
from controller.metrics import Metrics
from controller.store import EVENT, SERVICE, Recorder, Store
from proto.dockrunner import v1 as pb
from tests.clock import ManualClock


class World:
    """A store and the handlers of one registry."""

    def __init__(self, registry: Registry) -> None:
        self.clock = ManualClock()
        self.store = Store(self.clock)
        self.metrics = Metrics()
        recorder = Recorder(self.store, self.clock)
        self.operator = Operator(
            registry, self.store, recorder, self.clock, self.metrics, workers=2, inject={"answer": 42}
        )

    def create(self, name: str = "web", image: str = "web:1") -> None:
        self.store.create(SERVICE, pb.Service(metadata=pb.Metadata(name=name), spec=pb.ServiceSpec(image=image)))

    def change(self, image: str, name: str = "web") -> None:
        def edit(service: pb.Service) -> None:
            service.spec.image = image

        self.store.update(SERVICE, name, edit)

    def metric(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, {"controller": "service", **labels})


@asynccontextmanager
async def running(registry: Registry) -> AsyncIterator[World]:
    world = World(registry)
    await world.operator.start()
    try:
        yield world
    finally:
        stopping = asyncio.create_task(world.operator.stop(1))
        await world.clock.settle()
        await stopping


@pytest.fixture
def registry() -> Registry:
    return Registry()


def failing(calls: list[Any], error: Callable[[], Exception], times: int = 1) -> Callable[..., Any]:
    """A handler that notes its calls and fails so many times."""

    async def handler(spec: pb.ServiceSpec, retry: int, **_: Any) -> None:
        calls.append((spec.image, retry))
        if len(calls) <= times:
            raise error()

    return handler


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


async def test_a_status_write_is_no_update(registry: Registry) -> None:
    told: list[str] = []

    @on.update("Service", registry=registry)
    async def updated(**_: Any) -> None:
        told.append("update")

    async with running(registry) as world:
        world.create()
        await world.clock.advance(1)
        world.store.update_status(SERVICE, "web", lambda service: setattr(service.status, "replicas", 1))
        await world.clock.advance(1)
    assert told == []


async def test_resume_is_told_for_what_was_handled_in_an_earlier_run(registry: Registry) -> None:
    told: list[str] = []
    on.resume("Service", id="resumed", registry=registry)(lambda reason, **_: told.append(reason))
    on.create("Service", id="created", registry=registry)(lambda reason, **_: told.append(reason))
    world = World(registry)
    world.create()
    world.operator.services.remember(world.store.get(SERVICE, "web"))
    await world.operator.start()
    while not told:
        await world.clock.settle()
    await world.operator.stop(1)
    assert told == ["resume"]


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


async def test_an_error_is_retried_with_exponential_backoff_and_said_in_an_event(registry: Registry) -> None:
    calls: list[Any] = []
    on.create("Service", id="it", registry=registry)(failing(calls, lambda: KeyError("oops"), times=3))
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


async def test_a_permanent_error_is_not_retried_until_the_object_changes(registry: Registry) -> None:
    calls: list[Any] = []
    on.create("Service", id="it", registry=registry)(failing(calls, lambda: PermanentError("never")))
    async with running(registry) as world:
        world.create()
        await world.clock.advance(5000)
        assert calls == [("web:1", 0)]
        assert world.metric("controller_runtime_terminal_reconcile_errors_total") == 1
        assert world.metric("controller_runtime_reconcile_errors_total") == 1
        world.change("web:2")
        await world.clock.advance(1)
        assert calls == [("web:1", 0), ("web:2", 0)], "what was never handled well is still to be created"


async def test_what_succeeded_is_not_called_again_when_another_handler_of_the_cause_fails(registry: Registry) -> None:
    good: list[Any] = []
    bad: list[Any] = []
    on.create("Service", id="good", registry=registry)(failing(good, ValueError, times=0))
    on.create("Service", id="bad", registry=registry)(failing(bad, lambda: TemporaryError("later", delay=1), times=2))
    async with running(registry) as world:
        world.create()
        await world.clock.advance(10)
    assert (len(good), len(bad)) == (1, 3)


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


async def test_a_plain_function_is_called_in_a_thread(registry: Registry) -> None:
    called = asyncio.Event()
    threads: list[threading.Thread] = []
    loop = asyncio.get_running_loop()

    @on.create("Service", registry=registry)
    def created(**_: Any) -> None:
        threads.append(threading.current_thread())
        loop.call_soon_threadsafe(called.set)

    async with running(registry) as world:
        world.create()
        await asyncio.wait_for(called.wait(), 5)
    assert threads[0] is not threading.main_thread()


async def test_timers_count_from_the_end_of_a_call_and_end_with_their_object(registry: Registry) -> None:
    calls: list[float] = []

    @on.timer("Service", interval=10, registry=registry)
    async def tick(name: str, **_: Any) -> None:
        calls.append(world.clock.monotonic())
        await world.clock.sleep(3)

    async with running(registry) as world:
        world.create()
        await world.clock.advance(30)
        world.store.delete(SERVICE, "web")
        await world.clock.advance(100)
    assert calls == [10, 23]


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
        world.change("web:2")
        await world.clock.advance(100)
    assert calls == ["web:1", "web:2"]


async def test_startup_comes_first_and_cleanup_last(registry: Registry) -> None:
    told: list[str] = []

    @on.startup(registry=registry)
    async def begin(answer: int, **_: Any) -> None:
        told.append(f"startup {answer}")

    @on.create("Service", registry=registry)
    async def created(**_: Any) -> None:
        told.append("create")

    @on.cleanup(registry=registry)
    async def end(**_: Any) -> None:
        told.append("cleanup")

    async with running(registry) as world:
        world.create()
        await world.clock.settle()
    assert told == ["startup 42", "create", "cleanup"]


def test_two_handlers_of_one_id_are_refused(registry: Registry) -> None:
    on.create("Service", id="it", registry=registry)(lambda: None)
    with pytest.raises(ValueError, match="two handlers 'it'"):
        on.create("Service", id="it", registry=registry)(lambda: None)
