"""The informer: keeps the Container objects of the store equal to what the engine has.

Events are hints, the list is the truth: an event only says which container to look at; every ``resync`` seconds all
are listed, and what vanished without an event is noticed. While the engine does not answer, nothing is concluded.
"""

import asyncio
import itertools
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from datetime import UTC

from controller.clock import Clock
from controller.errors import ContainerGone, EngineError, EngineUnavailable, NotFound
from controller.metrics import Metrics
from controller.store import CONTAINER, Store
from proto.dockrunner import v1 as pb

from .engine import LABEL_UID, Engine, EngineEvent, Observed

State = pb.ContainerStatus

PING_INTERVAL = 5.0
RETRY_MIN = 0.2
RETRY_MAX = 5.0
# So many containers are looked at one by one; for more a list is cheaper.
INSPECTS = 4

# What says nothing new about a container, or what only starts what another event ends.
_IDLE_ACTIONS = frozenset(("subscribed", "create", "attach", "resize", "top", "copy", "export", "archive-path", "kill"))

logger = logging.getLogger("dock_runner.informer")

Adopt = Callable[[Observed], pb.Container | None]
Listener = Callable[[], None]


class Informer:
    """Follows one engine.

    ``adopt`` makes the Container object for what the engine has and the store has not, or says that it is not ours.
    ``up`` is whether the engine answered last; ``reason`` why it does not. ``synced`` is set after the first list.
    """

    def __init__(
        self, engine: Engine, store: Store, clock: Clock, metrics: Metrics, adopt: Adopt, *, resync: float = 30.0
    ) -> None:
        self._engine = engine
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._adopt = adopt
        self._resync = resync
        self._hints: dict[str, None] = {}
        self._hinted = asyncio.Event()
        self._doubted = asyncio.Event()
        self._settings: dict[str, tuple[str, pb.Resources]] = {}
        self._looks = itertools.count()
        self._written: dict[str, int] = {}  # the newest look at each container that was written
        self._adopted: list[Callable[[pb.Container], None]] = []
        self._recovered: list[Listener] = []
        self._drifted: list[Callable[[str], None]] = []
        self.up = False
        self.reason = "the engine was not asked yet"
        self.synced = asyncio.Event()
        metrics.engine_up.set(0)

    def on_adopted(self, listener: Callable[[pb.Container], None]) -> None:
        """Has ``listener`` called with each container object that was made from what the engine has."""
        self._adopted.append(listener)

    def on_recovered(self, listener: Listener) -> None:
        """Has ``listener`` called whenever the engine answers again and has been listed."""
        self._recovered.append(listener)

    def on_drift(self, listener: Callable[[str], None]) -> None:
        """Has ``listener`` called with the name of each container of which the engine has other settings now."""
        self._drifted.append(listener)

    def settings_of(self, docker_id: str) -> tuple[str, pb.Resources] | None:
        """Restart policy and limits that the engine has for a container; None when it was never looked at."""
        return self._settings.get(docker_id)

    def doubt(self) -> None:
        """Somebody got no answer from the engine: ask it now."""
        self._doubted.set()

    async def run(self) -> None:
        """Follows the engine until cancelled."""
        failures = 0
        while True:
            try:
                await self._follow()
                failures = 0
            except EngineError as error:
                self._down(str(error))
                failures += 1
            else:
                self._down("the stream of events ended")
            await self._clock.sleep(min(RETRY_MIN * 2 ** min(failures, 10), RETRY_MAX))

    async def observe(self, docker_id: str) -> None:
        """Looks at one container now and writes what is seen.

        Raises:
            EngineError: it cannot be looked at; nothing was written.
        """
        look = next(self._looks)
        try:
            observed = await self._engine.inspect(docker_id)
        except ContainerGone:
            await self._engine.ping()
            self._written[docker_id] = look
            self._gone(docker_id)
            return
        await self._write(observed, look)

    async def _follow(self) -> None:
        """One subscription, from the list that it begins with until it breaks."""
        await self._engine.ping()
        async with aclosing(self._engine.events()) as events:
            first = await anext(events, None)
            if first is None:
                return
            await self.list()
            self._restored()
            tasks = [
                asyncio.create_task(work, name=name)
                for name, work in (
                    ("events", self._read(events)),
                    ("resync", self._relist()),
                    ("ping", self._ping()),
                    *((f"inspect-{n}", self._inspect()) for n in range(INSPECTS)),
                )
            ]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            for task in done:
                task.result()

    async def _read(self, events: AsyncGenerator[EngineEvent, None]) -> None:
        async for event in events:
            self._metrics.engine_events.labels(event.action).inc()
            if event.action not in _IDLE_ACTIONS:
                self._hints[event.id] = None
                self._hinted.set()

    async def _inspect(self) -> None:
        while True:
            while not self._hints:
                self._hinted.clear()
                await self._hinted.wait()
            docker_id = next(iter(self._hints))
            del self._hints[docker_id]
            await self._look(docker_id)

    async def _look(self, docker_id: str) -> bool:
        """Looks at a container. One that cannot be looked at says nothing about the engine, nor about the others.

        Raises:
            EngineUnavailable: it is the engine that does not answer.
        """
        try:
            await self.observe(docker_id)
        except EngineError as error:
            if isinstance(error, EngineUnavailable):
                await self._engine.ping()
            logger.warning("container %.12s cannot be looked at: %s", docker_id, error)
            return False
        return True

    async def _relist(self) -> None:
        while True:
            await self._clock.sleep(self._resync)
            await self.list()

    async def _ping(self) -> None:
        while True:
            pause = asyncio.ensure_future(self._clock.sleep(PING_INTERVAL))
            doubt = asyncio.ensure_future(self._doubted.wait())
            try:
                await asyncio.wait([pause, doubt], return_when=asyncio.FIRST_COMPLETED)
            finally:
                pause.cancel()
                doubt.cancel()
            self._doubted.clear()
            await self._engine.ping()

    async def list(self) -> None:
        """Compares everything that the engine has with the store.

        Raises:
            EngineError: it could not be listed; nothing was concluded.
        """
        known = {container.status.docker_id for container in self._store.list(CONTAINER)} - {""}
        listed = await self._engine.list()
        if vanished := known - {observed.id for observed in listed}:
            await self._engine.ping()
        for docker_id in vanished:
            self._gone(docker_id)
        for observed in [observed for observed in listed if self._differs(observed)]:
            if not await self._look(observed.id):
                self._take_in(observed)  # what is known of it by the list; as unknown it would be made a second time
        for docker_id in {*self._settings, *self._written} - {observed.id for observed in listed} - known:
            self._settings.pop(docker_id, None)
            self._written.pop(docker_id, None)

    def _differs(self, observed: Observed) -> bool:
        container = self._find(observed)
        if container is None:
            return self._adopt(observed) is not None
        status = container.status
        if status.state == State.STOPPING and observed.status.state == State.RUNNING:
            return False
        return (status.docker_id, status.state, status.health) != (
            observed.id, observed.status.state, observed.status.health,
        )  # fmt: skip

    def _find(self, observed: Observed) -> pb.Container | None:
        """The object of what was seen: by id, or by uid while the id is not known yet."""
        for container in self._store.list(CONTAINER, index="docker_id", value=observed.id):
            return container
        for container in self._store.list(CONTAINER, index="uid", value=observed.labels.get(LABEL_UID, "")):
            if container.metadata.name == observed.name and not container.status.docker_id:
                return container
        return None

    def _outrun(self, docker_id: str, look: int) -> bool:
        """Whether a later look has been written already: answers may overtake each other."""
        return self._written.get(docker_id, -1) > look

    async def _write(self, observed: Observed, look: int) -> None:
        if self._outrun(observed.id, look):
            return
        settings = observed.restart, observed.resources
        drifted = self._settings.get(observed.id, settings) != settings
        self._settings[observed.id] = settings
        container = self._find(observed)
        if container is None:
            self._written[observed.id] = look
            self._take_in(observed)
            return
        ended = observed.status.state == State.EXITED
        if ended and container.status.state != State.EXITED:
            # A daemon that is shutting down stops its containers and will start them again: it takes no new calls.
            await self._engine.ping()
            if self._outrun(observed.id, look):
                return
        self._written[observed.id] = look

        def edit(edited: pb.Container) -> None:
            if edited.status.state == State.STOPPING and not ended:
                return
            self._overwrite(edited, observed.status)

        with suppress(NotFound):
            self._store.update_status(CONTAINER, container.metadata.name, edit, uid=container.metadata.uid)
        if drifted:
            for listener in self._drifted:
                listener(container.metadata.name)

    def _overwrite(self, container: pb.Container, seen: pb.ContainerStatus) -> None:
        """Writes what was seen over the status, but for what only this side knows."""
        known = pb.ContainerStatus(conditions=container.status.conditions)
        if container.status.HasField("ready_at"):
            known.ready_at.CopyFrom(container.status.ready_at)
        if seen.restart_count and not seen.HasField("exit_code") and container.status.HasField("exit_code"):
            known.exit_code = container.status.exit_code  # Docker forgets it when it starts the container again
        if seen.state == State.CREATED:  # why it does not start is in the answer alone
            known.message, known.reason = container.status.message, container.status.reason
        container.status.CopyFrom(seen)
        container.status.MergeFrom(known)
        container.status.ready = self._is_ready(container)
        if container.status.ready and not container.status.HasField("ready_at"):
            container.status.ready_at.FromDatetime(self._clock.now())

    def _is_ready(self, container: pb.Container) -> bool:
        """Its health check passes; without one it has run for as long as it has to."""
        status = container.status
        if status.state != State.RUNNING or status.health != pb.Health.NONE:
            return status.state == State.RUNNING and status.health == pb.Health.HEALTHY
        wanted = container.spec.min_ready.ToTimedelta()
        return not wanted or self._clock.now() - status.started_at.ToDatetime(UTC) >= wanted

    def _take_in(self, observed: Observed) -> None:
        container = self._adopt(observed)
        if container is None or self._store.find(CONTAINER, container.metadata.name) is not None:
            return
        status = pb.ContainerStatus()
        status.CopyFrom(container.status)
        self._overwrite(container, status)
        for listener in self._adopted:
            listener(self._store.create(CONTAINER, container))

    def _gone(self, docker_id: str) -> None:
        """The engine does not have it any more."""
        self._settings.pop(docker_id, None)

        def edit(edited: pb.Container) -> None:
            status = edited.status
            if status.state != State.EXITED:
                status.ClearField("exit_code")
                status.finished_at.FromDatetime(self._clock.now())
            status.state, status.docker_id, status.ready = State.EXITED, "", False
            status.message = "gone from the engine"
            del status.ports[:]
            status.addresses.clear()

        for container in self._store.list(CONTAINER, index="docker_id", value=docker_id):
            self._store.update_status(CONTAINER, container.metadata.name, edit)

    def _restored(self) -> None:
        self.up, self.reason = True, ""
        self._metrics.engine_up.set(1)
        self.synced.set()
        logger.info("the engine answers")
        for listener in self._recovered:
            listener()

    def _down(self, reason: str) -> None:
        if self.up or not self.synced.is_set():
            logger.warning("the engine does not answer, nothing is decided until it does: %s", reason)
        self.up, self.reason = False, reason
        self._metrics.engine_up.set(0)
