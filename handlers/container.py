"""The story of a container: pull, create, start, observe; stop, remove."""

from controller import Result, on
from controller.errors import EngineError, EngineUnavailable, ImageMissing, PolicyDenied
from controller.scheduler import Informer
from controller.scheduler.engine import Engine
from controller.store import CONTAINER, NORMAL, SERVICE, WARNING, Recorder, Store, reference
from proto.dockrunner import v1 as pb

from .in_flight import Call, InFlight
from .instance import Instance
from .orphans import Orphans
from .policy import Policy

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
    orphans: Orphans, in_flight: InFlight, policy: Policy,
) -> Result | None:  # fmt: skip
    """Brings the container up, one step after the other; each step may be repeated."""
    if body.metadata.HasField("delete_time") or not informer.up or orphans.judge(body):
        return None
    try:
        if not body.status.docker_id and body.status.state != State.EXITED:
            policy.check(body.spec.template)
            if not fetched(body, store, engine, recorder, in_flight):
                return Result(done=False)
            if not await create(body, store, engine, instance):
                return Result(requeue_after=0, done=False)
            body = store.get(CONTAINER, body.metadata.name)
        if body.status.state in (State.PENDING, State.PULLING, State.CREATED):
            await start(body, store, engine)
            return Result(requeue_after=START_PATIENCE)
        if body.status.state == State.STARTING:
            await informer.observe(body.status.docker_id)
            return Result(requeue_after=START_PATIENCE)
        if body.status.docker_id and informer.restart_of(body.status.docker_id) not in ("", body.spec.restart):
            await engine.update(body.status.docker_id, body.spec.restart)
            await informer.observe(body.status.docker_id)
    except EngineUnavailable:
        informer.doubt()
        return Result(requeue_after=ENGINE_PATIENCE)
    except (EngineError, PolicyDenied) as error:
        explain(store, body, str(error))
        raise
    return None


@on.delete("Container", backoff=0.05)
async def take_down(
    body: pb.Container, store: Store, engine: Engine, informer: Informer, recorder: Recorder, in_flight: InFlight
) -> Result:
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
        if body.status.docker_id and not in_flight.ended(f"stop {body.metadata.uid}", name, stop):
            begin_to_stop(body, store, recorder)
            return Result(done=False)
    except EngineUnavailable:
        informer.doubt()
        return Result(done=False, requeue_after=ENGINE_PATIENCE)
    except EngineError as error:
        recorder.record(SOURCE, reference(body), WARNING, "StopFailed", str(error))
        raise
    in_flight.forget(name)
    return Result()


def fetched(container: pb.Container, store: Store, engine: Engine, recorder: Recorder, in_flight: InFlight) -> bool:
    """Whether the image is there as far as known; begins or joins its pull where the policy or a try asks for one."""
    image, name = container.spec.template.image, container.metadata.name
    if container.status.state != State.PULLING and pull_policy_of(container, store) != "always":
        return True

    async def pull() -> None:
        recorder.record(SOURCE, reference(container), NORMAL, "Pulling", image)
        await engine.pull(image, lambda progress: mark(store, name, State.PULLING, f"pulling {image}: {progress}"))
        recorder.record(SOURCE, reference(container), NORMAL, "Pulled", image)

    if not in_flight.ended(f"pull {image}", name, pull):
        if container.status.state != State.PULLING:
            mark(store, name, State.PULLING, f"pulling {image}")
        return False
    return True


async def create(container: pb.Container, store: Store, engine: Engine, instance: Instance) -> bool:
    """Makes the container in the engine, with its network; False when its image has to be pulled before."""
    request = instance.request(container)
    for network in request.networks:
        await engine.ensure_network(network)
    try:
        docker_id = await engine.create(request)
    except ImageMissing as error:
        if (policy := pull_policy_of(container, store)) != "missing":
            raise EngineError(f"{error}, and pull_policy is {policy}") from error
        mark(store, container.metadata.name, State.PULLING, f"pulling {request.template.image}")
        return False

    def created(edited: pb.Container) -> None:
        if not edited.status.docker_id:
            edited.status.docker_id = docker_id
            edited.status.state = State.CREATED
            edited.status.message = ""

    store.update_status(CONTAINER, container.metadata.name, created, uid=container.metadata.uid)
    return True


async def start(container: pb.Container, store: Store, engine: Engine) -> None:
    """Starts it; that it runs is learned from the engine's event."""
    await engine.start(container.status.docker_id)

    def started(edited: pb.Container) -> None:
        if edited.status.state in (State.PENDING, State.PULLING, State.CREATED):
            edited.status.state = State.STARTING
            edited.status.message = ""

    store.update_status(CONTAINER, container.metadata.name, started, uid=container.metadata.uid)


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


def pull_policy_of(container: pb.Container, store: Store) -> str:
    """The present policy of its service: it changes in place."""
    service = store.find(SERVICE, container.spec.service)
    return service.spec.pull_policy if service is not None else "missing"


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


def mark(store: Store, name: str, state: pb.ContainerStatus.State.ValueType, message: str = "") -> None:
    """Writes a state that only this side knows of, if the container is there to have one."""

    def edit(edited: pb.Container) -> None:
        if state == State.PULLING and edited.status.docker_id:
            return  # the last words of a pull may come after its end
        edited.status.state = state
        edited.status.message = message
        if state == State.STOPPING:
            edited.status.ready = False

    if store.find(CONTAINER, name) is not None:
        store.update_status(CONTAINER, name, edit)
