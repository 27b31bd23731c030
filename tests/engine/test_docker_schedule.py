"""The run of a scheduled service, as a real daemon keeps it for the next run of the program."""

from datetime import UTC, datetime, timedelta

import pytest

from controller.scheduler.docker import DockerEngine
from handlers.admission import fill_in
from handlers.instance import Instance
from handlers.operations import Create
from handlers.planner import plan
from proto.dockrunner import v1 as pb
from tests.engine.conftest import eventually
from tests.private_engine import IMAGE

TICK = datetime(2026, 1, 1, 3, tzinfo=UTC)


def nightly(command: str) -> pb.Service:
    """Runs at three o'clock each night."""
    made = pb.Service(metadata=pb.Metadata(name="nightly", generation=1))
    made.metadata.create_time.FromDatetime(TICK + timedelta(seconds=1))
    made.spec.MergeFrom(pb.ServiceSpec(image=IMAGE, schedule="0 3 * * *", restart="no", network_mode="none"))
    made.spec.command.extend(["sh", "-c", command])
    fill_in(made.spec)
    return made


async def run(engine: DockerEngine, instance: str, service: pb.Service, *, start: bool = True) -> None:
    """Has the run of TICK made, as after a plan."""
    before = pb.Service()
    before.CopyFrom(service)
    before.metadata.create_time.FromDatetime(TICK - timedelta(hours=1))
    (step,) = plan(before, [], TICK).operations
    assert isinstance(step, Create)
    ours = Instance(instance)
    docker_id = await engine.create(ours.request(ours.container(service, step)))
    if start:
        await engine.start(docker_id)


async def found(engine: DockerEngine, instance: str) -> list[pb.Container]:
    """What the next run of the program finds, looked at in full."""
    listed = [await engine.inspect(it.id) for it in await engine.list()]
    return [it for it in map(Instance(instance).adopt, listed) if it is not None]


@pytest.mark.parametrize(("exit_code", "reason"), [(0, ""), (3, "exited with 3")])
async def test_a_run_that_has_ended_is_known_by_its_label_and_not_run_again(
    engine: DockerEngine, instance: str, exit_code: int, reason: str
) -> None:
    service = nightly(f"exit {exit_code}")
    await run(engine, instance, service)

    async def ended() -> bool:
        return [it.status.state for it in await found(engine, instance)] == [pb.ContainerStatus.EXITED]

    await eventually(ended)
    containers = await found(engine, instance)
    assert [it.spec.run.ToDatetime(UTC) for it in containers] == [TICK]
    answer = plan(service, containers, TICK + timedelta(seconds=30))
    assert answer.operations == ()
    assert answer.agenda is not None
    assert (answer.agenda.last, answer.agenda.ended) == (TICK, TICK)
    assert answer.agenda.failure.endswith(reason)
    assert bool(answer.agenda.failure) is bool(exit_code)


async def test_a_run_that_goes_on_is_known_by_its_label(engine: DockerEngine, instance: str) -> None:
    service = nightly("sleep 60")
    await run(engine, instance, service)
    containers = await found(engine, instance)
    assert plan(service, containers, TICK + timedelta(seconds=30)).operations == ()
    await engine.stop(containers[0].status.docker_id, 0)


async def test_a_run_that_was_made_and_not_started_waits_to_be_released(engine: DockerEngine, instance: str) -> None:
    service = nightly("exit 0")
    await run(engine, instance, service, start=False)
    containers = await found(engine, instance)
    assert [it.spec.held for it in containers] == [True]
    (release,) = plan(service, containers, TICK + timedelta(seconds=30)).operations
    assert type(release).__name__ == "Release"
    (too_late,) = plan(service, containers, TICK + timedelta(seconds=90)).operations
    assert type(too_late).__name__ == "Delete"
