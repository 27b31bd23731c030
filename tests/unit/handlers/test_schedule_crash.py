"""What comes of the runs of a schedule when the program dies in between."""

from datetime import datetime

import pytest

from .scheduled_world import Nightly, at
from .world import State


def starting_at(world: Nightly, moment: datetime) -> Nightly:
    world.until(moment)
    return world


@pytest.mark.parametrize("journal", [True, False])
def test_a_run_that_is_in_the_engine_is_known_after_a_crash(journal: bool) -> None:
    nightly = starting_at(Nightly(), at("12:05"))
    nightly.now = at("12:05:10")
    nightly.crash(journal=journal)
    nightly.until(at("12:06"))
    assert nightly.begun == [at("12:05")]
    assert nightly.running == [at("12:05")]


def test_a_run_that_was_not_yet_in_the_engine_is_run_after_a_crash() -> None:
    nightly = starting_at(Nightly(), at("12:04"))
    nightly.slow = True
    nightly.until(at("12:05"))
    nightly.crash()
    nightly.slow = False
    nightly.now = at("12:05:10")
    nightly.settle()
    assert nightly.begun == [at("12:05")]


@pytest.mark.parametrize("ended", [False, True])
def test_a_run_of_which_a_part_is_in_the_engine_is_completed_after_a_crash(ended: bool) -> None:
    nightly = starting_at(Nightly(replicas=3, successful_history_limit=0), at("12:04"))
    nightly.slow = True
    nightly.until(at("12:05"))
    second = nightly.containers[1]
    second.status.state, second.status.docker_id = State.EXITED if ended else State.CREATED, "second"
    second.status.exit_code = 0
    nightly.crash()
    nightly.slow = False
    nightly.now = at("12:05:10")
    nightly.waits_for = "service db to be started"
    nightly.settle()
    assert nightly.containers == [second], "it tells yet what was done"
    nightly.waits_for = ""
    nightly.settle()
    assert nightly.begun == [at("12:05")] * (2 if ended else 3)
    assert sorted(it.spec.slot for it in nightly.containers) == [1, 2, 3]


def test_without_a_journal_what_was_missed_since_the_newest_run_is_run_if_it_is_not_too_late() -> None:
    nightly = starting_at(Nightly(), at("12:05"))
    nightly.end()
    nightly.until(at("12:09"))
    nightly.now = at("12:10:30")
    nightly.crash(journal=False)
    nightly.settle()
    assert nightly.begun == [at("12:05"), at("12:10")]


@pytest.mark.parametrize("late", [False, True])
def test_what_was_made_and_not_started_before_a_crash_is_started_if_it_is_not_too_late(late: bool) -> None:
    nightly = starting_at(Nightly(), at("12:04"))
    nightly.slow = True
    nightly.until(at("12:05"))
    nightly.containers[0].status.state, nightly.containers[0].status.docker_id = State.CREATED, "made"
    nightly.crash()
    nightly.slow = False
    nightly.now = at("12:06:30") if late else at("12:05:30")
    nightly.settle()
    assert nightly.begun == ([] if late else [at("12:05")])
    assert nightly.reasons == (["RunMissed"] if late else [])


def test_a_run_whose_containers_somebody_removed_is_not_run_again_after_a_crash() -> None:
    nightly = starting_at(Nightly(starting_deadline=240.0), at("12:05"))
    nightly.end()
    nightly.settle()
    nightly.containers.clear()
    nightly.crash()
    nightly.until(at("12:09"))
    assert nightly.begun == [at("12:05")]


def test_a_run_that_somebody_takes_away_has_failed_and_is_not_repaired() -> None:
    nightly = starting_at(Nightly(), at("12:05"))
    nightly.end(None)
    nightly.until(at("12:06"))
    assert nightly.begun == [at("12:05")]
    assert nightly.condition("Degraded").reason == "RunFailed"
