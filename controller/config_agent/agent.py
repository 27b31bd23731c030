"""Keeps what the API has equal to what the file says."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Set
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path as FilePath
from typing import TypeVar

import grpc

from controller.clock import Clock
from controller.metrics import Metrics
from proto.dockrunner import v1 as pb
from proto.dockrunner.v1.control_plane_pb2_grpc import ControlPlaneStub

from .config import Config, read_config
from .problem import ConfigError, Problem, Unreadable
from .refusal import refusal
from .watch import DEBOUNCE, FileWatch, Fingerprint, fingerprint

MANAGER = "file"
DEADLINE = 30.0  # seconds for one ApplySet
FIRST_RETRY, LAST_RETRY = 0.1, 10.0  # seconds between attempts, doubling
_SETTLE_ROUNDS = 50  # how often a file that is written to is waited for before that is said

# For the channel to the API: its own waits are to be no longer than ours while the server is away.
CHANNEL_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)

_T = TypeVar("_T")

logger = logging.getLogger("dock_runner.config")

# Takes the type (`Normal` or `Warning`), the reason in one word, and the message of an event about the file.
Report = Callable[[str, str, str], None]


def connect(target: str) -> grpc.aio.Channel:
    """A channel to the API at a gRPC target, which comes back soon after the API does."""
    return grpc.aio.insecure_channel(target, options=CHANNEL_OPTIONS)


class ConfigAgent:
    """Reads a file or folder, applies it as one set under the manager ``file``, and again whenever it changes, or one
    of the files that it names does.

    ``channel`` leads to the API, as ``connect`` makes it. ``path`` need not exist.

    A file with any error changes nothing. One that is gone, cannot be read, is empty or declares no service deletes
    nothing; with ``allow_empty`` one that was read well and declares none deletes all. What the API refuses or cannot
    take now is tried again, always with what the file says by then.
    """

    def __init__(
        self,
        path: FilePath,
        channel: grpc.aio.Channel,
        *,
        clock: Clock,
        metrics: Metrics,
        report: Report,
        allow_empty: bool = False,
    ) -> None:
        self.first_applied = asyncio.Event()
        """Set once the file has been applied, or was read well and holds nothing to apply."""
        self.attempted = asyncio.Event()
        """Set once the file has been read for the first time, well or not."""
        self.last_error = ""
        """Why the file as it is now is not in force; empty when it is."""
        self._path = path
        self._stub = ControlPlaneStub(channel)
        self._clock = clock
        self._metrics = metrics
        self._report = report
        self._allow_empty = allow_empty
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="config")
        self._watch = FileWatch(path, clock, self._executor, self._changed)
        self._one_at_a_time = asyncio.Lock()
        self._wake = asyncio.Event()
        self._forced = False
        self._applied: list[pb.Service] | None = None
        self._files: Set[str] | None = None  # what there was to read the last time
        self._included: Set[str] = frozenset()  # further files that it names
        self._retry = False  # whether the last attempt failed on the API's side
        self._repeat = False  # whether what was said before is to be said again
        self._cause = ""

    async def run(self) -> None:
        """Follows the file until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch.run())
            delay = FIRST_RETRY
            while True:
                forced, self._forced = self._forced, False
                await self._sync(forced)
                self.attempted.set()
                if self._retry:
                    await self._wait(delay)
                    delay = min(delay * 2, LAST_RETRY)
                else:
                    delay = FIRST_RETRY
                    await self._wake.wait()
                self._wake.clear()

    async def reload(self) -> bool:
        """Reads and applies the file now, changed or not; whether it is in force then. ``last_error`` says why not."""
        done = await self._sync(forced=True)
        if self._retry:
            self._changed()
        return done

    def request_reload(self) -> None:
        """Has ``run`` do what ``reload`` does. To be called on the event loop, as signal handlers are."""
        self._forced = True
        self._changed()

    def _changed(self) -> None:
        self._wake.set()

    async def _wait(self, seconds: float) -> None:
        """Until something happens, or the time is over."""
        tasks = [asyncio.ensure_future(self._wake.wait()), asyncio.ensure_future(self._clock.sleep(seconds))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _sync(self, forced: bool) -> bool:
        async with self._one_at_a_time:
            self._retry, self._repeat = False, forced
            try:
                config = await self._read()
            except Unreadable as error:
                self._failed("ConfigUnreadable", f"nothing is changed or deleted: {error}", logging.WARNING)
                return False
            except ConfigError as error:
                self._failed("ConfigInvalid", str(error))
                return False
            if not config.services and not self._allow_empty:
                message = f"{self._path} declares no service: nothing is deleted unless --allow-empty is given"
                self._failed("ConfigEmpty", message, logging.WARNING)
                self.first_applied.set()
                return False
            if config.services == self._applied and not forced:
                self._in_force()
                return True
            return await self._apply(config)

    async def _read(self) -> Config:
        """Reads the file once it has been left alone: half of a file can be valid TOML, with services missing."""
        files = self._files
        for _ in range(_SETTLE_ROUNDS):
            # Before the look, so that a slow one makes the file look younger, never older.
            now = self._clock.now().timestamp()
            before = await self._in_thread(self._fingerprint)
            pause = _unrest(before, now)
            if files is not None and before.stamps.keys() != files:
                pause = DEBOUNCE  # some editors save by deleting first
            files = before.stamps.keys()
            if pause > 0:
                await self._clock.sleep(pause)
                continue
            outcome = await self._in_thread(_attempt)
            if outcome.included != self._included:  # which are to have been left alone as well
                self._included = outcome.included
                self._watch.include(self._included)
            elif before == await self._in_thread(self._fingerprint):
                self._files = files
                if isinstance(outcome, ConfigError):
                    raise outcome
                return outcome
        raise Unreadable([Problem(str(self._path), 0, 0, "", "is being written to all the time")])

    def _fingerprint(self, path: FilePath) -> Fingerprint:
        return fingerprint(path, self._included)

    async def _in_thread(self, function: Callable[[FilePath], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, self._path)

    async def _apply(self, config: Config) -> bool:
        request = pb.ApplySetRequest(
            services=config.services, manager=MANAGER, prune=True, allow_empty=self._allow_empty
        )
        # From here on until the answer nobody knows what is in force.
        self._applied = None
        try:
            response = await self._stub.ApplySet(request, timeout=DEADLINE)
        except grpc.aio.AioRpcError as error:
            self._retry = True
            self._refused(error, config)
            return False
        self._applied = config.services
        self._in_force()
        self._say_applied(response)
        return True

    def _say_applied(self, response: pb.ApplySetResponse) -> None:
        counts = Counter(pb.Outcome.Name(result.outcome).lower() for result in response.results)
        counts["deleted"] = len(response.pruned)
        parts = [f"{count} {outcome}" for outcome, count in counts.items() if count]
        message = f"{self._path} applied: {', '.join(parts) or 'no services'}"
        logger.info("%s", message)
        self._report("Normal", "ConfigApplied", message)

    def _in_force(self) -> None:
        if self.last_error:
            logger.info("%s is in order again", self._path)
        self.last_error = self._cause = ""
        self._metrics.reload_successful.set(1)
        self._metrics.reload_time.set(self._clock.now().timestamp())
        self.first_applied.set()

    def _refused(self, error: grpc.aio.AioRpcError, config: Config) -> None:
        code, details = error.code(), error.details()
        if code == grpc.StatusCode.INVALID_ARGUMENT:
            self._failed("ConfigInvalid", str(refusal(error, config, self._path)))
        elif code == grpc.StatusCode.FAILED_PRECONDITION:
            self._failed("ConfigRefused", f"{self._path} is refused for now: {details}")
        else:
            message = f"{self._path} waits for the API ({code.name}): {details}"
            self._failed("ConfigWaiting", message, logging.WARNING, cause=code.name)

    def _failed(self, reason: str, message: str, level: int = logging.ERROR, *, cause: str = "") -> None:
        """Says why the file is not in force: once for each cause, which is the message unless that varies."""
        self._metrics.reload_successful.set(0)
        news = (cause or message) != self._cause
        self._cause, self.last_error = cause or message, message
        if news or self._repeat:
            for line in message.splitlines():
                logger.log(level, "%s", line)
            self._report("Warning", reason, message)


def _unrest(found: Fingerprint, now: float) -> float:
    """Seconds to wait until the last write is long enough ago; 0 when it is, or lies in the future."""
    age = DEBOUNCE if found.newest is None else now - found.newest
    return DEBOUNCE - max(age, 0.0) if -DEBOUNCE < age < DEBOUNCE else 0.0


def _attempt(path: FilePath) -> Config | ConfigError:
    try:
        return read_config(path)
    except ConfigError as error:
        return error
