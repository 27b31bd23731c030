"""The way back from an update that failed."""

from typing import Any

import pytest

from proto.dockrunner import v1 as pb

from .scripted_world import Web, crash_at_once, running, seconds

Rollout = pb.Rollout
UPDATE = pb.UpdateConfig


def test_a_failed_update_is_taken_back_to_what_still_serves() -> None:
    web = running(replicas=2)
    before = web.kept.revision
    web.declare("web:2", 2, update=UPDATE(failure_action="rollback"))
    web.step()
    web.up(1)
    web.step()
    web.gone()
    crash_at_once(web, 2)
    web.step()
    assert web.kept.rolled_back_to == before
    failed = web.kept.revision
    assert web.step() == ["delete 2 web:2", "create 1 web:1"]
    assert (web.rollout.state, web.rollout.revision, web.rollout.failed_revision) == (
        Rollout.ROLLING_BACK, before, failed
    )  # fmt: skip
    web.up(1)
    web.gone()
    assert web.step() == ["delete 1 web:2"]
    web.gone()
    assert web.step() == []
    assert (web.rollout.state, web.rollout.message) == (Rollout.ROLLED_BACK, web.kept.failure)
    assert (web.serving, web.look_again) == (["web:1", "web:1"], None)


def test_what_was_taken_back_stays_so_and_what_is_lost_comes_back_as_what_was_before() -> None:
    web = taken_back()
    web.end(1, None)
    assert web.step() == ["create 1 web:1"]
    assert web.rollout.state == Rollout.ROLLED_BACK


def test_what_was_taken_back_stays_so_when_all_else_is_forgotten() -> None:
    web = taken_back()
    web.service.status.Clear()
    assert web.step() == []
    assert web.rollout.state == Rollout.ROLLED_BACK


def test_what_was_taken_back_is_superseded_by_another_declaration() -> None:
    web = taken_back()
    web.declare("web:3", 2)
    assert web.step() == ["create 1 web:3"]
    assert web.rollout.state == Rollout.IN_PROGRESS


def test_what_was_taken_back_scales_as_declared() -> None:
    web = taken_back()
    web.service.spec.replicas = 3
    assert web.step() == ["create 3 web:1"]


def taken_back() -> Web:
    """Web:2 failed, and both replicas are of web:1."""
    web = running(replicas=2)
    web.declare("web:2", 2, update=UPDATE(failure_action="rollback"))
    web.step()
    crash_at_once(web, 1)
    web.step()
    assert web.step() == ["delete 1 web:2"]
    web.gone()
    web.step()
    assert web.rollout.state == Rollout.ROLLED_BACK
    return web


def on_the_way_back(replicas: int = 3, **settings: Any) -> Web:
    """All replicas are of web:2 when its last one fails; ``settings`` are those of the rollback."""
    web = running(replicas=replicas)
    update, rollback = UPDATE(failure_action="rollback", parallelism=0), UPDATE(**settings)
    web.declare("web:2", replicas, update=update, rollback=rollback)
    web.step()
    web.up(*range(1, replicas))
    web.step()
    web.gone()
    crash_at_once(web, replicas)
    web.step()
    assert web.kept.rolled_back_to
    return web


@pytest.mark.parametrize(("parallelism", "first"), [(None, 1), (0, 2), (2, 2)])
def test_a_rollback_has_its_own_parallelism(parallelism: int | None, first: int) -> None:
    web = on_the_way_back(parallelism=parallelism)
    created = [it for it in web.step() if it.startswith("create")]
    assert created == [f"create {slot} web:1" for slot in range(1, first + 1)]


def test_a_rollback_has_its_own_delay() -> None:
    web = on_the_way_back(monitor=seconds(5), delay=seconds(20))
    web.service.spec.update.monitor.CopyFrom(seconds(5))
    web.step()
    web.gone()
    web.wait(20)
    web.step()
    web.up(1)
    assert "delete 1 web:2" in web.step()
    web.gone()
    web.wait(5)
    assert (web.step(), web.look_again) == ([], 20)
    web.wait(19.9)
    assert web.step() == []
    web.wait(0.1)
    assert web.step() == ["create 2 web:1"]


def test_a_rollback_has_its_own_deadline() -> None:
    web = on_the_way_back(deadline=seconds(20))
    web.step()
    web.step()
    web.started(1)
    web.wait(20)
    web.step()
    assert web.plan.verdict is not None
    assert web.plan.verdict.reason == "Deadline"


def test_a_rollback_that_fails_is_stopped_and_not_taken_back() -> None:
    web = on_the_way_back()
    web.step()
    crash_at_once(web, 1)
    web.step()
    assert web.plan.verdict is not None
    assert web.plan.verdict.message.startswith("the rollback failed: ")
    assert web.plan.verdict.rolled_back_to == ""
    web.step()
    web.wait(60)
    web.step()
    assert web.plan.verdict is None
    assert web.rollout.state == Rollout.FAILED
    assert web.serving == ["web:2", "web:2", "web:1"], "what serves goes on"


def test_a_rollback_that_failed_goes_on_when_it_is_resumed() -> None:
    web = on_the_way_back()
    web.step()
    crash_at_once(web, 1)
    web.step()
    web.step()
    web.resume()
    web.wait(60)
    assert web.step() == ["stop 1 web:1"], "what failed before is tried anew"
    web.end(1, 143)
    assert "create 1 web:1" in web.step()
    assert web.rollout.state == Rollout.ROLLING_BACK


@pytest.mark.parametrize(("ratio", "fails"), [(0.0, True), (0.5, False)])
def test_a_rollback_has_its_own_max_failure_ratio(ratio: float, fails: bool) -> None:
    web = on_the_way_back(max_failure_ratio=ratio)
    web.step()
    crash_at_once(web, 1)
    web.step()
    assert (web.plan.verdict is not None) == fails


def test_without_an_earlier_revision_that_worked_a_failed_update_is_only_stopped() -> None:
    web = Web()
    web.declare("web:bad", 2)
    web.step()
    crash_at_once(web, 1)
    web.declare("web:2", 2, update=UPDATE(failure_action="rollback"))
    web.step()
    crash_at_once(web, 1)
    web.step()
    assert web.kept.rolled_back_to == ""
    assert web.kept.failure.endswith("(and there is no earlier revision to go back to)")
    web.step()
    assert web.rollout.state == Rollout.FAILED


def test_it_is_not_taken_back_to_a_revision_that_failed_itself() -> None:
    web = running(replicas=3)
    good = web.kept.revision
    web.declare("web:2", 3, update=UPDATE(parallelism=2))
    web.step()
    web.up(1, 2)
    web.step()
    web.gone()
    crash_at_once(web, 3)
    web.step()
    web.declare("web:3", 3, update=UPDATE(failure_action="rollback"))
    web.step()
    assert web.serving == ["web:2", "web:2", "web:1"]
    crash_at_once(web, 1)
    web.step()
    assert web.kept.rolled_back_to == good


def test_with_nothing_that_serves_it_is_taken_back_to_the_newest_that_has_worked() -> None:
    web = running("web:1", 1)
    web.declare("web:2")
    web.step()
    web.up(1)
    web.step()
    web.gone()
    web.step()
    second = web.kept.revision
    web.declare("web:3", update=UPDATE(failure_action="rollback"))
    web.step()
    web.end(1, None, "web:2")
    crash_at_once(web, 1)
    web.step()
    assert web.kept.rolled_back_to == second


def half_way_back(rollback: pb.UpdateConfig) -> Web:
    """Three replicas of which two were updated already, on their way back."""
    web = running(replicas=3)
    web.declare("web:2", 3, update=UPDATE(failure_action="rollback", parallelism=0), rollback=rollback)
    web.step()
    web.up(1, 2)
    web.step()
    web.gone()
    web.started(3)
    web.crash(3)
    web.step()
    return web


def test_a_rollback_has_its_own_order() -> None:
    web = half_way_back(UPDATE(order="stop-first"))
    assert "create 1 web:1, held" in web.step()


def test_a_rollback_has_its_own_monitor_before_the_next_slot() -> None:
    web = half_way_back(UPDATE(monitor=seconds(30)))
    web.step()
    web.up(1)
    web.gone()
    assert "create 2 web:1" not in web.step()
