"""The program with its API, its safe on a disk and the files of simulated containers in memory, in moved time."""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from controller.control_plane.servicer import ControlPlane
from controller.framework import Registry, on
from controller.metrics import Metrics
from controller.program import Program
from controller.scheduler.engine import LABEL_REVISION
from controller.scheduler.memory import MemoryEngine
from controller.store import CONTAINER, REVISION, SERVICE, Safe
from controller.testing.clock import ManualClock
from controller.testing.journal import MemoryJournal
from controller.testing.run import running
from controller.testing.threads import CountedThreads
from handlers.revision import revision_of
from handlers.secrets import versions_of
from proto.dockrunner import v1 as pb

MEMORY = "/dev/shm"  # noqa: S108  # the tmpfs that every Linux has


class Engine(MemoryEngine):
    """A memory engine, perhaps of another machine, of which one sees what was asked for."""

    is_local = True

    def files(self) -> list[tuple[str, dict[str, bytes]]]:
        """Revision and files of each container, as its process would see them."""
        return [
            (
                it.request.labels[LABEL_REVISION],
                {mount.target: Path(mount.source).read_bytes() for mount in it.request.files},
            )
            for it in self._containers.values()
        ]

    def kill_all(self) -> None:
        """As a machine that goes down."""
        for docker_id in self._containers:
            self.kill(docker_id)


class World:
    """One machine: what is on its disk and in its memory, and its runs of the program."""

    def __init__(self, disk: Path, memory: Path, registry: Registry = on.default) -> None:
        self.clock = ManualClock()
        self.engine = Engine(self.clock)
        self.journal = MemoryJournal(self.clock)
        self.disk, self.memory = disk, memory
        self._registry = registry
        self._run = AsyncExitStack()

    async def start(self) -> None:
        self._run = AsyncExitStack()
        threads = CountedThreads()
        asyncio.get_running_loop().set_default_executor(threads)
        self.clock.waits_for(threads.under_way)
        self.program = Program(
            self.engine, self.journal, self.clock, Metrics(), registry=self._registry, threads=threads,
            safe=Safe(self.disk / "secrets"), files=self.memory / "default" / "files",
        )  # fmt: skip
        self.api: Any = ControlPlane(
            self.program.store, self.program.recorder, self.program.admission, self.program.persistence,
            self.program.metrics, self.clock,
        )  # fmt: skip
        await self._run.enter_async_context(running(self.program, self.clock))
        sweep = asyncio.create_task(self.program.secrets.sweep(self.api.quiet))

        async def end() -> None:
            await self.api.settled()
            sweep.cancel()
            await asyncio.gather(sweep, return_exceptions=True)
            await self.program.files.settled()

        self._run.push_async_callback(end)
        await self.settle()

    async def stop(self) -> None:
        await self._run.aclose()

    async def settle(self, seconds: float = 60.0) -> None:
        await self.clock.advance(seconds)

    async def apply(self, name: str = "web", *, dry_run: bool = False, replicas: int = 1, **spec: Any) -> pb.Service:
        declared = pb.ServiceSpec(**{"image": "web:1", **spec}, replicas=replicas)
        service = pb.Service(metadata=pb.Metadata(name=name), spec=declared)
        response: pb.ApplyResponse = await self.api.Apply(pb.ApplyRequest(service=service, dry_run=dry_run), None)
        await self.settle()
        return response.service

    def service(self, name: str = "web") -> pb.Service:
        return self.program.store.get(SERVICE, name)

    def revision(self, name: str = "web") -> str:
        return revision_of(self.service(name).spec)

    def versions(self) -> set[str]:
        """What lies in the safe."""
        return {path.name for path in (self.disk / "secrets").iterdir()} - {"key"}

    def referred_to(self) -> set[str]:
        """What the objects of the program refer to."""
        store = self.program.store
        specs = [
            *(it.spec for it in store.list(SERVICE)),
            *(it.template for it in store.list(REVISION)),
            *(it.spec.template for it in store.list(CONTAINER)),
        ]
        return {version for spec in specs for version in versions_of(spec.secrets)}

    def folders(self) -> list[Path]:
        """The folders of containers."""
        root = self.memory / "default" / "files"
        return list(root.iterdir()) if root.exists() else []

    def lose_files(self) -> None:
        """Memory is empty, as after the machine has started anew."""
        shutil.rmtree(self.memory)
        self.memory.mkdir(mode=0o700)


def seen(engine: Engine) -> Mapping[str, bytes]:
    """The files of the only container."""
    ((_, files),) = engine.files()
    return files


@contextlib.contextmanager
def in_memory() -> Iterator[Path]:
    """A folder on a tmpfs."""
    folder = Path(tempfile.mkdtemp(prefix="dock-runner-test-", dir=MEMORY))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@asynccontextmanager
async def world(disk: Path, registry: Registry = on.default) -> AsyncIterator[World]:
    """A machine on which the program runs; stopped in good order."""
    with in_memory() as memory:
        made = World(disk, memory, registry)
        await made.start()
        try:
            yield made
        finally:
            await made.stop()
