"""What follows from a service and its containers: a pure function.

Slots are SwarmKit's: a stable number per replica; the lowest free one is taken first, the highest goes first. An
update puts the new container beside the old one in its slot and removes the old one when the new one works
(start-first). Where both can't run at once the new one is made and held, and starts when the old one has gone
(stop-first). How far an update is and whether it goes on is ``rollout.py``'s to say.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from proto.dockrunner import v1 as pb

from . import replacement
from .agenda import Agenda
from .crash_loop import RECOVERED, crash_looping
from .draft import Draft
from .in_place import amended, describe_change, in_place
from .operations import Amend, Delete, Operation, Stop
from .repair import leave_a_taken_port, repair, stop_what_does_not_work
from .restart import parse_restart
from .revision import revision_of
from .rollout import Updater, Verdict
from .schedule import plan_scheduled
from .slots import Slot, State, describe_end, settled_at, sort_into_slots, trusted, trusted_at
from .target import target_of
from .work_done import outcomes, remembered


@dataclass(frozen=True)
class Plan:
    """What to do now, and when to look again though nothing changed (None: never).

    ``revision`` is what the containers are to be of, ``spec`` the specification behind it; ``outdated``: how many
    slots have none of it yet. ``rollout`` is how far the update is, None when there is none; ``verdict`` is what is to
    be remembered of the revision. ``done`` is the exit status of each slot of a job that has done its work. ``agenda``
    is what there is to know of a scheduled service besides; None for any other.
    """

    operations: tuple[Operation, ...]
    look_again: timedelta | None
    revision: str
    spec: pb.ServiceSpec
    outdated: int = 0
    rollout: pb.Rollout | None = None
    verdict: Verdict | None = None
    waits_for: str = ""
    done: Mapping[int, int] = field(default_factory=dict)
    agenda: Agenda | None = None


def plan(
    service: pb.Service, containers: Sequence[pb.Container], now: datetime, *,
    revisions: Sequence[pb.ServiceRevision] = (), waits_for: str = "", joined: Mapping[int, str] | None = None,
    follows: str = "",
) -> Plan:  # fmt: skip
    """The next steps towards ``service``, given all of its container objects; changes nothing itself.

    ``revisions`` are those that are kept of it. ``waits_for`` says what has to come before anything new is begun;
    empty when nothing has. ``joined`` are the containers whose networks its own are to share, by slot: empty
    where there is none yet; None when they have networks of their own. ``follows`` are the revisions of the services
    after whose updates its containers are replaced.
    """
    if service.spec.schedule:
        revision = revision_of(service.spec)
        agenda = plan_scheduled(
            service, containers, now, revision, revisions=revisions, waits_for=waits_for, joined=joined
        )
        return Plan(agenda.operations, agenda.look_again, revision, service.spec, waits_for=waits_for, agenda=agenda)
    target = target_of(service, revisions)
    # Of a schedule that it had before: these come to their end.
    runs = [it for it in containers if it.spec.HasField("run")]
    permanent = [it for it in containers if not it.spec.HasField("run")]
    slots = sort_into_slots(permanent, target.spec, target.revision, joined, follows)
    ended = remembered(target, revisions)
    for number in ended:
        slots.setdefault(number, Slot(number)).done = True
    policy = parse_restart(target.spec.restart)
    draft = Draft(target, policy, now, containers, revisions, slots, waits_for, joined, follows)
    draft.operations += [Delete(it, "its run is over") for it in runs if it.status.state == State.EXITED]
    kept = _scale_down(draft)
    updater = Updater(target, kept, revisions, service.status.rollout, now, waits_for)
    draft.progress, draft.parallelism, draft.delay = updater.progress(), updater.parallelism, updater.delay
    draft.wakes += draft.progress.wakes
    for slot in kept:
        _tidy(draft, slot)
    for slot in kept:
        stop_what_does_not_work(draft, slot, kept)
        repair(draft, slot, kept)
        leave_a_taken_port(draft, slot)
    for slot in kept:
        replacement.hand_over(draft, slot, kept)
    replacement.begin(draft, kept)
    _amend(draft)
    _see_crash_loops_end(draft)
    return Plan(
        tuple(draft.operations),
        min(draft.wakes, default=None),
        target.revision,
        target.spec,
        sum(1 for slot in kept if not slot.current),
        draft.progress.status,
        draft.progress.verdict,
        waits_for,
        outcomes(kept, target.spec, target.revision, ended),
    )


def _scale_down(draft: Draft) -> list[Slot]:
    """Deletes what is in surplus slots; the slots that stay or are to be filled, lowest first.

    The highest go first; but what serves is not taken away while something stays that does not.
    """
    wanted = draft.spec.replicas
    used = sorted(
        number for number, slot in draft.slots.items() if slot.current or slot.outdated or slot.ended or slot.done
    )
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
    return [draft.slots.get(number) or Slot(number) for number in sorted(kept)]


def _tidy(draft: Draft, slot: Slot) -> None:
    """Deletes what a slot no longer needs, and never what alone serves."""
    best = slot.current[0] if slot.current else None
    for container in slot.current[1:]:
        draft.operations.append(Delete(container, f"slot {slot.number} has {best.metadata.name if best else ''}"))
    finished = slot.done or (best is not None and trusted(best, draft.spec, draft.now))
    if best is not None and best.status.ready:
        draft.wake_at(trusted_at(best, draft.spec) if slot.outdated else None)
        draft.wake_at(settled_at(best, draft.spec) if draft.progress.status is not None else None)
    keep_old = 0 if finished else 1
    for container in slot.outdated[keep_old:]:
        draft.operations.append(Delete(container, draft.why_outdated(container)))
    slot.outdated = slot.outdated[:keep_old]
    keep = _worth_keeping(draft, slot)
    for container in slot.ended:
        if container not in keep:
            draft.operations.append(Delete(container, f"ended: {describe_end(container.status)}"))
    slot.current, slot.ended = slot.current[:1], keep


def _worth_keeping(draft: Draft, slot: Slot) -> list[pb.Container]:
    """Of what has ended in a slot the newest, until its successor serves: its log and exit status tell what happened.

    So does the newest of another revision, which tells what served here before. While an old one serves, it is the
    failed try of the wanted revision that counts: the next one waits for its backoff.
    """
    if slot.outdated:
        served = slot.outdated[0].status.ready
        return [it for it in slot.ended if not served or it.spec.revision == draft.target.revision][:1]
    if any(it.status.ready or it.status.state == State.EXITED for it in slot.current[:1]):
        return []
    newest = slot.ended[:1]
    return newest + [it for it in slot.ended if it.spec.revision != newest[0].spec.revision][:1]


def _see_crash_loops_end(draft: Draft) -> None:
    """Looks again when a container that was in a crash loop will have run for long enough."""
    for container in draft.containers:
        if crash_looping(container, draft.now) and container.status.state == State.RUNNING:
            draft.wake_at(container.status.started_at.ToDatetime() + RECOVERED)


def _amend(draft: Draft) -> None:
    wanted = in_place(draft.spec)
    for container in _staying(draft):
        new = amended(container.spec, wanted)
        if new != container.spec:
            draft.operations.append(Amend(container, new, describe_change(container.spec, new)))


def _staying(draft: Draft) -> Iterable[pb.Container]:
    going = {it.container.metadata.name for it in draft.operations if isinstance(it, Delete | Stop)}
    return (
        container
        for slot in draft.slots.values()
        for container in slot.living
        if container.metadata.name not in going and not container.spec.stopped
    )
