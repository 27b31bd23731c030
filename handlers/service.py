"""The story of a service: plan, carry out, say how far it is."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from controller import Result, on
from controller.scheduler import Informer
from controller.store import CONTAINER, NORMAL, SERVICE, WARNING, Recorder, Store, owner_of, reference
from proto.dockrunner import v1 as pb

from .instance import Instance
from .operations import Amend, Create, Delete, Operation, Release, Stop
from .planner import Plan, plan
from .refused import Refused
from .revision_history import history, keep_revision, remember
from .status import status_of
from .surroundings import Surroundings
from .work_done import remember_ended, remember_ticks

SOURCE = "service-controller"


@on.reconcile("Service")
async def converge(
    body: pb.Service, store: Store, now: Any, instance: Instance, recorder: Recorder, refused: Refused,
    surroundings: Surroundings, informer: Informer,
) -> Result | None:  # fmt: skip
    """Makes and marks container objects until they are what the service wants."""
    if body.metadata.HasField("delete_time"):
        return None
    containers = store.list(CONTAINER, index="service", value=body.metadata.name)
    keep_revision(body, containers, store)
    planned = plan_of(body, containers, now, store, surroundings, informer)
    if why := refused.why(body):  # what runs goes on, and is not replaced either
        planned = replace(planned, operations=(), look_again=None, verdict=None)
    write_status(store, body, status_of(body, containers, planned, now, refused=why))
    take_under(body, containers, store)
    if not why:
        # Before anything is deleted that tells the same.
        remember_ended(body, planned.revision, planned.done, store)
        remember_ticks(body, planned.agenda, store)
        for notice in planned.agenda.notices if planned.agenda is not None else ():
            recorder.record(SOURCE, reference(body), notice.type, notice.reason, notice.message)
    for operation in planned.operations:
        carry_out(operation, body, store, instance)
        tell(operation, body, recorder)
    if planned.verdict is not None:
        remember(planned.verdict, body, store, recorder)
        return Result(requeue_after=0)
    return Result(requeue_after=planned.look_again.total_seconds()) if planned.look_again else None


@on.delete("Service")
async def take_down(body: pb.Service, store: Store, now: Any, surroundings: Surroundings, informer: Informer) -> Result:
    """Marks all containers for deletion, and is done when they are gone."""
    containers = store.list(CONTAINER, index="service", value=body.metadata.name)
    planned = plan_of(body, containers, now, store, surroundings, informer)
    write_status(store, body, status_of(body, containers, planned, now))
    for container in containers:
        store.delete(CONTAINER, container.metadata.name)
    return Result(done=not store.list(CONTAINER, index="service", value=body.metadata.name))


def plan_of(
    service: pb.Service, containers: Sequence[pb.Container], now: Any, store: Store, surroundings: Surroundings,
    informer: Informer,
) -> Plan:  # fmt: skip
    """The plan, given also what is kept of the service and what is around it."""
    waits_for = surroundings.waits_for(service)
    if service.spec.schedule and not informer.up:  # a run is not to be begun that might start much too late
        waits_for = "the engine, which does not answer"
    return plan(
        service, containers, now, revisions=history(service, store), waits_for=waits_for,
        joined=surroundings.joined(service), follows=surroundings.follows(service),
    )  # fmt: skip


def carry_out(operation: Operation, service: pb.Service, store: Store, instance: Instance) -> None:
    """Writes one step of the plan to the store; the container controller does the rest."""
    match operation:
        case Create():
            store.create(CONTAINER, instance.container(service, operation))
        case Delete(container=container):
            store.delete(CONTAINER, container.metadata.name, uid=container.metadata.uid)
        case Stop(container=container):
            change_spec(store, container, lambda spec: setattr(spec, "stopped", True))
        case Release(container=container):
            change_spec(store, container, lambda spec: setattr(spec, "held", False))
        case Amend(container=container, wanted=wanted):
            change_spec(store, container, lambda spec: spec.CopyFrom(wanted))


def change_spec(store: Store, container: pb.Container, edit: Callable[[pb.ContainerSpec], None]) -> None:
    """Changes what is wanted of a container."""
    store.update(CONTAINER, container.metadata.name, lambda it: edit(it.spec), uid=container.metadata.uid)


def take_under(service: pb.Service, containers: Sequence[pb.Container], store: Store) -> None:
    """Makes container objects the service's own, also those found in Docker: they go with it, and have its labels.

    The labels are for selectors; those in Docker stay as they were made.
    """
    labels, owner = SERVICE.labels(service), owner_of(service)
    for container in containers:
        if container.metadata.labels != labels or owner not in container.metadata.owners:

            def hand_down(edited: pb.Container) -> None:
                edited.metadata.labels.clear()
                edited.metadata.labels.update(labels)
                del edited.metadata.owners[:]
                edited.metadata.owners.append(owner)

            store.update(CONTAINER, container.metadata.name, hand_down, uid=container.metadata.uid)


def tell(operation: Operation, service: pb.Service, recorder: Recorder) -> None:
    """Says in an event what is done, and why."""
    about = reference(service)
    match operation:
        case Create(slot=slot, cause=cause):
            recorder.record(SOURCE, about, NORMAL, "Creating", f"container for slot {slot}: {cause}")
        case Delete(container=container, cause=cause):
            recorder.record(SOURCE, about, NORMAL, "Deleting", f"{container.metadata.name}: {cause}")
        case Stop(container=container, cause=cause):
            recorder.record(SOURCE, about, WARNING, "Replacing", f"{container.metadata.name}: {cause}")
        case Release(container=container, cause=cause):
            recorder.record(SOURCE, about, NORMAL, "Starting", f"{container.metadata.name}: {cause}")
        case Amend(container=container, cause=cause):
            recorder.record(SOURCE, about, NORMAL, "Updating", f"{container.metadata.name}: {cause}")


def write_status(store: Store, service: pb.Service, status: pb.ServiceStatus) -> None:
    """Writes the status; one that is the same makes no version."""

    def edit(edited: pb.Service) -> None:
        edited.status.CopyFrom(status)

    store.update_status(SERVICE, service.metadata.name, edit, uid=service.metadata.uid)
