"""An API in process, over a real unix socket, and an agent that follows a real file."""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest

from controller.clock import SystemClock
from controller.config_agent import ConfigAgent, connect
from controller.metrics import Metrics
from proto.dockrunner import v1 as pb
from proto.dockrunner.v1.control_plane_pb2_grpc import ControlPlaneServicer, add_ControlPlaneServicer_to_server

PATIENCE = 10.0  # seconds for what takes a fraction of one on an idle machine

Context = grpc.aio.ServicerContext  # generic in the stubs alone
Answer = Callable[
    [pb.ApplySetRequest, "grpc.aio.ServicerContext[pb.ApplySetRequest, pb.ApplySetResponse]"],
    Awaitable[pb.ApplySetResponse],
]


async def accept(request: pb.ApplySetRequest, _: object) -> pb.ApplySetResponse:
    results = [pb.ApplySetResponse.Result(service=service, outcome=pb.CREATED) for service in request.services]
    return pb.ApplySetResponse(results=results)


class Api:
    """The ControlPlane's ApplySet; ``requests`` are those that arrived, each answered by ``answer``."""

    def __init__(self, folder: Path) -> None:
        self.address = f"unix:{folder}/api.sock"
        self.requests: asyncio.Queue[pb.ApplySetRequest] = asyncio.Queue()
        self.answer: Answer = accept
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        api = self

        class Servicer(ControlPlaneServicer):  # the other calls answer UNIMPLEMENTED
            async def ApplySet(self, request, context):  # type: ignore[no-untyped-def]  # noqa: N802
                api.requests.put_nowait(request)
                return await api.answer(request, context)

        self._server = grpc.aio.server()
        add_ControlPlaneServicer_to_server(Servicer(), self._server)  # type: ignore[abstract]
        self._server.add_insecure_port(self.address)
        await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(None)

    async def next(self) -> pb.ApplySetRequest:
        async with asyncio.timeout(PATIENCE):
            return await self.requests.get()


async def until(condition: Callable[[], bool]) -> None:
    """For what gives no sign of its own when it happens."""
    for _ in range(int(PATIENCE / 0.01)):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise TimeoutError


@dataclass
class Running:
    """An agent at work, what it reported and its metrics."""

    agent: ConfigAgent
    metrics: Metrics
    task: asyncio.Task[None]
    reports: asyncio.Queue[tuple[str, str, str]] = field(default_factory=asyncio.Queue)

    async def report(self) -> tuple[str, str, str]:
        async with asyncio.timeout(PATIENCE):
            return await self.reports.get()

    async def in_force(self) -> None:
        await until(lambda: not self.agent.last_error)

    def value(self, name: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"dock_runner_config_last_reload_{name}")


@pytest.fixture
def socket_folder() -> Iterator[Path]:
    """A unix socket's path is at most 108 bytes, which tmp_path can exceed."""
    folder = Path(tempfile.mkdtemp())
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
async def api(socket_folder: Path) -> AsyncIterator[Api]:
    api = Api(socket_folder)
    await api.start()
    yield api
    await api.stop()


Follow = Callable[..., Running]


@pytest.fixture
async def follow(api: Api) -> AsyncIterator[Follow]:
    """Starts agents; they end with the test."""
    async with contextlib.AsyncExitStack() as stack:

        def start(path: Path, *, clock: SystemClock | None = None, allow_empty: bool = False) -> Running:
            channel = connect(api.address)
            stack.push_async_callback(channel.close)
            reports: asyncio.Queue[tuple[str, str, str]] = asyncio.Queue()
            metrics = Metrics()
            agent = ConfigAgent(
                path, channel, clock=clock or SystemClock(), metrics=metrics, allow_empty=allow_empty,
                report=lambda *report: reports.put_nowait(report),
            )  # fmt: skip
            running = Running(agent, metrics, asyncio.create_task(agent.run()), reports)
            stack.push_async_callback(_end, running.task)
            return running

        yield start


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        async with asyncio.timeout(PATIENCE):
            await task


WEB = '[services.web]\nimage = "web"\n'
DB = '[services.db]\nimage = "db"\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "etc" / "services.toml"
    path.parent.mkdir()
    write(path, WEB)
    return path


def write(file: Path, text: str) -> None:
    file.write_text(text)


def remove(file: Path) -> None:
    file.unlink()


def names(request: pb.ApplySetRequest) -> Sequence[str]:
    return [service.metadata.name for service in request.services]
