"""Admission of services by the built-in handlers, beside others."""

import time
from collections.abc import Sequence

import pytest

from controller.errors import Invalid
from controller.framework import Registry, on
from controller.store import Listing
from controller.testing import Harness
from handlers.policy import Policy
from proto.dockrunner import v1 as pb


def service(name: str, published: str = "", host_ip: str = "", **spec: object) -> pb.Service:
    wanted = pb.Service(metadata=pb.Metadata(name=name), spec=pb.ServiceSpec(image="web:1", replicas=1))
    wanted.spec.MergeFrom(pb.ServiceSpec(**spec))  # type: ignore[arg-type]  # any field
    if published:
        wanted.spec.ports.add(target=80, published=published, host_ip=host_ip)
    return wanted


async def admit(
    dock: Harness, services: Sequence[pb.Service], others: Sequence[pb.Service] = ()
) -> Sequence[pb.Service]:
    listing = Listing(lambda: others, len(others))
    return await dock.program.admission.admit(services, [None] * len(services), listing)


@pytest.mark.parametrize(
    ("first", "second", "collide"),
    [
        (("8080", ""), ("8080", ""), True),
        (("8080-8089", ""), ("8085", ""), True),
        (("8080-8089", ""), ("8090", ""), False),
        (("8080", "127.0.0.1"), ("8080", "10.0.0.1"), False),
        (("8080", "127.0.0.1"), ("8080", ""), True),
    ],
)
async def test_host_ports_belong_to_one_service_alone(
    first: tuple[str, str], second: tuple[str, str], collide: bool
) -> None:
    async with Harness() as dock:
        for services, others in (
            ([service("a", *first), service("b", *second)], []),
            ([service("b", *second)], [service("a", *first)]),
        ):
            try:
                await admit(dock, services, others)
            except Invalid as error:
                assert collide
                (violation,) = error.violations
                assert "is claimed by service a" in violation.description
                assert violation.field == f"[{len(services) - 1}].spec.ports[0].published"
            else:
                assert not collide


async def test_thousands_of_published_ports_are_compared_in_a_moment() -> None:
    services = [service(f"s{number}", str(10_000 + number)) for number in range(2000)]
    async with Harness() as dock:
        began = time.perf_counter()
        await admit(dock, services)
        assert time.perf_counter() - began < 8, "one by one with each other it takes many times as long"


async def test_a_policy_limits_how_many_services_are_made_and_lets_the_present_ones_change() -> None:
    async with Harness(policy=Policy(max_services=1)) as dock:
        await dock.apply("web", image="web:1")
        await dock.apply("web", image="web:2")
        with pytest.raises(Invalid, match="2 services; the policy allows 1"):
            await dock.apply("more", image="web:1")


async def test_scale_is_completed_and_checked_like_any_declaration() -> None:
    registry = Registry()

    @on.mutate("Service", registry=registry)
    async def cap(spec: pb.ServiceSpec, patch: object) -> None:
        if spec.replicas > 5:
            patch.spec.replicas = 5  # type: ignore[attr-defined]  # a Patch

    async with Harness(registry) as dock:
        await dock.apply("web", image="web:1", replicas=1)
        scaled = await dock._api.Scale(pb.ScaleRequest(name="web", replicas=10), None)
        assert scaled.spec.replicas == 5


async def test_nothing_is_made_of_what_the_journal_has_and_the_policy_no_longer_allows() -> None:
    async with Harness() as dock:
        await dock.apply("web", image="web:1", replicas=4)
        assert len(dock.containers("web")) == 4
        dock._policy = Policy(max_replicas=2)
        await dock.restart()
        dock.engine.discard("web", slot=1)
        await dock.advance(60)
        assert dock.condition("web", "Degraded").reason == "NoLongerAllowed"
        running = [it for it in dock.containers("web") if it.status.state == pb.ContainerStatus.RUNNING]
        assert len(running) == 3, "what ran goes on, and nothing is made"
        await dock.apply("web", image="web:1", replicas=2)
        await dock.advance(60)
        assert dock.condition("web", "Degraded").status == "False"
        assert len(dock.containers("web")) == 2


def with_network(name: str, **definition: object) -> pb.Service:
    wanted = service(name)
    wanted.spec.networks["shared"].definition.CopyFrom(pb.NetworkDefinition(**definition))  # type: ignore[arg-type]  # any field
    return wanted


async def test_a_network_is_the_same_in_every_service_that_defines_it() -> None:
    undefined = service("u", networks={"shared": pb.NetworkAttachment()})
    async with Harness() as dock:
        await admit(dock, [with_network("a", internal=True), undefined, with_network("b", internal=True)])
        for services, others in (
            ([with_network("a", internal=True), undefined, with_network("b")], []),
            ([undefined, with_network("b")], [with_network("a", internal=True)]),
        ):
            with pytest.raises(Invalid) as error:
                await admit(dock, services, others)
            (violation,) = error.value.violations
            assert violation.field == f"[{len(services) - 1}].spec.networks.shared.definition"
            assert violation.description.startswith("service a defines network shared in another way")


async def test_a_volume_is_the_same_in_every_mount_that_defines_it() -> None:
    def mounts(name: str, *definitions: pb.VolumeDefinition | None) -> pb.Service:
        return service(
            name,
            volumes=[
                pb.Mount(source="data", target=f"/{number}", definition=definition)
                for number, definition in enumerate(definitions)
            ],
        )

    nfs = pb.VolumeDefinition(driver_opts={"type": "nfs"})
    async with Harness() as dock:
        await admit(dock, [mounts("a", nfs, None), mounts("b", None, nfs), mounts("c", None)])
        with pytest.raises(Invalid, match="service a defines volume data in another way"):
            await admit(dock, [mounts("a", nfs), mounts("b", pb.VolumeDefinition())])
        with pytest.raises(Invalid, match=r"spec\.volumes\[1\]\.definition: service a defines volume data"):
            await admit(dock, [mounts("a", nfs, pb.VolumeDefinition())])


async def test_what_all_services_define_anew_is_changed_by_one_declaration() -> None:
    async with Harness() as dock:
        await dock._api.ApplySet(pb.ApplySetRequest(services=[with_network("a"), with_network("b")]), None)
        changed = [with_network("a", internal=True), with_network("b", internal=True)]
        with pytest.raises(Invalid):
            await dock._api.ApplySet(pb.ApplySetRequest(services=changed[:1]), None)
        answer = await dock._api.ApplySet(pb.ApplySetRequest(services=changed), None)
        assert [result.outcome for result in answer.results] == [pb.CONFIGURED, pb.CONFIGURED]


async def test_what_is_allowed_to_one_service_is_so_when_its_containers_are_made() -> None:
    async with Harness(policy=Policy(services={"db": Policy(allow_privileged=True)})) as dock:
        await dock.apply("db", image="db:1", privileged=True)
        assert [it.status.state for it in dock.containers("db")] == [pb.ContainerStatus.RUNNING]
        with pytest.raises(Invalid, match="allow_privileged = true"):
            await dock.apply("web", image="db:1", privileged=True)
