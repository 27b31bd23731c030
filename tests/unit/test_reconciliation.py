"""What runs becomes and stays what is declared: the whole loop against the memory engine, in moved time."""

import pytest

from controller.scheduler import EngineEvent
from controller.store import CONTAINER, EVENT, REVISION, SERVICE
from proto.dockrunner import v1 as pb
from tests.clock import ManualClock
from tests.cluster import Cluster, CountingEngine, State, cluster


async def test_a_declared_service_runs(world: Cluster) -> None:
    world.declare("web", replicas=3)
    await world.settle()
    assert len(world.running()) == 3
    assert world.condition("Ready").status == "True"
    assert world.condition("Progressing").reason == "Converged"


async def test_a_converged_service_calls_nothing_and_writes_nothing(world: Cluster) -> None:
    world.declare("web", replicas=3)
    await world.settle(40)
    world.engine.calls.clear()
    version = world.store.version
    world.operator.services.resync()
    world.operator.containers.resync()
    await world.settle(60)
    assert world.store.version == version
    assert world.engine.calls == {"list": 2}


async def test_scaling_down_to_zero_and_deleting_leave_nothing(world: Cluster) -> None:
    world.declare("web", replicas=2)
    await world.settle()
    world.declare("web", replicas=0)
    await world.settle()
    assert await world.engine.list() == []
    world.store.delete(SERVICE, "web")
    await world.settle()
    assert world.store.find(SERVICE, "web") is None


async def test_a_service_stays_until_its_containers_are_gone(world: Cluster) -> None:
    world.declare("web")
    await world.settle()
    world.engine.go_away()
    await world.settle()
    world.store.delete(SERVICE, "web")
    await world.settle()
    assert world.store.get(SERVICE, "web").metadata.HasField("delete_time")
    assert world.condition("Ready").reason == "Deleting"
    world.engine.come_back()
    await world.settle(10)
    assert world.store.find(SERVICE, "web") is None
    assert await world.engine.list() == []


async def test_a_new_image_replaces_every_container_and_keeps_its_slot(world: Cluster) -> None:
    world.declare("web", "web:1", replicas=3)
    await world.settle()
    before = world.running()
    world.declare("web", "web:2", replicas=3)
    await world.settle(5)
    assert not set(before) & set(world.running())
    assert [it.spec.slot for it in world.containers()] == [1, 2, 3]
    assert len(await world.engine.list()) == 3


async def test_an_update_that_has_to_stop_first_says_so_and_ends(world: Cluster) -> None:
    ports = [pb.Port(target=80, published="8080-8081")]
    world.declare("web", "web:1", replicas=2, ports=ports)
    await world.settle()
    stopped = world.engine.hold("stop")
    world.declare("web", "web:2", replicas=2, ports=ports)
    await world.settle()
    rollout = world.store.get(SERVICE, "web").status.rollout
    assert (rollout.order, rollout.reason) == ("stop-first", "its host ports leave no room for a second container")
    assert len(world.running()) == 1, "one at a time"
    stopped.set()
    await world.settle(5)
    assert len(world.running()) == 2
    assert not world.store.get(SERVICE, "web").status.HasField("rollout")
    assert any("its predecessor has gone" in event.message for event in world.store.list(EVENT))


async def test_replicas_and_restart_policy_change_without_a_new_container(world: Cluster) -> None:
    world.declare("web", replicas=2)
    await world.settle()
    before = world.running()
    world.declare("web", replicas=3, restart="unless-stopped")
    await world.settle()
    assert world.running()[:2] == before
    assert {(await world.engine.inspect(it)).restart for it in world.running()} == {"unless-stopped"}


@pytest.mark.parametrize("harm", ["kill", "discard"])
async def test_a_container_that_was_taken_away_is_replaced(world: Cluster, harm: str) -> None:
    world.declare("web", replicas=2)
    await world.settle()
    first, second = world.running()
    getattr(world.engine, harm)(first)
    await world.settle()
    assert first not in world.running()
    assert second in world.running()
    assert len(await world.engine.list()) == 2
    assert world.store.get(SERVICE, "web").status.restarts == 1


async def test_a_crash_is_left_to_the_engine_and_counted(world: Cluster) -> None:
    world.declare("web")
    await world.settle()
    before = world.running()
    world.engine.crash(before[0])
    await world.settle()
    assert world.running() == before
    assert world.store.get(SERVICE, "web").status.restarts == 1


async def test_what_vanishes_without_an_event_is_noticed_by_the_list(world: Cluster) -> None:
    world.declare("web")
    await world.settle()
    (before,) = world.running()
    with world.engine.unheard():
        world.engine.discard(before)
    await world.settle(5)
    assert world.running() == [before], "nobody could know yet"
    await world.settle(30)
    assert len(world.running()) == 1
    assert world.running() != [before]


async def test_an_engine_that_is_away_freezes_decisions(world: Cluster) -> None:
    world.declare("web", replicas=2)
    await world.settle()
    before = world.running()
    world.engine.go_away()
    await world.settle(120)
    assert not world.informer.up
    assert world.running() == before, "unknown is not gone"
    world.declare("web", replicas=3)
    await world.settle(120)
    assert world.engine.calls["create"] == 2
    world.engine.come_back()
    await world.settle(10)
    assert world.running()[:2] == before
    assert len(world.running()) == 3


async def test_a_stream_of_events_that_ends_is_taken_up_again(world: Cluster) -> None:
    world.declare("web")
    await world.settle()
    (before,) = world.running()
    world.engine._end_streams()
    world.engine.discard(before)
    await world.settle(10)
    assert world.informer.up
    assert len(world.running()) == 1


async def test_events_about_nothing_change_nothing(world: Cluster) -> None:
    world.declare("web")
    await world.settle()
    version = world.store.version
    for it in world.running():
        world.engine.say(EngineEvent("die", it))
    world.engine.say(EngineEvent("die", "f" * 64))
    await world.settle()
    assert world.store.version == version


async def test_another_run_of_the_program_adopts_what_runs(engine: CountingEngine, clock: ManualClock) -> None:
    async with cluster(engine, clock) as first:
        first.declare("web", replicas=3)
        await first.settle()
        before = first.running()
    engine.calls.clear()
    async with cluster(engine, clock) as second:
        assert second.running() == before
        second.declare("web", replicas=3)
        await second.settle()
        assert second.running() == before
        assert engine.calls["create"] == engine.calls["start"] == engine.calls["stop"] == 0
        second.declare("web", "web:2", replicas=3)
        await second.settle(5)
        assert not set(before) & set(second.running())


async def test_an_orphan_is_left_running_until_its_own_manager_declares_without_it(
    engine: CountingEngine, clock: ManualClock
) -> None:
    async with cluster(engine, clock) as first:
        first.declare("web", manager="file")
        first.declare("other", manager="api")
        await first.settle()
    async with cluster(engine, clock) as second:
        await second.settle(60)
        assert len(await engine.list()) == 2
        assert "Orphan" in second.reasons()
        second.orphans.declared("file")
        await second.settle()
        assert [it.spec.service for it in second.store.list(CONTAINER)] == ["other"]


async def test_containers_of_others_are_never_taken_for_ours(engine: CountingEngine, clock: ManualClock) -> None:
    async with cluster(engine, clock) as first:
        first.declare("web")
        await first.settle()
        request = engine._containers[first.running()[0]].request
    foreign = await engine.create(type(request)("web-1-other", "x", request.template, "no", request.labels, {}))
    async with cluster(engine, clock) as second:
        second.orphans.declared("api")
        await second.settle(60)
        assert [it.id for it in await engine.list()] == [foreign]


async def test_a_missing_image_is_pulled_and_one_that_may_not_be_is_explained(world: Cluster) -> None:
    world.engine.lose_image("web:1")
    world.declare("never", pull_policy="never")
    await world.settle()
    assert "pull_policy is never" in world.condition("Ready", "never").message
    assert world.condition("Degraded", "never").status == "True"
    world.declare("web")
    await world.settle()
    assert world.condition("Ready").status == "True"


async def test_transition_times_move_only_when_the_status_flips(world: Cluster) -> None:
    world.declare("web")
    await world.settle()
    ready, progressing = world.condition("Ready"), world.condition("Progressing")
    await world.settle(100)
    world.declare("web", "web:2")
    await world.settle()
    assert world.condition("Ready").last_transition_time == ready.last_transition_time
    assert world.condition("Ready").observed_generation == 2
    assert world.condition("Progressing").last_transition_time != progressing.last_transition_time


async def test_a_paused_container_is_not_ready_and_said_to_be_paused(world: Cluster) -> None:
    world.declare("web")
    await world.settle()
    (docker_id,) = world.running()
    world.engine._containers[docker_id].status.state = State.PAUSED
    world.engine.say(EngineEvent("pause", docker_id))
    await world.settle()
    assert world.condition("Ready").status == "False"
    assert "paused" in world.condition("Ready").message


async def test_stops_that_take_their_time_hold_up_nobody_else(world: Cluster) -> None:
    world.declare("slow", replicas=20)
    world.declare("web")
    await world.settle()
    stopped = world.engine.hold("stop")
    world.declare("slow", replicas=0)
    await world.settle()
    assert world.engine.calls["stop"] == 20
    (before,) = world.running()
    world.engine.kill(before)
    await world.settle()
    assert len(world.running()) == 1
    stopped.set()
    await world.settle()
    assert not world.containers("slow")


async def test_pulls_that_take_their_time_hold_up_nobody_else_and_one_serves_all(world: Cluster) -> None:
    world.engine.lose_image("far/away:1")
    pulled = world.engine.hold("pull")
    world.declare("slow", "far/away:1", replicas=20)
    await world.settle()
    assert {it.status.state for it in world.containers("slow")} == {State.PULLING}
    world.declare("web")
    await world.settle()
    assert len(world.running()) == 1
    pulled.set()
    await world.settle()
    assert len(world.running("slow")) == 20
    assert world.engine.calls["pull"] == 1


async def test_pull_policy_always_asks_for_the_image_once_for_each_revision(world: Cluster) -> None:
    world.declare("web", pull_policy="always", replicas=2)
    await world.settle()
    world.engine.kill(world.running()[0])
    await world.settle()
    assert len(world.running()) == 2
    assert world.engine.calls["pull"] == 1, "all containers of a revision run one image"
    world.store.update(SERVICE, "web", lambda it: it.spec.restarted_at.FromDatetime(world.clock.now()))
    await world.settle(5)
    assert world.engine.calls["pull"] == 2


async def test_what_a_create_without_an_answer_made_goes_with_its_service(world: Cluster) -> None:
    world.engine.lose_answers("create")
    world.declare("web")
    await world.clock.settle()
    assert len(await world.engine.list()) == 1
    assert not world.containers()[0].status.docker_id, "nobody was told"
    world.store.delete(SERVICE, "web")
    await world.settle(10)
    assert world.store.find(SERVICE, "web") is None
    assert await world.engine.list() == []


async def test_a_create_without_an_answer_is_found_by_the_next_try(world: Cluster) -> None:
    world.engine.lose_answers("create")
    world.declare("web")
    await world.clock.settle()
    world.engine.lost.clear()
    await world.settle(10)
    assert world.condition("Ready").status == "True"
    assert len(await world.engine.list()) == 1


async def test_what_is_left_of_a_service_that_the_journal_knows_to_be_deleted_goes(
    engine: CountingEngine, clock: ManualClock
) -> None:
    async with cluster(engine, clock) as first:
        first.declare("gone")
        first.declare("unknown")
        await first.settle()
    async with cluster(engine, clock) as second:
        second.orphans._deleted = {"gone"}
        second.operator.containers.resync()
        await second.settle()
        assert [it.spec.service for it in second.store.list(CONTAINER)] == ["unknown"]
        assert len(await engine.list()) == 1


async def test_ten_revisions_are_kept_and_one_that_comes_back_gets_a_new_number(world: Cluster) -> None:
    for number in range(12):
        world.declare("web", f"web:{number}", replicas=0)
        await world.settle()
    world.declare("web", "web:5", replicas=0)
    await world.settle()
    kept = sorted(world.store.list(REVISION), key=lambda it: it.number)
    assert [it.template.image for it in kept] == [f"web:{number}" for number in (2, 3, 4, 6, 7, 8, 9, 10, 11, 5)]
    assert kept[-1].number == 13
    world.store.delete(SERVICE, "web")
    await world.settle()
    assert not world.store.list(REVISION), "they go with their service"


async def test_a_restart_replaces_every_container_once(world: Cluster) -> None:
    world.declare("web", replicas=2)
    await world.settle()
    before = world.running()
    world.store.update(SERVICE, "web", lambda it: it.spec.restarted_at.FromDatetime(world.clock.now()))
    await world.settle(5)
    after = world.running()
    assert not set(before) & set(after)
    await world.settle(120)
    assert world.running() == after


async def test_what_a_handler_says_in_a_condition_of_its_own_stays(world: Cluster) -> None:
    world.declare("web")
    await world.settle()

    def announce(service: pb.Service) -> None:
        service.status.conditions.add(type="Announced", status="True")

    world.store.update_status(SERVICE, "web", announce)
    world.declare("web", "web:2")
    await world.settle()
    assert world.condition("Announced").status == "True"
    assert world.condition("Ready").status == "True"
