"""Jobs: what runs to its end is not run again, whatever becomes of its container and of the program."""

import pytest

from controller.convergence import unconverged
from controller.store import REVISION, SERVICE
from proto.dockrunner import v1 as pb
from tests.clock import ManualClock
from tests.cluster import Cluster, CountingEngine, State, cluster
from tests.kept_journal import KeptJournal


@pytest.fixture
def journal() -> KeptJournal:
    return KeptJournal()


async def complete(world: Cluster, *exit_codes: int) -> list[str]:
    """Ends what runs, slot by slot; the engine's ids."""
    running = world.running()
    for docker_id, code in zip(running, exit_codes, strict=True):
        world.engine.crash(docker_id, code)
    await world.settle()
    return running


async def prune(engine: CountingEngine) -> None:
    """As ``docker container prune``."""
    for observed in await engine.list():
        if observed.status.state == State.EXITED:
            engine.discard(observed.id)


async def test_a_job_that_has_ended_is_complete_and_its_container_stays(world: Cluster) -> None:
    world.declare("web", replicas=2, restart="no")
    await world.settle()
    await complete(world, 0, 0)
    ready = world.condition("Ready")
    assert (ready.status, ready.reason, ready.message) == ("True", "Completed", "2 of 2 completed")
    assert world.condition("Degraded").status == "False"
    assert unconverged(world.store) == []
    assert len(await world.engine.list()) == 2


async def test_a_job_that_failed_says_so(world: Cluster) -> None:
    world.declare("web", replicas=2, restart="no")
    await world.settle()
    await complete(world, 0, 3)
    degraded = world.condition("Degraded")
    assert (degraded.status, degraded.reason) == ("True", "Failed")
    assert degraded.message.endswith("exited with 3")


async def test_a_job_whose_container_is_removed_while_the_program_runs_is_not_run_again(world: Cluster) -> None:
    world.declare("web", restart="no")
    await world.settle()
    await complete(world, 0)
    await prune(world.engine)
    await world.settle(60)
    assert await world.engine.list() == []
    assert world.condition("Ready").reason == "Completed"


async def test_a_job_whose_container_is_removed_while_the_program_is_away_is_not_run_again(
    engine: CountingEngine, clock: ManualClock, journal: KeptJournal
) -> None:
    async with cluster(engine, clock, journal=journal) as first:
        first.declare("web", replicas=2, restart="no")
        await first.settle()
        await complete(first, 0, 3)
    await prune(engine)
    async with cluster(engine, clock, journal=journal) as second:
        await second.settle(60)
        assert await engine.list() == []
        assert second.condition("Ready").message == "2 of 2 completed"
        assert second.condition("Degraded").message == "slot 2: exited with 3"
        assert unconverged(second.store) == []


async def test_a_job_that_did_not_end_before_its_container_was_removed_is_run_again(world: Cluster) -> None:
    world.declare("web", restart="no")
    await world.settle()
    world.engine.discard(world.running()[0])
    await world.settle()
    assert len(world.running()) == 1


async def test_more_replicas_of_a_job_run_the_new_slots_alone(
    engine: CountingEngine, clock: ManualClock, journal: KeptJournal
) -> None:
    async with cluster(engine, clock, journal=journal) as first:
        first.declare("web", replicas=2, restart="no")
        await first.settle()
        await complete(first, 0, 0)
    await prune(engine)
    async with cluster(engine, clock, journal=journal) as second:
        second.declare("web", replicas=3, restart="no")
        await second.settle()
        assert [it.spec.slot for it in second.containers()] == [3]
        assert second.condition("Ready").status == "True", "two are done, and one runs"
        await complete(second, 0)
        assert second.condition("Ready").message == "3 of 3 completed"


@pytest.mark.parametrize("again", ["another image", "a restart that is asked for", "the image before"])
async def test_a_job_is_run_again_when_its_revision_changes(world: Cluster, again: str) -> None:
    world.declare("web", "job:1", restart="no")
    await world.settle()
    await complete(world, 0)
    if again == "a restart that is asked for":
        world.store.update(SERVICE, "web", lambda it: it.spec.restarted_at.FromDatetime(world.clock.now()))
    else:
        world.declare("web", "job:2", restart="no")
    await world.settle(5)
    assert len(world.running()) == 1
    if again == "the image before":
        await complete(world, 0)
        world.declare("web", "job:1", restart="no")
        await world.settle(5)
        assert len(world.running()) == 1


async def test_what_was_a_job_and_is_one_no_more_runs_again(world: Cluster) -> None:
    world.declare("web", restart="no")
    await world.settle()
    await complete(world, 0)
    world.declare("web", restart="always")
    await world.settle(5)
    assert len(world.running()) == 1
    (kept,) = world.store.list(REVISION)
    assert dict(kept.ended) == {}


async def test_slots_that_were_taken_away_are_run_again_when_they_come_back(world: Cluster) -> None:
    world.declare("web", restart="no")
    await world.settle()
    await complete(world, 0)
    world.declare("web", replicas=0, restart="no")
    await world.settle(5)
    world.declare("web", replicas=1, restart="no")
    await world.settle()
    assert len(world.running()) == 1


async def test_an_update_of_a_job_does_not_wait_for_slots_whose_containers_are_gone(
    engine: CountingEngine, clock: ManualClock, journal: KeptJournal
) -> None:
    async with cluster(engine, clock, journal=journal) as first:
        first.declare("web", "job:1", replicas=2, restart="no")
        await first.settle()
        first.declare("web", "job:2", replicas=2, restart="no")
        await first.settle(0)
        held = engine.hold("stop")
        await first.settle(0.5)
        new = [it for it in first.containers() if it.spec.template.image == "job:2"]
        assert len(new) == 1, "one after the other"
        engine.crash(new[0].status.docker_id, 0)
        await first.settle(0)
    held.set()
    engine.held.clear()
    await prune(engine)
    async with cluster(engine, clock, journal=journal) as second:
        await second.settle(5)
        runs = [it for it in second.containers() if it.status.state == State.RUNNING]
        assert [(it.spec.slot, it.spec.template.image) for it in runs] == [(2, "job:2")]
        await complete(second, 0)
        await second.settle(5)
        assert unconverged(second.store) == []
        assert not second.store.get(SERVICE, "web").status.HasField("rollout")


async def test_who_waits_for_a_job_goes_on_though_its_container_was_removed(
    engine: CountingEngine, clock: ManualClock, journal: KeptJournal
) -> None:
    async with cluster(engine, clock, journal=journal) as first:
        first.declare("web", restart="no")
        await first.settle()
        await complete(first, 0)
    await prune(engine)
    async with cluster(engine, clock, journal=journal) as second:
        needs = {"web": pb.Dependency(condition="service_completed_successfully")}
        second.declare("shop", depends_on=needs)
        await second.settle()
        assert len(second.running("shop")) == 1
