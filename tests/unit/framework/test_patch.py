"""``patch`` and ``status``: what a handler wants changed, carried over to the object as it is by then."""

from typing import Any

from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.errors import PermanentError, TemporaryError
from controller.framework import Patch, Registry, on
from controller.framework.patch import merge
from controller.store import SERVICE
from proto.dockrunner import v1 as pb
from tests.unit.framework.world import running


async def test_only_what_was_changed_is_written_and_what_others_changed_meanwhile_stays(registry: Registry) -> None:
    @on.create("Service", registry=registry)
    async def slow(patch: Patch) -> None:
        patch.spec.user = "app"
        patch.labels["tier"] = "front"
        await world.clock.sleep(10)
        patch.spec.environment["A"] = "handler"

    async with running(registry) as world:
        world.create()
        await world.clock.advance(5)

        def others(service: pb.Service) -> None:
            service.spec.image = "web:2"
            service.spec.environment["B"] = "others"
            service.metadata.labels["team"] = "shop"

        world.edit(others)
        await world.clock.advance(10)
        service = world.service()
        assert (service.spec.image, service.spec.user) == ("web:2", "app")
        assert dict(service.spec.environment) == {"A": "handler", "B": "others"}
        assert dict(service.metadata.labels) == {"tier": "front", "team": "shop"}


async def test_status_is_the_status_of_the_patch_and_keeps_what_others_wrote_meanwhile(registry: Registry) -> None:
    @on.create("Service", registry=registry)
    async def slow(status: pb.ServiceStatus) -> None:
        status.restarts = 3
        status.conditions.add(type="Announced", status="True")
        await world.clock.sleep(10)

    async with running(registry) as world:
        world.create()
        await world.clock.advance(5)

        def others(service: pb.Service) -> None:
            service.status.replicas = 2
            service.status.conditions.add(type="Ready", status="False")

        world.store.update_status(SERVICE, "web", others)
        await world.clock.advance(10)
        status = world.service().status
        assert (status.restarts, status.replicas) == (3, 2)
        assert {condition.type: condition.status for condition in status.conditions} == {
            "Ready": "False",
            "Announced": "True",
        }


async def test_what_a_handler_wants_changed_is_written_also_when_it_fails(registry: Registry) -> None:
    @on.create("Service", registry=registry)
    async def waits(patch: Patch, retry: int) -> None:
        patch.status.restarts = retry + 1
        raise TemporaryError("not yet", delay=10) if retry < 2 else PermanentError("never")

    async with running(registry) as world:
        world.create()
        await world.clock.advance(1)
        assert world.service().status.restarts == 1
        await world.clock.advance(100)
        assert world.service().status.restarts == 3


async def test_a_patch_without_a_change_makes_no_version(registry: Registry) -> None:
    @on.create("Service", registry=registry)
    async def reads(patch: Patch, status: pb.ServiceStatus) -> None:
        patch.spec.image = str(patch.spec.image)
        _ = patch.labels, patch.annotations, patch.metadata, status.replicas

    async with running(registry) as world:
        world.create()
        before = world.service().metadata.resource_version
        await world.clock.advance(1)
        assert world.service().metadata.resource_version == before


async def test_what_a_handler_does_to_its_other_arguments_has_no_effect(registry: Registry) -> None:
    @on.create("Service", registry=registry)
    async def careless(body: pb.Service, spec: pb.ServiceSpec, labels: Any, meta: pb.Metadata) -> None:
        spec.image = "other"
        labels["tier"] = "front"
        meta.name = "other"
        body.status.replicas = 9

    async with running(registry) as world:
        world.create()
        before = world.service().SerializeToString(deterministic=True)
        await world.clock.advance(1)
        assert world.service().SerializeToString(deterministic=True) == before


async def test_what_only_the_server_writes_cannot_be_patched(registry: Registry) -> None:
    @on.create("Service", registry=registry)
    async def bold(patch: Patch) -> None:
        patch.metadata.uid = "mine"
        patch.metadata.generation = 99
        patch.metadata.labels["tier"] = "front"

    async with running(registry) as world:
        world.create()
        before = world.service().metadata
        await world.clock.advance(1)
        after = world.service().metadata
        assert (after.uid, after.generation, after.name) == (before.uid, before.generation, "web")
        assert after.labels["tier"] == "front"


async def test_the_patch_of_an_object_that_is_gone_is_dropped(registry: Registry) -> None:
    @on.create("Service", registry=registry)
    async def slow(patch: Patch, spec: pb.ServiceSpec) -> None:
        if spec.image == "web:1":
            patch.spec.user = "app"
            await world.clock.sleep(10)

    async with running(registry) as world:
        world.create()
        await world.clock.advance(1)
        world.delete()
        world.create(image="web:2")
        await world.clock.advance(20)
        assert world.service().spec.user == "", "that is another object of the same name"
        assert world.said() == []


async def test_of_an_object_that_is_being_deleted_the_status_can_still_be_written(registry: Registry) -> None:
    @on.delete("Service", registry=registry)
    async def report(patch: Patch) -> None:
        patch.spec.user = "app"
        patch.status.restarts = 5
        raise TemporaryError("not yet", delay=10)

    async with running(registry) as world:
        world.create()
        await world.clock.advance(1)
        world.delete()
        await world.clock.advance(1)
        assert (world.service().spec.user, world.service().status.restarts) == ("", 5)


# The merge of three.

_NAMES = st.sampled_from(["a", "b", "c"])
_TEXTS = st.sampled_from(["", "x", "y", "z"])
_CONDITIONS = st.dictionaries(_NAMES, st.builds(pb.Condition, status=_TEXTS, reason=_TEXTS), max_size=3)


@st.composite
def services(draw: st.DrawFn) -> pb.Service:
    """A service in which every sort of field occurs: plain, optional, message, list, both sorts of map, conditions."""
    service = pb.Service()
    service.metadata.labels.update(draw(st.dictionaries(_NAMES, _TEXTS, max_size=3)))
    spec = service.spec
    spec.image, spec.user = draw(_TEXTS), draw(_TEXTS)
    spec.environment.update(draw(st.dictionaries(_NAMES, _TEXTS, max_size=3)))
    spec.command.extend(draw(st.lists(_TEXTS, max_size=3)))
    if draw(st.booleans()):
        spec.replicas = draw(st.integers(0, 2))
    if draw(st.booleans()):
        spec.stop_grace_period.seconds = draw(st.integers(0, 2))
    for name in draw(st.sets(_NAMES)):
        spec.networks[name].aliases.extend(draw(st.lists(_NAMES, max_size=2)))
    if draw(st.booleans()):
        service.status.rollout.SetInParent()
        service.status.rollout.order = draw(_TEXTS)
    for type_, condition in draw(_CONDITIONS).items():
        condition.type = type_
        service.status.conditions.append(condition)
    return service


def leaves(service: pb.Service) -> dict[tuple[str, ...], Any]:
    """What may be changed by itself, each with its value: fields, entries of maps, conditions by their type."""
    spec, found = service.spec, dict[tuple[str, ...], Any]()
    found["image",], found["user",] = spec.image, spec.user
    found["command",] = list(spec.command)
    found["replicas",] = spec.replicas if spec.HasField("replicas") else None
    found["grace",] = spec.stop_grace_period.seconds
    found["rollout",] = service.status.rollout.order
    found.update({("labels", key): value for key, value in service.metadata.labels.items()})
    found.update({("environment", key): value for key, value in spec.environment.items()})
    found.update({("networks", key): list(value.aliases) for key, value in spec.networks.items()})
    for condition in service.status.conditions:
        found["conditions", condition.type] = (condition.status, condition.reason)
    return found


def merged(before: Message, after: Message, current: Message) -> Any:
    target: Any = type(current)()
    target.CopyFrom(current)
    merge(before, after, target)
    return target


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(services(), services())
def test_carried_over_to_an_unchanged_object_it_gives_exactly_the_edited_one(
    before: pb.Service, after: pb.Service
) -> None:
    result = merged(before, after, before)
    assert leaves(result) == leaves(after)
    assert result.spec == after.spec
    assert result.metadata == after.metadata
    assert result.status.HasField("rollout") == after.status.HasField("rollout")


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(services(), services(), services())
def test_no_concurrent_change_of_another_field_is_lost_and_every_change_of_the_handlers_is_made(
    before: pb.Service, after: pb.Service, current: pb.Service
) -> None:
    was, wanted, theirs = leaves(before), leaves(after), leaves(current)
    result = leaves(merged(before, after, current))
    for key in {*was, *wanted, *theirs, *result}:
        changed = was.get(key) != wanted.get(key)
        assert result.get(key) == (wanted if changed else theirs).get(key), key


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(services(), services())
def test_nothing_changed_changes_nothing(before: pb.Service, current: pb.Service) -> None:
    assert merged(before, before, current) == current
