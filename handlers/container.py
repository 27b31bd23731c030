"""The story of a container: pull, create, start, observe; stop, remove."""

import logging

from controller import Result, on
from controller.errors import EngineError, EngineUnavailable, ImageMissing
from controller.scheduler import Informer
from controller.scheduler.engine import Engine
from controller.store import CONTAINER, NORMAL, SERVICE, WARNING, Recorder, Store, reference
from proto.dockrunner import v1 as pb

from .instance import Instance
from .orphans import Orphans

State = pb.ContainerStatus

SOURCE = "container-controller"
# When the event of a start is late, it is looked for after so many seconds.
START_PATIENCE = 2.0
DEFAULT_GRACE = 10.0

logger = logging.getLogger("dock_runner.container")


@on.reconcile("Container")
async def run(
    body: pb.Container, store: Store, engine: Engine, informer: Informer, instance: Instance, recorder: Recorder,
    orphans: Orphans,
) -> Result | None:  # fmt: skip
    """Brings the container up, one step after the other; each step may be repeated."""
    if body.metadata.HasField("delete_time") or not informer.up or orphans.judge(body):
        return None
    status = body.status
    try:
        if not status.docker_id and status.state != State.EXITED:
            await create(body, store, engine, instance, recorder)
            body = store.get(CONTAINER, body.metadata.name)
        if body.status.state in (State.PENDING, State.PULLING, State.CREATED):
            await start(body, store, engine)
            return Result(requeue_after=START_PATIENCE)
        if body.status.state == State.STARTING:
            await informer.observe(body.status.docker_id)
        elif body.status.docker_id and informer.restart_of(body.status.docker_id) not in ("", body.spec.restart):
            await engine.update(body.status.docker_id, body.spec.restart)
            await informer.observe(body.status.docker_id)
    except EngineUnavailable:
        informer.doubt()
    except EngineError as error:
        explain(store, body, str(error))
        raise
    return None


@on.delete("Container")
async def take_down(
    body: pb.Container, store: Store, engine: Engine, informer: Informer, recorder: Recorder
) -> Result:  # fmt: skip
    """Stops the process with its grace period and removes the container; without the engine it waits."""
    if not informer.up:
        return Result(done=False)
    docker_id = body.status.docker_id
    if not docker_id:
        return Result()
    try:
        if body.status.state not in (State.EXITED, State.CREATED):
            mark(store, body, State.STOPPING)
            recorder.record(SOURCE, reference(body), NORMAL, "Stopping", f"with {grace_of(body, store):g} s of grace")
        await engine.stop(docker_id, grace_of(body, store))
        await engine.remove(docker_id)
    except EngineUnavailable:
        informer.doubt()
        return Result(done=False)
    except EngineError as error:
        recorder.record(SOURCE, reference(body), WARNING, "StopFailed", str(error))
        raise
    return Result()


async def create(container: pb.Container, store: Store, engine: Engine, instance: Instance, recorder: Recorder) -> None:
    """Makes the container in the engine, with its network and, where it has to be fetched, its image."""
    request = instance.request(container)
    service = store.find(SERVICE, container.spec.service)
    pull_policy = service.spec.pull_policy if service is not None else "missing"
    for network in request.networks:
        await engine.ensure_network(network)
    if pull_policy == "always":
        await pull(container, store, engine, recorder)
    try:
        docker_id = await engine.create(request)
    except ImageMissing as error:
        if pull_policy != "missing":
            raise EngineError(f"{error}, and pull_policy is {pull_policy}") from error
        await pull(container, store, engine, recorder)
        docker_id = await engine.create(request)

    def created(edited: pb.Container) -> None:
        if not edited.status.docker_id:
            edited.status.docker_id = docker_id
            edited.status.state = State.CREATED
            edited.status.message = ""

    store.update_status(CONTAINER, container.metadata.name, created, uid=container.metadata.uid)


async def pull(container: pb.Container, store: Store, engine: Engine, recorder: Recorder) -> None:
    """Fetches the image, and shows how far it is."""
    image = container.spec.template.image
    mark(store, container, State.PULLING, f"pulling {image}")
    recorder.record(SOURCE, reference(container), NORMAL, "Pulling", image)
    await engine.pull(image, lambda progress: mark(store, container, State.PULLING, f"pulling {image}: {progress}"))
    recorder.record(SOURCE, reference(container), NORMAL, "Pulled", image)


async def start(container: pb.Container, store: Store, engine: Engine) -> None:
    """Starts it; that it runs is learned from the engine's event."""
    await engine.start(container.status.docker_id)

    def started(edited: pb.Container) -> None:
        if edited.status.state in (State.PENDING, State.PULLING, State.CREATED):
            edited.status.state = State.STARTING
            edited.status.message = ""

    store.update_status(CONTAINER, container.metadata.name, started, uid=container.metadata.uid)


def grace_of(container: pb.Container, store: Store) -> float:
    """Seconds that the process may take to stop."""
    if container.spec.HasField("template"):
        return container.spec.template.stop_grace_period.ToTimedelta().total_seconds()
    service = store.find(SERVICE, container.spec.service)
    return service.spec.stop_grace_period.ToTimedelta().total_seconds() if service is not None else DEFAULT_GRACE


def explain(store: Store, container: pb.Container, message: str) -> None:
    """Shows in the status what keeps the container from running."""

    def edit(edited: pb.Container) -> None:
        edited.status.message = message
        if edited.status.state == State.PULLING:
            edited.status.state = State.PENDING

    if store.find(CONTAINER, container.metadata.name) is not None:
        store.update_status(CONTAINER, container.metadata.name, edit)


def mark(store: Store, container: pb.Container, state: pb.ContainerStatus.State.ValueType, message: str = "") -> None:
    """Writes a state that only this side knows of."""

    def edit(edited: pb.Container) -> None:
        edited.status.state = state
        edited.status.message = message
        if state == State.STOPPING:
            edited.status.ready = False

    store.update_status(CONTAINER, container.metadata.name, edit, uid=container.metadata.uid)
