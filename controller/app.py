"""Builds the parts of the program, starts them in order and stops them in reverse.

Order: lock, journal, engine list (what runs becomes container objects again), API, file, controllers, ready.
"""

import asyncio
import hashlib
import logging
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from controller import logs
from controller.clock import Clock, SystemClock
from controller.config_agent import ConfigAgent, connect
from controller.control_plane.server import Server
from controller.control_plane.servicer import ControlPlane
from controller.convergence import report_convergence
from controller.deadline import NO_MORE_WAITING, Deadline
from controller.errors import HandlersBroken, StartError
from controller.framework import load, on
from controller.framework.threads import LoopThreads
from controller.lock import InstanceLock
from controller.metrics import Metrics
from controller.probes import Probes
from controller.program import CONFIG_AGENT, Program
from controller.scheduler import Engine
from controller.settings import Settings, default_runtime_dir
from controller.store import (
    Journal,
    NoJournal,
    Safe,
    SqliteJournal,
)
from controller.watchdog import LoopWatchdog
from handlers.policy import read_policy
from handlers.private_folder import on_tmpfs
from proto.dockrunner import v1 as pb

# Within these, in seconds, the program has stopped; ten in all are promised.
API_GRACE = 1.0
HANDLER_GRACE = 6.0
# Seconds that a part may take for its end once nothing uses it any more.
PART_GRACE = 2.0

logger = logging.getLogger("dock_runner.app")


def run(settings: Settings) -> int:
    """Runs the program until it is told to stop, and returns its exit status; the caller ends the process then.

    When something does not end with it, such as a handler that ignores that it is cancelled, it ends the process
    itself, with that status. So does it when the process is still there some seconds after the stop began.

    Raises:
        StartError: it cannot start.
    """
    logs.configure(settings.log_format, settings.log_level)
    metrics = Metrics()
    with InstanceLock(settings.state_dir, settings.runtime_dir, settings.instance):
        journal = _journal(settings, metrics)
        broken = _load_handlers(settings.handlers)
        watchdog = LoopWatchdog()
        with asyncio.Runner(loop_factory=watchdog.new_loop) as runner:
            watchdog.start()
            deadline = Deadline()
            deadline.watch()
            runner.get_loop().set_default_executor(LoopThreads())
            try:
                return runner.run(App(settings, SystemClock(), metrics, journal, broken, deadline).run())
            finally:
                if left := runner.run(_end_tasks(deadline)):  # the runner would wait for them for ever
                    deadline.end_process(left)
                watchdog.stop()
                deadline.doing = ""


async def _end_tasks(deadline: Deadline) -> Sequence[str]:
    """Cancels what still runs in the loop; the names of what goes on all the same."""
    until = time.monotonic() + min(PART_GRACE, deadline.left)
    while tasks := asyncio.all_tasks() - {asyncio.current_task()}:
        left = until - time.monotonic()
        if left <= 0:
            return sorted(task.get_name() for task in tasks)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=left)
    return ()


def _journal(settings: Settings, metrics: Metrics) -> Journal:
    if settings.state_dir is None:
        return NoJournal()
    journal = SqliteJournal(settings.state_dir / f"{settings.instance}.journal", metrics)
    journal.open()
    return journal


def _safe(settings: Settings) -> Safe:
    """Beside the journal. Without one only the key outlives the process, where files of containers do as well: or
    their secrets would have changed with each start."""
    if settings.state_dir is None:
        return Safe(key_file=settings.runtime_dir / settings.instance / "key")
    return Safe(settings.state_dir / "secrets" / settings.instance)


def _files(settings: Settings) -> Path | None:
    """The folder for files of containers: beside the socket, where the lock is, or else where one usually lies."""
    if settings.engine == "memory":
        return None
    beside = settings.runtime_dir
    if beside == default_runtime_dir() or on_tmpfs(beside):
        return beside / settings.instance / "files"
    # Another program may use the same name there, under another lock.
    own = hashlib.sha256(str(beside).encode()).hexdigest()[:8]
    return default_runtime_dir() / f"{settings.instance}-{own}" / "files"


def _load_handlers(names: Sequence[str]) -> Sequence[HandlersBroken]:
    """Loads the user's modules; those that are broken are left out, and do not keep the program from its work."""
    broken = []
    for name in names:
        try:
            load(on.default, name)
        except HandlersBroken as error:
            broken.append(error)
    return broken


class App:
    """The whole program, in one process and one event loop.

    ``deadline`` is told of the stop; every part is waited for as long as it allows.
    """

    def __init__(
        self, settings: Settings, clock: Clock, metrics: Metrics, journal: Journal, broken: Sequence[HandlersBroken],
        deadline: Deadline | None = None,
    ) -> None:  # fmt: skip
        self._settings = settings
        self._clock = clock
        self._stopping = asyncio.Event()
        self._background: set[asyncio.Task[None]] = set()
        self._operating = False
        self._broken = broken
        self._deadline = deadline or Deadline()
        self.metrics = metrics
        self.engine = self._engine()
        self.program = Program(
            self.engine, journal, clock, metrics, instance=settings.instance, policy=read_policy(settings.policy),
            workers=settings.workers, resync=settings.resync, safe=_safe(settings), files=_files(settings),
        )  # fmt: skip
        self.informer, self.operator = self.program.informer, self.program.operator
        self.agent: ConfigAgent | None = None

    async def run(self) -> int:
        """Starts everything, serves until stopped, stops everything."""
        self._listen_to_signals()
        deadline = self._deadline
        async with AsyncExitStack() as stack:
            try:
                await self._start(stack)
                deadline.doing = "the event loop"
                deadline.status = await self._until_stopped()
            except BaseException as error:
                deadline.status, deadline.error = 1, error
                raise
            finally:
                deadline.begin()
        return deadline.status

    async def _start(self, stack: AsyncExitStack) -> None:
        """Starts everything; ``stack`` stops it."""
        settings = self._settings
        probes = Probes(settings.metrics.host_port, self.metrics, self._checks(), self.operator.probe)
        await probes.start()
        stack.push_async_callback(self._end, "metrics and probes", probes.stop, PART_GRACE)
        stack.push_async_callback(self._end, "the engine", self.engine.close, PART_GRACE)
        persistence = self.program.persistence
        await self.program.restore()
        self.program.say_broken(self._broken)
        stack.push_async_callback(self._end, "the journal", persistence.close)
        await stack.enter_async_context(self._in_background("journal", persistence.run()))
        await stack.enter_async_context(self._in_background("informer", self.informer.run()))
        servicer = ControlPlane(
            self.program.store, self.program.recorder, self.program.admission, persistence, self.metrics, self._clock
        )
        stack.push_async_callback(self._end, "the journal's part of what was declared", servicer.settled)
        await stack.enter_async_context(self._in_background("safe", self.program.secrets.sweep(servicer.quiet)))
        server = Server([address.endpoint for address in settings.listen], servicer, self.metrics, self._clock)
        await server.start()
        stack.push_async_callback(self._end, "the API", lambda: server.stop(API_GRACE), PART_GRACE)
        if settings.config is not None:
            await self._start_agent(stack)
        await stack.enter_async_context(self._in_background("controllers", self._operate()))
        stack.push_async_callback(self._stop_operating)
        await server.set_serving(True)
        self._say_hello()

    def stop(self) -> None:
        """Asks the program to end."""
        self._stopping.set()

    async def _until_stopped(self) -> int:
        """Waits for the stop, for a part that fails, or, with --once, for convergence; the exit status."""
        waits: set[asyncio.Task[Any]] = {asyncio.create_task(self._stopping.wait()), *self._background}
        once = None
        if self._settings.once:
            once = asyncio.create_task(report_convergence(self.program.store, self._declared, self._settings.timeout))
            waits.add(once)
        done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        logger.info("stopping; containers are left running")
        for task in done & self._background:
            task.result()
            raise StartError(f"the {task.get_name()} ended unexpectedly")
        return once.result() if once is not None and once in done else 0

    async def _operate(self) -> None:
        """Lets the controllers go once it is known what runs and what the file says."""
        await self.informer.synced.wait()
        if self.agent is not None:
            await self.agent.attempted.wait()
        await self.operator.start()
        self._operating = True
        await asyncio.Event().wait()

    async def _stop_operating(self) -> None:
        if self._operating:
            grace = min(HANDLER_GRACE, self._deadline.left)
            # What it waits for is limited in itself; the limit from without is in case that this fails.
            await self._end("the handlers", lambda: self.operator.stop(grace))
        await self._end("the calls of the engine", self.program.in_flight.close, PART_GRACE)

    async def _end(
        self, part: str, stop: Callable[[], Coroutine[Any, Any, None]], most: float = NO_MORE_WAITING
    ) -> None:
        """Stops a part; one for which there is no time any more is left to itself."""
        self._deadline.doing = part
        ending = asyncio.create_task(stop(), name=part)
        if await self._ended(ending, most):
            await ending
        else:
            ending.cancel()

    async def _ended(self, task: "asyncio.Task[None]", most: float) -> bool:
        """Waits for the end of a task as long as there is time, and says when that is not enough."""
        await asyncio.wait([task], timeout=min(most, self._deadline.left))
        if not task.done():
            logger.error("%s does not end; the program ends without it", task.get_name())
        return task.done()

    async def _start_agent(self, stack: AsyncExitStack) -> None:
        """The ConfigAgent is a client of the API like any other."""
        assert self._settings.config is not None  # noqa: S101  # for the type checker; the caller asked
        channel = await stack.enter_async_context(connect(self._settings.listen[0].target))
        self.agent = ConfigAgent(
            self._settings.config, channel, clock=self._clock, metrics=self.metrics,
            allow_empty=self._settings.allow_empty, report=self._report_config,
        )  # fmt: skip
        await stack.enter_async_context(self._in_background("config agent", self.agent.run()))

    def _report_config(self, type_: str, reason: str, message: str) -> None:
        about = pb.ObjectReference(kind="Config", name=str(self._settings.config))
        self.program.recorder.record(CONFIG_AGENT, about, type_, reason, message)

    def _declared(self) -> bool:
        """Whether what is to be converged to is known."""
        return self._operating and (self.agent is None or self.agent.first_applied.is_set())

    def _checks(self) -> Mapping[str, Any]:
        """What must hold to be ready; each answers None or what is amiss."""

        def engine() -> str | None:
            return None if self.informer.up else self.informer.reason

        def file() -> str | None:
            if self.agent is None:
                return None if self._settings.config is None else "not read yet"
            return None if self.agent.first_applied.is_set() else self.agent.last_error or "not read yet"

        def controllers() -> str | None:
            return None if self._operating else "waiting for the engine and the file"

        def journal() -> str | None:
            return None if self.program.restored else "not read yet"

        return {"journal": journal, "engine": engine, "file": file, "controllers": controllers}

    def _engine(self) -> Engine:
        if self._settings.engine == "memory":
            from controller.scheduler.memory import MemoryEngine  # each engine imports its own world

            logger.warning("engine memory: NOTHING IS REAL, containers are simulated in this process")
            return MemoryEngine(self._clock)
        from controller.scheduler.docker import DockerEngine

        settings = self._settings
        return DockerEngine(settings.docker_host, settings.instance, self.metrics, settings.engine_concurrency)

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.stop)
            # In place of asyncio's own, which does nothing: the loop hears of signals in another way. So the time
            # begins also while a handler holds up the loop.
            signal.signal(number, self._deadline.begin)
        loop.add_signal_handler(signal.SIGHUP, self._reload)

    def _reload(self) -> None:
        if self.agent is not None:
            self.agent.request_reload()

    def _say_hello(self) -> None:
        listen = ", ".join(address.target for address in self._settings.listen)
        logger.info("serving on %s, metrics on http://%s/metrics", listen, self._settings.metrics)

    @asynccontextmanager
    async def _in_background(self, name: str, work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
        task = asyncio.create_task(work, name=name)
        self._background.add(task)
        try:
            yield
        finally:
            self._background.discard(task)
            self._deadline.doing = name
            task.cancel()
            if await self._ended(task, PART_GRACE) and not task.cancelled():
                task.exception()  # it is why the program ends, and said already, or of no interest any more
