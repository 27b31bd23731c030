"""Updates, slot by slot: the steps that replace one container by another."""

from collections.abc import Sequence
from datetime import timedelta

from proto.dockrunner import v1 as pb

from .backoff import failures_in_a_row, wait_after
from .draft import Draft, restarts_of
from .operations import Delete, Release, Stop
from .ports import allocate, claimed
from .slots import Slot, State
from .trouble import DISK_FULL

START_FIRST = "start-first"
STOP_FIRST = "stop-first"


def hand_over(draft: Draft, slot: Slot, kept: Sequence[Slot]) -> None:
    """The later steps of an update in one slot: the old one goes, the one that was held starts."""
    if not slot.current:
        return
    new = slot.current[0]
    if _is_to_be_tried_anew(draft, slot):
        draft.operations.append(Stop(new, draft.progress.failing[slot.number].why))
        return
    if not new.spec.held:
        if new.status.reason == DISK_FULL and draft.progress.going and _may_go(draft, slot, kept):
            _stop_first(draft, slot, "the disk is full")
    elif not slot.outdated and not slot.leaving:
        draft.operations.append(Release(new, "its predecessor has gone"))
    elif slot.outdated and new.status.state == State.CREATED and draft.progress.going:
        order, reason = _order(draft, slot)
        if order == START_FIRST and not _collide(new, slot.outdated):
            # It was found in the engine, where nothing tells whether it was held, or the order is another one now.
            draft.operations.append(Release(new, "it can run beside its predecessor"))
        elif _may_go(draft, slot, kept):
            _stop_first(draft, slot, reason)


def _collide(new: pb.Container, others: Sequence[pb.Container]) -> bool:
    """Whether a container was given a host port that another one has."""
    return any(claim.collides(other) for claim in claimed([new]) for other in claimed(others))


def _is_to_be_tried_anew(draft: Draft, slot: Slot) -> bool:
    """Whether the new container of a slot has failed, and the update goes on all the same: as it bears some failures,
    or has been begun anew since."""
    new, progress = slot.current[0], draft.progress
    if progress.status is None or not progress.going or slot.number not in progress.failing or new.spec.stopped:
        return False
    if not slot.outdated or not new.status.HasField("started_at"):
        return False
    before = new.metadata.create_time.ToNanoseconds() < progress.status.start_time.ToNanoseconds()
    return before or (progress.aside(slot.number) and slot.serving)


def _stop_first(draft: Draft, slot: Slot, reason: str) -> None:
    for old in slot.outdated:
        text = f"stop-first: {reason}" if reason else STOP_FIRST
        draft.operations.append(Delete(old, f"{draft.why_outdated(old)} ({text})"))
    if draft.progress.status is not None:
        draft.progress.status.order, draft.progress.status.reason = STOP_FIRST, reason


def _may_go(draft: Draft, slot: Slot, kept: Sequence[Slot]) -> bool:
    """Whether what serves in a slot may be taken away before there is another: no more than are replaced at once."""
    going = {it.container.spec.slot for it in draft.operations if isinstance(it, Delete)}
    serving = sum(1 for it in kept if it is not slot and it.serving and it.number not in going)
    return not slot.serving or serving >= len(kept) - draft.parallelism


def begin(draft: Draft, kept: Sequence[Slot]) -> None:
    """Begins the replacement of outdated containers, as many at once as the update allows."""
    progress, status = draft.progress, draft.progress.status
    if status is None:
        return
    if not status.order:
        status.order = draft.spec.update.order or START_FIRST
    candidates = [slot for slot in kept if slot.outdated and not slot.current]
    if not candidates or not progress.going:
        return
    at_work = [slot for slot in kept if _under_way(draft, slot)]
    if stuck := [slot for slot in at_work if _waits_for_others(draft, slot, kept)]:
        # As they serve themselves, it is those who don't that must be seen to first.
        candidates = [slot for slot in candidates if not slot.serving]
    under_way = len(at_work) - len(stuck)
    if under_way >= draft.parallelism:
        return
    updated = sum(1 for slot in kept if slot.settled(draft.spec, draft.now))
    if updated > status.updated:
        status.updated = updated
        if updated > status.most_updated:
            status.most_updated = updated
            status.last_progress_time.FromDatetime(draft.now)
    if status.updated and draft.delay:
        next_one = status.last_progress_time.ToDatetime(draft.now.tzinfo) + draft.delay
        if next_one > draft.now:
            draft.wake_at(next_one)
            return
    leaving = sum(
        1 for it in draft.containers if it.metadata.HasField("delete_time") and it.status.state != State.EXITED
    )
    if leaving > max(draft.parallelism, draft.spec.replicas):
        return  # quick changes and slow stops must not pile up
    candidates.sort(key=lambda slot: (progress.aside(slot.number), slot.serving, slot.number))
    for slot in candidates[: draft.parallelism - under_way]:
        _begin_slot(draft, slot)


def _under_way(draft: Draft, slot: Slot) -> bool:
    """Whether something is being done in a slot that has to come to its end first."""
    if slot.current:
        aside = draft.progress.aside(slot.number) and not slot.outdated
        return not aside and not slot.settled(draft.spec, draft.now)
    return not slot.outdated and not slot.done


def _waits_for_others(draft: Draft, slot: Slot, kept: Sequence[Slot]) -> bool:
    """Whether the old container of a slot has to stay until more of the others serve."""
    held = bool(slot.current) and slot.current[0].spec.held and bool(slot.outdated)
    return held and not _may_go(draft, slot, kept)


def _begin_slot(draft: Draft, slot: Slot) -> None:
    old = slot.outdated[0]
    cause = draft.why_outdated(old)
    tried = next((it for it in slot.ended if it.spec.revision == draft.target.revision), None)
    failures = 0
    if tried is not None:
        failures = max(1, failures_in_a_row(tried, draft.policy, draft.spec.restart_backoff))
        left = tried.status.finished_at.ToDatetime(draft.now.tzinfo) - draft.now
        left += wait_after(failures, draft.spec.restart_backoff)
        if left > timedelta(0):
            draft.wakes.append(left)
            return
    order, reason = _order(draft, slot)
    if draft.progress.status is not None:
        draft.progress.status.order, draft.progress.status.reason = order, reason
    if order == STOP_FIRST:
        cause += f" (stop-first: {reason})" if reason else f" ({STOP_FIRST})"
    draft.create(slot, cause, failures=failures, restarts=restarts_of(old, replaced=False), held=order == STOP_FIRST)


def _order(draft: Draft, slot: Slot) -> tuple[str, str]:
    """Which of old and new goes first in a slot, and why when it has to be so."""
    if draft.spec.update.order == STOP_FIRST:
        return STOP_FIRST, ""
    if draft.shares_a_volume:
        return STOP_FIRST, "a lone replica has its volume for itself"
    if any(it.ipv4_address or it.ipv6_address for it in draft.spec.networks.values()):
        return STOP_FIRST, "two containers cannot have one address"
    if not draft.spec.ports:
        return START_FIRST, ""
    going = [it for it in draft.containers if it.metadata.HasField("delete_time")]
    going += [it.container for it in draft.operations if isinstance(it, Delete)]
    if allocate(draft.spec.ports, draft.taken(but=[*slot.current, *going])) is not None:
        return START_FIRST, ""  # there is room, or will be when what is on its way out has gone
    return STOP_FIRST, "its host ports leave no room for a second container"
