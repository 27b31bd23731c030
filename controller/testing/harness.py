"""The whole program but its ways in and out, for tests of handlers: no Docker, no disk, and no waiting."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from controller.control_plane.servicer import ControlPlane
from controller.errors import NotFound
from controller.metrics import Metrics
from controller.program import Program
from controller.scheduler.memory import MemoryEngine
from controller.store import CONTAINER, EVENT, SERVICE, Store
from handlers.policy import Policy
from proto.dockrunner import v1 as pb

from .clock import ManualClock
from .journal import MemoryJournal
from .loading import Source, registry_of
from .log import LogLines
from .mishaps import Mishaps
from .run import running
from .threads import CountedThreads

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


class Harness:
    """Runs handlers next to those that are built in, over simulated containers and under a clock that the test moves.

    ``handlers`` are files such as ``notify.py``, modules such as ``company.notify``, or a ``Registry`` that the test
    declared its handlers into; without any only the built-in ones run. ``now`` is the time at which it begins, with
    its time zone, and ``policy`` what may be declared::

        async with Harness("notify.py") as dock:
            await dock.apply("web", image="nginx:1.27", replicas=2)
            dock.engine.crash("web", slot=2)
            await dock.advance(60)
            assert dock.service("web").status.ready_replicas == 2

    Time passes in ``advance`` alone; after each call all has happened that was due. Plain functions run in threads
    as ever, and are waited for in real time, within reason. Whatever else takes real time, such as a coroutine's own
    connections or a daemon that is a plain function, is not: such a test waits for the effect.
    """

    def __init__(self, *handlers: Source, now: datetime = BEGIN, policy: Policy | None = None) -> None:
        self.clock = ManualClock(now)
        self._sources = handlers
        self._policy = policy
        self._simulated = MemoryEngine(self.clock)
        self.engine = Mishaps(self._simulated)
        self._journal = MemoryJournal(self.clock)
        self._lines = LogLines()
        self._whole = AsyncExitStack()
        self._run = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Starts the program.

        Raises:
            StartError: there are no such handlers, or a start-up handler failed.
            HandlersBroken: they cannot be loaded.
        """
        async with AsyncExitStack() as stack:
            self._lines.begin()
            stack.callback(self._lines.end)
            # For what coroutines hand to asyncio.to_thread. The loop ends its threads.
            threads = CountedThreads()
            asyncio.get_running_loop().set_default_executor(threads)
            self.clock.waits_for(threads.under_way)
            await self._start()
            self._whole = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops the program in good order."""
        async with self._whole:
            await self._run.aclose()

    # What people do.

    async def apply(
        self, service: str | pb.Service, *, annotations: Mapping[str, str] | None = None, manager: str = "",
        force: bool = False, **spec: Any,
    ) -> pb.Service:  # fmt: skip
        """Declares a service as a client of the API does, and lets all happen that follows without time passing.

        ``spec`` are fields of ServiceSpec as their messages take them; a whole Service says all by itself. Waits as
        long as handlers have to be asked.

        Raises:
            Invalid, AdmissionFailed: a check or a handler refused it; nothing has changed.
            ManagedElsewhere, BeingDeleted, Conflict: as the API.
            ValueError: the spec has no such field.
        """
        if isinstance(service, str):
            metadata = pb.Metadata(name=service, annotations=annotations or {})
            service = pb.Service(metadata=metadata, spec=pb.ServiceSpec(**spec))
        request = pb.ApplyRequest(service=service, manager=manager, force=force)
        response = await self._api.Apply(request, None)
        await self.clock.settle()
        answer: pb.Service = response.service
        return answer

    async def delete(self, name: str, *, manager: str = "", force: bool = False, volumes: bool = False) -> None:
        """Asks for the deletion of a service as a client of the API does.

        ``force``: also that of another manager; one that is being deleted already waits no longer for handlers.
        ``volumes``: its named volumes go as well.

        Raises:
            NotFound: there is no such service.
            ManagedElsewhere: another manager declares it.
        """
        await self._api.Delete(pb.DeleteRequest(name=name, manager=manager, force=force, volumes=volumes), None)
        await self.clock.settle()

    async def advance(self, seconds: float) -> None:
        """Lets time pass: all that is due within it happens, in order. 0 lets happen what is due now.

        Raises:
            TimeoutError: a plain function does not end, in real time.
            RuntimeError: something is done again and again in no time.
        """
        await self.clock.advance(seconds)

    async def restart(self, downtime: float = 0.0) -> None:
        """Stops the program and starts it again ``downtime`` seconds later: with the same engine and journal.

        Modules are loaded anew, as by a new process.
        """
        await self._run.aclose()
        await self.clock.advance(downtime)
        await self._start()

    # What is to be seen.

    @property
    def store(self) -> Store:
        """All objects of the present run."""
        return self.program.store

    def service(self, name: str) -> pb.Service:
        """A service.

        Raises:
            NotFound: there is none of that name.
        """
        return self.store.get(SERVICE, name)

    def services(self) -> list[str]:
        """The names of all services."""
        return [service.metadata.name for service in self.store.list(SERVICE)]

    def containers(self, service: str) -> list[pb.Container]:
        """All containers of a service by their slot, also those that go or have ended."""
        return sorted(self.store.list(CONTAINER, index="service", value=service), key=lambda it: it.spec.slot)

    def condition(self, service: str, type_: str) -> pb.Condition:
        """A condition of a service, such as ``Ready``.

        Raises:
            NotFound: there is no such service, or it has no such condition.
        """
        for condition in self.service(service).status.conditions:
            if condition.type == type_:
                return condition
        raise NotFound(f"service {service!r} has no condition {type_!r}")

    def events(self, service: str = "") -> Sequence[pb.Event]:
        """What was said about a service and its containers, or about anything; what was said last is last."""
        found = self.store.list(EVENT, index="service", value=service) if service else self.store.list(EVENT)
        return sorted(found, key=lambda event: int(event.metadata.resource_version))

    @property
    def log(self) -> Sequence[str]:
        """The lines logged so far, such as ``WARNING web: no answer``."""
        return self._lines.lines

    # Inside.

    async def _start(self) -> None:
        threads = CountedThreads()
        self.clock.waits_for(threads.under_way)
        metrics = Metrics()
        self.program = program = Program(
            self._simulated, self._journal, self.clock, metrics, policy=self._policy,
            registry=registry_of(self._sources), threads=threads,
        )  # fmt: skip
        self._api: Any = ControlPlane(  # asks nothing of its contexts, and there are none
            program.store, program.recorder, program.admission, program.persistence, metrics, self.clock
        )
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(running(program, self.clock))
            stack.push_async_callback(self._api.settled)
            self._run = stack.pop_all()
