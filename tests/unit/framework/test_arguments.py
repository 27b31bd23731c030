"""Every argument that a handler may name, and what it is given."""

import inspect
import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from controller.errors import TemporaryError
from controller.framework import Patch, Registry, on
from controller.store import Store
from proto.dockrunner import v1 as pb
from tests.unit.framework.world import running

PUBLIC = {
    "name", "uid", "spec", "status", "meta", "labels", "annotations", "body", "old", "new", "diff", "reason",
    "retry", "started", "runtime", "patch", "logger", "memo", "param", "indices", "store", "engine", "now",
}  # fmt: skip
# Those that only some are given.
FURTHER = {
    "validate": ["others", "dry_run"],
    "mutate": ["dry_run"],
    "event": ["type"],
    "timer": [],
    "daemon": ["stopped"],
}
START = datetime(2026, 1, 1, tzinfo=UTC)


async def arguments_of(registry: Registry, activity: str, **options: Any) -> dict[str, Any]:
    """What a handler of a service is given that takes everything."""
    given: dict[str, Any] = {}

    def plain(**arguments: Any) -> None:
        given.update(arguments)

    async def coroutine(**arguments: Any) -> None:
        given.update(arguments)

    function = plain if activity == "index" else coroutine
    getattr(on, activity)("Service", id="it", registry=registry, param="mine", **options)(function)
    on.create("Service", id="other", registry=registry)(lambda: None)
    async with running(registry) as world:
        await world.declare(labels={"tier": "front"})
        await world.clock.advance(1)
        if activity == "resume":
            async with running(registry, after=world) as later:
                await later.clock.advance(1)
        elif activity == "update":
            world.change("web:2")
            await world.clock.advance(1)
        elif activity == "delete":
            world.delete()
            await world.clock.advance(1)
    return given


@pytest.mark.parametrize(
    ("activity", "options"),
    [
        ("validate", {}),
        ("mutate", {}),
        ("create", {}),
        ("update", {}),
        ("field", {"field": "spec"}),
        ("resume", {}),
        ("delete", {}),
        ("event", {}),
        ("reconcile", {}),
        ("timer", {"interval": 1}),
        ("daemon", {}),
        ("index", {}),
    ],
    ids=lambda it: it if isinstance(it, str) else "",
)
async def test_a_handler_of_an_object_may_name_all_that_is_promised(
    registry: Registry, activity: str, options: dict[str, Any]
) -> None:
    given = await arguments_of(registry, activity, **options)
    assert PUBLIC | set(FURTHER.get(activity, ())) <= set(given)


async def test_what_each_argument_is(registry: Registry) -> None:
    given = await arguments_of(registry, "create")
    assert (given["name"], given["reason"], given["param"], given["engine"]) == ("web", "create", "mine", "the engine")
    assert isinstance(given["body"], pb.Service)
    assert given["uid"] == given["body"].metadata.uid != ""
    assert (given["spec"], given["meta"]) == (given["body"].spec, given["body"].metadata)
    assert (dict(given["labels"]), dict(given["annotations"])) == ({"tier": "front"}, {})
    assert isinstance(given["status"], pb.ServiceStatus)
    assert isinstance(given["patch"], Patch)
    assert given["patch"].status is given["status"], "what is written into it is kept"
    assert isinstance(given["memo"], SimpleNamespace)
    assert isinstance(given["indices"], Mapping)
    assert isinstance(given["store"], Store)
    assert isinstance(given["logger"], logging.LoggerAdapter)
    assert (given["old"], given["new"].spec.image, given["diff"]) == (None, "web:1", ())
    assert (given["retry"], given["runtime"], given["started"], given["now"]) == (0, 0.0, START, START)


async def test_old_and_new_are_what_is_declared_and_nothing_else(registry: Registry) -> None:
    given = await arguments_of(registry, "update")
    for side, image in (("old", "web:1"), ("new", "web:2")):
        assert given[side].spec.image == image
        assert given[side].metadata == pb.Metadata(labels={"tier": "front"})
        assert not given[side].HasField("status")
    ((path, old, new),) = [(it.path, it.old, it.new) for it in given["diff"]]
    assert (path, old, new) == (("spec", "image"), "web:1", "web:2")


async def test_what_a_handler_does_to_old_and_new_has_no_effect_on_what_is_remembered(registry: Registry) -> None:
    told: list[Any] = []

    @on.update("Service", registry=registry)
    async def careless(old: Any, new: Any) -> None:
        told.append((old.spec.image, new.spec.image))
        old.spec.image = new.spec.image = "other"
        if len(told) == 1:
            raise TemporaryError("not yet", delay=1)

    async with running(registry) as world:
        world.create()
        await world.clock.settle()
        world.change("web:2")
        await world.clock.advance(5)
        world.change("web:3")
        await world.clock.advance(5)
    assert told == [("web:1", "web:2"), ("web:1", "web:2"), ("web:2", "web:3")]


@pytest.mark.parametrize("activity", ["index", "validate", "event"])
async def test_what_is_shared_with_others_is_never_handed_out_itself(registry: Registry, activity: str) -> None:
    def careless(body: Any, spec: Any, status: Any) -> None:
        body.metadata.labels["mine"] = "yes"
        spec.image = "other"
        if activity != "event":
            status.replicas = 9

    getattr(on, activity)("Service", id="it", registry=registry)(careless)
    async with running(registry) as world:
        await world.declare()
        await world.clock.advance(1)
        service = world.service()
        assert (service.spec.image, service.status.replicas, len(service.metadata.labels)) == ("web:1", 0, 0)


async def test_retry_started_runtime_and_now_tell_how_long_it_has_been_tried(registry: Registry) -> None:
    told: list[Any] = []

    @on.create("Service", registry=registry)
    async def waits(retry: int, started: datetime, runtime: float, now: datetime) -> None:
        told.append((retry, started, runtime, now))
        if retry < 2:
            raise TemporaryError("not yet", delay=10)

    async with running(registry) as world:
        await world.clock.advance(5)
        world.create()
        await world.clock.advance(100)
    begin = START + timedelta(seconds=5)
    assert told == [(number, begin, number * 10.0, begin + timedelta(seconds=number * 10)) for number in range(3)]


async def test_a_timer_is_told_how_long_it_has_been_there(registry: Registry) -> None:
    told: list[Any] = []

    @on.timer("Service", interval=10, registry=registry)
    async def tick(started: datetime, runtime: float) -> None:
        told.append((started, runtime))

    async with running(registry) as world:
        world.create()
        await world.clock.advance(25)
    assert told == [(START, 10.0), (START, 20.0)]


async def test_a_handler_is_given_only_what_it_names(registry: Registry) -> None:
    told: list[Any] = []

    @on.create("Service", registry=registry)
    async def one(name: str) -> None:
        told.append(name)

    @on.create("Service", registry=registry)
    async def none() -> None:
        told.append("none")

    @on.create("Service", registry=registry)
    async def some(*, spec: Any, **rest: Any) -> None:
        told.append(("spec" in rest, "name" in rest))

    async with running(registry) as world:
        world.create()
        await world.clock.settle()
    assert told == ["web", "none", (False, True)]


async def test_memo_is_shared_by_the_handlers_of_one_object_and_by_them_alone(registry: Registry) -> None:
    told: list[Any] = []

    @on.create("Service", registry=registry)
    async def first(memo: Any, name: str) -> None:
        memo.note = name

    @on.reconcile("Service", registry=registry)
    async def second(memo: Any) -> None:
        told.append(memo.note)

    @on.timer("Service", interval=1, registry=registry)
    async def third(memo: Any) -> None:
        told.append(memo.note)

    async with running(registry) as world:
        world.create("a")
        world.create("b")
        await world.clock.advance(1)
    assert sorted(told) == ["a", "a", "b", "b"]


async def test_the_logger_names_the_object_and_is_that_of_the_module(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    with registry.loading("notify"):

        @on.create("Service", registry=registry)
        async def announce(logger: Any) -> None:
            logger.warning("is %s", "there")

    async with running(registry) as world:
        world.create()
        await world.clock.settle()
    (record,) = [record for record in caplog.records if record.name == "dock_runner.handlers.notify"]
    assert record.getMessage() == "web: is there"


@pytest.mark.parametrize("activity", ["startup", "cleanup", "probe"])
async def test_a_handler_of_the_program_is_given_what_is_of_no_object(registry: Registry, activity: str) -> None:
    given: dict[str, Any] = {}

    async def handler(**arguments: Any) -> None:
        given.update(arguments)

    getattr(on, activity)(id="it", param="mine", registry=registry)(handler)
    async with running(registry) as world:
        await world.operator.probe()
    assert set(given) == {"store", "indices", "now", "param", "logger", "reason", "answer", "engine"}
    assert (given["param"], given["reason"]) == ("mine", activity)


def test_a_decorator_leaves_the_function_as_it_is(registry: Registry) -> None:
    async def handler(name: str) -> None:
        pass

    assert on.create("Service", registry=registry)(handler) is handler
    assert list(inspect.signature(handler).parameters) == ["name"]
