"""Every call of the Docker engine but events, on a real daemon."""

import asyncio
import time
from collections.abc import Callable
from functools import partial

import docker as sdk
import pytest

from controller.errors import ContainerGone, EngineError, ImageMissing, PullError
from controller.metrics import Metrics
from controller.scheduler.docker import DockerEngine
from controller.scheduler.engine import LABEL_INSTANCE, LABEL_UID
from proto.dockrunner import v1 as pb
from tests.engine.conftest import Requests, eventually, ready
from tests.private_engine import IMAGE

NOBODY = "f" * 64


async def test_a_container_lives_from_create_to_remove(
    engine: DockerEngine, request_for: Requests, docker: sdk.APIClient
) -> None:
    made = await engine.create(request_for())
    assert (await engine.inspect(made)).status.state == pb.ContainerStatus.CREATED
    await engine.start(made)
    running = (await engine.inspect(made)).status
    assert running.state == pb.ContainerStatus.RUNNING
    assert not running.HasField("exit_code")
    assert abs(running.started_at.seconds - time.time()) < 60
    await ready(docker, made)
    await engine.stop(made, 5)
    stopped = (await engine.inspect(made)).status
    assert (stopped.state, stopped.exit_code) == (pb.ContainerStatus.EXITED, 0)
    assert stopped.finished_at.ToNanoseconds() > running.started_at.ToNanoseconds()
    await engine.remove(made)
    with pytest.raises(ContainerGone, match="No such container"):
        await engine.inspect(made)


async def test_calls_may_be_repeated(engine: DockerEngine, request_for: Requests) -> None:
    made = await engine.create(request_for())
    for _ in range(2):
        await engine.start(made)
    for _ in range(2):
        await engine.stop(made, 5)
    for _ in range(2):
        await engine.remove(made)
    await engine.stop(made, 5)


async def test_calls_about_a_container_that_is_not_there_say_so(engine: DockerEngine) -> None:
    for call in (engine.inspect(NOBODY), engine.start(NOBODY), engine.update(NOBODY, "always", pb.Resources())):
        with pytest.raises(ContainerGone):
            await call


async def test_a_create_whose_answer_was_lost_finds_what_it_made(
    engine: DockerEngine, request_for: Requests, docker: sdk.APIClient
) -> None:
    request = request_for(networks={"lost-a": ["web"], "lost-b": ["web"]})
    first = await engine.create(request)
    docker.disconnect_container_from_network(first, "lost-b")  # as if the answer had been lost before the second one
    assert await engine.create(request) == first
    assert set(docker.inspect_container(first)["NetworkSettings"]["Networks"]) == {"lost-a", "lost-b"}


@pytest.mark.parametrize("difference", [LABEL_UID, LABEL_INSTANCE])
async def test_another_container_of_the_same_name_is_left_alone(
    engine: DockerEngine, request_for: Requests, docker: sdk.APIClient, difference: str
) -> None:
    request = request_for()
    labels = {**request.labels, difference: "other"}
    foreign = docker.create_container(IMAGE, name=request.name, labels=labels)["Id"]
    try:
        with pytest.raises(EngineError, match=f"{request.name} is taken by another container, {foreign[:12]}"):
            await engine.create(request)
        assert docker.inspect_container(foreign)["Config"]["Labels"] == labels
    finally:
        docker.remove_container(foreign)


async def test_a_missing_image_is_told_apart(engine: DockerEngine, request_for: Requests) -> None:
    with pytest.raises(ImageMissing, match=r"No such image: no-such-image:1"):
        await engine.create(request_for(image="no-such-image:1"))


async def test_a_failed_start_leaves_it_created_and_says_why(engine: DockerEngine, request_for: Requests) -> None:
    made = await engine.create(request_for(entrypoint=["/no/such/program"]))
    with pytest.raises(EngineError, match=r"/no/such/program.*no such file"):
        await engine.start(made)
    status = (await engine.inspect(made)).status
    assert status.state == pb.ContainerStatus.CREATED
    assert "/no/such/program" in status.message
    assert not status.HasField("exit_code")


async def test_a_missing_bind_source_is_named_and_not_made(engine: DockerEngine, request_for: Requests) -> None:
    with pytest.raises(EngineError, match="/no/such/folder"):
        await engine.create(request_for(volumes=[pb.Mount(type="bind", source="/no/such/folder", target="/data")]))


async def test_a_crash_loop_shows_restarts_and_the_last_exit_code(engine: DockerEngine, request_for: Requests) -> None:
    made = await engine.create(request_for(restart="on-failure:2", command=["sh", "-c", "exit 7"]))
    await engine.start(made)

    async def has_ended() -> bool:
        return (await engine.inspect(made)).status.state == pb.ContainerStatus.EXITED

    await eventually(has_ended)
    status = (await engine.inspect(made)).status
    assert (status.restart_count, status.exit_code) == (2, 7)


async def test_a_running_container_is_not_removed(engine: DockerEngine, request_for: Requests) -> None:
    made = await engine.create(request_for())
    await engine.start(made)
    with pytest.raises(EngineError, match="running"):
        await engine.remove(made)


async def test_a_process_that_ignores_its_stop_signal_is_killed_after_the_grace(
    engine: DockerEngine, request_for: Requests
) -> None:
    made = await engine.create(request_for(command=["sh", "-c", "trap '' TERM; while true; do sleep 1; done"]))
    await engine.start(made)
    began = time.monotonic()
    await engine.stop(made, 1)
    assert 0.9 < time.monotonic() - began < 8
    assert (await engine.inspect(made)).status.exit_code == 137


async def test_long_stops_hold_up_nothing_else(engine: DockerEngine, request_for: Requests) -> None:
    stubborn = ["sh", "-c", "trap '' TERM; while true; do sleep 1; done"]
    made = [await engine.create(request_for(slot, command=stubborn)) for slot in range(1, 7)]
    for container in made:
        await engine.start(container)
    stops = [asyncio.create_task(engine.stop(container, 5)) for container in made]
    other = await engine.create(request_for(9))
    await engine.start(other)
    assert (await engine.inspect(other)).status.state == pb.ContainerStatus.RUNNING
    assert not any(stop.done() for stop in stops)
    for stop in stops:
        stop.cancel()
    await asyncio.wait(stops)


async def test_a_list_shows_twenty_containers_and_no_foreign_ones(
    engine: DockerEngine, request_for: Requests, docker: sdk.APIClient
) -> None:
    foreign = docker.create_container(IMAGE, labels={LABEL_INSTANCE: "other-instance"})["Id"]
    try:
        made = await asyncio.gather(*(engine.create(request_for(slot)) for slot in range(1, 21)))
        await engine.start(made[0])
        found = {observed.id: observed for observed in await engine.list()}
    finally:
        docker.remove_container(foreign)
    assert set(found) == set(made)
    assert [found[container].name for container in made] == [request_for(slot).name for slot in range(1, 21)]
    assert found[made[0]].status.state == pb.ContainerStatus.RUNNING
    assert found[made[1]].status.state == pb.ContainerStatus.CREATED
    assert found[made[1]].status.image_id == (await engine.inspect(made[1])).status.image_id
    assert dict(found[made[1]].labels) == dict(request_for(2).labels)


async def test_health_is_seen_in_list_and_inspect(engine: DockerEngine, instance: str, docker: sdk.APIClient) -> None:
    check = {"test": ["CMD", "ls", "/well"], "interval": 100_000_000, "retries": 1}
    made = docker.create_container(IMAGE, labels={LABEL_INSTANCE: instance}, healthcheck=check)["Id"]
    docker.start(made)

    async def is_health(health: pb.Health.Status.ValueType) -> bool:
        (listed,) = await engine.list()
        return listed.status.health == (await engine.inspect(made)).status.health == health

    await eventually(partial(is_health, pb.Health.UNHEALTHY))
    docker.exec_start(docker.exec_create(made, ["touch", "/well"])["Id"])
    await eventually(partial(is_health, pb.Health.HEALTHY))


async def test_a_pull_that_fails_says_why(engine: DockerEngine) -> None:
    with pytest.raises(PullError, match=r"connection refused"):
        await engine.pull("127.0.0.1:1/none:1", lambda text: None)


async def test_pulls_that_hang_hold_up_nothing_and_can_be_cancelled(
    engine: DockerEngine, request_for: Requests, docker: sdk.APIClient, instance: str
) -> None:
    silent = docker.create_container(
        IMAGE, ["nc", "-ll", "-p", "5999", "-e", "sleep", "1000"], labels={LABEL_INSTANCE: instance},
        host_config=docker.create_host_config(network_mode="host"),
    )["Id"]  # fmt: skip
    docker.start(silent)

    async def is_listening() -> bool:
        sockets = ["cat", "/proc/net/tcp", "/proc/net/tcp6"]
        return b":176F" in docker.exec_start(docker.exec_create(silent, sockets)["Id"])

    await eventually(is_listening)
    pulls = [asyncio.create_task(engine.pull(f"127.0.0.1:5999/none:{n}", lambda text: None)) for n in range(6)]
    made = await engine.create(request_for())
    await engine.start(made)
    await engine.ping()
    assert not any(pull.done() for pull in pulls)
    for pull in pulls:
        pull.cancel()
    await asyncio.wait(pulls, timeout=2)
    assert all(pull.cancelled() for pull in pulls)


async def test_a_create_and_a_start_are_one_request_each(
    engine: DockerEngine, request_for: Requests, engine_requests: Callable[[], dict[tuple[str, str], int]]
) -> None:
    await engine.ensure_network("counted", pb.NetworkDefinition())
    before = engine_requests()
    for slot in (1, 2, 3):
        await engine.start(await engine.create(request_for(slot, networks={"counted": ["web"]})))
    after = engine_requests()
    assert {key: value - before.get(key, 0) for key, value in after.items() if value != before.get(key, 0)} == {
        ("create", "201"): 3,
        ("start", "204"): 3,
    }


def test_closing_in_the_middle_of_a_call_lets_asyncio_run_return_at_once(
    engine_host: str, instance: str, docker: sdk.APIClient, request_for: Requests
) -> None:
    async def listen(engine: DockerEngine) -> None:
        async for _ in engine.events():
            pass

    async def main() -> float:
        engine = DockerEngine(engine_host, instance, Metrics())
        made = await engine.create(request_for(command=["sh", "-c", "trap '' TERM; while true; do sleep 1; done"]))
        await engine.start(made)
        waiting = [asyncio.create_task(engine.stop(made, 30)), asyncio.create_task(listen(engine))]
        await asyncio.sleep(0.1)  # so that the stop is on its way
        began = time.monotonic()
        await engine.close()
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(outcome).__name__ for outcome in outcomes] == ["EngineUnavailable", "NoneType"]
        return began

    assert time.monotonic() - asyncio.run(main()) < 2
