"""What follows from a scheduled service and its containers: a pure function, as ``planner.py`` is for the others.

Each tick has one run. Which ticks are done with is known by the newest run that is there, as its containers carry the
tick on a label, and by what is kept with the newest revision: that is written when all of a run has come to the engine,
when a tick was left out, or missed. So no tick is run twice, whatever is killed when; and one of which nothing came to
the engine is run after all, if that is not too late.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from controller.store import WARNING
from proto.dockrunner import v1 as pb

from .agenda import Agenda, AgendaDraft, Notice
from .in_place import amended, describe_change, in_place
from .operations import Amend, Create, Delete, Release
from .ports import allocate, claimed, claims_of
from .revision import template_of
from .runs import Run, runs_of
from .timetable import Timetable, timetable_of

FORBID, ALLOW, REPLACE = "forbid", "allow", "replace"

SUCCESSFUL_RUNS, FAILED_RUNS = 3, 1
# The clock may be set, so it is looked at so often.
LONGEST_WAIT = timedelta(minutes=1)
# Set back by more than this, as cron has it, a clock was wrong before; by less, it repeats what was run already.
CORRECTION = timedelta(hours=3)
# So many missed ticks are counted.
_COUNTED = 1000


def plan_scheduled(
    service: pb.Service, containers: Sequence[pb.Container], now: datetime, revision: str, *,
    revisions: Sequence[pb.ServiceRevision] = (), waits_for: str = "", joined: Mapping[int, str] | None = None,
) -> Agenda:  # fmt: skip
    """The next steps of a service that has a schedule. What is given is as for :func:`handlers.planner.plan`;
    ``revision`` is the service's own."""
    timetable, runs = timetable_of(service.spec), runs_of(containers)
    memory = _memory(revisions, now)
    known, done = _known(service, runs, memory, timetable, now)
    draft = AgendaDraft(service, containers, now, revision, waits_for, joined, timetable, runs, known, done)
    for container in containers:
        if not container.spec.HasField("run") and not container.metadata.HasField("delete_time"):
            draft.operations.append(Delete(container, f"the service runs at times: {service.spec.schedule}"))
    _give_up_what_is_late(draft)
    _release(draft)
    _note_what_is_made(draft, resumes=memory is not None and memory.schedule == timetable.text)
    _run_what_is_due(draft)
    _delete_old_runs(draft)
    _amend(draft)
    following = timetable.after(max(now, draft.known))
    if following is not None:
        draft.wakes.append(following - now)
    ended, failure = _outcome(runs, memory)
    return Agenda(
        tuple(draft.operations), min([*draft.wakes, LONGEST_WAIT]), timetable, draft.done,
        _last(draft, ended), following, draft.due, draft.waits_for if draft.due else "", ended, failure,
        tuple(draft.notices),
    )  # fmt: skip


def _memory(revisions: Iterable[pb.ServiceRevision], now: datetime) -> pb.ServiceRevision | None:
    """What is kept of ticks; nothing of a time when the clock was wrong."""
    kept = [it for it in revisions if it.schedule and it.last_tick.ToDatetime(UTC) <= now + CORRECTION]
    return max(kept, key=lambda it: it.last_tick.ToDatetime(UTC), default=None)


def _known(
    service: pb.Service, runs: Sequence[Run], memory: pb.ServiceRevision | None, timetable: Timetable, now: datetime
) -> tuple[datetime, datetime]:
    """Up to when ticks have a run at least, and up to when they are done with."""
    newest = next((run.tick for run in runs if run.tick <= now + CORRECTION), None)
    if memory is not None:
        # Those of another schedule are none of this one's: a change starts no run.
        done = memory.last_tick.ToDatetime(UTC) if memory.schedule == timetable.text else now
        return max(done, newest or done), done
    if newest is not None:
        return newest, newest
    created = service.metadata.create_time.ToDatetime(UTC)
    known_since = service.metadata.HasField("create_time") and created <= now + CORRECTION
    declared = created if known_since and service.metadata.generation <= 1 else now
    return declared, declared


def _give_up_what_is_late(draft: AgendaDraft) -> None:
    """A run of which nothing could begin in time does not begin any more."""
    for run in draft.runs:
        if not run.staying or run.begun or not draft.late(run.tick):
            continue
        draft.given_up.add(run.tick)
        why = next((it.status.message for it in run.staying if it.status.message), draft.waits_for)
        _tell_missed(draft, [run.tick], why)
        draft.finish(run.tick)
        draft.operations += [Delete(it, "it could not begin in time") for it in run.staying]


def _release(draft: AgendaDraft) -> None:
    """Starts what was made, when what had to go first has gone."""
    held = [(run, it) for run in draft.active for it in run.living if it.spec.held]
    if held and draft.spec.concurrency_policy == REPLACE:
        newest = held[0][0]  # that others were to go for it, an earlier run of the program may have known alone
        cause = f"replaced by the run due at {draft.timetable.show(newest.tick)}"
        older = [run for run in draft.active if run.tick < newest.tick]
        draft.operations += [Delete(it, cause) for run in older for it in run.living]
    if not draft.leaving:
        draft.operations += [Release(it, f"run due at {draft.timetable.show(run.tick)}") for run, it in held]


def _note_what_is_made(draft: AgendaDraft, *, resumes: bool) -> None:
    """Ticks whose runs have come to the engine are done with.

    ``resumes``: it is known what was done with before. Then a run beyond that, of which an earlier run of the program
    made but a part, is completed.
    """
    for run in draft.runs:
        if run.tick <= draft.done or not run.made or run.tick > draft.now + CORRECTION:
            continue
        missing = draft.spec.replicas - len(run.containers)
        if resumes and run.found and missing > 0 and run.tick == draft.known and not draft.late(run.tick):
            if draft.spec.paused or draft.waits_for or not _create(draft, run.tick, missing):
                draft.due = run.tick
            continue
        draft.finish(run.tick)


def _run_what_is_due(draft: AgendaDraft) -> None:
    due = _newest_tick(draft)
    if due is None:
        return
    if not draft.spec.replicas or any(run.tick == due for run in draft.runs):
        draft.finish(due)
        return
    if draft.spec.paused:  # what is missed is told of in one, at the end
        draft.due, draft.waits_for = (None if draft.late(due) else due), "the service, which is paused"
        return
    late = draft.late(due)
    _pass_over(draft, due, late=late)
    if late:
        return
    active = draft.active
    policy = draft.spec.concurrency_policy or FORBID
    if policy == FORBID and active:
        text = f"the run due at {draft.timetable.show(due)} is left out, as the one due at"
        draft.notices.append(Notice("RunSkipped", f"{text} {draft.timetable.show(active[0].tick)} has not ended"))
        draft.finish(due)
        return
    draft.due = due
    if draft.waits_for:
        return
    replaced = [it for run in active for it in run.living] if policy == REPLACE else []
    if _create(draft, due, draft.spec.replicas, replaced):
        draft.due = None
        for run in active if replaced else ():
            text = f"the run due at {draft.timetable.show(run.tick)} ends for the one due at"
            draft.notices.append(Notice("RunReplaced", f"{text} {draft.timetable.show(due)}"))


def _newest_tick(draft: AgendaDraft) -> datetime | None:
    """The newest tick that has no run yet, be it the schedule's or a restart that was asked for."""
    ticks = [draft.timetable.newest(draft.known, draft.now)]
    if draft.spec.HasField("restarted_at"):
        asked = draft.spec.restarted_at.ToDatetime(UTC)
        ticks.append(asked if draft.known < asked <= draft.now else None)
    return max((it for it in ticks if it is not None), default=None)


def _pass_over(draft: AgendaDraft, due: datetime, *, late: bool) -> None:
    """Leaves out the ticks before the newest one; and that one too when it is too ``late`` for it."""
    until = due if late else due - timedelta(microseconds=1)
    newest = due if late else draft.timetable.newest(draft.known, until)
    if newest is None:
        return
    missed = draft.timetable.between(draft.known, until, _COUNTED)
    _tell_missed(draft, missed or [newest], draft.waits_for)
    draft.finish(newest)


def _tell_missed(draft: AgendaDraft, ticks: Sequence[datetime], why: str) -> None:
    show, reason = draft.timetable.show, f": {why}" if why else ""
    if len(ticks) == 1:
        text = f"the run due at {show(ticks[0])} did not begin in time{reason}"
    else:
        many = f"{_COUNTED} or more" if len(ticks) >= _COUNTED else str(len(ticks))
        text = f"{many} runs, due from {show(ticks[0])} on, did not begin in time{reason}"
    draft.notices.append(Notice("RunMissed", text, WARNING))


def _create(draft: AgendaDraft, tick: datetime, count: int, replaced: Sequence[pb.Container] = ()) -> bool:
    """Plans so many containers for a run, in the lowest free slots: all, or none as long as one of them cannot be.

    They wait for what is on its way out, as are those that are ``replaced``.
    """
    held = bool(replaced) or draft.leaving
    gone = {it.metadata.name for it in replaced}
    staying = [it for it in draft.containers if it.metadata.name not in gone]
    if held:
        staying = [it for it in staying if not it.metadata.HasField("delete_time")]
    taken = claimed(staying)
    used = {it.spec.slot for run in draft.active for it in run.living if it.metadata.name not in gone}
    used |= {it.spec.slot for run in draft.runs if run.tick == tick for it in run.containers}
    creates = []
    for slot in [number for number in range(1, len(used) + count + 1) if number not in used][:count]:
        template = template_of(draft.spec)
        ports = allocate(template.ports, taken)
        if ports is None:
            draft.waits_for = "a free host port"
            return False
        taken += claims_of(ports)
        del template.ports[:]
        template.ports.extend(ports)
        joined = ""
        if draft.joined is not None:
            joined = draft.joined.get(slot) or next(iter(draft.joined.values()), "")
            if not joined:
                draft.waits_for = "the container whose network it shares"
                return False
        cause = f"run due at {draft.timetable.show(tick)}"
        creates.append(Create(slot, template, draft.revision, 0, 0, cause, held, joined, run=tick))
    draft.operations += [Delete(it, f"replaced by the run due at {draft.timetable.show(tick)}") for it in replaced]
    draft.operations += creates
    return True


def _delete_old_runs(draft: AgendaDraft) -> None:
    """Keeps the newest of the ended runs, those that succeeded and those that failed each by their own number."""
    spec = draft.spec
    limits = {
        "successful": spec.successful_history_limit if spec.HasField("successful_history_limit") else SUCCESSFUL_RUNS,
        "failed": spec.failed_history_limit if spec.HasField("failed_history_limit") else FAILED_RUNS,
    }
    kept = dict.fromkeys(limits, 0)
    for run in draft.runs:
        if not run.ended or run.tick > draft.done:
            continue
        outcome = "failed" if run.failure else "successful"
        kept[outcome] += 1
        if kept[outcome] > limits[outcome]:
            cause = f"{limits[outcome]} {outcome} runs are kept"
            draft.operations += [Delete(it, cause) for it in run.staying]


def _amend(draft: AgendaDraft) -> None:
    """What changes in place does so for the runs that go on as well."""
    going = {it.container.metadata.name for it in draft.operations if isinstance(it, Delete | Release)}
    wanted = in_place(draft.spec)
    for container in (it for run in draft.active for it in run.living if it.metadata.name not in going):
        new = amended(container.spec, wanted)
        if new != container.spec:
            draft.operations.append(Amend(container, new, describe_change(container.spec, new)))


def _outcome(runs: Sequence[Run], memory: pb.ServiceRevision | None) -> tuple[datetime | None, str]:
    """When the newest of the runs that have ended was due, be it there still or not, and why it failed."""
    ended = next((run for run in runs if run.ended), None)
    if memory is not None and memory.HasField("last_ended"):
        before = memory.last_ended.ToDatetime(UTC)
        if ended is None or ended.tick <= before:
            return before, memory.last_failure
    return (ended.tick, ended.failure) if ended is not None else (None, "")


def _last(draft: AgendaDraft, ended: datetime | None) -> datetime | None:
    """When the service last ran: by the runs that are there, or by what is known of those that are not any more."""
    status = draft.service.status
    known = [status.last_schedule_time.ToDatetime(UTC)] if status.HasField("last_schedule_time") else []
    known += [ended] if ended is not None else []
    return max([*known, *(run.tick for run in draft.runs if run.begun)], default=None)
