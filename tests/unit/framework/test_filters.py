"""Filters: which objects a handler wants to hear of. All that are given must hold."""

import re
from typing import Any

import pytest

from controller.errors import PermanentError
from controller.framework import ABSENT, PRESENT, Registry, on
from controller.store import SERVICE
from proto.dockrunner import v1 as pb
from tests.unit.framework.world import noting, running


async def called_for(registry: Registry, options: dict[str, Any]) -> list[str]:
    """Which of a few services a handler with these options is called for."""
    called: list[str] = []
    on.create("Service", id="it", registry=registry, **options)(noting(called, "name"))
    async with running(registry) as world:
        world.create("front", labels={"tier": "front", "team": "shop"}, user="app")
        world.create("back", labels={"tier": "back", "team": "shop"}, replicas=3)
        world.create("none", image="")

        def annotate(service: pb.Service) -> None:
            service.metadata.annotations["example.org/page"] = "no"

        world.edit(annotate, "none")
        await world.clock.settle()
    return sorted(called)


def without_addresses(value: object) -> str:
    """The same in every process: functions are part of the filters."""
    return re.sub(" at 0x[0-9a-f]+", "", str(value))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["back", "front", "none"]),
        ({"labels": {"tier": "front"}}, ["front"]),
        ({"labels": {"tier": PRESENT}}, ["back", "front"]),
        ({"labels": {"tier": ABSENT}}, ["none"]),
        ({"labels": {"tier": lambda value: value in ("back", None)}}, ["back", "none"]),
        ({"labels": {"tier": "front", "team": "other"}}, []),
        ({"annotations": {"example.org/page": "no"}}, ["none"]),
        ({"annotations": {"example.org/page": ABSENT}, "labels": {"team": "shop"}}, ["back", "front"]),
        ({"field": "spec.image"}, ["back", "front"]),
        ({"field": "spec.user", "value": "app"}, ["front"]),
        ({"field": "spec.user", "new": "app"}, ["front"]),
        ({"field": "spec.replicas", "value": lambda number: number is not None and number > 2}, ["back"]),
        ({"field": "labels.tier"}, ["back", "front"]),
        ({"field": "metadata.labels.tier", "value": "back"}, ["back"]),
        ({"field": "annotations.example.org/page"}, ["none"]),
        ({"field": ["annotations", "example.org/page"]}, ["none"]),
        ({"when": lambda name, **_: name == "none"}, ["none"]),
        ({"when": lambda spec, labels: spec.image and labels["tier"] == "back"}, ["back"]),
        ({"labels": {"team": "shop"}, "field": "spec.user", "when": lambda retry: retry == 0}, ["front"]),
    ],
    ids=without_addresses,
)
async def test_a_handler_is_called_for_what_matches_all_of_its_filters(
    registry: Registry, options: dict[str, Any], expected: list[str]
) -> None:
    assert await called_for(registry, options) == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"field": "spec.image"}, [("web:1", "web:2"), ("web:2", "web:3")]),
        ({"field": "spec.image", "new": "web:3"}, [("web:2", "web:3")]),
        ({"field": "spec.image", "old": "web:1"}, [("web:1", "web:2")]),
        ({"field": "spec.image", "value": lambda image: image.endswith("3")}, [("web:2", "web:3")]),
        ({"field": "spec.image", "old": "web:1", "new": "web:3"}, []),
        ({"field": "spec.user"}, []),
        ({"field": "labels.tier"}, [(None, "front")]),
        ({"field": "labels.tier", "old": PRESENT}, []),
    ],
    ids=without_addresses,
)
async def test_an_update_is_told_when_the_field_has_changed_as_wanted(
    registry: Registry, options: dict[str, Any], expected: list[Any]
) -> None:
    told: list[Any] = []
    on.update("Service", id="it", registry=registry, **options)(noting(told, "old", "new"))
    async with running(registry) as world:
        world.create()
        await world.clock.settle()
        world.change("web:2")
        await world.clock.settle()
        world.label("tier", "front")
        world.change("web:3")
        await world.clock.settle()
    assert told == expected


async def test_a_when_that_raises_is_an_error_of_the_handler(registry: Registry) -> None:
    called: list[str] = []

    def when(**_: Any) -> bool:
        raise PermanentError("cannot tell")

    on.create("Service", id="it", when=when, registry=registry)(noting(called, "name"))
    async with running(registry) as world:
        world.create()
        await world.clock.settle()
        assert (called, world.said()) == ([], ["cannot tell"])


# What is refused at declaration.


@pytest.mark.parametrize(
    ("kind", "hint"),
    [
        ("service", "did you mean Service?"),
        ("Services", "did you mean Service?"),
        ("Contaner", "did you mean Container?"),
        ("Pod", "there are for Service and Container"),
    ],
)
def test_a_kind_that_is_not_there_is_refused_with_the_nearest_name(registry: Registry, kind: str, hint: str) -> None:
    with pytest.raises(ValueError, match="there are no handlers for") as caught:
        on.create(kind, registry=registry)
    assert hint in str(caught.value)


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("spec.imagee", "there is no field 'spec.imagee'; did you mean image?"),
        ("spce.image", "there is no field 'spce'; did you mean spec?"),
        ("spec.networks.front.alias", "there is no field 'spec.networks.front.alias'; did you mean aliases?"),
        ("spec.image.tag", "there is no field 'spec.image.tag'"),
        ("lables.tier", "there is no field 'lables'"),
    ],
)
def test_a_field_that_is_not_there_is_refused_with_the_nearest_name(
    registry: Registry, field: str, message: str
) -> None:
    with pytest.raises(ValueError, match="there is no field") as caught:
        on.update("Service", field=field, registry=registry)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("activity", "option", "message"),
    [
        ("create", "labls", "on.create has no option 'labls'; did you mean labels?"),
        ("create", "retires", "on.create has no option 'retires'; did you mean retries?"),
        ("event", "retries", "on.event has no option 'retries'; there are id, param, registry"),
        ("validate", "errors", "on.validate has no option 'errors'; there are id, param, registry"),
        ("index", "timeout", "on.index has no option 'timeout'; there are id, param, registry"),
        ("delete", "optional", "on.delete has no option 'optional'; there are id, param, registry"),
    ],
)
def test_an_option_that_the_decorator_has_not_is_refused(
    registry: Registry, activity: str, option: str, message: str
) -> None:
    with pytest.raises(TypeError) as caught:
        getattr(on, activity)("Service", registry=registry, **{option: 1})
    assert str(caught.value).startswith(message)


def test_an_option_of_objects_is_refused_where_there_is_none(registry: Registry) -> None:
    options: dict[str, Any] = {"labels": {"tier": "front"}}
    with pytest.raises(TypeError, match=r"on\.startup has no option 'labels'"):
        on.startup(registry=registry, **options)


@pytest.mark.parametrize("name", ["value", "old", "new"])
def test_a_value_without_its_field_is_refused(registry: Registry, name: str) -> None:
    options: dict[str, Any] = {name: "web:1"}
    with pytest.raises(ValueError, match=f"on.update: {name}= speaks of a field"):
        on.update("Service", registry=registry, **options)


def test_an_old_value_is_refused_where_nobody_is_told_of_changes(registry: Registry) -> None:
    with pytest.raises(ValueError, match=r"on\.timer is not told of changes"):
        on.timer("Service", interval=1, field="spec.image", old="web:1", registry=registry)


@pytest.mark.parametrize("activity", ["create", "update", "field", "resume", "validate", "mutate"])
def test_the_status_is_refused_where_nobody_is_told_of_it(registry: Registry, activity: str) -> None:
    with pytest.raises(ValueError, match="is not told of the status"):
        getattr(on, activity)("Service", field="status.replicas", registry=registry)


def test_two_handlers_of_one_id_are_refused(registry: Registry) -> None:
    on.create("Service", id="it", registry=registry)(lambda: None)
    with pytest.raises(ValueError, match="two handlers 'it'"):
        on.create("Service", id="it", registry=registry)(lambda: None)


def test_one_id_may_stand_in_two_modules_for_two_kinds_and_under_two_decorators(registry: Registry) -> None:
    for module in ("notify", "audit"):
        with registry.loading(module):
            for kind in ("Service", "Container"):
                on.create(kind, id="it", registry=registry)(lambda: None)
                on.update(kind, id="it", registry=registry)(lambda: None)
    assert len({(handler.kind, handler.key) for handler in registry.handlers}) == 8


async def test_a_field_may_be_one_of_a_map_of_messages(registry: Registry) -> None:
    told: list[Any] = []
    on.field("Service", field="spec.networks.front.aliases", id="it", registry=registry)(noting(told, "old", "new"))
    async with running(registry) as world:
        world.create()
        await world.clock.settle()

        def attach(service: pb.Service) -> None:
            service.spec.networks["front"].aliases.append("www")

        world.edit(attach)
        await world.clock.settle()
    assert told == [(None, ["www"])]


async def test_labels_are_those_that_selectors_see_so_also_those_of_the_containers(registry: Registry) -> None:
    called: list[Any] = []
    on.create("Service", labels={"tier": "front"}, registry=registry)(noting(called, "labels"))
    async with running(registry) as world:
        world.store.create(
            SERVICE,
            pb.Service(
                metadata=pb.Metadata(name="web", labels={"own": "1"}),
                spec=pb.ServiceSpec(image="web:1", labels={"tier": "front", "own": "2"}),
            ),
        )
        await world.clock.settle()
    assert called == [{"tier": "front", "own": "1"}]
