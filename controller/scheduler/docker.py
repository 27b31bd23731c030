"""The Docker Engine behind the Engine port, by way of the Docker SDK.

The SDK blocks, so each call runs in a thread with a client of its own. Nothing connects before the first call, which
asks for the version to speak; each ping asks again, so that an engine may be upgraded underneath us. Containers are
only ever addressed by their full id: a container whose *name* is another's short id would win the look-up.
"""

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from controller.errors import ContainerGone, EngineError, EngineUnavailable
from controller.metrics import Metrics
from controller.scheduler.docker_client import (
    Address,
    Client,
    NameTaken,
    NetworkMissing,
    RemovalInProgress,
    StreamClient,
    expect,
    explain,
    explained,
    translated,
)
from controller.scheduler.docker_container import Json, inspected, listed
from controller.scheduler.docker_create import create_json, restart_policy
from controller.scheduler.docker_events import ACTIONS, EventStream, Seen, Subscription
from controller.scheduler.docker_images import Images, discard_image, find_image
from controller.scheduler.docker_networks import Networks
from controller.scheduler.docker_resources import Machine, limits
from controller.scheduler.docker_seccomp import with_profiles
from controller.scheduler.docker_threads import Threads
from controller.scheduler.docker_usage import usage
from controller.scheduler.docker_volumes import check_volumes, checked_mounts, removed, volumes_of
from controller.scheduler.engine import (
    LABEL_INSTANCE,
    LABEL_UID,
    CreateRequest,
    EngineEvent,
    Image,
    Observed,
    Progress,
    Usage,
)
from proto.dockrunner import v1 as pb

T = TypeVar("T")

# Deadlines, in seconds.
PING = 3.0
STATS = 5.0  # a sample is of use only as long as it is fresh
READ = 15.0
MUTATION = 60.0  # a start takes 0.2 s, but fifty at once queue in the engine
STOP_MARGIN = 30.0  # what the engine may take beyond the grace period
REMOVAL = 10.0  # how long a removal that is in progress is waited for

# Threads. Pings and lists have their own, so that calls which hang never hide that the engine answers; stops mostly
# wait for their container and must not hold up starts; a sample takes a second with 20.10.
PROBES, READS, STOPS, SAMPLES = 2, 4, 32, 16


class DockerEngine:
    """Containers of one instance on one Docker daemon; see the port for the calls.

    ``host`` is as ``DOCKER_HOST``; None takes that variable, or the local socket. ``concurrency`` is how many calls
    that change containers are in flight at once.
    """

    def __init__(self, host: str | None, instance: str, metrics: Metrics, concurrency: int = 4) -> None:
        self._address = Address(host)
        self._instance = instance
        self._metrics = metrics
        self._ours = f"{LABEL_INSTANCE}={instance}"
        self._local = threading.local()
        self._version = ""
        self._machine: Machine | None = None
        self._probes = Threads("docker-probe", PROBES, self._leave_thread)
        self._reads = Threads("docker-read", READS, self._leave_thread)
        self._mutations = Threads("docker-mutation", concurrency, self._leave_thread)
        self._stops = Threads("docker-stop", STOPS, self._leave_thread)
        self._samples = Threads("docker-stats", SAMPLES, self._leave_thread)
        self._images = Images(self._address, self._negotiated, self._observe)
        self._networks = Networks(instance, self._mutate)
        self._seen = Seen()
        self._subscriptions: set[Subscription] = set()

    @property
    def is_local(self) -> bool:
        return self._address.is_local

    async def ping(self) -> None:
        self._version = await self._probes.run(self._negotiate)

    async def list(self) -> Sequence[Observed]:
        def call(client: Client) -> list[Observed]:
            found = expect(list, client.containers(all=True, filters={"label": [self._ours]}))
            return [translated(listed, data) for data in found]

        return await self._call(self._probes, "list", call, READ)

    async def inspect(self, container_id: str) -> Observed:
        return translated(inspected, await self._inspect(container_id))

    async def image(self, reference: str) -> Image | None:
        return await self._call(self._reads, "image", lambda client: find_image(client, reference), READ)

    async def pull(self, image: str, progress: Progress) -> None:
        await self._images.pull(image, progress)

    async def digest_of(self, image: str) -> str:
        return await self._images.digest_of(image)

    async def remove_image(self, reference: str) -> bool:
        return await self._mutate("remove_image", lambda client: discard_image(client, reference))

    async def ensure_network(self, name: str, definition: pb.NetworkDefinition) -> None:
        await self._networks.ensure(name, definition)

    async def remove_network(self, name: str) -> None:
        await self._networks.remove(name)

    async def volumes(self) -> Mapping[str, Mapping[str, str]]:
        return await self._call(self._reads, "volume", partial(volumes_of, self._instance), READ)

    async def remove_volume(self, name: str) -> bool:
        return await self._mutate("volume", partial(removed, self._instance, name))

    async def create(self, request: CreateRequest) -> str:
        try:
            return await self._create(request)
        except NetworkMissing:
            self._networks.forget(request.networks)
            return await self._create(request)

    async def start(self, container_id: str) -> None:
        repaired = set[str]()
        while True:
            try:
                return await self._mutate("start", lambda client: client.start(container_id))
            except NetworkMissing as error:
                if error.network in repaired:
                    raise
                repaired.add(error.network)
                await self._networks.rejoin(await self._inspect(container_id), error)

    async def update(self, container_id: str, restart: str, resources: pb.Resources) -> None:
        def call(client: Client) -> None:
            body = {"RestartPolicy": restart_policy(restart)}
            if self._known_machine(client).effective(resources) != self.effective(limits(client.look_at(container_id))):
                body |= self._known_machine(client).changed(resources)
            client.change_container(container_id, body)

        await self._mutate("update", call)

    def effective(self, resources: pb.Resources) -> pb.Resources:
        return resources if self._machine is None else self._machine.effective(resources)

    async def last_lines(self, container_id: str, count: int) -> Sequence[str]:
        return await self._call(self._reads, "logs", lambda client: client.last_lines(container_id, count), READ)

    async def usage(self, container_id: str) -> Usage:
        return await self._call(self._samples, "stats", lambda client: usage(client, container_id), STATS)

    async def stop(self, container_id: str, grace: float) -> None:
        seconds = math.ceil(grace)
        with contextlib.suppress(ContainerGone):
            # The SDK adds the grace period to the deadline.
            await self._call(self._stops, "stop", lambda client: client.stop(container_id, seconds), STOP_MARGIN)

    async def remove(self, container_id: str) -> None:
        with contextlib.suppress(ContainerGone):
            try:
                await self._mutate("remove", lambda client: client.remove_container(container_id, v=True))
            except RemovalInProgress:
                await self._gone(container_id)
        with contextlib.suppress(EngineError):  # another removal or creation will come to them
            await self._networks.tidy()

    async def events(self) -> AsyncGenerator[EngineEvent, None]:
        subscription = Subscription(self._subscribe, self._seen, explain)
        self._subscriptions.add(subscription)
        try:
            async with contextlib.aclosing(subscription.events()) as events:
                async for event in events:
                    yield event
        finally:
            self._subscriptions.discard(subscription)

    async def close(self) -> None:
        for subscription in self._subscriptions:
            subscription.close()
        pools = (self._probes, self._reads, self._mutations, self._stops, self._samples, *self._images.pools)
        await asyncio.gather(*(pool.close(lambda: EngineUnavailable("the engine was closed")) for pool in pools))

    # Creation.

    async def _create(self, request: CreateRequest) -> str:
        networks = {
            name: await self._networks.ensure(name, attachment.definition)
            for name, attachment in request.networks.items()
        }
        if mounts := checked_mounts(request.template):
            await self._mutate("volume", partial(check_volumes, mounts))
        for _ in range(3):
            try:
                made = await self._mutate("create", partial(self._make, request, networks))
                for name in list(networks)[1:]:
                    await self._networks.connect(made, networks[name], request.networks[name])
                return made
            except NameTaken as taken:
                if found := await self._adopt(taken, request, networks):
                    return found
        raise EngineError(f"the name {request.name} is not free, though the container that had it is gone")

    def _make(self, request: CreateRequest, networks: Mapping[str, str], client: Client) -> str:
        """Runs in a thread, as files may have to be read."""
        if request.resources != pb.Resources():
            request = replace(request, resources=self._known_machine(client).effective(request.resources))
        security = with_profiles(request.template.security_opt)
        body = create_json(request, self._instance, networks, client.api_version, security)
        return client.make_container(body, request.name, request.template.platform)

    async def _adopt(self, taken: NameTaken, request: CreateRequest, networks: Mapping[str, str]) -> str:
        """The id of our own container of that name; empty when it has gone meanwhile.

        Raises:
            EngineError: it is not ours.
        """
        try:
            data = await self._inspect(taken.holder)
            labels = data["Config"]["Labels"] or {}
            if labels.get(LABEL_INSTANCE) != self._instance or labels.get(LABEL_UID) != request.uid:
                raise EngineError(f"the name {request.name} is taken by another container, {taken.holder[:12]}")
            if data["State"]["Status"] in ("removing", "dead"):
                await self._gone(taken.holder)
                return ""
        except ContainerGone:
            return ""
        joined = data["NetworkSettings"]["Networks"]
        present = {*joined, *(entry["NetworkID"] for entry in joined.values())}
        for name, network in networks.items():
            if not {name, network} & present:
                await self._networks.connect(taken.holder, network, request.networks[name])
        return taken.holder

    # Calls.

    async def _inspect(self, container_id: str) -> Json:
        def call(client: Client) -> Json:
            self._known_machine(client)  # what limits come to here is asked for after the first look
            return client.look_at(container_id)

        return await self._call(self._reads, "inspect", call, READ)

    async def _gone(self, container_id: str) -> None:
        """Returns when a removal that is in progress has ended."""
        deadline = time.monotonic() + REMOVAL
        with contextlib.suppress(ContainerGone):
            while time.monotonic() < deadline:
                await self._inspect(container_id)
                await asyncio.sleep(0.1)
            raise EngineError("its removal is in progress, and does not end")

    async def _mutate(self, operation: str, call: Callable[[Client], T]) -> T:
        return await self._call(self._mutations, operation, call, MUTATION)

    async def _call(self, threads: Threads, operation: str, call: Callable[[Client], T], seconds: float) -> T:
        return await threads.run(partial(self._use, operation, call, seconds))

    # What follows runs in threads.

    def _known_machine(self, client: Client) -> Machine:
        if self._machine is None:
            operation, client.operation = client.operation, "info"
            self._machine = translated(Machine.of, client.info())
            client.operation = operation
        return self._machine

    def _use(self, operation: str, call: Callable[[Client], T], seconds: float) -> T:
        with explained():
            client = self._client()
            client.operation, client.timeout = operation, math.ceil(seconds)
            return call(client)

    def _client(self) -> Client:
        """This thread's own."""
        version = self._negotiated()
        client: Client | None = getattr(self._local, "client", None)
        if client is None or client.api_version != version:
            self._leave_thread()
            client = self._local.client = Client(self._address, version, self._observe)
        return client

    def _leave_thread(self) -> None:
        client: Client | None = self._local.__dict__.pop("client", None)
        if client is not None:
            client.close()

    def _negotiated(self) -> str:
        if not self._version:
            self._version = self._negotiate()
        return self._version

    def _negotiate(self) -> str:
        """The engine's version, over a new connection: an engine that shuts down serves the old ones for a while."""
        with contextlib.closing(Client(self._address, None, self._observe)) as client, explained():
            client.operation, client.timeout = "ping", math.ceil(PING)
            return client.ask_version()

    def _subscribe(self) -> EventStream:
        client = StreamClient(self._address, self._negotiated(), self._observe, answer=READ, idle=None)
        return client.subscribe({"type": ["container"], "event": list(ACTIONS), "label": [self._ours]})

    def _observe(self, operation: str, code: str, seconds: float) -> None:
        # Pings go on while nothing else happens: `dock_runner_engine_up` shows them, and here they would only hide
        # that a converged engine is left in peace.
        if operation != "ping":
            self._metrics.engine_request.labels(operation, code).observe(seconds)
