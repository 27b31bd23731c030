"""What is a failure of an update and what is not, and what follows from it."""

from collections.abc import Callable

import pytest

from proto.dockrunner import v1 as pb

from .scripted_world import Web, crash_at_once, running, seconds
from .world import NOW

Rollout = pb.Rollout
UPDATE = pb.UpdateConfig


def crashes(web: Web) -> None:
    crash_at_once(web, 1)


def crashes_after_it_was_ready(web: Web) -> None:
    web.up(1, health=pb.Health.NONE)
    web.wait(0.5)
    web.crash(1)


def turns_unhealthy(web: Web) -> None:
    web.started(1)
    web.sick(1)


def ends_under_replace(web: Web) -> None:
    web.started(1)
    web.end(1, 3)


def cannot(reason: str) -> Callable[[Web], None]:
    return lambda web: web.stuck(1, reason, f"because of {reason}")


HOPELESS = ("ImageNotFound", "ImageDenied", "NotAllowed", "StartFailed", "CreateFailed")


@pytest.mark.parametrize(
    ("restart", "happens", "message"),
    [
        ("always", crashes, "exited with 1, restarted once"),
        ("always", crashes_after_it_was_ready, "exited with 1, restarted once"),
        ("always", turns_unhealthy, "unhealthy"),
        ("replace", ends_under_replace, "exited with 3"),
        *(("always", cannot(reason), f"because of {reason}") for reason in HOPELESS),
    ],
    ids=["crash", "late crash", "unhealthy", "ended", *HOPELESS],
)
def test_a_failure_stops_the_update_and_the_old_one_goes_on(
    restart: str, happens: Callable[[Web], None], message: str
) -> None:
    web = running(replicas=2, restart=restart)
    web.declare("web:2", 2, restart=restart)
    web.step()
    name = web.of(1).metadata.name
    happens(web)
    assert web.step() == []
    assert web.plan.verdict is not None
    assert (web.kept.failure_reason, web.kept.failure) == ("ContainersFailed", f"{name}: {message}")
    web.wait(3600)
    web.step()
    assert (web.rollout.state, web.rollout.message) == (Rollout.FAILED, web.kept.failure)
    assert "create 2 web:2" not in web.step()
    assert web.serving == ["web:1", "web:1"]


def killed(web: Web) -> None:
    web.up(1)
    web.end(1, 137)


def vanished(web: Web) -> None:
    web.up(1)
    web.end(1, None)


def starting(web: Web) -> None:
    web.started(1)


@pytest.mark.parametrize(
    "happens",
    [killed, vanished, starting, *(cannot(reason) for reason in ("PortTaken", "EngineError", "RateLimited"))],
    ids=["killed by hand", "removed by hand", "starting", "PortTaken", "EngineError", "RateLimited"],
)
def test_what_is_not_its_fault_does_not_stop_an_update(happens: Callable[[Web], None]) -> None:
    web = running()
    web.declare("web:2")
    web.step()
    happens(web)
    web.step()
    assert (web.plan.verdict, web.rollout.state) == (None, Rollout.IN_PROGRESS)


def test_a_new_container_that_was_killed_by_hand_is_made_once_more() -> None:
    web = running()
    web.declare("web:2")
    web.step()
    web.up(1)
    web.end(1, 137)
    assert web.step() == ["create 1 web:2"]


def test_a_crash_long_after_it_was_ready_is_no_failure_of_the_update() -> None:
    web = running(replicas=2)
    web.declare("web:2", 2)
    web.step()
    web.up(1)
    web.step()
    web.gone()
    web.wait(5)
    web.crash(1)
    web.step()
    assert web.plan.verdict is None
    assert web.rollout.state == Rollout.IN_PROGRESS


def test_a_crash_within_monitor_of_being_ready_is_a_failure_of_the_update() -> None:
    web = running(replicas=2)
    web.declare("web:2", 2, update=UPDATE(monitor=seconds(60)))
    web.step()
    web.up(1)
    web.wait(59)
    web.crash(1)
    web.step()
    assert web.plan.verdict is not None


def test_a_hopeless_reason_after_it_was_ready_is_no_failure_of_the_update() -> None:
    web = running(replicas=2)
    web.declare("web:2", 2)
    web.step()
    web.up(1)
    web.stuck(1, "StartFailed", "a device is gone")
    web.step()
    assert web.plan.verdict is None


# What follows.


@pytest.mark.parametrize(
    ("ratio", "replicas", "borne"), [(0.0, 4, 0), (0.25, 4, 1), (0.5, 4, 2), (0.5, 5, 2), (1.0, 3, 3)]
)
def test_no_larger_share_of_the_slots_than_max_failure_ratio_may_fail(ratio: float, replicas: int, borne: int) -> None:
    web = running(replicas=replicas)
    web.declare("web:2", replicas, update=UPDATE(max_failure_ratio=ratio, parallelism=0))
    web.step()
    for failed in range(1, replicas + 1):
        crash_at_once(web, failed)
        web.step()
        assert (web.plan.verdict is None) == (failed <= borne), failed
        if failed > borne:
            break


def test_a_failure_that_is_borne_is_shown_and_the_update_goes_on_with_the_next_slot() -> None:
    web = running(replicas=2)
    web.declare("web:2", 2, update=UPDATE(max_failure_ratio=0.5))
    web.step()
    crash_at_once(web, 1)
    assert web.step() == ["stop 1 web:2"]
    web.end(1, 1)
    assert web.step() == ["create 2 web:2"]
    assert (list(web.rollout.failed_slots), web.rollout.state) == ([1], Rollout.IN_PROGRESS)
    web.up(2)
    web.wait(100)
    assert web.step() == ["delete 2 web:1", "create 1 web:2"], "the one that failed is tried again in the end"


def test_a_failure_that_passes_counts_all_the_same() -> None:
    web = running(replicas=3)
    web.declare("web:2", 3, update=UPDATE(max_failure_ratio=0.4))
    web.step()
    crash_at_once(web, 1)
    web.step()
    web.end(1, 1)
    web.step()
    crash_at_once(web, 2)
    web.step()
    assert (web.plan.verdict is not None, list(web.rollout.failed_slots)) == (True, [1, 2])


def test_with_continue_it_goes_on_whatever_fails_and_tries_again() -> None:
    web = running(replicas=2)
    web.declare("web:2", 2, update=UPDATE(failure_action="continue"))
    web.step()
    crash_at_once(web, 1)
    assert web.step() == ["stop 1 web:2"]
    web.end(1, 1)
    assert web.step() == ["create 2 web:2"]
    crash_at_once(web, 2)
    assert web.step() == ["stop 2 web:2"]
    web.end(2, 1)
    assert web.step() == ["create 1 web:2"]
    assert (web.plan.verdict, web.rollout.state) == (None, Rollout.IN_PROGRESS)
    assert web.serving == ["web:1", "web:1"]


def test_a_stopped_update_is_remembered_when_all_else_is_forgotten() -> None:
    web = running(replicas=2)
    web.declare("web:2", 2)
    web.step()
    crash_at_once(web, 1)
    web.step()
    web.service.status.Clear()
    web.containers = [it for it in web.containers if it.spec.template.image == "web:1"]
    assert web.step() == []
    assert (web.rollout.state, web.plan.verdict) == (Rollout.FAILED, None)


def test_a_stopped_update_is_superseded_by_another_one_which_takes_the_failed_container_away() -> None:
    web = running(replicas=2)
    web.declare("web:2", 2)
    web.step()
    crash_at_once(web, 1)
    web.step()
    web.declare("web:3", 2)
    assert web.step() == ["delete 1 web:2", "create 1 web:3"]
    assert (web.rollout.state, web.rollout.message, list(web.rollout.failed_slots)) == (Rollout.IN_PROGRESS, "", [])
    web.up(1)
    assert web.step() == ["delete 1 web:1", "create 2 web:3"]


def test_going_back_by_hand_from_a_stopped_update_takes_away_what_failed_and_replaces_nothing() -> None:
    web = running(replicas=2)
    web.declare("web:2", 2)
    web.step()
    crash_at_once(web, 1)
    web.step()
    web.declare("web:1", 2)
    assert web.step() == ["delete 1 web:2"]
    web.gone()
    assert web.step() == []
    assert not web.service.status.HasField("rollout")


def test_an_update_is_superseded_before_its_end_and_its_time_begins_anew() -> None:
    web = running(replicas=2)
    web.declare("web:2", 2)
    web.step()
    web.wait(500)
    web.declare("web:3", 2)
    assert web.step() == ["delete 1 web:2", "create 1 web:3"]
    assert web.rollout.start_time.ToDatetime(NOW.tzinfo) == web.now
    assert web.look_again == 600


@pytest.mark.parametrize("restart", ["no", "on-failure:1"])
def test_what_serves_does_not_go_for_one_that_ended_with_an_error(restart: str) -> None:
    web = running(restart=restart)
    web.declare("web:2", restart=restart)
    web.step()
    web.started(1)
    web.of(1).status.restart_count = 1
    web.end(1, 1)
    assert "delete 1 web:1" not in web.step()
    assert web.serving == ["web:1"]


def test_a_share_of_29_percent_of_100_is_29() -> None:
    web = running(replicas=100)
    web.declare("web:2", 100, update=UPDATE(max_failure_ratio=0.29, parallelism=0))
    web.step()
    for slot in range(1, 30):
        web.started(slot)
        web.crash(slot)
    web.step()
    assert web.plan.verdict is None
