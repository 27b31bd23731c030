"""Slots, as in SwarmKit: a stable number per replica, and the containers that are in each.

During an update two containers may share a slot: the old one, and the one that is to take its place.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from proto.dockrunner import v1 as pb

from .restart import parse_restart

State = pb.ContainerStatus

# For so long a container has to run in an update before it is trusted, when nothing else tells that it works.
TRUST = timedelta(seconds=1)


@dataclass
class Slot:
    """The containers of one slot, by what they are to the wanted revision; the better ones come first.

    ``current`` run it, will, or have done their work; ``outdated`` are of another one; ``ended`` are to be replaced,
    the newest first. ``leaving``: something is on its way out. ``done``: it is remembered that the work of the slot is
    done, whether or not a container is there.
    """

    number: int
    current: list[pb.Container] = field(default_factory=list)
    outdated: list[pb.Container] = field(default_factory=list)
    ended: list[pb.Container] = field(default_factory=list)
    leaving: bool = False
    done: bool = False

    @property
    def serving(self) -> bool:
        """Whether something in the slot is ready, or has done its work."""
        done = self.done or any(container.status.state == State.EXITED for container in self.current)
        return done or any(container.status.ready for container in (*self.current, *self.outdated))

    @property
    def living(self) -> Sequence[pb.Container]:
        """What runs in the slot, or will."""
        return [it for it in (*self.current, *self.outdated) if it.status.state != State.EXITED]

    def settled(self, spec: pb.ServiceSpec, now: datetime) -> bool:
        """Whether its container of the wanted revision has shown that it works, and nothing else is in there."""
        if self.done and not self.current:
            return not self.outdated
        return bool(self.current) and not self.outdated and settled(self.current[0], spec, now)


def sort_into_slots(
    containers: Iterable[pb.Container],
    spec: pb.ServiceSpec,
    revision: str,
    joined: Mapping[int, str] | None,
    follows: str = "",
) -> dict[int, Slot]:
    """The slots that have containers, by number. ``joined``, ``follows``: see ``handlers.planner.plan``."""
    slots: dict[int, Slot] = {}
    for container in sorted(containers, key=_preference):
        slot = slots.setdefault(container.spec.slot, Slot(container.spec.slot))
        if container.metadata.HasField("delete_time"):
            slot.leaving = True
            continue
        same = container.spec.revision == revision and (
            joined is None or joined.get(slot.number) in (None, "", container.spec.joined)
        )
        same = same and (not follows or container.spec.follows == follows)
        if same and (container.status.state != State.EXITED or completed(container, spec)):
            slot.current.append(container)
        elif container.status.state == State.EXITED:
            slot.ended.append(container)
        else:
            slot.outdated.append(container)
    for slot in slots.values():
        slot.ended.sort(key=lambda container: -container.metadata.create_time.ToNanoseconds())
    return slots


def _preference(container: pb.Container) -> tuple[int, int, str]:
    """Which of two containers of a slot is the better one: ready, else with its work done, else the older one."""
    rank = 0 if container.status.ready else 1 if container.status.state == State.EXITED else 2
    return rank, container.metadata.create_time.ToNanoseconds(), container.metadata.name


def completed(container: pb.Container, spec: pb.ServiceSpec) -> bool:
    """Whether the container has ended by itself, and its restart policy wants no other one."""
    ended = container.status.state == State.EXITED and not container.spec.stopped
    return ended and parse_restart(spec.restart).completes(container.status)


def trusted_at(container: pb.Container, spec: pb.ServiceSpec) -> datetime | None:
    """From when on a ready container may take the place of another; None: at once.

    A health check is proof enough, and so is `monitor`, which has passed before a container without one is ready.
    """
    status = container.status
    if not status.HasField("ready_at") or status.health != pb.Health.NONE or spec.update.HasField("monitor"):
        return None
    return status.ready_at.ToDatetime() + TRUST


def settled_at(container: pb.Container, spec: pb.ServiceSpec) -> datetime | None:
    """From when on a ready container is done with, and the next one may be begun; None: at once."""
    status = container.status
    if status.HasField("ready_at") and status.health != pb.Health.NONE and spec.update.HasField("monitor"):
        return status.ready_at.ToDatetime() + spec.update.monitor.ToTimedelta()
    return trusted_at(container, spec)


def trusted(container: pb.Container, spec: pb.ServiceSpec, now: datetime) -> bool:
    """Whether a container may take the place of another: it is ready, or its work is done."""
    if container.status.state == State.EXITED:
        return completed(container, spec) and container.status.exit_code == 0
    return container.status.ready and _passed(trusted_at(container, spec), now)


def settled(container: pb.Container, spec: pb.ServiceSpec, now: datetime) -> bool:
    """Whether a container has shown that it works."""
    return trusted(container, spec, now) and _passed(settled_at(container, spec), now)


def _passed(moment: datetime | None, now: datetime) -> bool:
    return moment is None or moment.replace(tzinfo=now.tzinfo) <= now


def describe_end(status: pb.ContainerStatus) -> str:
    """How a container ended, in a few words."""
    if status.health == pb.Health.UNHEALTHY:
        return "unhealthy"
    if status.oom_killed:
        return "out of memory"
    if status.HasField("exit_code"):
        return f"exited with {status.exit_code}"
    return "ended" if status.restart_count else "gone from the engine"
