"""The Docker engine against a daemon that stops, dies, freezes or was never there."""

import asyncio
import contextlib
import gc
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from pathlib import Path

import pytest

from controller.errors import EngineUnavailable
from controller.metrics import Metrics
from controller.scheduler import docker as docker_engine
from controller.scheduler.docker import DockerEngine
from controller.scheduler.docker_events import SUBSCRIBED
from proto.dockrunner import v1 as pb
from tests.engine.conftest import eventually, requests_of
from tests.private_engine import PrivateEngine

# The SDK leaves the sockets of failed connections to the garbage collector, which `collect` calls in time.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket.socket.*family=1:ResourceWarning")
NOBODY = "f" * 64
request_for = requests_of("out")


@pytest.fixture(autouse=True)
def collect() -> Iterator[None]:
    yield
    gc.collect()


@pytest.fixture
async def engine(own_engine: PrivateEngine) -> AsyncIterator[DockerEngine]:
    engine = DockerEngine(own_engine.host, "out", Metrics())
    yield engine
    await engine.close()


async def next_event(engine: DockerEngine) -> None:
    async with contextlib.aclosing(engine.events()) as events:
        await anext(events)


async def assert_nothing_answers(engine: DockerEngine) -> None:
    calls: list[Awaitable[object]] = [
        engine.ping(), engine.list(), engine.inspect(NOBODY), engine.pull("none:1", print),
        engine.ensure_network("new", pb.NetworkDefinition()), engine.create(request_for()), engine.start(NOBODY),
        engine.update(NOBODY, "always", pb.Resources()), engine.stop(NOBODY, 1), engine.remove(NOBODY),
        next_event(engine),
    ]  # fmt: skip
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [EngineUnavailable] * len(calls), outcomes


async def test_without_a_daemon_every_call_says_that_nothing_is_known(tmp_path: Path) -> None:
    engine = DockerEngine(f"unix://{tmp_path}/none.sock", "out", Metrics())
    await assert_nothing_answers(engine)
    with pytest.raises(EngineUnavailable, match="No such file or directory"):
        await engine.ping()
    await engine.close()


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_an_outage_ends_the_stream_fails_every_call_and_heals(
    engine: DockerEngine, own_engine: PrivateEngine, how: str
) -> None:
    made = await engine.create(request_for(restart="always", networks={"out-default": ["web"]}))
    await engine.start(made)
    events = aiter(engine.events())
    assert await anext(events) == SUBSCRIBED
    await asyncio.to_thread(getattr(own_engine, how))
    async with asyncio.timeout(5):
        assert [event.action async for event in events if event.action == "subscribed"] == []
    await assert_nothing_answers(engine)
    await asyncio.to_thread(own_engine.start)
    await engine.ping()
    assert [observed.id for observed in await engine.list()] == [made]
    await next_event(engine)
    other = await engine.create(request_for(2, networks={"out-default": ["web"]}))
    await engine.start(other)
    assert (await engine.inspect(other)).status.state == pb.ContainerStatus.RUNNING


async def test_a_daemon_that_shuts_down_fails_the_ping_at_once(engine: DockerEngine, own_engine: PrivateEngine) -> None:
    stubborn = await engine.create(request_for(command=["sh", "-c", "trap '' TERM; while true; do sleep 1; done"]))
    await engine.start(stubborn)
    await engine.inspect(stubborn)
    own_engine.signal(signal.SIGTERM)
    began = time.monotonic()

    async def is_unavailable() -> bool:
        with contextlib.suppress(EngineUnavailable):
            await engine.ping()
            return False
        return True

    await eventually(is_unavailable)
    assert time.monotonic() - began < 1
    await engine.inspect(stubborn)  # over the connection that was open before, the daemon still answers
    own_engine.kill()


async def test_a_frozen_daemon_fails_by_deadline_and_goes_on_when_thawed(
    engine: DockerEngine, own_engine: PrivateEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker_engine, "READ", 1.0)
    monkeypatch.setattr(docker_engine, "PING", 1.0)
    await engine.ping()
    own_engine.freeze()
    began = time.monotonic()
    for call in (engine.ping(), engine.list(), engine.inspect(NOBODY), next_event(engine)):
        with pytest.raises(EngineUnavailable, match="timed out"):
            await call
    assert time.monotonic() - began < 6
    own_engine.thaw()
    await engine.ping()
    assert await engine.list() == []


async def test_closing_while_the_daemon_is_frozen_takes_no_time(
    engine: DockerEngine, own_engine: PrivateEngine
) -> None:
    await engine.ping()
    own_engine.freeze()
    waiting = [asyncio.create_task(engine.list()), asyncio.create_task(next_event(engine))]
    await asyncio.sleep(0.1)  # so that they are on their way
    began = time.monotonic()
    await engine.close()
    await asyncio.wait(waiting)
    assert time.monotonic() - began < 2
