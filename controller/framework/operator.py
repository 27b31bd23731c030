"""Everything of the framework that runs: start-up handlers, a controller and timers per kind, clean-up handlers."""

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from controller.clock import Clock
from controller.metrics import Metrics
from controller.store import CONTAINER, SERVICE, Kind, Recorder, Store

from .controller import Controller
from .invocation import invoke
from .queue import BACKOFF_MAX
from .registry import Registry
from .timers import Timers

logger = logging.getLogger("dock_runner.framework")

# Plain (not async) handlers run in these threads.
_HANDLER_THREADS = 8
# An image that was missing or a port that was taken may be there or free at any time, and nobody says so. People wait
# for it; so a container is tried at least once a minute, as Docker itself does with one that crashes.
LONGEST_ENGINE_BACKOFF = 60.0


class Operator:
    """Runs the handlers of a registry against a store.

    ``inject`` are further arguments that a handler may name, such as ``engine``.
    """

    def __init__(
        self, registry: Registry, store: Store, recorder: Recorder, clock: Clock, metrics: Metrics, *,
        workers: int, inject: Mapping[str, Any],
    ) -> None:  # fmt: skip
        self._registry = registry
        self._inject = {"store": store, **inject}
        self._threads = ThreadPoolExecutor(_HANDLER_THREADS, thread_name_prefix="handler")

        def controller(kind: Kind[Any], longest_backoff: float) -> Controller[Any]:
            return Controller(
                kind, registry, store, recorder, clock, metrics, self._threads,
                workers=workers, longest_backoff=longest_backoff, inject=inject,
            )  # fmt: skip

        self.services = controller(SERVICE, BACKOFF_MAX)
        self.containers = controller(CONTAINER, LONGEST_ENGINE_BACKOFF)
        self._timers = [
            Timers(kind, registry, store, recorder, clock, self._threads, inject) for kind in (SERVICE, CONTAINER)
        ]

    @property
    def controllers(self) -> Sequence[Controller[Any]]:
        """All controllers."""
        return (self.services, self.containers)

    async def start(self) -> None:
        """Calls the start-up handlers, then lets the controllers and timers go.

        Raises:
            Exception: what a start-up handler raised.
        """
        for handler in self._registry.of("startup"):
            await invoke(handler, self._inject, self._threads)
        self.services.owns(CONTAINER)
        self.containers.follows(SERVICE, "service")
        for controller in self.controllers:
            controller.start()
        for timers in self._timers:
            timers.start()

    async def stop(self, grace: float) -> None:
        """Lets the passes in work end within ``grace`` seconds, then calls the clean-up handlers."""
        for timers in self._timers:
            await timers.stop()
        for controller in self.controllers:
            await controller.stop(grace / len(self.controllers))
        for handler in self._registry.of("cleanup"):
            try:
                await invoke(handler, self._inject, self._threads)
            except Exception:
                logger.exception("clean-up handler %s failed", handler.id)
        self._threads.shutdown(wait=False, cancel_futures=True)
