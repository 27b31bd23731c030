"""Slots that have lost what ran in them, or in which it does not work: what a plan does about them."""

from collections.abc import Sequence
from datetime import timedelta

from proto.dockrunner import v1 as pb

from .backoff import due, failures_in_a_row, wait_after
from .draft import Draft, restarts_of
from .operations import Create, Delete, Stop
from .ports import up_to
from .slots import Slot, State, describe_end
from .trouble import PORT_TAKEN


def stop_what_does_not_work(draft: Draft, slot: Slot, kept: Sequence[Slot]) -> None:
    """Stops an unhealthy container, so that it is replaced: not many at once, and later each time."""
    living = slot.living
    if len(living) != 1 or draft.policy.name == "no" or living[0].spec.stopped:
        return
    (container,) = living
    if container.status.health != pb.Health.UNHEALTHY or container.status.state != State.RUNNING:
        return
    in_repair = sum(1 for it in kept if it is not slot and _in_repair(draft, it))
    if in_repair >= draft.parallelism:
        return  # what is begun is ended first, which is heard of
    wait = wait_after(container.spec.failures, draft.spec.restart_backoff)
    left = container.status.started_at.ToDatetime(draft.now.tzinfo) + wait - draft.now
    if left > timedelta(0):
        draft.wakes.append(left)
        return
    draft.operations.append(Stop(container, "unhealthy"))


def _in_repair(draft: Draft, slot: Slot) -> bool:
    """Whether a slot is being put right; one whose container fails again and again is not."""
    stopping = any(isinstance(it, Stop) and it.container.spec.slot == slot.number for it in draft.operations)
    coming_up = any(
        not it.status.HasField("ready_at") and not it.status.restart_count and it.status.health != pb.Health.UNHEALTHY
        for it in slot.current
        if not it.status.ready and it.status.state != State.EXITED and not it.spec.held
    )
    being_made = any(isinstance(it, Create) and it.slot == slot.number for it in draft.operations)
    return being_made or stopping or coming_up or any(it.spec.stopped for it in slot.living)


def repair(draft: Draft, slot: Slot, kept: Sequence[Slot]) -> None:
    """Fills a slot that has nothing that runs or will."""
    if slot.outdated:
        return
    if slot.current:
        if not draft.progress.going and _lost_its_old_one(draft, slot):
            _give_up(draft, slot)
        return
    if slot.done:
        return
    if draft.shares_a_volume and any(it.leaving for it in draft.slots.values()):
        return  # the one before it has the volume still
    last = slot.ended[0] if slot.ended else None
    if last is None or last.spec.revision != draft.target.revision:
        template, revision = _proven(draft, slot, kept)
        started = any(it.living for it in kept) or bool(slot.ended)
        if draft.waits_for and revision == draft.target.revision and not (last is None and started):
            return
        cause = f"scale up to {draft.spec.replicas}" if last is None else describe_end(last.status)
        draft.create(slot, cause, template=template, revision=revision, restarts=restarts_of(last))
        return
    if slot.number in draft.progress.failing and draft.progress.status is not None and not draft.progress.going:
        fallback = _proven(draft, slot, kept)
        if fallback[1] != draft.target.revision:
            draft.create(slot, describe_end(last.status), template=fallback[0], revision=fallback[1],
                    restarts=restarts_of(last))  # fmt: skip
            return
    failures = failures_in_a_row(last, draft.policy, draft.spec.restart_backoff)
    wait = due(last, failures, draft.spec.restart_backoff, draft.now)
    if wait > timedelta(0):
        draft.wakes.append(wait)
        return
    draft.create(slot, describe_end(last.status), failures=failures, restarts=restarts_of(last))


def leave_a_taken_port(draft: Draft, slot: Slot) -> None:
    """Goes on to the next port of a range when somebody else holds the one that a container was given.

    Only upwards, so that it ends: at the end of the range the container waits for its port.
    """
    for container in slot.current:
        if container.status.reason != PORT_TAKEN or container.spec.held:
            continue
        tried = up_to(draft.spec.ports, container.spec.template.ports)
        cause = "somebody else holds its host port"
        if draft.create(slot, cause, restarts=restarts_of(container, replaced=False), avoiding=tried):
            draft.operations.append(Delete(container, cause))


def _lost_its_old_one(draft: Draft, slot: Slot) -> bool:
    """Whether an update was stopped whose container here does not work, and the old one has ended meanwhile."""
    before = [it for it in slot.ended if it.spec.revision != draft.target.revision]
    stopped = draft.progress.status is not None and draft.progress.status.state == pb.Rollout.FAILED
    hopeless = slot.number in draft.progress.failing or not slot.current[0].status.HasField("ready_at")
    return stopped and hopeless and bool(before)


def _give_up(draft: Draft, slot: Slot) -> None:
    """Takes away the failed container of an update that was stopped, for what served there before to come back."""
    failed = slot.current[0]
    why = draft.progress.failing[slot.number].why if slot.number in draft.progress.failing else "the update was stopped"
    if failed.spec.stopped:
        return
    started = failed.status.HasField("started_at")
    draft.operations.append(Stop(failed, why) if started else Delete(failed, why))


def _proven(draft: Draft, slot: Slot, kept: Sequence[Slot]) -> tuple[pb.ServiceSpec, str]:
    """What a slot is filled with: what served before, while an update is held or has yet to show that it works."""
    wanted = draft.spec, draft.target.revision
    status, going = draft.progress.status, draft.progress.going
    if status is None or not (going or status.state in (pb.Rollout.PAUSED, pb.Rollout.FAILED)):
        return wanted
    unproven = not any(it.settled(draft.spec, draft.now) for it in kept) and (
        any(it.outdated for it in kept) or slot.number in draft.progress.failing
    )
    if going and not unproven:
        return wanted
    before = [it for it in slot.ended if it.spec.revision != draft.target.revision]
    if not before and not going:
        before = [it for other in kept for it in other.outdated if it.status.ready]
    known = {it.revision: it.template for it in draft.revisions if not it.failure}
    return next(((known[it.spec.revision], it.spec.revision) for it in before if it.spec.revision in known), wanted)
