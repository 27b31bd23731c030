"""What is kept of work that has ended, so that it is not done again: of jobs, and of the ticks of a schedule.

It is kept with the revisions of a service, in the journal, and outlives the containers that did the work.
"""

from collections.abc import Iterable, Mapping, Sequence

from controller.store import REVISION, Store
from proto.dockrunner import v1 as pb

from .agenda import Agenda
from .restart import parse_restart
from .revision_history import history, revision_name
from .slots import Slot, completed
from .target import Target


def remembered(target: Target, revisions: Sequence[pb.ServiceRevision]) -> Mapping[int, int]:
    """The exit status of each slot of a job that has ended, as it is kept. Who goes back to a revision wants it done
    once more."""
    if parse_restart(target.spec.restart).name not in ("no", "on-failure") or target.spec.schedule:
        return {}
    newest = max(revisions, key=lambda it: it.number, default=None)
    if newest is None or (target.failed is None and newest.revision != target.revision):
        return {}
    return dict(target.memory.ended)


def outcomes(slots: Iterable[Slot], spec: pb.ServiceSpec, revision: str, ended: Mapping[int, int]) -> Mapping[int, int]:
    """The exit status of each of the slots whose work is done: by its container, else as it is remembered."""
    done = {}
    for slot in slots:
        there = [it for it in slot.current if it.spec.revision == revision and completed(it, spec)]
        if there:
            done[slot.number] = there[0].status.exit_code
        elif slot.number in ended:
            done[slot.number] = ended[slot.number]
    return done


def remember_ended(service: pb.Service, revision: str, ended: Mapping[int, int], store: Store) -> None:
    """Keeps how the slots of a job have ended; of one that is no job, nothing."""
    name = revision_name(service, revision)
    kept = store.find(REVISION, name)
    if kept is None or dict(kept.ended) == dict(ended):
        return

    def edit(edited: pb.ServiceRevision) -> None:
        edited.ended.clear()
        edited.ended.update(ended)

    store.update_status(REVISION, name, edit)


def remember_ticks(service: pb.Service, agenda: Agenda | None, store: Store) -> None:
    """Keeps up to when ticks are done with; of a service that has no schedule, nothing."""
    kept = history(service, store)
    if agenda is None:
        for revision in kept:
            if revision.schedule:
                store.update_status(REVISION, revision.metadata.name, _forget)
        return

    def edit(edited: pb.ServiceRevision) -> None:
        edited.last_tick.FromDatetime(agenda.done)
        edited.schedule = agenda.timetable.text
        edited.last_failure = agenda.failure
        if agenda.ended is not None:
            edited.last_ended.FromDatetime(agenda.ended)

    if kept:
        store.update_status(REVISION, kept[-1].metadata.name, edit)


def _forget(revision: pb.ServiceRevision) -> None:
    for field in ("last_tick", "schedule", "last_ended", "last_failure"):
        revision.ClearField(field)
