"""The conditions of a scheduled service. Pure."""

from collections.abc import Sequence

from proto.dockrunner import v1 as pb

from .agenda import Agenda
from .operations import Create
from .runs import Run


def ready(service: pb.Service, agenda: Agenda) -> pb.Condition:
    """A service that runs at times is ready when it knows when."""
    show, spec = agenda.timetable.show, service.spec
    if spec.paused:
        text = "paused"
    else:
        text = f"next run at {show(agenda.next)}" if agenda.next is not None else "no run is to come"
    if agenda.ended is not None:
        text += f", last run {'failed' if agenda.failure else 'succeeded'}"
    elif agenda.last is not None:
        text += f", last run at {show(agenda.last)}"
    return pb.Condition(type="Ready", status="True", reason="Scheduled", message=text)


def progressing(service: pb.Service, agenda: Agenda, runs: Sequence[Run]) -> pb.Condition:
    """Whether a run goes on, or is to begin."""
    show = agenda.timetable.show
    running = [run for run in runs if run.living]
    if running:
        text = "; ".join(f"the run due at {show(run.tick)} has not ended" for run in running[:3])
        return pb.Condition(type="Progressing", status="True", reason="Running", message=text)
    if agenda.due is not None:
        text = f"the run due at {show(agenda.due)} waits for {agenda.waits_for or 'its containers'}"
        paused = service.spec.paused
        status, reason = ("False", "Paused") if paused else ("True", "Waiting")
        return pb.Condition(type="Progressing", status=status, reason=reason, message=text)
    if any(isinstance(it, Create) for it in agenda.operations):
        return pb.Condition(type="Progressing", status="True", reason="Running", message="a run begins")
    return pb.Condition(type="Progressing", status="False", reason="Converged", message="no run is due")


def write_times(status: pb.ServiceStatus, agenda: Agenda) -> None:
    """When it last ran, and will next."""
    if agenda.last is not None:
        status.last_schedule_time.FromDatetime(agenda.last)
    if agenda.next is not None:
        status.next_schedule_time.FromDatetime(agenda.next)
