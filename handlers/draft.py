"""A plan in the making: what its parts look at, and what they add to."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from proto.dockrunner import v1 as pb

from .operations import Create, Operation
from .ports import HostPorts, allocate, claimed, claims_of
from .restart import RestartPolicy
from .revision import describe_difference, template_of
from .rollout import Progress
from .slots import Slot
from .target import Target


@dataclass
class Draft:
    """A plan in the making."""

    target: Target
    policy: RestartPolicy
    now: datetime
    containers: Sequence[pb.Container]
    revisions: Sequence[pb.ServiceRevision]
    slots: dict[int, Slot]
    waits_for: str
    joined: Mapping[int, str] | None
    follows: str = ""
    progress: Progress = field(default_factory=Progress)
    parallelism: int = 1
    delay: timedelta = timedelta(0)
    operations: list[Operation] = field(default_factory=list)
    wakes: list[timedelta] = field(default_factory=list)

    @property
    def spec(self) -> pb.ServiceSpec:
        return self.target.spec

    def wake_at(self, moment: datetime | None) -> None:
        """Has the plan looked at again at a moment to come."""
        if moment is not None and (left := moment.replace(tzinfo=self.now.tzinfo) - self.now) > timedelta(0):
            self.wakes.append(left)

    def taken(self, but: Iterable[pb.Container] = ()) -> list[HostPorts]:
        """What is held on the host, by now or by this plan, leaving out some containers."""
        left_out = {container.metadata.name for container in but}
        held = claimed(it for it in self.containers if it.metadata.name not in left_out)
        return held + [
            claim for it in self.operations if isinstance(it, Create) for claim in claims_of(it.template.ports)
        ]

    @property
    def shares_a_volume(self) -> bool:
        """Whether two containers at once would write to what one alone was meant for."""
        return self.spec.replicas == 1 and any(
            mount.type == "volume" and mount.source and not mount.read_only for mount in self.spec.volumes
        )

    def create(
        self, slot: Slot, cause: str, *, failures: int = 0, restarts: int = 0, held: bool = False,
        template: pb.ServiceSpec | None = None, revision: str = "", avoiding: Sequence[HostPorts] = (),
    ) -> bool:  # fmt: skip
        """Plans a container for the slot, and says whether it did: not when no host port is free for it but some to
        be avoided, or there is no network to share."""
        made_of = template_of(template or self.spec)
        joined = ""
        if self.joined is not None:
            joined = self.joined.get(slot.number, "")
            if not joined:
                return False
        if made_of.ports:  # else nothing need be looked through
            ports = allocate(made_of.ports, [*avoiding, *self.taken(but=slot.outdated if held else ())])
            if ports is None:
                return False
            del made_of.ports[:]
            made_of.ports.extend(ports)
        revision = revision or self.target.revision
        self.operations.append(
            Create(slot.number, made_of, revision, failures, restarts, cause, held, joined, self.follows)
        )
        return True

    def why_outdated(self, container: pb.Container) -> str:
        """The cause for which a container is replaced, in a few words."""
        if container.spec.revision == self.target.revision:
            if container.spec.follows != self.follows:
                return "a service that it depends on was updated"
            return "the container whose network it shares was replaced, or restarted"
        if not container.spec.HasField("template"):
            return f"revision {container.spec.revision} → {self.target.revision}"
        return describe_difference(without_ports(container.spec.template), without_ports(self.spec)) or "ports changed"


def restarts_of(container: pb.Container | None, *, replaced: bool = True) -> int:
    """How often the containers of a slot have come back, with the one that replaces this one."""
    if container is None:
        return 0
    return container.spec.restarts + container.status.restart_count + replaced


def without_ports(spec: pb.ServiceSpec) -> pb.ServiceSpec:
    """A container's ports are resolved from the service's ranges, so they can't be compared."""
    template = template_of(spec)
    del template.ports[:]
    return template
