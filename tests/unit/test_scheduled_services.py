"""Services that run at times: the whole program against the memory engine, in moved time."""

from datetime import UTC, datetime, timedelta

import pytest

from controller.convergence import unconverged
from controller.errors import PullError
from controller.scheduler.engine import LABEL_RUN
from controller.store import CONTAINER, EVENT, REVISION, SERVICE
from proto.dockrunner import v1 as pb
from tests.clock import ManualClock
from tests.cluster import Cluster, CountingEngine, State, cluster
from tests.kept_journal import KeptJournal

MINUTE = 60.0
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def journal() -> KeptJournal:
    return KeptJournal()


def declare(world: Cluster, schedule: str = "*/5 * * * *", **spec: object) -> None:
    world.declare("web", **{"restart": "no", "schedule": schedule, **spec})  # type: ignore[arg-type]  # as they come


def minutes(world: Cluster) -> list[int]:
    """For which minute each container that is there was run, the oldest first."""
    runs = [it.spec.run.ToDatetime(UTC) for it in world.containers()]
    return sorted(round((run - BEGIN).total_seconds() / MINUTE) for run in runs)


async def until(world: Cluster, minute: float) -> None:
    await world.settle(minute * MINUTE - world.clock.monotonic())


async def end(world: Cluster, exit_code: int = 0) -> None:
    for docker_id in world.running():
        world.engine.crash(docker_id, exit_code)
    await world.settle(0)


async def test_a_service_with_a_schedule_is_converged_until_it_ticks(world: Cluster) -> None:
    declare(world)
    await until(world, 4.9)
    assert world.engine.calls["create"] == 0
    assert unconverged(world.store) == []
    ready = world.condition("Ready")
    assert (ready.status, ready.reason, ready.message) == ("True", "Scheduled", "next run at 2026-01-01T00:05:00Z")


async def test_between_its_runs_it_wants_no_replica_in_the_metrics(world: Cluster) -> None:
    declare(world, replicas=2)

    def desired() -> float | None:
        return world.metrics.registry.get_sample_value("dock_runner_service_replicas_desired", {"service": "web"})

    await until(world, 4.9)
    assert desired() == 0
    await until(world, 5.1)
    assert desired() == 2


async def test_it_runs_at_each_tick_until_it_ends_by_itself(world: Cluster) -> None:
    declare(world, replicas=2)
    await until(world, 5)
    assert len(world.running()) == 2
    assert world.condition("Progressing").reason == "Running"
    await until(world, 7)
    await end(world)
    assert unconverged(world.store) == []
    assert world.condition("Ready").message == "next run at 2026-01-01T00:10:00Z, last run succeeded"
    await until(world, 10)
    assert minutes(world) == [5, 5, 10, 10]
    labels = [observed.labels[LABEL_RUN] for observed in await world.engine.list()]
    assert sorted(labels) == ["2026-01-01T00:05:00Z"] * 2 + ["2026-01-01T00:10:00Z"] * 2


async def test_old_runs_are_removed_from_the_engine(world: Cluster) -> None:
    declare(world)
    for tick in range(5, 35, 5):
        await until(world, tick)
        await end(world, 1 if tick < 15 else 0)
    await world.settle()
    assert minutes(world) == [10, 20, 25, 30]
    assert len(await world.engine.list()) == 4


async def test_a_run_that_fails_is_told_of(world: Cluster) -> None:
    declare(world)
    await until(world, 5)
    await end(world, 3)
    assert world.condition("Degraded").reason == "RunFailed"
    assert world.condition("Ready").status == "True"


async def test_a_process_that_fails_is_restarted_by_the_engine_within_its_run(world: Cluster) -> None:
    declare(world, restart="on-failure")
    await until(world, 5)
    before = world.running()
    world.engine.crash(before[0])
    await world.settle()
    assert world.running() == before
    assert minutes(world) == [5]


async def test_a_tick_that_comes_while_a_run_goes_on_is_left_out_and_said_so_once(world: Cluster) -> None:
    declare(world)
    await until(world, 13)
    assert minutes(world) == [5]
    (skipped,) = [event for event in world.store.list(EVENT) if event.reason == "RunSkipped"]
    assert skipped.count == 1


async def test_with_replace_the_old_run_is_gone_before_the_new_one_starts(world: Cluster) -> None:
    declare(world, concurrency_policy="replace")
    await until(world, 5)
    (before,) = world.running()
    stopped = world.engine.hold("stop")
    await until(world, 10)
    made = [it for it in world.containers() if not it.metadata.HasField("delete_time")]
    assert [it.status.state for it in made] == [State.CREATED]
    stopped.set()
    await world.settle()
    assert minutes(world) == [10]
    assert len(world.running()) == 1
    assert before not in world.running()


async def test_it_is_run_after_an_outage_of_the_engine_within_the_deadline_and_not_later(world: Cluster) -> None:
    declare(world)
    await until(world, 4)
    world.engine.go_away()
    await until(world, 5.5)
    world.engine.come_back()
    await world.settle(10)
    assert minutes(world) == [5]
    await end(world)
    await until(world, 9)
    world.engine.go_away()
    await until(world, 12)
    world.engine.come_back()
    await until(world, 14)
    assert minutes(world) == [5]
    missed = [event.message for event in world.store.list(EVENT) if event.reason == "RunMissed"]
    assert missed == [
        "the run due at 2026-01-01T00:10:00Z did not begin in time: the engine, which does not answer"
    ]  # fmt: skip


async def test_a_run_whose_image_cannot_be_had_in_time_makes_way_for_the_next_one(world: Cluster) -> None:
    world.engine.lose_image("web:1")
    world.engine.refuse("pull", lambda: PullError("nobody there"))
    declare(world)
    await until(world, 7)
    assert world.containers() == []
    assert "RunMissed" in world.reasons()


@pytest.mark.parametrize("away", ["a moment", "too long"])
async def test_after_a_restart_a_missed_tick_is_run_once_if_it_is_not_too_late(
    engine: CountingEngine, clock: ManualClock, journal: KeptJournal, away: str
) -> None:
    async with cluster(engine, clock, journal=journal) as first:
        declare(first)
        await until(first, 4)
    await clock.advance(90 if away == "a moment" else 200)
    async with cluster(engine, clock, journal=journal) as second:
        await until(second, 9)
        assert minutes(second) == ([5] if away == "a moment" else [])
        assert second.reasons().count("RunMissed") == (0 if away == "a moment" else 1)


@pytest.mark.parametrize("kept", [True, False])
async def test_a_run_that_goes_on_is_known_again_after_a_restart(
    engine: CountingEngine, clock: ManualClock, journal: KeptJournal, *, kept: bool
) -> None:
    async with cluster(engine, clock, journal=journal if kept else None) as first:
        declare(first)
        await until(first, 5)
        before = first.running()
    async with cluster(engine, clock, declare, journal=journal if kept else None) as second:
        await until(second, 9)
        assert second.running() == before
        assert second.condition("Progressing").reason == "Running"
        await end(second)
        await until(second, 10)
        assert minutes(second) == [5, 10]


async def test_a_run_of_which_nothing_is_left_in_the_engine_is_not_run_again_after_a_restart(
    engine: CountingEngine, clock: ManualClock, journal: KeptJournal
) -> None:
    async with cluster(engine, clock, journal=journal) as first:
        declare(first, successful_history_limit=0)
        await until(first, 5)
        await end(first)
        await first.settle()
        assert await engine.list() == []
    async with cluster(engine, clock, journal=journal) as second:
        await until(second, 9)
        assert engine.calls["create"] == 1
        assert second.condition("Ready").message == "next run at 2026-01-01T00:10:00Z, last run succeeded"
        assert second.store.get(SERVICE, "web").status.last_schedule_time.ToDatetime(UTC) == BEGIN + timedelta(
            minutes=5
        )


async def test_a_run_that_was_made_and_not_started_before_a_kill_is_started_after_it(
    engine: CountingEngine, clock: ManualClock, journal: KeptJournal
) -> None:
    held = engine.hold("start")
    async with cluster(engine, clock, journal=journal) as first:
        declare(first)
        await until(first, 5)
    held.set()
    engine.held.clear()
    async with cluster(engine, clock, journal=journal) as second:
        await second.settle()
        assert (minutes(second), len(second.running())) == ([5], 1)


async def test_a_restart_that_is_asked_for_runs_it_at_once(world: Cluster) -> None:
    declare(world, "0 3 * * *")
    await until(world, 2)
    world.store.update(SERVICE, "web", lambda it: it.spec.restarted_at.FromDatetime(world.clock.now()))
    await world.settle()
    assert len(world.running()) == 1
    await end(world)
    await until(world, 30)
    assert minutes(world) == [2]


async def test_what_it_depends_on_has_to_be_there_at_each_tick(world: Cluster) -> None:
    declare(world, depends_on={"db": pb.Dependency()})
    await until(world, 5)
    assert world.containers() == []
    assert world.condition("Progressing").reason == "Waiting"
    world.declare("db")
    await world.settle()
    assert minutes(world) == [5]


async def test_a_tick_that_came_while_it_had_no_schedule_is_not_run(world: Cluster) -> None:
    declare(world)
    await until(world, 4)
    declare(world, "", restart="always")
    await until(world, 5.2)
    declare(world)
    await until(world, 9)
    assert world.containers() == []
    await until(world, 10)
    assert minutes(world) == [10]


async def test_between_ticks_nothing_is_called_and_nothing_written(world: Cluster) -> None:
    declare(world)
    await until(world, 6)
    await end(world)
    await world.settle(40)
    version = world.store.version
    world.engine.calls.clear()
    await until(world, 9.5)
    assert world.store.version == version
    assert set(world.engine.calls) == {"list"}


async def test_it_goes_with_all_of_its_runs(world: Cluster) -> None:
    declare(world, concurrency_policy="allow")
    await until(world, 11)
    world.store.delete(SERVICE, "web")
    await world.settle(5)
    assert (world.store.list(CONTAINER), world.store.list(REVISION), await world.engine.list()) == ([], [], [])


async def test_each_tick_has_one_run_over_many_restarts(
    engine: CountingEngine, clock: ManualClock, journal: KeptJournal
) -> None:
    for _ in range(20):
        async with cluster(engine, clock, journal=journal) as world:
            if world.store.find(SERVICE, "web") is None:
                declare(world, "* * * * *")
            for _ in range(10):
                await world.settle(37)
                await end(world)
    ticks = int(clock.monotonic() // MINUTE)
    assert ticks > 100
    assert engine.calls["create"] == ticks
