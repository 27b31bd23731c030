"""The story of a container: find its image, create, start, observe; stop, remove."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from controller import Result, on
from controller.errors import EngineError, EngineUnavailable, PolicyDenied
from controller.scheduler import Informer
from controller.scheduler.engine import Engine
from controller.store import CONTAINER, NORMAL, SERVICE, WARNING, Recorder, Store, reference
from proto.dockrunner import v1 as pb

from .container_files import ContainerFiles
from .crash_loop import tell_of_crashes
from .images import Images
from .in_flight import Call, InFlight
from .instance import Instance
from .networks import Networks
from .orphans import Orphans
from .policy import Policy
from .trouble import Wait, reason_of

State = pb.ContainerStatus

SOURCE = "container-controller"
# When the event of a start is late, it is looked for after so many seconds.
START_PATIENCE = 2.0
# After a call without an answer it is tried again in so many seconds, if the engine answers then.
ENGINE_PATIENCE = 2.0
DEFAULT_GRACE = 10.0


@on.reconcile("Container")
async def run(
    body: pb.Container, store: Store, engine: Engine, informer: Informer, instance: Instance, recorder: Recorder,
    orphans: Orphans, in_flight: InFlight, policy: Policy, images: Images, files: ContainerFiles, now: Any, memo: Any,
) -> Result | None:  # fmt: skip
    """Brings the container up, one step after the other; each step may be repeated."""
    if body.metadata.HasField("delete_time") or not informer.up or orphans.judge(body):
        return None
    try:
        if body.spec.stopped:
            return await keep_stopped(body, store, engine, informer, recorder, in_flight)
        if not body.status.docker_id and body.status.state != State.EXITED:
            policy.check(instance.template(body), body.spec.service)
            if not await create(body, store, engine, instance, images, files):
                return Result(done=False)
            body = store.get(CONTAINER, body.metadata.name)
        await files.restore(body)
        if body.spec.held and body.status.state == State.CREATED:
            return None
        if body.status.state in (State.PENDING, State.PULLING, State.CREATED):
            await start(body, store, engine)
            return Result(requeue_after=START_PATIENCE)
        if body.status.state == State.STARTING:
            await informer.observe(body.status.docker_id)
            return Result(requeue_after=START_PATIENCE)
        await change_in_place(body, engine, informer)
        await tell_of_crashes(body, engine, recorder, memo)
        if left := until_ready(body, now):
            return Result(requeue_after=left)
        if body.status.state == State.RUNNING and not body.status.ready and body.spec.HasField("min_ready"):
            await informer.observe(body.status.docker_id)
    except EngineUnavailable:
        informer.doubt()
        return Result(requeue_after=ENGINE_PATIENCE)
    except Wait as error:
        explain(store, body, error)
        return Result(requeue_after=error.seconds, done=False)
    except (EngineError, PolicyDenied) as error:
        explain(store, body, error)
        raise
    return None


@on.delete("Container", backoff=0.05)
async def take_down(
    body: pb.Container, store: Store, engine: Engine, informer: Informer, recorder: Recorder, in_flight: InFlight,
    networks: Networks,
) -> Result:  # fmt: skip
    """Stops the process with its grace period and removes the container; without the engine it waits."""
    if not informer.up:
        return Result(done=False)
    name = body.metadata.name
    try:
        if not body.status.docker_id and body.status.state != State.EXITED:
            # The answer to a create may have been lost; what it made must not be left behind.
            await informer.list()
            body = store.get(CONTAINER, name)
        stop = stopping(body, store, engine)
        networks.note(body)
        if body.status.docker_id and not in_flight.ended(f"stop {body.metadata.uid}", name, stop):
            begin_to_stop(body, store, recorder)
            return Result(done=False)
        await networks.left(body)
    except EngineUnavailable:
        informer.doubt()
        return Result(done=False, requeue_after=ENGINE_PATIENCE)
    except EngineError as error:
        recorder.record(SOURCE, reference(body), WARNING, "StopFailed", str(error))
        raise
    in_flight.forget(name)
    return Result()


async def keep_stopped(
    container: pb.Container, store: Store, engine: Engine, informer: Informer, recorder: Recorder, in_flight: InFlight
) -> Result | None:
    """Stops what is to stay as it is until its successor serves, also when a restart of Docker has started it again."""
    name, docker_id = container.metadata.name, container.status.docker_id
    if container.status.state == State.EXITED or not docker_id:
        return None

    async def halt() -> None:
        await engine.stop(docker_id, grace_of(container, store))

    if not in_flight.ended(f"halt {container.metadata.uid}", name, halt):
        begin_to_stop(container, store, recorder)
        return Result(done=False)
    await informer.observe(docker_id)
    return None


async def change_in_place(container: pb.Container, engine: Engine, informer: Informer) -> None:
    """Has the engine's settings of a container follow its spec."""
    docker_id, wanted = container.status.docker_id, container.spec
    settings = informer.settings_of(docker_id) if docker_id else None
    if settings is None or container.status.state in (State.STOPPING, State.EXITED):
        return
    restart, resources = settings
    limits = engine.effective(wanted.resources)
    if (restart, engine.effective(resources)) != (wanted.restart, limits):
        await engine.update(docker_id, wanted.restart, wanted.resources)
        await informer.observe(docker_id)


def until_ready(container: pb.Container, now: Any) -> float:
    """Seconds that a container without a health check has yet to run before it is ready; 0 when that is not it."""
    status, wanted = container.status, container.spec.min_ready.ToTimedelta()
    if status.state != State.RUNNING or status.ready or status.health != pb.Health.NONE:
        return 0.0
    left: timedelta = status.started_at.ToDatetime(now.tzinfo) + wanted - now
    return max(0.0, left.total_seconds())


async def create(
    container: pb.Container, store: Store, engine: Engine, instance: Instance, images: Images, files: ContainerFiles
) -> bool:
    """Makes the container in the engine, with its networks and files; False while its image is being fetched."""
    image = await images.find(container)
    if image is None:
        return False
    request = instance.request(container, docker_id_of(container.spec.joined, store))
    template = pb.ServiceSpec()
    template.CopyFrom(request.template)
    template.image = image.name
    for network, attachment in request.networks.items():
        await engine.ensure_network(network, attachment.definition)
    docker_id = await engine.create(replace(request, template=template, files=await files.make(container)))

    def created(edited: pb.Container) -> None:
        if not edited.status.docker_id:
            edited.status.docker_id = docker_id
            edited.status.state = State.CREATED
            edited.status.message = edited.status.reason = ""

    store.update_status(CONTAINER, container.metadata.name, created, uid=container.metadata.uid)
    return True


async def start(container: pb.Container, store: Store, engine: Engine) -> None:
    """Starts it; that it runs is learned from the engine's event."""
    await engine.start(container.status.docker_id)

    def started(edited: pb.Container) -> None:
        if edited.status.state in (State.PENDING, State.PULLING, State.CREATED):
            edited.status.state = State.STARTING
            edited.status.message = edited.status.reason = ""

    store.update_status(CONTAINER, container.metadata.name, started, uid=container.metadata.uid)


def docker_id_of(joined: str, store: Store) -> str:
    """The engine's id of the container of ``ContainerSpec.joined``; empty without one, or while it is not there."""
    uid = joined.partition("@")[0]
    found = store.list(CONTAINER, index="uid", value=uid) if uid else []
    return found[0].status.docker_id if found else ""


def stopping(container: pb.Container, store: Store, engine: Engine) -> Call:
    """What takes the container out of the engine."""
    docker_id, grace = container.status.docker_id, grace_of(container, store)

    async def stop() -> None:
        await engine.stop(docker_id, grace)
        await engine.remove(docker_id)

    return stop


def begin_to_stop(container: pb.Container, store: Store, recorder: Recorder) -> None:
    """Shows that a process that ran is asked to stop; said once."""
    if container.status.state not in (State.EXITED, State.CREATED, State.STOPPING):
        mark(store, container.metadata.name, State.STOPPING)
        grace = grace_of(container, store)
        recorder.record(SOURCE, reference(container), NORMAL, "Stopping", f"with {grace:g} s of grace")


def grace_of(container: pb.Container, store: Store) -> float:
    """Seconds that the process may take to stop."""
    if container.spec.HasField("template"):
        return container.spec.template.stop_grace_period.ToTimedelta().total_seconds()
    service = store.find(SERVICE, container.spec.service)
    return service.spec.stop_grace_period.ToTimedelta().total_seconds() if service is not None else DEFAULT_GRACE


def explain(store: Store, container: pb.Container, error: EngineError | PolicyDenied) -> None:
    """Shows in the status what keeps the container from running."""

    def edit(edited: pb.Container) -> None:
        edited.status.message, edited.status.reason = (
            str(error),
            reason_of(error, started=bool(edited.status.docker_id)),
        )
        if edited.status.state == State.PULLING:
            edited.status.state = State.PENDING

    if store.find(CONTAINER, container.metadata.name) is not None:
        store.update_status(CONTAINER, container.metadata.name, edit)


def mark(store: Store, name: str, state: pb.ContainerStatus.State.ValueType) -> None:
    """Writes a state that only this side knows of, if the container is there to have one."""

    def edit(edited: pb.Container) -> None:
        edited.status.state = state
        edited.status.message = ""
        if state == State.STOPPING:
            edited.status.ready = False

    if store.find(CONTAINER, name) is not None:
        store.update_status(CONTAINER, name, edit)
