"""The engine refuses, is slow, forgets, and is meddled with: the whole loop in moved time."""

import itertools
from pathlib import Path

import pytest

from controller.errors import EngineError, PullError
from controller.scheduler import EngineEvent
from controller.store import CONTAINER, EVENT, SERVICE
from handlers.policy import Policy
from proto.dockrunner import v1 as pb
from tests.clock import ManualClock
from tests.cluster import Cluster, CountingEngine, State, cluster


async def test_surplus_containers_that_were_found_at_start_are_removed(
    engine: CountingEngine, clock: ManualClock
) -> None:
    async with cluster(engine, clock) as first:
        first.declare("web", replicas=3)
        await first.settle()
    async with cluster(engine, clock, lambda second: second.declare("web", replicas=1)) as second:
        await second.settle()
        assert len(await engine.list()) == 1


async def test_a_container_that_was_never_started_is_started_when_its_service_is_declared_again(
    engine: CountingEngine, clock: ManualClock
) -> None:
    engine.refuse("start", lambda: EngineError("not today"))
    async with cluster(engine, clock) as first:
        first.declare("web")
        await first.settle()
    engine.refusals.clear()
    async with cluster(engine, clock) as second:
        await second.settle(60)
        assert engine.calls["start"] > 0
        assert second.containers()[0].status.state == State.CREATED
        second.declare("web")
        await second.settle()
        assert second.condition("Ready").status == "True"


async def test_an_orphan_that_is_removed_by_hand_is_forgotten(engine: CountingEngine, clock: ManualClock) -> None:
    async with cluster(engine, clock) as first:
        first.declare("web")
        await first.settle()
        (docker_id,) = first.running()
    async with cluster(engine, clock) as second:
        engine.discard(docker_id)
        await second.settle(60)
        assert not second.store.list(CONTAINER)


@pytest.mark.parametrize("policy", ["missing", "always"])
async def test_an_image_that_cannot_be_had_is_asked_for_with_growing_pauses(world: Cluster, policy: str) -> None:
    world.engine.lose_image("web:1")
    world.engine.refuse("pull", lambda: PullError("manifest unknown"))
    world.declare("web", pull_policy=policy)
    await world.settle(30)
    assert 2 < world.engine.calls["pull"] < 8
    assert "manifest unknown" in world.condition("Ready").message
    await world.settle(3600)
    assert world.engine.calls["pull"] < 8 + 3600 / 60 + 5
    world.engine.refusals.clear()
    await world.settle(70)
    assert world.condition("Ready").status == "True", "tried at least once a minute"


async def test_a_start_that_fails_with_other_words_each_time_is_tried_with_growing_pauses(world: Cluster) -> None:
    number = itertools.count()
    world.engine.refuse("start", lambda: EngineError(f"endpoint {next(number)}: port is taken"))
    world.declare("web")
    await world.settle(3)
    assert 5 < world.engine.calls["start"] < 15
    assert len(await world.engine.list()) == 1


async def test_a_container_that_cannot_be_looked_at_holds_up_no_other(world: Cluster) -> None:
    world.declare("hung")
    world.declare("web")
    await world.settle()
    (hung,), (before,) = world.running("hung"), world.running()
    world.engine.mute.add(hung)
    world.engine.say(EngineEvent("die", hung))
    world.engine.kill(before)
    await world.settle()
    assert world.informer.up
    assert len(world.running()) == 1
    assert world.running() != [before]


async def test_a_container_that_cannot_be_looked_at_does_not_keep_the_program_from_starting(
    engine: CountingEngine, clock: ManualClock
) -> None:
    async with cluster(engine, clock) as first:
        first.declare("web", replicas=2)
        await first.settle()
        engine.mute.add(first.running()[0])
    async with cluster(engine, clock) as second:
        second.declare("web", replicas=2)
        await second.settle(60)
        assert len(await engine.list()) == 2, "none was made a second time"


async def test_an_older_look_does_not_overwrite_a_newer_one(world: Cluster) -> None:
    world.declare("web")
    await world.settle()
    (before,) = world.running()
    stale = await world.engine.inspect(before)
    world.engine.discard(before)
    await world.settle()
    await world.informer._write(stale, look=0)
    assert before not in world.running()


async def test_a_restart_policy_that_somebody_changed_in_the_engine_is_put_right(world: Cluster) -> None:
    world.declare("web")
    await world.settle()
    (docker_id,) = world.running()
    await world.engine.update(docker_id, "no", pb.Resources())
    world.engine.say(EngineEvent("update", docker_id))
    await world.settle()
    assert (await world.engine.inspect(docker_id)).restart == "always"


async def test_labels_for_selectors_reach_containers_that_are_kept(engine: CountingEngine, clock: ManualClock) -> None:
    async with cluster(engine, clock) as first:
        first.declare("web", labels={"team": "a"})
        await first.settle()
        before = first.running()
    async with cluster(engine, clock) as second:
        second.declare("web", labels={"team": "a"})
        await second.settle()
        assert second.running() == before
        assert dict(second.containers()[0].metadata.labels) == {"team": "a"}


async def test_quick_changes_with_slow_stops_do_not_pile_containers_up(world: Cluster) -> None:
    world.declare("web", "web:0", replicas=3)
    await world.settle()
    stopped = world.engine.hold("stop")
    for version in range(1, 11):
        world.declare("web", f"web:{version}", replicas=3)
        await world.settle()
    assert len(await world.engine.list()) <= 3 + 1 + 4
    stopped.set()
    await world.settle(5)
    assert len(await world.engine.list()) == 3
    assert {it.spec.template.image for it in world.containers()} == {"web:10"}


async def test_a_folder_that_became_a_link_since_it_was_declared_is_not_mounted(world: Cluster, tmp_path: Path) -> None:
    allowed = tmp_path / "allowed"
    (allowed / "data").mkdir(parents=True)
    policy = Policy(allowed_host_paths=[str(allowed)])
    world.inject["policy"] = policy
    mount = pb.Mount(type="bind", source=str(allowed / "data"), target="/data")
    world.declare("web", volumes=[mount])
    await world.settle()
    (allowed / "data").rmdir()
    (allowed / "data").symlink_to("/")
    world.engine.kill(world.running()[0])
    await world.settle()
    assert world.engine.calls["create"] == 1
    assert "the policy refuses" in world.condition("Ready").message


async def test_one_trouble_is_one_event_that_is_counted(world: Cluster) -> None:
    world.engine.refuse("start", lambda: EngineError("port is taken"))
    world.declare("web")
    await world.settle(3)
    (event,) = [it for it in world.store.list(EVENT) if it.reason == "HandlerFailed"]
    assert event.count == world.engine.calls["start"]
    assert world.store.get(SERVICE, "web").status.ready_replicas == 0


async def test_what_shows_only_after_its_service_is_gone_goes_as_well(world: Cluster) -> None:
    world.declare("web")
    await world.settle()
    (docker_id,) = world.running()
    request = world.engine._containers[docker_id].request
    world.store.delete(SERVICE, "web")
    await world.settle()
    assert await world.engine.list() == []
    await world.engine.create(request)  # late, and its answer lost
    await world.settle(60)
    assert await world.engine.list() == []


async def test_a_crash_loop_that_is_over_is_no_longer_shown(world: Cluster) -> None:
    world.declare("web")
    await world.settle()
    for _ in range(3):
        (docker_id,) = world.running()
        world.engine.crash(docker_id)
        await world.settle()
    assert world.condition("Degraded").reason == "CrashLoop"
    await world.settle(60)
    assert world.condition("Degraded").reason == "AsExpected"
