"""@on.validate: called before a declaration is stored; refuses it by PermanentError, Invalid or returned Violations."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from controller.errors import AdmissionFailed, Invalid, PermanentError, TemporaryError, Violation
from controller.framework import ABSENT, Patch, Registry, on
from proto.dockrunner import v1 as pb
from tests.unit.framework.world import running


async def refusals(declaring: Any) -> list[str]:
    with pytest.raises(Invalid) as caught:
        await declaring
    return [str(violation) for violation in caught.value.violations]


async def test_all_violations_of_all_handlers_are_collected(registry: Registry) -> None:
    @on.validate("Service", registry=registry)
    async def two() -> Sequence[Violation]:
        return [Violation("spec.image", "must be ours"), Violation("spec.user", "must not be root")]

    @on.validate("Service", field="spec.image", registry=registry)
    async def one() -> None:
        raise PermanentError("must have a tag")

    @on.validate("Service", registry=registry)
    def further() -> None:
        raise Invalid([Violation("", "not on Fridays")])

    async with running(registry) as world:
        assert await refusals(world.declare()) == [
            "spec.image: must be ours",
            "spec.user: must not be root",
            "spec.image: must have a tag",
            "not on Fridays",
        ]
        assert not world.is_there()


async def test_what_nobody_has_anything_against_is_let_in(registry: Registry) -> None:
    @on.validate("Service", registry=registry)
    async def well() -> None:
        pass

    async with running(registry) as world:
        await world.declare()
        assert world.is_there()


async def test_a_validator_that_fails_lets_nothing_in(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    @on.validate("Service", registry=registry)
    async def broken(spec: pb.ServiceSpec) -> None:
        raise KeyError(spec.image)

    async with running(registry) as world:
        with pytest.raises(AdmissionFailed, match="broken failed, so it cannot be allowed"):
            await world.declare()
        assert not world.is_there()
    assert "KeyError: 'web:1'" in caplog.text


async def test_a_validator_that_cannot_say_yet_lets_nothing_in(registry: Registry) -> None:
    @on.validate("Service", id="asks", registry=registry)
    async def asks() -> None:
        raise TemporaryError("the registry does not answer")

    async with running(registry) as world:
        with pytest.raises(AdmissionFailed, match=r"asks cannot say yet .*: the registry does not answer"):
            await world.declare()


async def test_a_validator_that_answers_nonsense_lets_nothing_in(registry: Registry) -> None:
    @on.validate("Service", id="odd", registry=registry)
    async def odd() -> Any:
        return ["no"]

    async with running(registry) as world:
        with pytest.raises(AdmissionFailed, match="odd answered str where a Violation was expected"):
            await world.declare()


async def test_a_validator_whose_filter_fails_lets_nothing_in(registry: Registry) -> None:
    @on.validate("Service", id="picky", labels={"tier": lambda value: value.startswith("a")}, registry=registry)
    async def picky() -> None:
        pass

    async with running(registry) as world:
        with pytest.raises(AdmissionFailed, match="picky failed"):
            await world.declare()


@pytest.mark.parametrize(("options", "seconds"), [({}, 10.0), ({"timeout": 3.0}, 3.0)])
async def test_a_validator_of_the_users_has_10_seconds_unless_it_says_otherwise(
    registry: Registry, options: Any, seconds: float
) -> None:
    with registry.loading("notify"):

        @on.validate("Service", registry=registry, **options)
        async def hangs() -> None:
            await asyncio.Event().wait()

    async with running(registry) as world:
        declaring = asyncio.create_task(world.declare())
        await world.clock.advance(seconds - 0.1)
        assert not declaring.done()
        await world.clock.advance(0.1)
        with pytest.raises(AdmissionFailed):
            await declaring


async def test_a_validator_is_told_what_changes_and_what_will_stand_beside_it(registry: Registry) -> None:
    told: list[Any] = []

    @on.validate("Service", registry=registry)
    async def check(
        name: str, reason: str, old: Any, new: Any, diff: Any, others: Sequence[pb.Service], dry_run: bool
    ) -> None:
        before = old.spec.image if old is not None else None
        paths = [difference.path for difference in diff]
        told.append((reason, before, new.spec.image, paths, [other.metadata.name for other in others], dry_run))

    async with running(registry) as world:
        world.create("db")
        await world.declare()
        await world.declare(image="web:2", dry_run=True)
    assert told == [
        ("create", None, "web:1", [], ["db"], False),
        ("update", "web:1", "web:2", [("spec", "image")], ["db"], True),
    ]


async def test_a_validator_of_a_field_is_asked_only_where_it_is_there_and_was_as_wanted(registry: Registry) -> None:
    told: list[Any] = []

    @on.validate("Service", field="spec.user", registry=registry)
    async def user(old: Any, new: Any) -> None:
        told.append(("user", old, new))

    @on.validate("Service", field="spec.user", old=ABSENT, registry=registry)
    async def first_user() -> None:
        told.append("first user")

    async with running(registry) as world:
        await world.declare()
        await world.declare(user="app")
        await world.declare(user="root")
    assert told == [("user", None, "app"), "first user", ("user", "app", "root")]


async def test_what_a_handler_makes_of_the_spec_by_its_patch_is_validated_too(registry: Registry) -> None:
    @on.validate("Service", registry=registry)
    async def check(spec: pb.ServiceSpec) -> Sequence[Violation]:
        return [Violation("spec.replicas", "at most 10")] if spec.replicas > 10 else []

    @on.create("Service", id="grow", registry=registry)
    async def grow(patch: Patch) -> None:
        patch.spec.replicas = 11

    async with running(registry) as world:
        await world.declare()
        await world.clock.advance(1)
        assert world.service().spec.replicas == 0
        assert world.said() == ["spec.replicas: at most 10"]


@pytest.mark.parametrize("decorator", [on.validate, on.mutate])
def test_there_is_nothing_to_check_of_a_container(registry: Registry, decorator: Any) -> None:
    with pytest.raises(ValueError, match="nobody declares a Container"):
        decorator("Container", registry=registry)
