"""What a real daemon says of the use of containers, and what follows for their number."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import docker as sdk
import pytest

from controller.clock import SystemClock
from controller.errors import ContainerGone, EngineError
from controller.framework.patch import Patch
from controller.metrics import Metrics
from controller.scheduler import Informer
from controller.scheduler.docker import DockerEngine
from controller.scheduler.engine import Usage
from controller.store import CONTAINER, EVENT, SERVICE, Recorder, Store
from handlers.autoscale import cpus_in_use, scale_by_load
from handlers.refused import Refused
from proto.dockrunner import v1 as pb
from tests.engine.conftest import Requests, eventually

MEBIBYTE = 1024 * 1024
BUSY = ["sh", "-c", "while :; do :; done"]


async def busy(engine: DockerEngine, request_for: Requests, slot: int = 1) -> str:
    """A container that uses as much of a fifth of a processor as it gets."""
    made = await engine.create(request_for(slot, command=BUSY, resources=pb.Resources(cpus=0.2)))
    await engine.start(made)
    return made


async def later(sample: Callable[[], Awaitable[Usage]], seconds: float) -> Usage:
    """A sample that was taken so much later than a first one, by the daemon's own clock."""
    first = await sample()

    async def is_later() -> bool:
        return (await sample()).sampled - first.sampled >= timedelta(seconds=seconds)

    await eventually(is_later)
    return await sample()


async def test_a_busy_loop_uses_all_of_its_limit(engine: DockerEngine, request_for: Requests) -> None:
    made = await busy(engine, request_for)
    first = await engine.usage(made)
    rate = cpus_in_use(first, await later(lambda: engine.usage(made), 3))
    assert rate is not None
    assert 80 <= 100 * rate / 0.2 <= 115


async def test_what_sleeps_uses_next_to_nothing(engine: DockerEngine, request_for: Requests) -> None:
    made = await engine.create(request_for(command=["sleep", "60"]))
    await engine.start(made)
    first = await engine.usage(made)
    rate = cpus_in_use(first, await later(lambda: engine.usage(made), 1))
    assert rate is not None
    assert rate < 0.02


async def test_memory_grows_with_what_a_process_holds(engine: DockerEngine, request_for: Requests) -> None:
    # The last word keeps the shell from giving its place, and its memory, to the sleep.
    holds = "x=$(head -c 8388608 /dev/zero | tr '\\0' x); echo ready; sleep 60; true"
    made = await engine.create(request_for(command=["sh", "-c", holds]))
    await engine.start(made)

    async def holds_it() -> bool:
        return (await engine.usage(made)).memory >= 8 * MEBIBYTE

    await eventually(holds_it)
    assert (await engine.usage(made)).memory < 64 * MEBIBYTE


async def test_many_samples_take_no_longer_than_a_few(engine: DockerEngine, request_for: Requests) -> None:
    """Docker 20.10 gives a sample a second, to whoever waits for one."""
    made = await engine.create(request_for(command=["sleep", "60"]))
    await engine.start(made)
    began = time.monotonic()
    await asyncio.gather(*(engine.usage(made) for _ in range(16)))
    assert time.monotonic() - began < 4


async def test_what_does_not_run_or_is_gone_has_no_sample(engine: DockerEngine, request_for: Requests) -> None:
    made = await engine.create(request_for())
    with pytest.raises(EngineError, match="does not run"):
        await engine.usage(made)
    await engine.remove(made)
    with pytest.raises(ContainerGone):
        await engine.usage(made)


async def test_samples_that_hang_hold_up_nothing_else(
    engine: DockerEngine, request_for: Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await engine.create(request_for(command=["sleep", "60"]))
    await engine.start(made)

    def hang(*_: object, **__: object) -> None:
        time.sleep(1.5)

    with monkeypatch.context() as patched:
        patched.setattr(sdk.APIClient, "stats", hang)
        hanging = [asyncio.create_task(engine.usage(made)) for _ in range(32)]
        began = time.monotonic()
        await engine.inspect(made)
        await engine.stop(made, 0)
        took = time.monotonic() - began
        answers = await asyncio.gather(*hanging, return_exceptions=True)
    assert took < 1.4
    assert all(isinstance(answer, EngineError) for answer in answers)


async def test_two_busy_containers_of_a_real_daemon_become_three(
    engine: DockerEngine, request_for: Requests, metrics: Metrics
) -> None:
    clock = SystemClock()
    store = Store(clock, epoch=1)
    recorder = Recorder(store, clock)
    informer = Informer(engine, store, clock, metrics, lambda _: None)
    informer.up = True
    scale = pb.Autoscale(min=1, max=3, cpu=70)
    service = store.create(
        SERVICE,
        pb.Service(
            metadata=pb.Metadata(name="web"), spec=pb.ServiceSpec(image="x", replicas=2, cpus=0.2, autoscale=scale)
        ),
    )
    store.update_status(SERVICE, "web", lambda it: setattr(it.status, "observed_generation", 1))
    for slot in (1, 2):
        made = await busy(engine, request_for, slot)
        spec = pb.ContainerSpec(service="web", slot=slot)
        store.create(CONTAINER, pb.Container(metadata=pb.Metadata(name=f"web-{slot}"), spec=spec))

        def runs(it: pb.Container, made: str = made) -> None:
            it.status.docker_id, it.status.ready = made, True
            it.status.started_at.FromDatetime(datetime.now(UTC))

        store.update_status(CONTAINER, f"web-{slot}", runs)
    memo = SimpleNamespace()
    service = store.get(SERVICE, "web")

    async def turn() -> pb.Service:
        patch = Patch(service)
        now = datetime.now(UTC) + timedelta(minutes=1)  # nobody is young any more
        known: dict[str, Any] = {"store": store, "engine": engine, "informer": informer, "recorder": recorder}
        await scale_by_load(body=service, patch=patch, memo=memo, now=now, refused=Refused(), **known)
        patch.write(SERVICE, store)
        return store.get(SERVICE, "web")

    assert (await turn()).spec.replicas == 2  # one sample tells nothing
    await later(lambda: engine.usage(made), 3)
    assert (await turn()).spec.replicas == 3
    (event,) = (it for it in store.list(EVENT) if it.reason == "Scaled")
    assert event.message.startswith("replicas 2 → 3: cpu at 1")
