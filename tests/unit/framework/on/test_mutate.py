"""@on.mutate: called before a declaration is validated; completes it by ``patch``."""

import pytest

from controller.errors import AdmissionFailed, Invalid, PermanentError
from controller.framework import Patch, Registry, on
from controller.store import SERVICE
from proto.dockrunner import v1 as pb
from tests.unit.framework.world import running


async def test_handlers_complete_a_declaration_in_order_each_on_what_the_one_before_made(registry: Registry) -> None:
    @on.mutate("Service", registry=registry)
    async def first(patch: Patch) -> None:
        patch.spec.environment["A"] = "1"

    @on.mutate("Service", registry=registry)
    def second(spec: pb.ServiceSpec, patch: Patch) -> None:
        patch.spec.environment["B"] = spec.environment["A"] + "2"
        patch.labels["seen"] = "yes"

    async with running(registry) as world:
        await world.declare()
        assert dict(world.service().spec.environment) == {"A": "1", "B": "12"}
        assert dict(world.service().metadata.labels) == {"seen": "yes"}


async def test_what_is_completed_is_validated(registry: Registry) -> None:
    @on.mutate("Service", registry=registry)
    async def wrong(patch: Patch) -> None:
        patch.spec.user = "root"

    @on.validate("Service", field="spec.user", value="root", registry=registry)
    async def check() -> None:
        raise PermanentError("must not be root")

    async with running(registry) as world:
        with pytest.raises(Invalid, match=r"spec\.user: must not be root"):
            await world.declare()


async def test_what_was_declared_itself_is_left_as_it_is(registry: Registry) -> None:
    @on.mutate("Service", registry=registry)
    async def complete(patch: Patch) -> None:
        patch.spec.user = "app"

    async with running(registry) as world:
        declared = pb.Service(metadata=pb.Metadata(name="web"), spec=pb.ServiceSpec(image="web:1"))
        complete_ = await world.operator.admission.complete(SERVICE, declared, None)
        assert (declared.spec.user, complete_.spec.user) == ("", "app")


async def test_a_mutator_that_fails_lets_nothing_in(registry: Registry) -> None:
    @on.mutate("Service", registry=registry)
    async def broken(patch: Patch) -> None:
        patch.spec.user = "app"
        raise OSError

    async with running(registry) as world:
        with pytest.raises(AdmissionFailed):
            await world.declare()
        assert not world.is_there()


async def test_a_mutator_may_refuse(registry: Registry) -> None:
    @on.mutate("Service", registry=registry)
    async def never() -> None:
        raise PermanentError("not today")

    async with running(registry) as world:
        with pytest.raises(Invalid, match="not today"):
            await world.declare()


async def test_what_a_handler_adds_to_the_spec_by_its_patch_is_completed_too(registry: Registry) -> None:
    @on.mutate("Service", registry=registry)
    async def fill_in(spec: pb.ServiceSpec, patch: Patch) -> None:
        for port in patch.spec.ports:
            port.protocol = port.protocol or "tcp"

    @on.create("Service", registry=registry)
    async def publish(patch: Patch) -> None:
        patch.spec.ports.add(target=80)

    async with running(registry) as world:
        await world.declare()
        await world.clock.advance(1)
        assert [port.protocol for port in world.service().spec.ports] == ["tcp"]
