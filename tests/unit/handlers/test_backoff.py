"""How long the replacement of a container waits."""

from datetime import timedelta

import pytest

from handlers.backoff import due, failures_in_a_row, ran, wait_after
from handlers.restart import parse_restart
from proto.dockrunner import v1 as pb

from .scripted_world import Web, running, seconds
from .world import NOW, State, container, service

DEFAULTS = pb.RestartBackoff()


def after(settings: pb.RestartBackoff, failures: int) -> float:
    return wait_after(failures, settings).total_seconds()


@pytest.mark.parametrize(
    ("failures", "wait"),
    [(0, 0), (1, 0), (2, 0.1), (3, 0.2), (4, 0.4), (5, 0.8), (11, 51.2), (12, 60), (13, 60), (1000, 60)],
)
def test_by_default_it_waits_as_docker_does(failures: int, wait: float) -> None:
    assert after(DEFAULTS, failures) == wait


@pytest.mark.parametrize(("failures", "wait"), [(0, 0), (1, 2), (2, 4), (3, 8), (5, 32), (6, 60)])
def test_min_is_waited_for_after_the_first_failure_and_doubles_from_there(failures: int, wait: float) -> None:
    assert after(pb.RestartBackoff(min=seconds(2)), failures) == wait


@pytest.mark.parametrize(("failures", "wait"), [(2, 0.1), (3, 0.2), (4, 0.3), (100, 0.3)])
def test_max_is_the_longest_wait(failures: int, wait: float) -> None:
    assert after(pb.RestartBackoff(max=seconds(0.3)), failures) == wait


def test_min_and_max_together_are_a_constant_wait_when_they_are_the_same() -> None:
    settings = pb.RestartBackoff(min=seconds(5), max=seconds(5))
    assert [after(settings, failures) for failures in (1, 2, 9)] == [5, 5, 5]


def test_min_beyond_the_default_max_is_waited_for_all_the_same() -> None:
    settings = pb.RestartBackoff(min=seconds(300))
    assert [after(settings, failures) for failures in (1, 2)] == [300, 300]


def test_a_wait_of_nothing_is_one() -> None:
    assert after(pb.RestartBackoff(min=seconds(0)), 9) == 0


def ended(restart: str, exit_code: int | None, *, ran_for: float, failures: int = 3) -> pb.Container:
    it = container(service(restart=restart), state=State.EXITED, exit_code=exit_code, ran=ran_for)
    it.spec.failures = failures
    return it


@pytest.mark.parametrize(
    ("restart", "exit_code", "ran_for", "failures"),
    [
        ("replace", 1, 9.9, 4),
        ("replace", 0, 9.9, 4),
        ("replace", 1, 10, 0),
        ("on-failure", 1, 9.9, 4),
        ("on-failure", 137, 10, 1),
        ("always", 1, 0, 0),
        ("always", 137, 9.9, 0),
        ("unless-stopped", 1, 0, 0),
    ],
)
def test_failures_are_those_in_a_row_shortly_after_a_start_that_docker_does_not_see_to(
    restart: str, exit_code: int, ran_for: float, failures: int
) -> None:
    last = ended(restart, exit_code, ran_for=ran_for)
    assert failures_in_a_row(last, parse_restart(restart), DEFAULTS) == failures


@pytest.mark.parametrize(("reset", "failures"), [(60.0, 4), (30.0, 0), (29.0, 0)])
def test_one_that_ran_for_reset_has_not_failed(reset: float, failures: int) -> None:
    last = ended("replace", 1, ran_for=30)
    settings = pb.RestartBackoff(reset=seconds(reset))
    assert failures_in_a_row(last, parse_restart("replace"), settings) == failures


@pytest.mark.parametrize(("was_ready", "failures"), [(False, 4), (True, 1)])
def test_one_that_we_stopped_as_it_did_not_work_has_failed_whatever_its_policy(was_ready: bool, failures: int) -> None:
    last = ended("always", 143, ran_for=1000)
    last.spec.stopped = True
    if was_ready:
        last.status.ready_at.FromDatetime(NOW)
    assert failures_in_a_row(last, parse_restart("always"), DEFAULTS) == failures


def test_one_that_never_ran_ran_for_no_time() -> None:
    it = ended("replace", 127, ran_for=5)
    assert ran(it.status) == timedelta(seconds=5)
    it.status.ClearField("started_at")
    assert ran(it.status) == timedelta(0)


def test_a_replacement_is_due_when_its_time_has_passed_since_the_end_before() -> None:
    last = ended("replace", 1, ran_for=1)
    settings = pb.RestartBackoff(min=seconds(4))
    assert due(last, 2, settings, NOW) == timedelta(seconds=8)
    assert due(last, 2, settings, NOW + timedelta(seconds=5)) == timedelta(seconds=3)
    assert due(last, 2, settings, NOW + timedelta(seconds=8)) <= timedelta(0)
    assert due(last, 0, settings, NOW) <= timedelta(0), "it has not failed"


def test_whoever_stopped_it_has_waited_before() -> None:
    last = ended("always", 143, ran_for=1)
    last.spec.stopped = True
    assert due(last, 9, DEFAULTS, NOW) <= timedelta(0)


def test_with_replace_each_end_is_followed_by_a_fresh_container_later_each_time() -> None:
    web = Web()
    web.declare("web:1", restart="replace", restart_backoff=pb.RestartBackoff(max=seconds(0.25)))
    web.step()
    assert web.of(1).spec.restart == "no", "Docker itself is not to restart it"
    waits = []
    for _ in range(5):
        web.up(1)
        web.step()
        web.wait(1)
        web.end(1, 0)
        told = web.step()
        if not told:
            assert web.look_again is not None
            waits.append(web.look_again)
            web.wait(web.look_again)
            told = web.step()
        else:
            waits.append(0)
        assert "create 1 web:1" in told
        assert len([it for it in web.containers if not it.metadata.HasField("delete_time")]) == 2
    assert waits == [0, 0.1, 0.2, 0.25, 0.25]


def test_with_replace_one_that_ran_for_long_is_replaced_at_once() -> None:
    web = running(restart="replace")
    web.of(1).spec.failures = 9
    web.end(1, 1)
    assert web.step() == ["create 1 web:1"]
    assert web.of(1).spec.failures == 0


def test_slots_back_off_each_for_itself() -> None:
    web = running(replicas=2, restart="replace", restart_backoff=pb.RestartBackoff(min=seconds(5), reset=seconds(500)))
    web.end(1, 1)
    web.wait(3)
    web.end(2, 1)
    assert (web.step(), web.look_again) == ([], 2)
    web.wait(2)
    assert (web.step(), web.look_again) == (["create 1 web:1"], 3)
