"""A small world to plan in: services and containers made by hand, and plans carried out on them."""

import itertools
from datetime import UTC, datetime, timedelta

from handlers.admission import fill_in
from handlers.in_place import in_place
from handlers.instance import Instance
from handlers.operations import Amend, Create, Delete, Operation, Release, Stop
from handlers.planner import Plan, plan
from handlers.revision import revision_of, template_of
from proto.dockrunner import v1 as pb

NOW = datetime(2026, 1, 1, tzinfo=UTC)
State = pb.ContainerStatus

_serial = itertools.count(1)


def service(image: str = "web:1", replicas: int = 1, **spec: object) -> pb.Service:
    """An admitted service called web."""
    wanted = pb.Service(metadata=pb.Metadata(name="web"), spec=pb.ServiceSpec(image=image, replicas=replicas))
    for field, value in spec.items():
        if isinstance(value, list):
            getattr(wanted.spec, field).extend(value)
        else:
            setattr(wanted.spec, field, value)
    fill_in(wanted.spec)
    return wanted


def container(
    of: pb.Service, slot: int = 1, state: pb.ContainerStatus.State.ValueType = State.RUNNING, *,
    ready: bool | None = None, exit_code: int | None = None, ran: float = 60.0, age: float = 0.0,
) -> pb.Container:  # fmt: skip
    """A container object that was made from a service."""
    serial = next(_serial)
    made = pb.Container(
        metadata=pb.Metadata(name=f"web-{slot}-{serial:05}", uid=f"uid-{serial}"),
        spec=pb.ContainerSpec(
            service="web", slot=slot, revision=revision_of(of.spec), template=template_of(of.spec),
        ),
        status=pb.ContainerStatus(state=state, docker_id=f"id-{serial}"),
    )  # fmt: skip
    made.spec.MergeFrom(in_place(of.spec))
    made.metadata.create_time.FromDatetime(NOW - timedelta(seconds=age) + timedelta(microseconds=serial))
    made.status.ready = state == State.RUNNING if ready is None else ready
    if exit_code is not None:
        made.status.exit_code = exit_code
    if state == State.EXITED:
        made.status.started_at.FromDatetime(NOW - timedelta(seconds=ran))
        made.status.finished_at.FromDatetime(NOW)
    return made


def leaving(what: pb.Container) -> pb.Container:
    """The same, on its way out."""
    what.metadata.delete_time.FromDatetime(NOW)
    return what


def planned(of: pb.Service, *containers: pb.Container, now: datetime = NOW) -> list[str]:
    """The operations of a plan in short: ``create 1``, ``delete web-1-00001``, ``amend web-1-00001``."""
    return [in_short(operation) for operation in plan(of, containers, now).operations]


def in_short(operation: Operation) -> str:
    match operation:
        case Create(slot=slot, held=held):
            return f"create {slot}, held" if held else f"create {slot}"
        case Delete(container=it):
            return f"delete {it.metadata.name}"
        case Stop(container=it):
            return f"stop {it.metadata.name}"
        case Release(container=it):
            return f"release {it.metadata.name}"
        case Amend(container=it):
            return f"amend {it.metadata.name}"


def carry_out(what: Plan, of: pb.Service, containers: list[pb.Container]) -> None:
    """Does to the list what the controllers would do to the store."""
    for operation in what.operations:
        match operation:
            case Create():
                made = Instance("default").container(of, operation)
                made.metadata.create_time.FromDatetime(NOW + timedelta(microseconds=next(_serial)))
                containers.append(made)
            case Delete(container=it):
                leaving(it)
            case Stop(container=it):
                it.spec.stopped = True
            case Release(container=it):
                it.spec.held = False
            case Amend(container=it, wanted=wanted):
                it.spec.CopyFrom(wanted)
