"""What a line about a service, a container or an event says."""

from collections.abc import Iterable

from proto.dockrunner import v1 as pb

from .ages import age
from .tables import BAD, BUSY, GOOD, Cell, Row

State = pb.ContainerStatus

SERVICE_HEADS = ("NAME", "READY", "UPDATED", "STATUS", "RESTARTS", "IMAGE", "AGE")
SERVICE_HEADS_WIDE = (*SERVICE_HEADS, "MANAGER", "REVISION", "PORTS")
CONTAINER_HEADS = ("NAME", "SERVICE", "SLOT", "STATE", "READY", "RESTARTS", "AGE")
CONTAINER_HEADS_WIDE = (*CONTAINER_HEADS, "DOCKER-ID", "REVISION", "PORTS", "IMAGE", "MESSAGE")
EVENT_HEADS = ("LAST-SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE")
EVENT_HEADS_WIDE = ("LAST-SEEN", "FIRST-SEEN", "COUNT", "TYPE", "REASON", "OBJECT", "SOURCE", "MESSAGE")

REVISION_HEADS = ("REVISION", "HASH", "IMAGE", "AGE", "DIGEST", "NOTE")

NONE = "<none>"
_SHORT_ID = 12

_ROLLOUTS = {
    pb.Rollout.IN_PROGRESS: "in progress",
    pb.Rollout.PAUSED: "paused",
    pb.Rollout.FAILED: "failed",
    pb.Rollout.ROLLING_BACK: "rolling back",
    pb.Rollout.ROLLED_BACK: "rolled back",
}


def condition(service: pb.Service, type_: str) -> pb.Condition | None:
    """One of its conditions, by type."""
    return next((found for found in service.status.conditions if found.type == type_), None)


def _holds(found: pb.Condition | None) -> bool:
    return found is not None and found.status == "True"


def is_current(service: pb.Service) -> bool:
    """Whether its status speaks of its present spec."""
    return service.status.observed_generation >= service.metadata.generation


def is_converged(service: pb.Service) -> bool:
    """Whether it runs as declared, and nothing is on the way."""
    return (
        is_current(service)
        and _holds(condition(service, "Ready"))
        and not _holds(condition(service, "Progressing"))
        and not service.status.rollout.state
        and not service.metadata.HasField("delete_time")
    )


def telling_condition(service: pb.Service) -> pb.Condition:
    """The condition that says most: of trouble, else of what goes on, else of readiness."""
    if service.metadata.HasField("delete_time"):
        return pb.Condition(type="Progressing", status="True", reason="Deleting", message="it is being deleted")
    for type_ in ("Degraded", "Progressing"):
        found = condition(service, type_)
        if found is not None and (_holds(found) or found.reason == "Paused"):
            return found
    message = "the controller has not looked at it yet"
    return condition(service, "Ready") or pb.Condition(
        type="Ready", status="Unknown", reason="Pending", message=message
    )


def rollout(service: pb.Service) -> str:
    """How far its update is; empty when there is none."""
    found = service.status.rollout
    if not found.state:
        return ""
    word = _ROLLOUTS.get(found.state, "unknown")
    message = f": {found.message}" if found.message not in ("", word) else ""
    return f"{word}, {found.updated} of {service.spec.replicas} updated to revision {found.revision}{message}"


def failed_rollout(service: pb.Service) -> str:
    """Why its update will not get to its end by itself; empty while it may."""
    found = service.status.rollout
    if found.state == pb.Rollout.FAILED:
        return f"the rollout of revision {found.revision} failed: {found.message}"
    if found.state == pb.Rollout.ROLLED_BACK:
        return f"rolled back from revision {found.failed_revision} to {found.revision}: {found.message}"
    return ""


def ready(service: pb.Service) -> str:
    """``2/3``; of a scheduled service, which mostly has nothing to run, ``-`` between its runs."""
    if service.spec.schedule and not service.status.replicas:
        return "-"
    return f"{service.status.ready_replicas}/{service.spec.replicas}"


def status(service: pb.Service, *, gone: bool = False) -> Cell:
    """The reason of the most telling condition, in its colour."""
    if gone:
        return Cell("Deleted", BAD)
    telling = telling_condition(service)
    if telling.type == "Degraded":
        return Cell(telling.reason, BAD)
    if telling.type == "Ready" and telling.status == "True":
        return Cell(telling.reason, GOOD)
    return Cell(telling.reason, BUSY)


def service_row(service: pb.Service, *, wide: bool = False, gone: bool = False) -> Row:
    """Under ``SERVICE_HEADS`` or their wide form."""
    found = service.status
    row = (
        service.metadata.name,
        ready(service),
        str(found.updated_replicas),
        status(service, gone=gone),
        str(found.restarts),
        service.spec.image,
        age(service.metadata.create_time),
    )
    if not wide:
        return row
    return (*row, service.metadata.manager or NONE, found.revision or NONE, ports(service.spec.ports))


def state(container: pb.Container, *, gone: bool = False) -> Cell:
    """``Running``, with what is not as usual in brackets: ``Running(unhealthy)``, ``Exited(137,oom)``."""
    found = container.status
    if gone:
        return Cell("Gone", BAD)
    remarks = []
    if found.state == State.EXITED and found.HasField("exit_code"):
        remarks = [str(found.exit_code), *(["oom"] if found.oom_killed else [])]
    elif found.state == State.RUNNING and found.health in (pb.Health.STARTING, pb.Health.UNHEALTHY):
        remarks = [pb.Health.Status.Name(found.health).lower()]
    elif container.metadata.HasField("delete_time") and found.state not in (State.STOPPING, State.EXITED):
        remarks = ["deleting"]
    text = State.State.Name(found.state).capitalize() + (f"({','.join(remarks)})" if remarks else "")
    if found.ready:
        return Cell(text, GOOD)
    troubled = found.state in (State.EXITED, State.RESTARTING) or found.health == pb.Health.UNHEALTHY
    return Cell(text, BAD if troubled or found.message else BUSY)


def container_row(container: pb.Container, *, wide: bool = False, gone: bool = False) -> Row:
    """Under ``CONTAINER_HEADS`` or their wide form."""
    spec, found = container.spec, container.status
    row = (
        container.metadata.name,
        spec.service,
        str(spec.slot),
        state(container, gone=gone),
        "yes" if found.ready else "no",
        str(spec.restarts + found.restart_count),
        age(container.metadata.create_time),
    )
    if not wide:
        return row
    image = spec.template.image or found.image_id or NONE
    return (*row, found.docker_id[:_SHORT_ID] or NONE, spec.revision or NONE, ports(found.ports), image, found.message)


def event_row(event: pb.Event, *, wide: bool = False, gone: bool = False) -> Row:
    """Under ``EVENT_HEADS`` or their wide form; an event that goes was only forgotten."""
    del gone
    what = f"{event.regarding.kind.lower()}/{event.regarding.name}"
    type_ = Cell(event.type, BUSY if event.type == "Warning" else "")
    if wide:
        return (
            age(event.last_time), age(event.first_time), str(event.count), type_, event.reason, what,
            event.source or NONE, event.message,
        )  # fmt: skip
    message = f"{event.message} (x{event.count})" if event.count > 1 else event.message
    return age(event.last_time), type_, event.reason, what, message


def is_present(revision: pb.Revision, service: pb.Service) -> bool:
    """Whether it is the one that runs, or that the service is on its way to."""
    return revision.revision == service.status.revision


def revision_row(revision: pb.Revision, service: pb.Service) -> Row:
    """Under ``REVISION_HEADS``."""
    return (
        f"{revision.number}{' *' if is_present(revision, service) else ''}",
        revision.revision,
        revision.spec.image,
        age(revision.create_time),
        revision.image_digest.removeprefix("sha256:")[:_SHORT_ID] or NONE,
        revision.failure,
    )


def port(found: pb.Port) -> str:
    """``8080->80/tcp``, with the host's address where it is not every one."""
    host = f"[{found.host_ip}]" if ":" in found.host_ip else found.host_ip
    published = ":".join(part for part in (host, found.published) if part)
    target = f"{found.target}/{found.protocol or 'tcp'}"
    return f"{published}->{target}" if published else target


def ports(found: Iterable[pb.Port]) -> str:
    """All ports in one cell."""
    return ",".join(map(port, found)) or NONE
