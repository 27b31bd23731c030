"""@on.field: called when the field of an object comes to be, changes or goes; at creation ``old`` is None."""

from typing import Any

import pytest

from controller.errors import PermanentError
from controller.framework import ABSENT, PRESENT, Registry, on
from proto.dockrunner import v1 as pb
from tests.unit.framework.world import failing, noting, running


async def test_it_is_told_when_the_field_comes_to_be_changes_and_goes(registry: Registry) -> None:
    told: list[Any] = []
    on.field("Service", field="labels.tier", id="it", registry=registry)(noting(told, "reason", "old", "new"))
    async with running(registry) as world:
        world.create()
        await world.clock.advance(1)
        assert told == [], "it is not there yet"
        for value in ("front", "back", None):
            world.label("tier", value)
            await world.clock.advance(1)
    assert told == [("update", None, "front"), ("update", "front", "back"), ("update", "back", None)]


async def test_at_creation_there_is_no_old_value(registry: Registry) -> None:
    told: list[Any] = []
    on.field("Service", field="spec.image", id="it", registry=registry)(noting(told, "reason", "old", "new"))
    async with running(registry) as world:
        world.create()
        await world.clock.advance(1)
        world.write_status(1)
        await world.clock.advance(1)
    assert told == [("create", None, "web:1")]


async def test_a_field_that_is_a_message_is_told_as_one_with_what_changed_in_it(registry: Registry) -> None:
    told: list[Any] = []

    @on.field("Service", field="spec", registry=registry)
    async def spec(old: Any, new: pb.ServiceSpec, diff: Any) -> None:
        told.append((old and old.image, new.image, [(it.path, it.old, it.new) for it in diff]))

    async with running(registry) as world:
        world.create()
        await world.clock.advance(1)
        world.change("web:2")
        await world.clock.advance(1)
    assert told[1] == ("web:1", "web:2", [(("image",), "web:1", "web:2")])


async def test_old_and_new_say_which_changes_it_is_for(registry: Registry) -> None:
    told: list[Any] = []
    options: dict[str, Any] = {"field": "spec.user", "registry": registry}
    on.field("Service", id="came", old=ABSENT, new=PRESENT, **options)(noting(told, "new"))
    on.field("Service", id="to root", new="root", **options)(noting(told, "old"))
    on.field("Service", id="from root", old="root", **options)(noting(told, "new"))
    async with running(registry) as world:
        world.create()
        for user in ("app", "root", ""):
            await world.clock.advance(1)

            def edit(service: pb.Service, user: str = user) -> None:
                service.spec.user = user

            world.edit(edit)
        await world.clock.advance(1)
    assert told == ["app", "app", None]


async def test_one_function_may_handle_several_fields(registry: Registry) -> None:
    told: list[Any] = []

    @on.field("Service", field="spec.image", registry=registry)
    @on.field("Service", field="spec.user", registry=registry)
    async def either(new: Any) -> None:
        told.append(new)

    async with running(registry) as world:
        world.create(user="app")
        await world.clock.advance(1)
    assert told == ["app", "web:1"]


async def test_one_that_succeeded_is_told_of_no_second_creation_while_another_handler_fails(
    registry: Registry,
) -> None:
    told: list[Any] = []
    on.field("Service", field="spec.image", id="it", registry=registry)(noting(told, "old", "new"))
    on.create("Service", id="bad", registry=registry)(failing([], lambda: PermanentError("never"), times=1000))
    async with running(registry) as world:
        world.create()
        await world.clock.advance(1)
        world.change("web:2")
        await world.clock.advance(1)
    assert told == [(None, "web:1"), ("web:1", "web:2")]


def test_it_needs_a_field(registry: Registry) -> None:
    with pytest.raises(ValueError, match=r"on\.field needs field="):
        on.field("Service", registry=registry)
