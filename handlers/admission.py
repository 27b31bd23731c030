"""What may be declared: defaults, validation and policy of services, and the plan that a declaration leads to."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta

from controller import Patch, on
from controller.clock import Clock
from controller.errors import Invalid, NotFound, Violation
from controller.framework import Admission
from controller.scheduler import Engine
from controller.store import CONTAINER, SERVICE, Listing, Store
from proto.dockrunner import v1 as pb

from .container_files import NEEDS_LOCAL_ENGINE
from .naming import DEFAULT_NETWORK
from .operations import Amend, Create, Delete, Operation, Release, Stop
from .orphans import Orphans
from .planner import plan
from .policy import Policy
from .revision import FIELDS, revision_of
from .revision_history import forget_failure, history, mark_taken_back
from .secrets import Secrets
from .surroundings import Surroundings
from .validation import circular_waits, conflicts, different_definitions, violations

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
async def check_definitions(body: pb.Service, others: Listing) -> Sequence[Violation]:
    """Networks and volumes that another service defines in another way."""
    return list(different_definitions(body, others))


@on.validate("Service")
async def check_waits(body: pb.Service, others: Listing) -> Sequence[Violation]:
    """Services that would wait for each other."""
    return list(circular_waits(body, others))


@on.validate("Service")
async def check_policy(body: pb.Service, reason: str, others: Listing, policy: Policy) -> Sequence[Violation]:
    """What the policy has against it; one more service is only one that is created."""
    return [*policy.violations(body), *(policy.too_many(others) if reason == "create" else ())]


@on.validate("Service")
async def check_files(body: pb.Service, engine: Engine) -> Sequence[Violation]:
    """Secrets and configs where they cannot get to a container."""
    fields = [field for field in ("secrets", "configs") if getattr(body.spec, field)]
    return [] if engine.is_local else [Violation(f"spec.{field}", NEEDS_LOCAL_ENGINE) for field in fields]


@on.validate("Service")
async def check_secrets(body: pb.Service) -> Sequence[Violation]:
    """Contents that were not put into the safe: a declaration has none any more, the patch of a handler may have."""
    text = "a handler gives a secret its content while it is declared, by on.mutate"
    return [
        Violation(f"spec.secrets[{number}].content", text)
        for number, secret in enumerate(body.spec.secrets)
        if secret.content
    ]


class ServiceAdmission:
    """The Admission port of the API, for services. ``release`` has a deletion wait for its containers alone."""

    def __init__(
        self, admission: Admission, store: Store, clock: Clock, orphans: Orphans, surroundings: Surroundings,
        secrets: Secrets, release: Callable[[pb.Service], None],
    ) -> None:  # fmt: skip
        self._admission = admission
        self._store = store
        self._clock = clock
        self._orphans = orphans
        self._surroundings = surroundings
        self._secrets = secrets
        self.release = release
        self.revision_fields: Sequence[str] = FIELDS

    async def admit(
        self, services: Sequence[pb.Service], olds: Sequence[pb.Service | None], others: Listing, *,
        dry_run: bool = False,
    ) -> Sequence[pb.Service]:  # fmt: skip
        """See :class:`controller.control_plane.admission.Admission`."""
        admitted: list[pb.Service] = []
        found: list[Violation] = []
        contents: dict[str, bytes] = {}
        for index, (service, old) in enumerate(zip(services, olds, strict=True)):
            hidden = self._secrets.taken_out(service, old, contents)  # before any handler sees or shows it
            try:
                complete = await self._admission.complete(SERVICE, hidden, old, dry_run=dry_run)
            except Invalid as error:
                found += _indexed(index, error.violations)
                continue
            complete = self._secrets.taken_out(complete, old, contents)  # handlers may have put in one of their own
            found += _indexed(index, list(self._secrets.violations(complete, old, contents)))
            against = await self._admission.violations(SERVICE, complete, old, others, dry_run=dry_run)
            found += _indexed(index, against)
            admitted.append(complete)
            others.add(complete)
            if index % _BREATH == _BREATH - 1:
                await asyncio.sleep(0)  # a set of thousands is not to hold up everybody
        if found:
            raise Invalid(found)
        if not dry_run:
            await self._secrets.keep(contents, admitted)
        return admitted

    def preview(self, service: pb.Service) -> Sequence[pb.PlanStep]:
        """The next steps if the store held this service now."""
        containers = self._store.list(CONTAINER, index="service", value=service.metadata.name)
        planned = plan(
            service, containers, self._clock.now(), revisions=history(service, self._store),
            waits_for=self._surroundings.waits_for(service), joined=self._surroundings.joined(service),
            follows=self._surroundings.follows(service),
        )  # fmt: skip
        return [_step(service, step) for step in planned.operations]

    def preview_deletion(self, service: pb.Service) -> Sequence[pb.PlanStep]:
        """The containers that go with the service."""
        containers = self._store.list(CONTAINER, index="service", value=service.metadata.name)
        return [_step(service, Delete(container, "the service is deleted")) for container in containers]

    def revision(self, service: pb.Service, revision: str) -> pb.ServiceRevision:
        """What is kept of a revision."""
        kept, present = history(service, self._store), revision_of(service.spec)
        wanted = [it for it in kept if revision in (it.revision, str(it.number))]
        if not revision:
            wanted = [it for it in kept if it.revision != present][-1:]
        if not wanted:
            which = f"revision {revision}" if revision else "earlier revision"
            numbers = ", ".join(f"{it.number} ({it.revision})" for it in kept)
            raise NotFound(f"no {which} of service {service.metadata.name!r} is kept; there are {numbers}")
        return wanted[0]

    def took_back(self, service: pb.Service) -> None:
        """Remembers it with the revision."""
        mark_taken_back(service, self._store)

    def resume(self, service: pb.Service) -> None:
        """Forgets why the rollout was stopped, so that it goes on."""
        forget_failure(service, self._store)
        self._surroundings.requeue(service.metadata.name)

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
    if spec.network_mode:
        if spec.networks.get(DEFAULT_NETWORK) == pb.NetworkAttachment():
            del spec.networks[DEFAULT_NETWORK]  # filled in before there was a network_mode
    elif not spec.networks:
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
        case Stop(container=container, cause=cause):
            action = pb.PlanStep.STOP
        case Amend(container=container, cause=cause) | Release(container=container, cause=cause):
            action = pb.PlanStep.UPDATE
    return pb.PlanStep(
        action=action, service=name, slot=container.spec.slot, container=container.metadata.name, cause=cause
    )
