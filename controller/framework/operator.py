"""Everything of the framework that runs: start-up handlers, a controller for each kind and what goes with it."""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any

from controller.clock import Clock
from controller.errors import Invalid, StartError
from controller.metrics import Metrics
from controller.store import CONTAINER, SERVICE, Kind, Listing, Record, Recorder, Store
from proto.dockrunner import v1 as pb

from .admission import Admission
from .attempt import Attempts
from .attendants import Attendants
from .context import Context, arguments_of
from .controller import Controller, cancelled
from .event_stream import EventStream
from .finalizers import FINALIZER, USERS_FINALIZER
from .indices import Indices
from .invocation import invoke, own_traceback
from .memory import Keep, Memory
from .patch import Patch
from .queue import BACKOFF_MAX
from .registry import Handler, Registry
from .threads import HandlerThreads

logger = logging.getLogger("dock_runner.framework")

# Plain (not async) handlers run in these threads.
_HANDLER_THREADS = 8
# An image that was missing or a port that was taken may be there or free at any time, and nobody says so. People wait
# for it; so a container is tried at least once a minute, as Docker itself does with one that crashes.
LONGEST_ENGINE_BACKOFF = 60.0
# Seconds between two looks at everything, in case somebody forgot to tell of a change (controller-runtime: 10 h).
RESYNC = 3600.0
# Seconds that a probe may take to answer.
_PROBE_PATIENCE = 5.0


class Operator:
    """Runs the handlers of a registry against a store.

    ``inject`` are further arguments that a handler may name, such as ``engine``. ``keep`` is given what the framework
    wants remembered over a restart. ``threads`` are for plain functions; they are ended with the operator.
    """

    def __init__(
        self, registry: Registry, store: Store, recorder: Recorder, clock: Clock, metrics: Metrics, *,
        workers: int, inject: Mapping[str, Any], keep: Keep | None = None,
        threads: Executor | None = None,
    ) -> None:  # fmt: skip
        self._registry = registry
        self._clock = clock
        self._threads = threads or HandlerThreads(_HANDLER_THREADS)
        self.indices = Indices()
        self._context = Context(registry, store, recorder, clock, metrics, self._threads, self.indices, inject)
        self.admission = Admission(self._context)
        self._resyncs: asyncio.Task[None] | None = None
        self._started_up = False
        self._built_in = self._pair(registry.built_in(), FINALIZER, workers, keep)
        # Handlers of the user's have workers, queues and finalizers of their own: one that hangs or fails keeps nobody
        # but its like from their work, and can be passed over.
        users = registry.of_users()
        self._users = self._pair(users, USERS_FINALIZER, workers, keep) if users.handlers else ()
        self._parts = (*self._built_in, *self._users)
        self.services: Controller[pb.Service] = self._built_in[0].controller
        self.containers: Controller[pb.Container] = self._built_in[1].controller
        for part in self._parts:
            self.indices.follow(part.kind, part.registry.of("index", part.kind.name), store, part.index_arguments)

    def _pair(self, registry: Registry, finalizer: str, workers: int, keep: Keep | None) -> "tuple[_Part, _Part]":
        context = replace(self._context, registry=registry)
        return (
            _Part(SERVICE, context, self._admit_service, BACKOFF_MAX, workers, keep, finalizer),
            _Part(CONTAINER, context, None, LONGEST_ENGINE_BACKOFF, workers, keep, finalizer),
        )

    @property
    def controllers(self) -> Sequence[Controller[Any]]:
        """All controllers."""
        return [part.controller for part in self._parts]

    def seed(self, seed: float) -> None:
        """Makes the jitter of retries the same in every run."""
        self._context.random.seed(seed)

    def abandon(self) -> None:
        """Lets go of the threads without ending anything: for a simulated death."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def load(self, kept: Iterable[Record]) -> None:
        """Takes over what an earlier run gave to ``keep``, when the objects are in the store; before ``start``."""
        records = list(kept)
        for controller in self.controllers:
            controller.memories.load(records)

    def adopted(self, container: pb.Container) -> None:
        """Takes a container that was found in the engine as one that was handled before."""
        for _, containers in filter(None, (self._built_in, self._users)):
            containers.controller.remember(container)

    async def startup(self) -> None:
        """Calls the start-up handlers, the first time that it is called.

        Raises:
            StartError: a start-up handler failed; the log has its own traceback.
        """
        if self._started_up:
            return
        self._started_up = True
        for handler in self._registry.of("startup"):
            try:
                await invoke(handler, self._arguments(handler), self._threads, self._clock)
            except StartError:
                raise
            except Exception as error:
                trace = (type(error), error, own_traceback(error, handler.function))
                logger.error("start-up handler %s failed", handler, exc_info=trace)
                message = f"start-up handler {handler} failed: {type(error).__name__}: {error}"
                raise StartError(message.rstrip(": ")) from error

    async def start(self) -> None:
        """Calls the start-up handlers unless that was done, then lets everything else go.

        Raises:
            StartError: a start-up handler failed; the log has its own traceback.
        """
        await self.startup()
        for services, containers in filter(None, (self._built_in, self._users)):
            services.controller.owns(CONTAINER)
            containers.controller.follows(SERVICE, "service")
        for part in self._parts:
            part.start()
        self._resyncs = asyncio.create_task(self._resync(), name="resync")

    async def stop(self, grace: float) -> None:
        """Lets what is at work end, then calls the clean-up handlers; all of it within ``grace`` seconds."""
        if self._resyncs is not None:
            self._resyncs.cancel()
        share = grace / 3  # for timers and daemons, for handlers at work, for clean-up handlers
        await asyncio.gather(*(part.stop(share) for part in self._parts))
        cleaning = asyncio.create_task(self._clean_up(), name="clean-up handlers")
        await asyncio.wait([cleaning], timeout=share)
        if not cleaning.done():
            logger.error("the clean-up handlers do not end; the program ends without them")
            cleaning.cancel()
            await asyncio.wait([cleaning], timeout=share / 10)
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _clean_up(self) -> None:
        for handler in self._registry.of("cleanup"):
            try:
                await invoke(handler, self._arguments(handler), self._threads, self._clock)
            except Exception as error:  # the others are to be called all the same
                trace = (type(error), error, own_traceback(error, handler.function))
                logger.error("clean-up handler %s failed", handler, exc_info=trace)

    def release(self, service: pb.Service) -> None:
        """The deletion of a service and its containers shall not wait any more for handlers of the user's."""
        if not self._users:
            return
        services, containers = self._users
        for container in self._context.store.list(CONTAINER, index="service", value=service.metadata.name):
            containers.controller.release(container)
        services.controller.release(service)

    async def probe(self) -> Mapping[str, tuple[bool, str]]:
        """What the probe handlers say: whether all is well, and in which words."""
        answers: dict[str, tuple[bool, str]] = {}
        for handler in self._registry.of("probe"):
            timeout = handler.limits.timeout or _PROBE_PATIENCE
            try:
                result = await invoke(handler, self._arguments(handler), self._threads, self._clock, within=timeout)
            except Exception as error:  # noqa: BLE001  # whatever it is, it is the probe's answer
                answers[str(handler)] = False, str(error) or type(error).__name__
            else:
                answers[str(handler)] = True, "" if result.value is None else str(result.value)
        return answers

    def _arguments(self, handler: Handler) -> Mapping[str, Any]:
        context = self._context
        log = logging.getLogger(f"dock_runner.handlers.{handler.source}") if handler.source else logger
        return {
            **context.inject, "store": context.store, "indices": self.indices, "now": self._clock.now(),
            "param": handler.param, "logger": log, "reason": handler.activity,
        }  # fmt: skip

    async def _admit_service(self, patch: Patch) -> Patch:
        """What a handler makes of a service is completed and checked as what anybody declares.

        Raises:
            Invalid, AdmissionFailed: it would not be let in.
        """
        store, name = self._context.store, patch.metadata.name
        old = store.find(SERVICE, name)
        if old is None or old.metadata.uid != patch.metadata.uid:
            return patch
        complete = await self.admission.complete(SERVICE, patch.onto(old), old)

        def read() -> Sequence[pb.Service]:
            return [other for other in store.list(SERVICE) if other.metadata.name != name]

        others = Listing(read, store.count(SERVICE))
        if found := await self.admission.violations(SERVICE, complete, old, others):
            raise Invalid(found)
        return Patch(old, complete)

    async def _resync(self) -> None:
        while True:
            await self._clock.sleep(RESYNC)
            for controller in self.controllers:
                controller.resync()


class _Part:
    """All that runs for one kind."""

    def __init__(
        self, kind: Kind[Any], context: Context, admit: Any, longest_backoff: float, workers: int, keep: Keep | None,
        finalizer: str,
    ) -> None:  # fmt: skip
        self.kind = kind
        self.registry = context.registry
        self._context = context
        attempts = Attempts(context, kind, admit)
        self.controller: Controller[Any] = Controller(
            attempts,
            workers=workers,
            longest_backoff=longest_backoff,
            keep=keep if _remembers(context, kind) else None,
            finalizer=finalizer,
        )
        memories = self.controller.memories
        self._attendants = Attendants(attempts, memories, self.controller.queue.add)
        self._events = EventStream(attempts, memories)
        self.controller.attended_by(self._attendants)

    def start(self) -> None:
        self._events.start()
        self.controller.start()
        self._attendants.start()

    async def stop(self, grace: float) -> None:
        attending = asyncio.create_task(self._attendants.stop())
        await asyncio.wait([attending], timeout=grace)
        await cancelled([attending])
        await self.controller.stop(grace)
        await self._events.stop()

    def index_arguments(self, handler: Handler, obj: Any) -> Mapping[str, Any]:
        memory = self.controller.memories.find(obj.metadata.name, obj.metadata.uid) or Memory(obj.metadata.uid)
        patch = Patch(obj)
        return arguments_of(self._context, handler, self.kind, obj, memory, patch)


def _remembers(context: Context, kind: Kind[Any]) -> bool:
    """Whether there is anybody whose progress is worth keeping: a built-in deletion finds out anew how far it is."""
    return any(
        handler.kind == kind.name
        and (
            handler.activity in ("create", "update", "resume", "field")
            or (handler.activity == "delete" and handler.source)
        )
        for handler in context.registry.handlers
    )
