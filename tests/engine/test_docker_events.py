"""The event stream of the Docker engine, on a real daemon."""

import asyncio
import contextlib
import threading

import docker as sdk

from controller.metrics import Metrics
from controller.scheduler.docker import DockerEngine
from controller.scheduler.docker_events import SUBSCRIBED
from controller.scheduler.engine import LABEL_INSTANCE, LABEL_SERVICE, EngineEvent
from tests.engine.conftest import Requests, eventually, ready
from tests.private_engine import IMAGE


async def read_until(engine: DockerEngine, action: str, act: asyncio.Event | None = None) -> list[EngineEvent]:
    """The events up to the first with that action; ``act`` is set once the subscription stands."""
    read: list[EngineEvent] = []
    async with asyncio.timeout(30), contextlib.aclosing(engine.events()) as events:
        async for event in events:
            read.append(event)
            if event is SUBSCRIBED and act is not None:
                act.set()
            if event.action == action:
                return read
    raise AssertionError(f"the stream ended after {read}")


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("docker-events")]


async def test_a_life_is_seen_in_order_and_with_our_labels(
    engine: DockerEngine, request_for: Requests, docker: sdk.APIClient
) -> None:
    subscribed = asyncio.Event()
    reading = asyncio.create_task(read_until(engine, "destroy", subscribed))
    await subscribed.wait()
    made = await engine.create(request_for())
    await engine.start(made)
    await ready(docker, made)
    await engine.stop(made, 5)
    await engine.remove(made)
    events = await reading
    assert [event.action for event in events] == ["subscribed", "create", "start", "kill", "die", "stop", "destroy"]
    assert {event.id for event in events[1:]} == {made}
    assert events[-1].labels == dict(request_for().labels)
    assert LABEL_SERVICE in events[-1].labels


async def test_foreign_containers_and_commands_run_inside_are_not_seen(
    engine: DockerEngine, request_for: Requests, docker: sdk.APIClient
) -> None:
    made = await engine.create(request_for())
    subscribed = asyncio.Event()
    reading = asyncio.create_task(read_until(engine, "start", subscribed))
    await subscribed.wait()
    foreign = docker.create_container(IMAGE, labels={LABEL_INSTANCE: "other-instance"})["Id"]
    docker.start(foreign)
    docker.remove_container(foreign, force=True)
    await engine.start(made)
    assert {event.id for event in (await reading)[1:]} == {made}
    subscribed.clear()
    reading = asyncio.create_task(read_until(engine, "die", subscribed))
    await subscribed.wait()
    docker.exec_start(docker.exec_create(made, ["echo", "secret"])["Id"])
    docker.kill(made)
    assert not [event for event in await reading if event.action.startswith("exec")]


async def test_a_change_of_health_is_one_action(engine: DockerEngine, instance: str, docker: sdk.APIClient) -> None:
    check = {"test": ["CMD", "true"], "interval": 100_000_000}
    made = docker.create_container(IMAGE, labels={LABEL_INSTANCE: instance}, healthcheck=check)["Id"]
    subscribed = asyncio.Event()
    reading = asyncio.create_task(read_until(engine, "health_status", subscribed))
    await subscribed.wait()
    docker.start(made)
    assert (await reading)[-1].id == made


async def test_what_happened_just_before_the_subscription_is_told_and_told_once(
    engine: DockerEngine, request_for: Requests
) -> None:
    first = await engine.create(request_for(1))
    await read_until(engine, "subscribed")  # reads no further, and so takes nothing away
    await read_until(engine, "create")
    subscribed = asyncio.Event()
    reading = asyncio.create_task(read_until(engine, "start", subscribed))
    await subscribed.wait()
    await engine.start(first)
    assert [event.action for event in await reading] == ["subscribed", "start"]


async def test_threads_end_with_their_subscriptions(engine: DockerEngine) -> None:
    for _ in range(20):
        await read_until(engine, "subscribed")

    async def all_ended() -> bool:
        return not threads()

    await eventually(all_ended, seconds=2)


async def test_a_cancelled_consumer_ends_its_thread(engine: DockerEngine) -> None:
    subscribed = asyncio.Event()
    reading = asyncio.create_task(read_until(engine, "never", subscribed))
    await subscribed.wait()
    assert threads() == ["docker-events"]
    reading.cancel()
    await asyncio.wait([reading])

    async def all_ended() -> bool:
        return not threads()

    await eventually(all_ended, seconds=2)


async def test_closing_the_engine_ends_the_stream(engine_host: str, instance: str) -> None:
    engine = DockerEngine(engine_host, instance, Metrics())
    events = aiter(engine.events())
    assert await anext(events) == SUBSCRIBED
    await engine.close()
    assert await anext(events, None) is None
