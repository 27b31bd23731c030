"""What may be declared: defaults, validation and policy of services, and the plan that a declaration leads to."""

from collections.abc import Sequence
from datetime import timedelta

from controller.clock import Clock
from controller.errors import Invalid, Violation
from controller.store import CONTAINER, Store
from proto.dockrunner import v1 as pb

from .naming import DEFAULT_NETWORK
from .orphans import Orphans
from .planner import Amend, Create, Delete, Operation, plan
from .policy import Policy
from .validation import conflicts, violations

DEFAULT_GRACE = timedelta(seconds=10)


class ServiceAdmission:
    """The Admission port of the API, for services."""

    def __init__(self, store: Store, clock: Clock, orphans: Orphans, policy: Policy) -> None:
        self._store = store
        self._clock = clock
        self._orphans = orphans
        self._policy = policy

    def admit(self, services: Sequence[pb.Service], others: Sequence[pb.Service]) -> Sequence[pb.Service]:
        """See :class:`controller.control_plane.admission.Admission`."""
        admitted = [with_defaults(service) for service in services]
        found = [
            Violation(f"[{index}].{violation.field}", violation.description)
            for index, service in enumerate(admitted)
            for violation in (*violations(service), *self._policy.violations(service))
        ]
        for index, violation in conflicts(admitted, others):
            found.append(Violation(f"[{index}].{violation.field}", violation.description))
        if (total := len(others) + len(admitted)) > self._policy.max_services:
            found.append(Violation("", f"{total} services; the policy allows {self._policy.max_services}"))
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


def with_defaults(service: pb.Service) -> pb.Service:
    """A copy with every default filled in."""
    full = pb.Service()
    full.CopyFrom(service)
    spec = full.spec
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
    return full


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
