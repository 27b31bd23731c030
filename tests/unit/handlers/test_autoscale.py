"""The number of replicas follows the load of the containers."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from controller.errors import EngineUnavailable
from controller.metrics import Metrics
from controller.program import Program
from controller.scheduler.engine import Usage
from controller.store import CONTAINER, EVENT, SERVICE, SqliteJournal
from controller.testing.run import running
from handlers.autoscale import TURN, cpus_in_use, is_rolling_out
from proto.dockrunner import v1 as pb
from tests.clock import ManualClock
from tests.cluster import Cluster, CountingEngine, cluster

# Two turns make a rate, and a container is young for as long.
TOLD = 2 * TURN + 1


@pytest.fixture
async def world() -> AsyncIterator[Cluster]:
    clock = ManualClock()
    async with cluster(CountingEngine(clock), clock) as made:
        yield made


def declare(world: Cluster, replicas: int = 2, *, most: int = 8, down: float = 60, **spec: str) -> None:
    scale = pb.Autoscale(min=1, max=most, cpu=50)
    scale.scale_down_window.FromTimedelta(timedelta(seconds=down))
    world.declare("web", replicas=replicas, cpus=0.5, autoscale=scale, **spec)


def load(world: Cluster, percent: float) -> None:
    """All that runs uses so much of its limit of half a processor from now on."""
    for container in world.running():
        world.engine.work(container, 0.5 * percent / 100)


def service(world: Cluster) -> pb.Service:
    return world.store.get(SERVICE, "web")


def scalings(world: Cluster) -> list[str]:
    return [event.message for event in world.store.list(EVENT) if event.reason == "Scaled"]


async def test_a_load_beyond_what_is_wanted_brings_more_replicas_and_says_why(world: Cluster) -> None:
    declare(world)
    await world.settle(1)
    load(world, 100)
    await world.settle(TOLD)
    assert service(world).spec.replicas == 4
    assert len(world.running()) == 4
    assert scalings(world) == ["replicas 2 → 4: cpu at 200 % of the 50 % that are wanted"]


async def test_a_change_of_the_number_is_a_change_of_the_declaration_and_nobodys(world: Cluster) -> None:
    declare(world, manager="file")
    await world.settle(1)
    before = service(world).metadata
    load(world, 100)
    await world.settle(TOLD)
    after = service(world).metadata
    assert after.generation == before.generation + 1
    assert (after.manager, after.replicas_manager) == ("file", "")


async def test_the_number_outlives_the_program(tmp_path: Path) -> None:
    clock = ManualClock()
    engine = CountingEngine(clock)

    class Journaled(Cluster):
        def __init__(self) -> None:
            journal = SqliteJournal(tmp_path / "journal", metrics := Metrics())
            journal.open()
            Program.__init__(self, engine, journal, clock, metrics)
            self.clock = clock

    first = Journaled()
    async with running(first, clock, declare=lambda: declare(first)):
        await first.settle(1)
        load(first, 100)
        await first.settle(TOLD)
        assert service(first).spec.replicas == 4
    second = Journaled()
    async with running(second, clock):
        assert service(second).spec.replicas == 4
        assert len(second.running()) == 4


async def test_a_load_below_it_brings_fewer_after_the_window_alone(world: Cluster) -> None:
    declare(world, replicas=4, down=60)
    await world.settle(1)
    load(world, 20)
    await world.settle(TOLD + 40)
    assert service(world).spec.replicas == 4
    await world.settle(30)
    assert service(world).spec.replicas == 2
    assert len(world.running()) == 2
    assert scalings(world) == ["replicas 4 → 2: cpu at 40 % of the 50 % that are wanted"]


async def test_a_load_as_wanted_writes_nothing_and_asks_for_statistics_alone(world: Cluster) -> None:
    declare(world)
    await world.settle(1)
    load(world, 50)
    await world.settle(40)
    version, calls = world.store.version, world.engine.calls.copy()
    await world.settle(60)
    assert world.store.version == version
    spent = world.engine.calls - calls
    assert spent.pop("usage") == 4 * 2
    assert set(spent) <= {"list"}  # the informer's own


async def test_a_service_without_autoscale_is_never_sampled(world: Cluster) -> None:
    world.declare("web", replicas=2, cpus=0.5)
    await world.settle(120)
    assert world.engine.calls["usage"] == 0


async def test_what_is_young_damps_the_way_up(world: Cluster) -> None:
    """Four new ones that are busy too do not double the number once more before they have settled."""
    declare(world)
    await world.settle(1)
    load(world, 100)
    await world.settle(TOLD)
    load(world, 100)
    await world.settle(TURN)
    assert service(world).spec.replicas == 4
    await world.settle(2 * TURN)
    assert service(world).spec.replicas == 8


async def test_what_was_started_lately_tells_nothing_for_half_a_minute(world: Cluster) -> None:
    declare(world)
    await world.settle(2 * TURN - 1)
    world.engine.discard(world.running()[1])
    await world.settle(0.5)
    world.engine.work(world.running()[0], 0.25)
    world.engine.work(world.running()[1], 0.5)
    await world.settle(TURN + 1)
    assert service(world).spec.replicas == 2
    await world.settle(TURN)
    assert service(world).spec.replicas == 3


async def test_more_than_max_is_never_asked_for(world: Cluster) -> None:
    declare(world, most=3)
    await world.settle(1)
    for _ in range(10):
        load(world, 100)
        await world.settle(TURN)
    assert service(world).spec.replicas == 3


async def test_fewer_than_min_are_never_asked_for(world: Cluster) -> None:
    declare(world, replicas=3, down=1)
    await world.settle(120)
    assert service(world).spec.replicas == 1


async def test_a_number_outside_its_limits_is_brought_within_them_whatever_the_load(world: Cluster) -> None:
    declare(world, replicas=5, most=3)
    await world.settle(TURN + 1)
    assert service(world).spec.replicas == 3
    assert scalings(world) == ["replicas 5 → 3: autoscale is from 1 to 3"]


async def test_what_was_scaled_to_nothing_stays_so(world: Cluster) -> None:
    declare(world, replicas=0)
    await world.settle(120)
    assert service(world).spec.replicas == 0


async def test_a_rollout_is_waited_for(world: Cluster) -> None:
    declare(world)
    await world.settle(TOLD)
    world.engine.hold("create")
    declare(world, image="web:2")
    load(world, 100)
    await world.settle(120)
    assert service(world).status.rollout.state == pb.Rollout.IN_PROGRESS
    assert service(world).spec.replicas == 2
    world.engine.held.pop("create").set()
    await world.settle(5)
    load(world, 100)
    await world.settle(TOLD + TURN)
    assert service(world).spec.replicas > 2


@pytest.mark.parametrize(
    ("generation", "observed", "state", "rolling"),
    [
        (2, 1, pb.Rollout.STATE_UNSPECIFIED, True),  # it may be about to be one
        (2, 2, pb.Rollout.STATE_UNSPECIFIED, False),
        (2, 2, pb.Rollout.IN_PROGRESS, True),
        (2, 2, pb.Rollout.ROLLING_BACK, True),
        (2, 2, pb.Rollout.PAUSED, False),  # these may last, and the load does not wait
        (2, 2, pb.Rollout.FAILED, False),
        (2, 2, pb.Rollout.ROLLED_BACK, False),
    ],
)
def test_a_rollout_is_what_goes_on_by_itself(
    generation: int, observed: int, state: pb.Rollout.State.ValueType, *, rolling: bool
) -> None:
    status = pb.ServiceStatus(observed_generation=observed, rollout=pb.Rollout(state=state))
    assert is_rolling_out(pb.Service(metadata=pb.Metadata(generation=generation), status=status)) == rolling


async def test_what_is_no_longer_allowed_stays_as_it_is(world: Cluster) -> None:
    declare(world)
    await world.settle(1)
    world.refused.add(service(world), "the policy has changed")
    load(world, 100)
    await world.settle(60)
    assert service(world).spec.replicas == 2


async def test_what_is_on_its_way_out_does_not_count(world: Cluster) -> None:
    declare(world)
    await world.settle(2 * TURN - 2)
    name = next(it.metadata.name for it in world.containers() if it.spec.slot == 2)
    asked: list[str] = []
    real = world.engine.usage

    async def usage(container_id: str) -> Usage:
        asked.append(container_id)
        return await real(container_id)

    world.engine.usage = usage  # type: ignore[method-assign]  # it tells of whom it is asked
    world.engine.hold("stop")
    world.store.delete(CONTAINER, name)
    gone = world.store.get(CONTAINER, name).status.docker_id
    await world.settle(TURN)
    assert asked
    assert gone not in asked


async def test_an_engine_that_says_nothing_of_anybody_is_looked_after(
    world: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(world)
    await world.settle(1)
    doubts: list[None] = []
    monkeypatch.setattr(world.informer, "doubt", lambda: doubts.append(None))
    real, silent = world.engine.usage, world.running()[:1]

    async def usage(container_id: str) -> Usage:
        if container_id in silent:
            raise EngineUnavailable("no answer in time")
        return await real(container_id)

    world.engine.usage = usage  # type: ignore[method-assign]  # one that hangs, then all
    await world.settle(2 * TURN)
    assert doubts == []
    silent += world.running()
    await world.settle(TURN)
    assert doubts == [None]


async def test_without_the_engine_nothing_is_decided(world: Cluster) -> None:
    declare(world, replicas=4, down=1)
    await world.settle(5)
    world.engine.go_away()
    await world.settle(1)
    asked = world.engine.calls["usage"]
    await world.settle(300)
    assert service(world).spec.replicas == 4
    assert world.engine.calls["usage"] == asked
    world.engine.come_back()
    await world.settle(120)
    assert service(world).spec.replicas == 1


async def test_a_container_of_which_the_engine_says_nothing_counts_as_doing_what_is_wanted_on_the_way_down(
    world: Cluster,
) -> None:
    declare(world, replicas=4, down=1)
    await world.settle(1)
    silent, real = world.running()[:2], world.engine.usage

    async def usage(container_id: str) -> Usage:
        if container_id in silent:
            raise EngineUnavailable("no answer in time")
        return await real(container_id)

    world.engine.usage = usage  # type: ignore[method-assign]  # two that hang
    await world.settle(TOLD)
    assert service(world).spec.replicas == 2  # two at 0 % and two at 50 % are four at 25 %


async def test_what_is_declared_while_the_samples_are_under_way_stands(world: Cluster) -> None:
    declare(world)
    await world.settle(1)
    load(world, 100)
    await world.settle(2 * TURN - 2)
    world.engine.hold("usage")
    await world.settle(3)
    declare(world, replicas=3, most=3)
    world.engine.held.pop("usage").set()
    await world.settle(60)
    assert service(world).spec.replicas == 3
    assert scalings(world) == []


async def test_what_is_not_scaled_by_load_any_more_keeps_the_number_that_is_declared(world: Cluster) -> None:
    declare(world)
    await world.settle(1)
    load(world, 100)
    world.declare("web", replicas=6, cpus=0.5)
    await world.settle(60)
    assert service(world).spec.replicas == 6


async def test_a_turn_without_an_answer_recommends_nothing(world: Cluster) -> None:
    declare(world, replicas=4, down=60)
    await world.settle(1)
    load(world, 20)
    await world.settle(2 * TURN)
    world.engine.refuse("usage", lambda: EngineUnavailable("no answer in time"))
    await world.settle(TURN)
    world.engine.refusals.clear()
    await world.settle(2 * TURN)
    assert service(world).spec.replicas == 2


async def test_a_constant_load_does_not_flap(world: Cluster) -> None:
    declare(world, replicas=1, down=15)
    await world.settle(1)
    numbers = []
    for _ in range(40):
        for container in world.running():  # 1.3 processors' worth of work, shared out
            world.engine.work(container, min(0.5, 1.3 / len(world.running())))
        await world.settle(TURN)
        numbers.append(service(world).spec.replicas)
    assert numbers == sorted(numbers)
    assert len(set(numbers[-20:])) == 1


@pytest.mark.parametrize(
    ("seconds", "used", "rate"), [(10, 5, 0.5), (15, 0, 0.0), (0.5, 1, None), (-10, 5, None), (15, -1, None)]
)
def test_two_samples_make_a_rate_when_they_can(seconds: float, used: float, rate: float | None) -> None:
    first = Usage(100, ManualClock().now())
    second = Usage(100 + used, first.sampled + timedelta(seconds=seconds))
    assert cpus_in_use(first, second) == rate
    assert cpus_in_use(None, second) is None
