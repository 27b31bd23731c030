"""@on.index: called within each change of an object; what it returns is found by ``indices[ID][key]``."""

from collections.abc import Mapping
from typing import Any

import pytest

from controller.framework import Registry, on
from controller.store import CONTAINER, SERVICE, Change
from proto.dockrunner import v1 as pb
from tests.unit.framework.world import World, running


@pytest.fixture
def by_image(registry: Registry) -> None:
    @on.index("Service", id="by_image", registry=registry)
    def index(name: str, spec: pb.ServiceSpec) -> Mapping[str, str]:
        return {spec.image: name}


@pytest.mark.usefixtures("by_image")
async def test_it_follows_what_comes_changes_and_goes(registry: Registry) -> None:
    async with running(registry) as world:
        index = world.operator.indices["by_image"]
        world.create("a")
        world.create("b")
        assert dict(index) == {"web:1": ["a", "b"]}
        world.change("web:2", "a")
        assert dict(index) == {"web:1": ["b"], "web:2": ["a"]}
        world.delete("b")
        assert dict(index) == {"web:2": ["a"]}


@pytest.mark.usefixtures("by_image")
async def test_no_reader_ever_sees_an_index_that_lags_behind_the_object(registry: Registry) -> None:
    async with running(registry) as world:
        seen: list[bool] = []

        def reader(change: Change[pb.Service]) -> None:
            assert change.new is not None
            seen.append("web" in world.operator.indices["by_image"].get(change.new.spec.image, ()))

        world.store.subscribe(SERVICE, reader)
        world.create()
        world.change("web:2")
        assert seen == [True, True]


@pytest.mark.usefixtures("by_image")
async def test_handlers_find_it_among_their_arguments(registry: Registry) -> None:
    told: list[Any] = []

    @on.create("Service", registry=registry)
    async def created(name: str, spec: pb.ServiceSpec, indices: Any) -> None:
        told.append((name, indices["by_image"][spec.image]))

    async with running(registry) as world:
        world.create("a")
        world.create("b")
        await world.clock.settle()
    assert told == [("a", ["a", "b"]), ("b", ["a", "b"])]


@pytest.mark.usefixtures("by_image")
async def test_what_was_there_before_the_program_started_is_in_it_before_any_handler_is_called(
    registry: Registry,
) -> None:
    told: list[Any] = []

    @on.startup(registry=registry)
    async def begin(indices: Any) -> None:
        told.append(dict(indices["by_image"]))

    world = World(registry)
    world.create()
    await world.operator.start()
    await world.operator.stop(1)
    assert told == [{"web:1": ["web"]}]


async def test_only_objects_that_match_are_in_it(registry: Registry) -> None:
    @on.index("Service", labels={"tier": "front"}, when=lambda name, **_: name != "hidden", registry=registry, id="it")
    def index(name: str) -> Mapping[str, int]:
        return {name: 1}

    async with running(registry) as world:
        world.create("web", labels={"tier": "front"})
        world.create("hidden", labels={"tier": "front"})
        world.create("db")
        assert list(world.operator.indices["it"]) == ["web"]
        world.label("tier", "back")
        assert not world.operator.indices["it"]


async def test_what_is_no_mapping_stands_under_none(registry: Registry) -> None:
    @on.index("Service", id="names", registry=registry)
    def index(name: str) -> str | None:
        return name if name != "db" else None

    async with running(registry) as world:
        world.create("b")
        world.create("a")
        world.create("db")
        assert dict(world.operator.indices["names"]) == {None: ["a", "b"]}


async def test_services_and_containers_may_stand_in_one(registry: Registry) -> None:
    @on.index("Service", id="names", registry=registry)
    @on.index("Container", id="names", registry=registry)
    def index(name: str) -> Mapping[str, str]:
        return {"all": name}

    async with running(registry) as world:
        world.create("web")
        world.create_container("web")
        assert dict(world.operator.indices["names"]) == {"all": ["web", "web"]}
        world.store.delete(CONTAINER, "web")
        assert dict(world.operator.indices["names"]) == {"all": ["web"]}


async def test_an_error_leaves_the_object_out_and_hinders_no_write(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    @on.index("Service", id="odd", registry=registry)
    def index(name: str) -> Mapping[str, int]:
        return {name: 1 // (name != "bad")}

    async with running(registry) as world:
        world.create("bad")
        world.create("web")
        assert list(world.operator.indices["odd"]) == ["web"]
        assert world.is_there("bad")
    assert "index odd failed" in caplog.text


async def test_a_filter_that_fails_hinders_no_write_either(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    @on.index("Service", id="odd", labels={"tier": lambda value: value.upper()}, registry=registry)
    def index(name: str) -> Mapping[str, int]:
        return {name: 1}

    async with running(registry) as world:
        world.create()
        assert world.is_there()
        assert not world.operator.indices["odd"]
    assert "the filter of a handler failed" in caplog.text


def test_it_must_be_a_plain_function(registry: Registry) -> None:
    with pytest.raises(ValueError, match="must be a plain function"):

        @on.index("Service", registry=registry)
        async def index() -> None:
            pass

    assert registry.handlers == []


def test_two_modules_must_not_have_one_of_the_same_id(registry: Registry) -> None:
    for module, expected in (("notify", None), ("audit", "two handlers 'by_image' for index of Service")):
        with registry.loading(module):
            declare = on.index("Service", id="by_image", registry=registry)
            if expected is None:
                declare(lambda name: name)
                continue
            with pytest.raises(ValueError, match=expected):
                declare(lambda name: name)
