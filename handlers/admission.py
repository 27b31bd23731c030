"""What may be declared: defaults, validation and policy of services, and the plan that a declaration leads to."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta

from controller import Patch, on
from controller.clock import Clock
from controller.errors import Invalid, Violation
from controller.framework import Admission
from controller.store import CONTAINER, SERVICE, Listing, Store
from proto.dockrunner import v1 as pb

from .naming import DEFAULT_NETWORK
from .orphans import Orphans
from .planner import Amend, Create, Delete, Operation, plan
from .policy import Policy
from .validation import conflicts, violations

DEFAULT_GRACE = timedelta(seconds=10)
# Services that are checked in one turn of the event loop.
_BREATH = 50


@on.mutate("Service")
async def fill_in_defaults(patch: Patch) -> None:
    """Fills in every default, so that what is stored says all that there is to say."""
    fill_in(patch.spec)


@on.validate("Service")
async def check_fields(body: pb.Service) -> Sequence[Violation]:
    """What is wrong with the service by itself."""
    return violations(body)


@on.validate("Service")
async def check_host_ports(body: pb.Service, others: Listing) -> Sequence[Violation]:
    """Host ports that another service has."""
    return list(conflicts(body, others))


@on.validate("Service")
async def check_policy(body: pb.Service, reason: str, others: Listing, policy: Policy) -> Sequence[Violation]:
    """What the policy has against it; one more service is only one that is created."""
    return [*policy.violations(body), *(policy.too_many(others) if reason == "create" else ())]


class ServiceAdmission:
    """The Admission port of the API, for services. ``release`` has a deletion wait for its containers alone."""

    def __init__(
        self, admission: Admission, store: Store, clock: Clock, orphans: Orphans, release: Callable[[pb.Service], None]
    ) -> None:
        self._admission = admission
        self._store = store
        self._clock = clock
        self._orphans = orphans
        self.release = release

    async def admit(
        self, services: Sequence[pb.Service], olds: Sequence[pb.Service | None], others: Listing, *,
        dry_run: bool = False,
    ) -> Sequence[pb.Service]:  # fmt: skip
        """See :class:`controller.control_plane.admission.Admission`."""
        admitted: list[pb.Service] = []
        found: list[Violation] = []
        for index, (service, old) in enumerate(zip(services, olds, strict=True)):
            try:
                complete = await self._admission.complete(SERVICE, service, old, dry_run=dry_run)
            except Invalid as error:
                found += _indexed(index, error.violations)
                continue
            against = await self._admission.violations(SERVICE, complete, old, others, dry_run=dry_run)
            found += _indexed(index, against)
            admitted.append(complete)
            others.add(complete)
            if index % _BREATH == _BREATH - 1:
                await asyncio.sleep(0)  # a set of thousands is not to hold up everybody
        if found:
            raise Invalid(found)
        return admitted

    def preview(self, service: pb.Service) -> Sequence[pb.PlanStep]:
        """The next steps if the store held this service now."""
        containers = self._store.list(CONTAINER, index="service", value=service.metadata.name)
        return [_step(service, step) for step in plan(service, containers, self._clock.now()).operations]

    def preview_deletion(self, service: pb.Service) -> Sequence[pb.PlanStep]:
        """The containers that go with the service."""
        containers = self._store.list(CONTAINER, index="service", value=service.metadata.name)
        return [_step(service, Delete(container, "the service is deleted")) for container in containers]

    def declared(self, manager: str) -> None:
        """A complete set: the orphans of this manager may go."""
        self._orphans.declared(manager)


def _indexed(index: int, violations_: Sequence[Violation]) -> list[Violation]:
    return [Violation(f"[{index}].{it.field}".rstrip("."), it.description) for it in violations_]


def fill_in(spec: pb.ServiceSpec) -> None:
    """Fills in every default."""
    if not spec.HasField("replicas"):
        spec.replicas = 1
    spec.restart = spec.restart or "always"
    if not spec.HasField("stop_grace_period"):
        spec.stop_grace_period.FromTimedelta(DEFAULT_GRACE)
    spec.pull_policy = "missing" if spec.pull_policy in ("", "if_not_present") else spec.pull_policy
    if not spec.networks:
        spec.networks[DEFAULT_NETWORK].SetInParent()
    for port in spec.ports:
        port.protocol = port.protocol or "tcp"
    for mount in spec.volumes:
        mount.type = mount.type or "volume"


def _step(service: pb.Service, operation: Operation) -> pb.PlanStep:
    name = service.metadata.name
    match operation:
        case Create(slot=slot, cause=cause):
            return pb.PlanStep(action=pb.PlanStep.CREATE, service=name, slot=slot, cause=cause)
        case Delete(container=container, cause=cause):
            action = pb.PlanStep.DELETE
        case Amend(container=container, cause=cause):
            action = pb.PlanStep.UPDATE
    return pb.PlanStep(
        action=action, service=name, slot=container.spec.slot, container=container.metadata.name, cause=cause
    )
