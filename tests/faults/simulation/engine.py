"""A memory engine that refuses, is slow, loses answers and events, and goes away."""

from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from random import Random
from typing import Any, TypeVar

from controller.errors import EngineError, EngineUnavailable
from controller.scheduler import EngineEvent, Observed
from controller.scheduler.engine import CreateRequest, Progress
from controller.scheduler.memory import MemoryEngine
from proto.dockrunner import v1 as pb
from tests.clock import ManualClock

R = TypeVar("R")

# Seconds that a call may take; most take none.
DELAYS = (0.0, 0.0, 0.0, 0.005, 0.2, 1.5)


class FaultyEngine(MemoryEngine):
    """Every call of the port may fail before it takes effect, or after, while ``faulty``; the world is still real."""

    def __init__(self, clock: ManualClock, random: Random) -> None:
        super().__init__(clock)
        self._moving = clock
        self._random = random
        self.faulty = False
        self.calls: Counter[str] = Counter()
        self.effects: list[str] = []

    @property
    def containers(self) -> Mapping[str, Any]:
        """All that is there, by id."""
        return self._containers

    @property
    def is_away(self) -> bool:
        return self._away

    async def ping(self) -> None:
        await self._call("ping", super().ping)

    async def list(self) -> Sequence[Observed]:
        return await self._call("list", super().list)

    async def inspect(self, container_id: str) -> Observed:
        return await self._call("inspect", lambda: super(FaultyEngine, self).inspect(container_id))

    async def pull(self, image: str, progress: Progress) -> None:
        await self._call("pull", lambda: super(FaultyEngine, self).pull(image, progress))

    async def ensure_network(self, name: str, definition: pb.NetworkDefinition) -> None:
        await self._call("network", lambda: super(FaultyEngine, self).ensure_network(name, definition))

    async def remove_network(self, name: str) -> None:
        await self._call("network", lambda: super(FaultyEngine, self).remove_network(name))

    async def volumes(self) -> Mapping[str, Mapping[str, str]]:
        return await self._call("volume", super().volumes)

    async def remove_volume(self, name: str) -> bool:
        return await self._call("volume", lambda: super(FaultyEngine, self).remove_volume(name))

    async def create(self, request: CreateRequest) -> str:
        return await self._call("create", lambda: super(FaultyEngine, self).create(request))

    async def start(self, container_id: str) -> None:
        await self._call("start", lambda: super(FaultyEngine, self).start(container_id))

    async def update(self, container_id: str, restart: str, resources: pb.Resources) -> None:
        await self._call("update", lambda: super(FaultyEngine, self).update(container_id, restart, resources))

    async def stop(self, container_id: str, grace: float) -> None:
        await self._call("stop", lambda: super(FaultyEngine, self).stop(container_id, grace))

    async def remove(self, container_id: str) -> None:
        await self._call("remove", lambda: super(FaultyEngine, self).remove(container_id))

    async def events(self) -> AsyncGenerator[EngineEvent, None]:
        async for event in super().events():
            if self.faulty and event.action != "subscribed" and self._random.random() < 0.2:
                continue  # lost
            yield event
            if self.faulty and self._random.random() < 0.02:
                return  # the stream ends without a word

    async def _call(self, operation: str, effect: Callable[[], Awaitable[R]]) -> R:
        self.calls[operation] += 1
        if not self.faulty:
            return await effect()
        if delay := self._random.choice(DELAYS):
            await self._moving.sleep(delay)
        fate = self._random.random()
        if fate < 0.05:
            raise EngineUnavailable(f"{operation}: no answer")
        if fate < 0.10 and operation != "ping":
            raise EngineError(f"{operation}: refused")
        answer = await effect()
        if fate < 0.17:
            raise EngineUnavailable(f"{operation}: the answer was lost")
        return answer
