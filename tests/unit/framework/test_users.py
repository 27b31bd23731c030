"""Handlers of the user's own beside the built-in ones: what they do wrong is theirs alone."""

import asyncio
import itertools
from typing import Any

import pytest

from controller.errors import HandlersBroken
from controller.framework import USERS_FINALIZER, Patch, Registry, load, on
from controller.testing import Harness
from proto.dockrunner import v1 as pb
from tests.unit.framework.world import World, running


async def hang(**_: Any) -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("activity", ["create", "update", "resume", "reconcile", "delete"])
async def test_one_that_hangs_keeps_nothing_built_in_from_its_work(activity: str) -> None:
    registry = Registry()
    with registry.loading("users"):
        getattr(on, activity)("Service", id="hangs", registry=registry)(hang)
    async with Harness(registry) as dock:
        for number in range(20):
            await dock.apply(f"s{number}", image="web:1")
        await dock.apply("web", image="web:1", annotations={"a": "1"})
        await dock.apply("web", image="web:2", replicas=2)
        await dock.advance(5)
        assert dock.service("web").status.ready_replicas == 2
        dock.engine.discard("web", slot=1)
        await dock.advance(5)
        assert dock.service("web").status.ready_replicas == 2


@pytest.mark.parametrize("activity", ["create", "update", "reconcile", "delete"])
async def test_whatever_hangs_a_deletion_by_force_goes_on_without_it(activity: str) -> None:
    registry = Registry()
    with registry.loading("users"):
        getattr(on, activity)("Service", id="hangs", registry=registry)(hang)
        on.delete("Service", id="bye", registry=registry)(hang)
    async with Harness(registry) as dock:
        await dock.apply("web", image="web:1")
        await dock.apply("web", image="web:2")
        await dock.delete("web")
        await dock.advance(60)
        assert dock.services() == ["web"]
        assert list(dock.service("web").metadata.finalizers) == [USERS_FINALIZER]
        await dock.delete("web", force=True)
        await dock.advance(5)
        assert dock.services() == []


async def test_one_that_takes_long_is_said_to(registry: Registry) -> None:
    with registry.loading("users"):
        on.create("Service", id="hangs", registry=registry)(hang)
    async with running(registry) as world:
        world.create()
        await world.clock.advance(59)
        assert not world.said("HandlerSlow")
        await world.clock.advance(1)
        (text,) = world.said("HandlerSlow")
        assert text.startswith("users: hangs: has been at work for 60 s")


async def test_one_that_changes_what_it_is_told_of_is_called_with_growing_pauses(registry: Registry) -> None:
    calls: list[float] = []

    @on.update("Service", registry=registry)
    async def count(patch: Patch, spec: pb.ServiceSpec) -> None:
        calls.append(world.clock.monotonic())
        patch.spec.environment["N"] = str(len(calls))

    async with running(registry) as world:
        world.create()
        await world.clock.advance(1)
        world.change("web:2")
        await world.clock.advance(600)
    assert 10 < len(calls) < 30
    pauses = [after - before for before, after in itertools.pairwise(calls)]
    assert pauses[:4] == [0, 0, 0, 0], "what settles soon need not wait"
    assert max(pauses) == pytest.approx(60, abs=1)
    assert len(world.said("HandlerLoop")) == 1


async def test_the_labels_of_a_container_are_its_services(registry: Registry) -> None:
    @on.create("Container", registry=registry)
    async def label(patch: Patch) -> None:
        patch.labels["x"] = "1"

    async with running(registry) as world:
        world.create_container()
        await world.clock.advance(1)
        assert "labels of a container are those of its service" in world.said()[0]


def test_a_module_that_asks_for_what_there_is_not_is_left_out_with_the_nearest_name(
    registry: Registry, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on, "default", registry)
    path = tmp_path / "typo.py"
    path.write_text("from controller import on\n@on.create('Service')\nasync def a(nme, **_): ...\n")
    with pytest.raises(HandlersBroken, match=r"on\.create has no argument 'nme'; did you mean 'name'"):
        load(registry, str(path))
    assert not registry.handlers


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": "5s"},
        {"timeout": -1},
        {"backoff": 0},
        {"retries": 0},
        {"retries": 1.5},
        {"labels": "x"},
        {"when": 3},
    ],
)
def test_an_option_of_a_wrong_kind_is_refused_where_it_stands(registry: Registry, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"on.create: {next(iter(options))}="):
        on.create("Service", registry=registry, **options)


async def test_a_validator_that_answers_false_refuses(registry: Registry) -> None:
    @on.validate("Service", registry=registry)
    async def no() -> bool:
        return False

    world = World(registry)
    with pytest.raises(Exception, match="refused by handler"):
        await world.declare()
