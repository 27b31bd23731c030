"""``--once``: what counts as the end of it."""

from collections.abc import AsyncIterator

import pytest

from controller.convergence import report_convergence
from controller.errors import EngineError
from proto.dockrunner import v1 as pb
from tests.clock import ManualClock
from tests.cluster import Cluster, CountingEngine, cluster


@pytest.fixture
async def world() -> AsyncIterator[Cluster]:
    clock = ManualClock()
    async with cluster(CountingEngine(clock), clock) as made:
        yield made


async def outcome(world: Cluster) -> int:
    return await report_convergence(world.store, lambda: True, within=5)


async def test_it_ends_with_0_when_all_is_as_declared(world: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    world.declare("web", replicas=2)
    await world.settle()
    assert await outcome(world) == 0
    assert "service/web converged: 2 ready" in capsys.readouterr().out


@pytest.mark.parametrize(("action", "reason"), [("pause", "RolloutFailed"), ("rollback", "RolledBack")])
async def test_it_ends_with_1_when_an_update_ended_badly(
    world: Cluster, capsys: pytest.CaptureFixture[str], action: str, reason: str
) -> None:
    world.declare("web")
    await world.settle()
    world.engine.refuse("start", lambda: EngineError("OCI runtime create failed: no such program"))
    world.declare("web", "web:2", update=pb.UpdateConfig(failure_action=action))
    await world.settle(30)
    assert world.condition("Degraded").reason == reason
    assert await outcome(world) == 1
    assert "not converged: web: " in capsys.readouterr().out
