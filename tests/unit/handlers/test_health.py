"""What is unhealthy is replaced: not many at once, later each time, and never a job."""

import pytest

from proto.dockrunner import v1 as pb

from .scripted_world import UNHEALTHY, Web, running, seconds
from .world import State


def test_an_unhealthy_container_is_stopped_and_then_replaced() -> None:
    web = running()
    web.sick(1)
    assert web.step() == ["stop 1 web:1"]
    assert web.plan.operations[0].cause == "unhealthy"
    assert web.of(1).spec.stopped
    assert web.step() == [], "it is asked to stop once"
    web.end(1, 143)
    assert web.step() == ["create 1 web:1"]
    assert web.plan.operations[0].cause == "unhealthy"
    web.up(1)
    assert web.step() == ["delete 1 web:1"], "it stays until its successor serves, for its log"


@pytest.mark.parametrize("restart", ["always", "unless-stopped", "on-failure", "on-failure:3", "replace"])
def test_what_docker_restarts_is_replaced_when_it_is_unhealthy(restart: str) -> None:
    web = running(restart=restart)
    web.sick(1)
    assert web.step() == ["stop 1 web:1"]
    web.end(1, 143)
    assert web.step() == ["create 1 web:1"]


def test_an_unhealthy_job_is_left_alone() -> None:
    web = running(restart="no")
    web.sick(1)
    assert (web.step(), web.look_again) == ([], None)


@pytest.mark.parametrize("state", [State.PAUSED, State.RESTARTING, State.STOPPING])
def test_an_unhealthy_container_that_does_not_run_is_left_alone(state: pb.ContainerStatus.State.ValueType) -> None:
    web = running()
    web.sick(1)
    web.of(1).status.state = state
    assert web.step() == []


def test_what_is_not_healthy_yet_is_left_alone() -> None:
    web = Web()
    web.declare("web:1")
    web.step()
    web.started(1)
    web.wait(3600)
    assert web.step() == []


@pytest.mark.parametrize(("parallelism", "stopped"), [(None, 1), (2, 2), (0, 4)])
def test_no_more_are_stopped_at_once_than_an_update_would_replace(parallelism: int | None, stopped: int) -> None:
    web = running(replicas=4, update=pb.UpdateConfig(parallelism=parallelism))
    for slot in range(1, 5):
        web.sick(slot)
    assert web.step() == [f"stop {slot} web:1" for slot in range(1, stopped + 1)]
    assert web.step() == []


def test_the_next_one_is_stopped_when_the_successor_of_the_one_before_is_ready() -> None:
    web = running(replicas=2)
    web.sick(1)
    web.step()
    web.end(1, 143)
    assert web.step() == ["create 1 web:1"]
    web.sick(2)
    assert web.step() == []
    web.started(1)
    assert web.step() == [], "it is on its way"
    web.up(1)
    assert web.step() == ["delete 1 web:1", "stop 2 web:1"]


def test_a_successor_that_is_unhealthy_itself_does_not_hold_up_the_others() -> None:
    web = running(replicas=2)
    web.sick(1)
    web.step()
    web.end(1, 143)
    web.step()
    web.sick(2)
    web.started(1)
    web.sick(1)
    web.of(1).spec.failures = 9
    assert web.step() == ["stop 2 web:1"]


def test_one_that_never_gets_healthy_is_replaced_later_each_time() -> None:
    web = Web()
    web.declare("web:1", restart_backoff=pb.RestartBackoff(min=seconds(10), max=seconds(35)))
    web.step()
    waits = []
    for _ in range(4):
        web.started(1, UNHEALTHY)
        waited = 0.0
        while not (told := web.step()):
            assert web.look_again is not None
            waited += web.look_again
            web.wait(web.look_again)
        assert told == ["stop 1 web:1"]
        waits.append(waited)
        web.end(1, 143)
        assert "create 1 web:1" in web.step(), "whoever stopped it has waited before"
    assert waits == [0, 10, 20, 35]


def test_one_that_was_healthy_in_between_has_failed_once() -> None:
    web = Web()
    web.declare("web:1", restart_backoff=pb.RestartBackoff(min=seconds(10)))
    web.step()
    for _ in range(3):
        web.up(1)
        web.step()
        web.sick(1)
        web.wait(10)
        assert web.step() == ["stop 1 web:1"]
        web.end(1, 143)
        web.step()
        assert web.of(1).spec.failures == 1


def test_one_that_gets_well_while_it_is_waited_for_stays() -> None:
    web = Web()
    web.declare("web:1", restart_backoff=pb.RestartBackoff(min=seconds(10)))
    web.step()
    web.of(1).spec.failures = 1
    web.started(1, UNHEALTHY)
    assert (web.step(), web.look_again) == ([], 10)
    web.up(1)
    web.wait(10)
    assert web.step() == []


def test_an_unhealthy_old_container_that_is_being_replaced_by_an_update_is_not_stopped() -> None:
    web = running()
    web.declare("web:2")
    web.step()
    web.sick(1, "web:1")
    assert web.step() == []


def test_an_update_begins_with_what_is_unhealthy() -> None:
    web = running(replicas=3)
    web.sick(3)
    web.declare("web:2", 3)
    assert "create 3 web:2" in web.step()


def test_a_restart_counts_for_an_unhealthy_container_that_was_replaced() -> None:
    web = running()
    web.of(1).spec.restarts = 4
    web.sick(1)
    web.step()
    web.end(1, 143)
    web.step()
    assert web.of(1).spec.restarts == 5


def test_the_next_unhealthy_one_is_not_stopped_before_the_successor_of_the_one_before_is_ready() -> None:
    web = running(replicas=2)
    web.sick(1)
    web.sick(2)
    assert web.step() == ["stop 1 web:1"]
    web.end(1, 143)
    assert web.step() == ["create 1 web:1"]
