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
from collections.abc import AsyncGenerator, Callable, Sequence
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
from controller.scheduler.docker_container import Json, create_json, inspected, listed, restart_policy
from controller.scheduler.docker_events import ACTIONS, EventStream, Seen, Subscription
from controller.scheduler.docker_threads import Threads
from controller.scheduler.engine import LABEL_INSTANCE, LABEL_UID, CreateRequest, EngineEvent, Observed, Progress

T = TypeVar("T")

# Deadlines, in seconds.
PING = 3.0
READ = 15.0
MUTATION = 60.0  # a start takes 0.2 s, but fifty at once queue in the engine
STOP_MARGIN = 30.0  # what the engine may take beyond the grace period
PULL_IDLE = 120.0  # for how long a pull may say nothing
REMOVAL = 10.0  # how long a removal that is in progress is waited for

# Threads. Pings and lists have their own, so that calls which hang never hide that the engine answers; stops mostly
# wait for their container and must not hold up starts.
PROBES, READS, PULLS, STOPS = 2, 4, 4, 32


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
        self._probes = Threads("docker-probe", PROBES, self._leave_thread)
        self._reads = Threads("docker-read", READS, self._leave_thread)
        self._mutations = Threads("docker-mutation", concurrency, self._leave_thread)
        self._stops = Threads("docker-stop", STOPS, self._leave_thread)
        self._pulls = Threads("docker-pull", PULLS)
        self._networks: dict[str, str] = {}  # the ids of this instance's networks, by name
        self._network_names: dict[str, str] = {}  # by id, also of those that are gone
        self._network_lock = asyncio.Lock()
        self._seen = Seen()
        self._subscriptions: set[Subscription] = set()

    async def ping(self) -> None:
        self._version = await self._probes.run(self._negotiate)

    async def list(self) -> Sequence[Observed]:
        def call(client: Client) -> list[Observed]:
            found = expect(list, client.containers(all=True, filters={"label": [self._ours]}))
            return [translated(listed, data) for data in found]

        return await self._call(self._probes, "list", call, READ)

    async def inspect(self, container_id: str) -> Observed:
        return translated(inspected, await self._inspect(container_id))

    async def pull(self, image: str, progress: Progress) -> None:
        loop = asyncio.get_running_loop()
        clients: list[StreamClient] = []

        def report(text: str) -> None:
            loop.call_soon_threadsafe(progress, text)

        def call() -> None:
            version = self._negotiated()
            client = StreamClient(self._address, version, self._observe, answer=PULL_IDLE, idle=PULL_IDLE)
            clients.append(client)
            with contextlib.closing(client):
                client.pull_image(image, report)

        began, code = time.monotonic(), "error"
        try:
            await self._pulls.run(call)
            code = "200"
        except EngineUnavailable:
            code = "unavailable"
            raise
        finally:
            # Whoever no longer waits does not want the image either: without a reader the engine gives up as well.
            for client in clients:
                client.hang_up()
            self._observe("pull", code, time.monotonic() - began)

    async def ensure_network(self, name: str) -> None:
        await self._network(name)

    async def create(self, request: CreateRequest) -> str:
        try:
            return await self._create(request)
        except NetworkMissing:
            for name in request.networks:
                self._networks.pop(name, None)
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
                await self._rejoin(container_id, error)

    async def update(self, container_id: str, restart: str) -> None:
        policy = restart_policy(restart)
        await self._mutate("update", lambda client: client.update_restart_policy(container_id, policy))

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
        pools = (self._probes, self._reads, self._mutations, self._stops, self._pulls)
        await asyncio.gather(*(pool.close(lambda: EngineUnavailable("the engine was closed")) for pool in pools))

    # Creation.

    async def _create(self, request: CreateRequest) -> str:
        networks = {name: await self._network(name) for name in request.networks}
        body = create_json(request, self._instance, networks)
        for _ in range(3):
            try:
                made = await self._mutate("create", lambda client: client.make_container(body, request.name))
                await self._join(made, request, list(networks)[1:])
                return made
            except NameTaken as taken:
                if found := await self._adopt(taken, request):
                    return found
        raise EngineError(f"the name {request.name} is not free, though the container that had it is gone")

    async def _adopt(self, taken: NameTaken, request: CreateRequest) -> str:
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
        await self._join(
            taken.holder, request, [name for name in request.networks if not {name, self._networks[name]} & present]
        )
        return taken.holder

    async def _join(self, container_id: str, request: CreateRequest, names: Sequence[str]) -> None:
        for name in names:
            await self._connect(container_id, name, request.networks[name])

    async def _connect(self, container_id: str, network: str, aliases: Sequence[str]) -> None:
        network_id = await self._network(network)
        await self._mutate(
            "network",
            lambda client: client.connect_container_to_network(container_id, network_id, aliases=list(aliases)),
        )

    # Networks.

    async def _network(self, name: str) -> str:
        """The id of this instance's network. Made one at a time: Docker lets two of one name come to be."""
        async with self._network_lock:
            if name not in self._networks:
                self._networks[name] = await self._mutate("network", lambda client: self._find_or_make(client, name))
                self._network_names[self._networks[name]] = name
            return self._networks[name]

    def _find_or_make(self, client: Client, name: str) -> str:
        found = expect(list, client.networks(names=[name], filters={"label": [self._ours]}))
        same = sorted((entry["Created"], entry["Id"]) for entry in found if entry["Name"] == name)
        if same:
            return str(same[0][1])
        labels = {LABEL_INSTANCE: self._instance}
        return str(expect(dict, client.create_network(name, check_duplicate=True, labels=labels))["Id"])

    async def _rejoin(self, container_id: str, missing: NetworkMissing) -> None:
        """Moves a container from a network that was removed to the one of the same name, made anew.

        A network whose containers are all stopped can be removed, and then none of them starts any more.
        """
        data = await self._inspect(container_id)
        for key, entry in data["NetworkSettings"]["Networks"].items():
            if missing.network not in (key, entry["NetworkID"]):
                continue
            name = self._network_names.get(key, key)
            self._networks.pop(name, None)
            if key != name:  # never started: Docker still knows the network by its old id
                await self._mutate("network", partial(_disconnect, container_id, key))
            aliases = [alias for alias in entry["Aliases"] or () if alias != container_id[:12]]
            await self._connect(container_id, name, aliases)
            return
        raise missing

    # Calls.

    async def _inspect(self, container_id: str) -> Json:
        return await self._call(
            self._reads, "inspect", lambda client: expect(dict, client.inspect_container(container_id)), READ
        )

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


def _disconnect(container_id: str, network: str, client: Client) -> None:
    client.disconnect_container_from_network(container_id, network, force=True)
