"""@on.update: called when spec, labels or annotations differ from what the handler has seen, until it succeeds."""

from typing import Any

import pytest

from controller.errors import PermanentError, TemporaryError
from controller.framework import Patch, Registry, on
from proto.dockrunner import v1 as pb
from tests.unit.framework.world import failing, noting, running


def images(told: list[Any], fails: Any = ()) -> Any:
    """A handler that notes from which image to which, and fails for good for those to ``fails``."""

    async def handler(old: pb.Service, new: pb.Service) -> None:
        told.append((old.spec.image, new.spec.image))
        if new.spec.image in fails:
            raise PermanentError("never")

    return handler


async def test_a_status_write_is_no_update(registry: Registry) -> None:
    told: list[str] = []

    @on.update("Service", registry=registry)
    async def updated(**_: Any) -> None:
        told.append("update")

    async with running(registry) as world:
        world.create()
        await world.clock.advance(1)
        world.write_status(1)
        await world.clock.advance(1)
    assert told == []


async def test_a_handler_is_not_told_of_the_status_it_writes_itself(registry: Registry) -> None:
    told: list[Any] = []

    @on.update("Service", registry=registry)
    async def updated(patch: Patch) -> None:
        told.append("update")
        patch.status.replicas += 1

    async with running(registry) as world:
        world.create()
        await world.clock.advance(1)
        world.change("web:2")
        await world.clock.advance(1000)
        assert world.service().status.replicas == 1
    assert told == ["update"]


@pytest.mark.parametrize("path", ["labels", "annotations"])
async def test_labels_and_annotations_count_as_the_spec_does(registry: Registry, path: str) -> None:
    told: list[Any] = []
    on.update("Service", id="it", registry=registry)(noting(told, "diff"))
    async with running(registry) as world:
        world.create()
        await world.clock.advance(1)

        def edit(service: pb.Service) -> None:
            getattr(service.metadata, path)["example.org/team"] = "shop"

        world.edit(edit)
        await world.clock.advance(1)
    ((difference,),) = told
    assert difference.path == ("metadata", path, "example.org/team")
    assert (difference.old, difference.new) == (None, "shop")


async def test_several_changes_before_a_pass_are_told_as_one(registry: Registry) -> None:
    told: list[Any] = []
    on.update("Service", id="it", registry=registry)(images(told))
    async with running(registry) as world:
        world.create()
        await world.clock.advance(1)
        world.change("web:2")
        world.change("web:3")
        await world.clock.advance(1)
    assert told == [("web:1", "web:3")]


async def test_with_a_field_it_is_told_of_that_alone_with_its_values(registry: Registry) -> None:
    told: list[Any] = []

    @on.update("Service", field="spec.image", registry=registry)
    async def image(old: str, new: str, diff: Any) -> None:
        told.append((old, new, [(it.path, it.old, it.new) for it in diff]))

    async with running(registry) as world:
        world.create()
        await world.clock.advance(1)
        world.label("tier", "front")
        await world.clock.advance(1)
        assert told == []
        world.change("web:2")
        await world.clock.advance(1)
    assert told == [("web:1", "web:2", [((), "web:1", "web:2")])]


async def test_what_is_remembered_does_not_advance_past_a_handler_that_failed_for_good(registry: Registry) -> None:
    told: list[Any] = []
    on.update("Service", id="it", registry=registry)(images(told, fails={"web:2"}))
    async with running(registry) as world:
        world.create()
        await world.clock.advance(1)
        world.change("web:2")
        await world.clock.advance(1)
        world.change("web:3")
        await world.clock.advance(1)
    assert told == [("web:1", "web:2"), ("web:1", "web:3")]


async def test_a_handler_that_failed_for_good_is_called_again_after_an_hour_with_the_same_change(
    registry: Registry,
) -> None:
    told: list[Any] = []
    on.update("Service", id="it", registry=registry)(images(told, fails={"web:2"}))
    async with running(registry) as world:
        world.create()
        await world.clock.advance(1)
        world.change("web:2")
        await world.clock.advance(3599)
        assert told == [("web:1", "web:2")]
        await world.clock.advance(2)
        assert told == [("web:1", "web:2")] * 2


async def test_a_handler_that_failed_for_good_is_called_again_after_a_restart_with_the_same_change(
    registry: Registry,
) -> None:
    told: list[Any] = []
    on.update("Service", id="it", registry=registry)(images(told, fails={"web:2"}))
    async with running(registry) as world:
        world.create()
        await world.clock.advance(1)
        world.change("web:2")
        await world.clock.advance(1)
    assert told == [("web:1", "web:2")]
    async with running(registry, after=world) as later:
        await later.clock.advance(1)
    assert told == [("web:1", "web:2")] * 2


async def test_a_handler_that_succeeded_is_told_of_the_next_change_alone_while_another_one_fails(
    registry: Registry,
) -> None:
    good: list[Any] = []
    bad: list[Any] = []
    on.update("Service", id="good", registry=registry)(images(good))
    on.update("Service", id="bad", registry=registry)(images(bad, fails={"web:2"}))
    async with running(registry) as world:
        world.create()
        await world.clock.advance(1)
        world.change("web:2")
        await world.clock.advance(1)
        world.change("web:3")
        await world.clock.advance(1)
    assert good == [("web:1", "web:2"), ("web:2", "web:3")]
    assert bad == [("web:1", "web:2"), ("web:1", "web:3")]


async def test_a_handler_that_saw_an_abandoned_change_is_told_of_the_way_back(registry: Registry) -> None:
    good: list[Any] = []
    bad: list[Any] = []
    on.update("Service", id="good", registry=registry)(images(good))
    on.update("Service", id="bad", registry=registry)(images(bad, fails={"web:2"}))
    async with running(registry) as world:
        world.create()
        await world.clock.advance(1)
        world.change("web:2")
        await world.clock.advance(1)
        world.change("web:1")
        await world.clock.advance(1)
        assert good == [("web:1", "web:2"), ("web:2", "web:1")]
        assert bad == [("web:1", "web:2")], "for it nothing has changed since it last succeeded"
        await world.clock.advance(2 * 3600)
    assert (len(good), len(bad)) == (2, 1)


async def test_a_handler_that_fails_is_called_by_its_own_pause_and_nobody_else_is(registry: Registry) -> None:
    good: list[Any] = []
    calls: list[Any] = []
    on.update("Service", id="good", registry=registry)(images(good))
    on.update("Service", id="bad", registry=registry)(failing(calls, lambda: TemporaryError("wait", delay=30), times=3))
    async with running(registry) as world:
        world.create()
        await world.clock.advance(1)
        world.change("web:2")
        await world.clock.advance(89)
        assert calls == [("web:2", 0), ("web:2", 1), ("web:2", 2)]
        await world.clock.advance(2)
    assert calls[3:] == [("web:2", 3)]
    assert good == [("web:1", "web:2")]


async def test_a_service_that_goes_while_its_handlers_are_called_is_let_be(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[str] = []

    @on.update("Service", registry=registry)
    async def first() -> None:
        world.delete()

    on.update("Service", id="second", registry=registry)(noting(told, "name"))
    async with running(registry) as world:
        world.create()
        await world.clock.advance(1)
        world.change("web:2")
        await world.clock.advance(1)
        assert world.metric("controller_runtime_reconcile_panics_total") == 0
    assert told == []
    assert "the pass failed" not in caplog.text


async def test_a_label_that_a_handler_sets_by_its_patch_is_told_as_anybodys(registry: Registry) -> None:
    told: list[Any] = []

    @on.create("Service", registry=registry)
    async def mark(patch: Patch) -> None:
        patch.labels["tier"] = "front"

    on.update("Service", id="it", field="labels.tier", registry=registry)(noting(told, "old", "new"))
    async with running(registry) as world:
        world.create()
        await world.clock.advance(1)
    assert told == [(None, "front")]
