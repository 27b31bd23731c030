"""What follows from a service and its containers: a pure function.

Slots are SwarmKit's: a stable number per replica; the lowest free one is taken first, the highest goes first. An
update puts the new container beside the old one in its slot and removes the old one when the new one is ready
(start-first), one slot after the other; where the host ports leave no room for both, the old one goes first.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from proto.dockrunner import v1 as pb

from .ports import HostPorts, allocate, claimed, claims_of
from .restart import RestartPolicy, parse_restart
from .revision import describe_difference, revision_of, template_of

# A container that ended within so long of its start counts as a failure in a row (Docker's own rule).
RESET = timedelta(seconds=10)
BACKOFF_MIN = timedelta(milliseconds=100)
BACKOFF_MAX = timedelta(minutes=1)

START_FIRST = "start-first"
STOP_FIRST = "stop-first"

State = pb.ContainerStatus


@dataclass(frozen=True)
class Create:
    """A container object to be made."""

    slot: int
    template: pb.ServiceSpec
    failures: int
    restarts: int
    cause: str


@dataclass(frozen=True)
class Delete:
    """A container object to be marked for deletion."""

    container: pb.Container
    cause: str


@dataclass(frozen=True)
class Amend:
    """A container whose restart policy changes in place."""

    container: pb.Container
    restart: str
    cause: str


Operation = Create | Delete | Amend


@dataclass(frozen=True)
class Plan:
    """What to do now, and when to look again though nothing changed (None: never).

    ``outdated``: how many slots still have a container of another revision alone. ``order``: how the update goes
    on, with the reason when it had to be so.
    """

    operations: tuple[Operation, ...]
    look_again: timedelta | None
    revision: str
    outdated: int
    order: str = START_FIRST
    order_reason: str = ""


@dataclass
class _Slot:
    """The containers of one slot, by what they are to the wanted revision."""

    number: int
    current: list[pb.Container] = field(default_factory=list)
    outdated: list[pb.Container] = field(default_factory=list)
    ended: list[pb.Container] = field(default_factory=list)

    @property
    def serving(self) -> bool:
        """Whether something in the slot is ready, or has done its work."""
        done = any(container.status.state == State.EXITED for container in self.current)
        return done or any(container.status.ready for container in (*self.current, *self.outdated))


@dataclass
class _Draft:
    """A plan in the making."""

    spec: pb.ServiceSpec
    policy: RestartPolicy
    revision: str
    now: datetime
    containers: Sequence[pb.Container]
    slots: dict[int, _Slot]
    # Whether the update that is under way empties slots before it fills them.
    updating: bool = False
    operations: list[Operation] = field(default_factory=list)
    wakes: list[timedelta] = field(default_factory=list)
    # What is held on the host, once somebody needed to know.
    taken: list[HostPorts] | None = None
    order: str = START_FIRST
    order_reason: str = ""


def plan(service: pb.Service, containers: Sequence[pb.Container], now: datetime) -> Plan:
    """The next steps towards ``service``, given all of its container objects; changes nothing itself."""
    draft = _draft(service.spec, containers, now)
    draft.updating = service.status.rollout.order == STOP_FIRST
    kept = _scale_down(draft)
    for slot in kept:
        _tidy(draft, slot)
    for slot in kept:
        _repair(draft, slot)
    _update(draft, kept)
    _amend(draft)
    return Plan(
        tuple(draft.operations),
        min(draft.wakes, default=None),
        draft.revision,
        sum(1 for slot in kept if not slot.current),
        draft.order,
        draft.order_reason,
    )


def completed(container: pb.Container, spec: pb.ServiceSpec) -> bool:
    """Whether the container has ended, and its restart policy wants no other one."""
    return container.status.state == State.EXITED and parse_restart(spec.restart).completes(container.status)


def _draft(spec: pb.ServiceSpec, containers: Sequence[pb.Container], now: datetime) -> _Draft:
    draft = _Draft(spec, parse_restart(spec.restart), revision_of(spec), now, containers, {})
    for container in sorted(containers, key=_preference):
        if container.metadata.HasField("delete_time"):
            continue
        slot = draft.slots.setdefault(container.spec.slot, _Slot(container.spec.slot))
        if container.spec.revision == draft.revision and (
            container.status.state != State.EXITED or draft.policy.completes(container.status)
        ):
            slot.current.append(container)
        elif container.status.state == State.EXITED:
            slot.ended.append(container)
        else:
            slot.outdated.append(container)
    return draft


def _preference(container: pb.Container) -> tuple[int, int, str]:
    """Which of two containers of a slot is the better one: ready, else with its work done, else the older one."""
    rank = 0 if container.status.ready else 1 if container.status.state == State.EXITED else 2
    return rank, container.metadata.create_time.ToNanoseconds(), container.metadata.name


def _scale_down(draft: _Draft) -> list[_Slot]:
    """Deletes what is in surplus slots; the slots that stay or are to be filled, lowest first.

    The highest go first; but what serves is not taken away while something stays that does not.
    """
    wanted = draft.spec.replicas
    used = sorted(draft.slots)
    if len(used) > wanted:
        used.sort(key=lambda number: not draft.slots[number].serving)
    for number in reversed(used[wanted:]):
        slot = draft.slots[number]
        for container in (*slot.current, *slot.outdated, *slot.ended):
            draft.operations.append(Delete(container, f"scale down to {wanted}"))
    kept = set(used[:wanted])
    number = 1
    while len(kept) < wanted:
        kept.add(number)
        number += 1
    return [draft.slots.get(number) or _Slot(number) for number in sorted(kept)]


def _tidy(draft: _Draft, slot: _Slot) -> None:
    """Deletes what a slot no longer needs, and never what alone serves."""
    best = slot.current[0] if slot.current else None
    for container in slot.current[1:]:
        draft.operations.append(Delete(container, f"slot {slot.number} has {best.metadata.name if best else ''}"))
    finished = best is not None and (best.status.ready or best.status.state == State.EXITED)
    keep_old = 0 if finished else 1
    for container in slot.outdated[keep_old:]:
        draft.operations.append(Delete(container, _why_outdated(draft, container)))
    if best is not None and not finished and slot.outdated and not slot.outdated[0].status.ready:
        draft.operations.append(Delete(slot.outdated[0], _why_outdated(draft, slot.outdated[0])))
    # The newest of the ended ones stays until its successor serves: its log and exit status tell what happened.
    newest_first = sorted(slot.ended, key=lambda container: -container.metadata.create_time.ToNanoseconds())
    for container in newest_first[0 if finished else 1 :]:
        draft.operations.append(Delete(container, f"ended: {describe_end(container.status)}"))
    slot.current, slot.ended = slot.current[:1], newest_first[:1]
    slot.outdated = slot.outdated[:keep_old]


def _repair(draft: _Draft, slot: _Slot) -> None:
    """Fills a slot that has nothing that runs or will."""
    if slot.current or slot.outdated:
        return
    if _shares_a_volume(draft.spec) and _leaving(draft):
        return  # the one before it has the volume still
    if not slot.ended:
        cause = "update, after stop-first" if draft.updating else f"scale up to {draft.spec.replicas}"
        _create(draft, slot, cause, failures=0, restarts=0)
        return
    last = slot.ended[0]
    failures = _failures(draft.policy, last)
    wait = last.status.finished_at.ToDatetime(draft.now.tzinfo) + _backoff(failures) - draft.now
    if wait > timedelta(0) and failures:
        draft.wakes.append(wait)
        return
    _create(draft, slot, describe_end(last.status), failures=failures, restarts=_restarts(last) + 1)


def _update(draft: _Draft, kept: Sequence[_Slot]) -> None:
    """Begins the replacement of one outdated container, when every other slot is as it should be."""
    outdated = [slot for slot in kept if not slot.current and slot.outdated]
    if not outdated or any(not _settled(slot) for slot in kept):
        return
    if any(isinstance(operation, Create) for operation in draft.operations) or draft.wakes:
        return
    if _leaving(draft) > max(1, draft.spec.replicas):
        return  # quick changes and slow stops must not pile up
    slot = min(outdated, key=lambda candidate: (candidate.serving, candidate.number))
    old = slot.outdated[0]
    cause = _why_outdated(draft, old)
    if _shares_a_volume(draft.spec):
        draft.order, draft.order_reason = STOP_FIRST, "a lone replica has its volume for itself"
    elif not _create(draft, slot, cause, failures=0, restarts=_restarts(old)) and not _will_leave_ports(draft):
        draft.order, draft.order_reason = STOP_FIRST, "its host ports leave no room for a second container"
    if draft.order == STOP_FIRST:
        draft.operations.append(Delete(old, f"{cause} (stop-first: {draft.order_reason})"))


def _shares_a_volume(spec: pb.ServiceSpec) -> bool:
    """Whether two containers at once would write to what one alone was meant for."""
    return spec.replicas == 1 and any(mount.type == "volume" and mount.source for mount in spec.volumes)


def _leaving(draft: _Draft) -> int:
    """How many containers are on their way out and may still run."""
    return sum(1 for it in draft.containers if it.metadata.HasField("delete_time") and it.status.state != State.EXITED)


def _will_leave_ports(draft: _Draft) -> bool:
    """Whether a container that is on its way out, or is to go now, will leave its ports."""
    going = [operation.container for operation in draft.operations if isinstance(operation, Delete)]
    return bool(claimed([*going, *(c for c in draft.containers if c.metadata.HasField("delete_time"))]))


def _settled(slot: _Slot) -> bool:
    """Whether nothing is under way in the slot: its new container serves, or the update has not come to it."""
    if slot.current:
        return slot.current[0].status.ready or slot.current[0].status.state == State.EXITED
    return bool(slot.outdated)


def _create(draft: _Draft, slot: _Slot, cause: str, *, failures: int, restarts: int) -> bool:
    """Plans a container for the slot; False while no host port is free for it."""
    template = template_of(draft.spec)
    if template.ports:  # else nothing need be looked through
        if draft.taken is None:
            draft.taken = claimed(draft.containers)
        ports = allocate(template.ports, draft.taken)
        if ports is None:
            return False
        draft.taken += claims_of(ports)
        del template.ports[:]
        template.ports.extend(ports)
    draft.operations.append(Create(slot.number, template, failures, restarts, cause))
    return True


def _amend(draft: _Draft) -> None:
    for container in _staying(draft):
        if container.spec.restart != draft.spec.restart:
            cause = f"restart {container.spec.restart} → {draft.spec.restart}"
            draft.operations.append(Amend(container, draft.spec.restart, cause))


def _staying(draft: _Draft) -> Iterable[pb.Container]:
    going = {operation.container.metadata.name for operation in draft.operations if isinstance(operation, Delete)}
    return (
        container
        for slot in draft.slots.values()
        for container in (*slot.current, *slot.outdated)
        if container.metadata.name not in going and container.status.state != State.EXITED
    )


def _failures(policy: RestartPolicy, last: pb.Container) -> int:
    """How many containers of the slot failed in a row, the last one included.

    Under a policy by which Docker restarts a process that fails, one that has ended was ended by hand.
    """
    if policy.name in ("always", "unless-stopped"):
        return 0
    ran = last.status.finished_at.ToDatetime() - last.status.started_at.ToDatetime()
    return last.spec.failures + 1 if ran < RESET else 1


def _backoff(failures: int) -> timedelta:
    """None after the first failure, then 100 ms doubling up to a minute."""
    if failures <= 1:
        return timedelta(0)
    doubled: int = 2 ** min(failures - 2, 32)
    return min(BACKOFF_MIN * doubled, BACKOFF_MAX)


def _restarts(container: pb.Container) -> int:
    return container.spec.restarts + container.status.restart_count


def _why_outdated(draft: _Draft, container: pb.Container) -> str:
    if not container.spec.HasField("template"):
        return f"revision {container.spec.revision} → {draft.revision}"
    return describe_difference(_without_ports(container.spec.template), _without_ports(draft.spec)) or "ports changed"


def _without_ports(spec: pb.ServiceSpec) -> pb.ServiceSpec:
    """A container's ports are resolved from the service's ranges, so they can't be compared."""
    template = template_of(spec)
    del template.ports[:]
    return template


def describe_end(status: pb.ContainerStatus) -> str:
    """How a container ended, in a few words."""
    if status.oom_killed:
        return "out of memory"
    if status.HasField("exit_code"):
        return f"exited with {status.exit_code}"
    return "gone from the engine"
