"""What follows from a service that has a schedule, and its runs."""

from datetime import UTC, datetime, timedelta

import pytest

from handlers.operations import Create
from handlers.planner import plan
from handlers.revision import revision_of
from proto.dockrunner import v1 as pb

from .scheduled_world import NOON, Nightly, at
from .world import State


def starting_at(world: Nightly, moment: datetime) -> Nightly:
    world.until(moment)
    return world


# Ticks.


def test_nothing_runs_before_the_first_tick_and_nothing_between_ticks() -> None:
    nightly = Nightly()
    nightly.until(at("12:04:59"))
    assert nightly.containers == []
    nightly.until(at("12:05"))
    assert nightly.running == [at("12:05")]
    nightly.end()
    nightly.until(at("12:09:59"))
    assert nightly.running == []
    nightly.until(at("12:10"))
    assert nightly.begun == [at("12:05"), at("12:10")]


def test_a_run_is_of_as_many_containers_as_there_are_replicas_in_the_lowest_slots() -> None:
    nightly = starting_at(Nightly(replicas=3), at("12:05"))
    assert [it.spec.slot for it in nightly.containers] == [1, 2, 3]
    assert {it.spec.run.ToDatetime(UTC) for it in nightly.containers} == {at("12:05")}


def test_what_has_ended_leaves_its_slot_to_the_next_run() -> None:
    nightly = starting_at(Nightly(), at("12:05"))
    nightly.end()
    nightly.until(at("12:10"))
    assert [it.spec.slot for it in nightly.containers] == [1, 1]


def test_a_run_is_of_the_revision_of_its_tick_and_goes_on_when_that_changes() -> None:
    nightly = starting_at(Nightly(image="job:1"), at("12:05"))
    nightly.declare(image="job:2", concurrency_policy="allow")
    nightly.until(at("12:06"))
    assert nightly.running == [at("12:05")], "a change neither stops a run nor begins one"
    nightly.until(at("12:10"))
    assert [it.spec.template.image for it in nightly.containers] == ["job:1", "job:2"]
    assert nightly.containers[1].spec.revision == revision_of(nightly.service.spec)


def test_limits_of_a_run_that_goes_on_change_in_place() -> None:
    nightly = starting_at(Nightly(), at("12:05"))
    nightly.change(cpus=0.5)
    nightly.settle()
    assert [it.spec.resources.cpus for it in nightly.containers] == [0.5]


def test_without_replicas_nothing_runs_and_nothing_is_missed() -> None:
    nightly = starting_at(Nightly(replicas=0), at("12:30"))
    assert (nightly.containers, nightly.told) == ([], [])


def test_a_schedule_is_looked_at_each_minute_at_least_as_the_clock_may_be_set() -> None:
    nightly = Nightly("0 0 1 1 *")
    nightly.settle()
    assert nightly.plan.look_again == timedelta(minutes=1)


@pytest.mark.parametrize(("back", "again"), [(600, False), (6 * 3600, True)])
def test_a_clock_set_back_a_little_repeats_no_tick_and_set_right_by_hours_is_followed(back: float, again: bool) -> None:
    nightly = starting_at(Nightly("*/5 * * * *"), at("12:05"))
    nightly.end()
    nightly.settle()
    nightly.begun.clear()
    nightly.now -= timedelta(seconds=back)
    nightly.until(nightly.now + timedelta(seconds=300))
    assert bool(nightly.begun) is again


# Concurrency.


def test_by_default_a_tick_is_left_out_while_the_run_before_has_not_ended() -> None:
    nightly = starting_at(Nightly(), at("12:10"))
    assert nightly.running == [at("12:05")]
    assert nightly.reasons == ["RunSkipped"]
    assert "12:10:00Z is left out" in nightly.told[0][1]
    nightly.end()
    nightly.until(at("12:11"))
    assert nightly.running == [], "it is not made up for"
    nightly.until(at("12:15"))
    assert nightly.running == [at("12:15")]
    assert nightly.reasons == ["RunSkipped"], "said once"


def test_with_allow_runs_go_on_side_by_side_in_slots_of_their_own() -> None:
    nightly = starting_at(Nightly(replicas=2, concurrency_policy="allow"), at("12:10"))
    assert nightly.running == [at("12:05"), at("12:05"), at("12:10"), at("12:10")]
    assert sorted(it.spec.slot for it in nightly.containers) == [1, 2, 3, 4]


def test_with_replace_the_new_run_starts_when_the_old_one_has_gone() -> None:
    nightly = starting_at(Nightly(concurrency_policy="replace"), at("12:09:59"))
    (old,) = nightly.containers
    nightly.now = at("12:10")
    nightly.slow = True  # the old one takes its time to stop
    nightly.settle()
    new = next(it for it in nightly.containers if it is not old)
    assert old.metadata.HasField("delete_time")
    assert (new.spec.held, new.spec.slot) == (True, old.spec.slot)
    assert nightly.reasons == ["RunReplaced"]
    new.status.state, new.status.docker_id = State.CREATED, "new"
    nightly.now = at("12:12")
    nightly.settle()
    assert new.spec.held, "the old one is there still"
    nightly.slow = False
    nightly.settle()
    assert nightly.running == [at("12:10")]


def test_with_replace_a_program_that_was_killed_meanwhile_replaces_all_the_same() -> None:
    nightly = starting_at(Nightly(concurrency_policy="replace"), at("12:09:59"))
    nightly.now = at("12:10")
    nightly.slow = True
    nightly.settle()
    for it in nightly.containers:
        if it.status.state == State.PENDING:
            it.status.state, it.status.docker_id = State.CREATED, "new"
    nightly.crash()
    nightly.slow = False
    nightly.settle()
    assert nightly.running == [at("12:10")]


def test_a_run_that_needs_a_port_that_is_taken_waits_for_it_as_long_as_it_may() -> None:
    ports = [pb.Port(target=80, published="8080")]
    nightly = starting_at(Nightly(concurrency_policy="allow", ports=ports), at("12:10"))
    assert nightly.running == [at("12:05")]
    assert nightly.condition("Progressing").status == "True"
    nightly.end()
    nightly.now = at("12:10:30")
    nightly.settle()
    assert nightly.running == [at("12:10")]


# What comes too late.


@pytest.mark.parametrize(("deadline", "away", "begun"), [(None, 45, True), (None, 75, False), (600, 500, True)])
def test_after_a_time_without_the_program_the_newest_missed_tick_is_run_if_it_is_not_too_late(
    deadline: float | None, away: float, begun: bool
) -> None:
    spec = {} if deadline is None else {"starting_deadline": deadline}
    nightly = starting_at(Nightly("*/10 * * * *", **spec), at("12:09"))
    nightly.now = at("12:10") + timedelta(seconds=away)
    nightly.crash()
    nightly.settle()
    assert nightly.begun == ([at("12:10")] if begun else [])
    assert nightly.reasons == ([] if begun else ["RunMissed"])


def test_of_many_missed_ticks_one_is_run_and_the_others_are_told_of_in_one() -> None:
    nightly = starting_at(Nightly("* * * * *", starting_deadline=600.0), at("12:00:30"))
    nightly.now = at("12:05:30")
    nightly.crash()
    nightly.settle()
    assert nightly.begun == [at("12:05")]
    assert nightly.told == [
        ("RunMissed", "4 runs, due from 2026-01-01T12:01:00Z on, did not begin in time")
    ]  # fmt: skip


def test_years_of_missed_ticks_are_passed_over_at_once() -> None:
    nightly = starting_at(Nightly("* * * * *"), at("12:00:30"))
    nightly.now += timedelta(days=3650)
    nightly.settle()
    assert len(nightly.begun) == 1
    assert "1000 or more runs" in nightly.told[0][1]


def test_a_paused_service_runs_nothing_and_catches_up_no_further_than_the_deadline() -> None:
    nightly = Nightly(paused=True)
    nightly.until(at("12:20:30"))
    assert (nightly.begun, nightly.told) == ([], [])
    assert nightly.condition("Ready").status == "True"
    assert nightly.condition("Progressing").status == "False"
    nightly.service.spec.paused = False
    nightly.settle()
    assert nightly.begun == [at("12:20")]
    assert [message for _, message in nightly.told] == [
        "3 runs, due from 2026-01-01T12:05:00Z on, did not begin in time"
    ]


@pytest.mark.parametrize(("until", "begun"), [("12:05:45", [at("12:05")]), ("12:06:30", [])])
def test_a_tick_waits_for_what_the_service_depends_on_within_the_deadline(until: str, begun: list[datetime]) -> None:
    nightly = Nightly()
    nightly.waits_for = "service db to be started"
    nightly.until(at(until))
    assert "waits for" in nightly.condition("Progressing").message or not begun
    nightly.waits_for = ""
    nightly.settle()
    assert nightly.begun == begun
    if not begun:
        assert nightly.told[0][0] == "RunMissed"
        assert nightly.told[0][1].endswith("did not begin in time: service db to be started")


def test_a_run_of_which_nothing_came_to_the_engine_in_time_is_given_up() -> None:
    nightly = starting_at(Nightly(), at("12:04"))
    nightly.slow = True  # the engine does nothing
    nightly.until(at("12:05:59"))
    assert len(nightly.containers) == 1
    nightly.until(at("12:06:01"))
    nightly.slow = False
    nightly.settle()
    assert (nightly.containers, nightly.begun, nightly.reasons) == ([], [], ["RunMissed"])
    assert not nightly.service.status.HasField("last_schedule_time")


def test_a_run_whose_image_is_being_fetched_has_begun() -> None:
    nightly = starting_at(Nightly(), at("12:04"))
    nightly.slow = True
    nightly.until(at("12:05"))
    nightly.containers[0].status.state = State.PULLING
    nightly.until(at("12:09"))
    assert not nightly.containers[0].metadata.HasField("delete_time")


# What is changed.


def test_another_schedule_begins_with_its_next_tick() -> None:
    nightly = starting_at(Nightly("0 3 * * *"), at("12:10:30"))
    nightly.declare("*/10 * * * *")
    nightly.until(at("12:19"))
    assert nightly.begun == []
    nightly.until(at("12:20"))
    assert nightly.begun == [at("12:20")]


def test_a_service_that_ran_all_the_time_has_its_containers_taken_away_when_it_gets_a_schedule() -> None:
    nightly = Nightly("")
    nightly.service.spec.restart = "always"
    nightly.settle()
    assert len(nightly.containers) == 1
    nightly.declare("*/5 * * * *")
    nightly.settle()
    assert nightly.containers == []
    nightly.until(at("12:05"))
    assert nightly.begun[-1] == at("12:05")


def test_a_run_ends_in_its_own_time_when_the_service_loses_its_schedule() -> None:
    nightly = starting_at(Nightly(), at("12:05"))
    (run,) = nightly.containers
    nightly.declare("", restart="always")
    nightly.settle()
    assert len(nightly.containers) == 2
    assert run in nightly.containers
    nightly.end(tick=at("12:05"))
    nightly.settle()
    assert run not in nightly.containers
    assert len(nightly.containers) == 1


def test_a_restart_that_is_asked_for_begins_a_run_at_once_and_but_one() -> None:
    nightly = starting_at(Nightly("0 3 * * *"), at("12:10"))
    asked = nightly.now
    nightly.service.spec.restarted_at.FromDatetime(asked)
    nightly.now += timedelta(milliseconds=10)
    nightly.until(at("12:11"))
    assert nightly.begun == [asked]
    nightly.end()
    nightly.crash()
    nightly.until(at("12:30"))
    assert nightly.begun == [asked]


# History.


@pytest.mark.parametrize(
    ("limits", "kept"),
    [
        ({}, ["12:50", "12:40", "12:30", "12:05"]),
        ({"successful_history_limit": 1}, ["12:50", "12:05"]),
        ({"successful_history_limit": 0, "failed_history_limit": 2}, ["12:05"]),
        ({"failed_history_limit": 0}, ["12:50", "12:40", "12:30"]),
    ],
)
def test_so_many_ended_runs_are_kept_as_is_wanted(limits: dict[str, int], kept: list[str]) -> None:
    nightly = Nightly("5 12 * * *", **limits)
    for tick, code in (("12:05", 1), ("12:20", 0), ("12:30", 0), ("12:40", 0), ("12:50", 0)):
        minute = tick.split(":")[1].lstrip("0")
        nightly.service.spec.schedule = f"{minute} 12 * * *"
        nightly.until(at(tick))
        nightly.end(code)
    nightly.settle()
    assert [run.tick for run in nightly.runs] == [at(tick) for tick in kept]


# Status.


def test_the_status_says_when_it_ran_and_will() -> None:
    nightly = Nightly()
    nightly.settle()
    ready = nightly.condition("Ready")
    assert (ready.status, ready.reason, ready.message) == ("True", "Scheduled", "next run at 2026-01-01T12:05:00Z")
    assert nightly.condition("Progressing").status == "False"
    nightly.until(at("12:05"))
    nightly.step()
    assert (nightly.condition("Progressing").status, nightly.condition("Progressing").reason) == ("True", "Running")
    nightly.end()
    nightly.settle()
    status = nightly.service.status
    assert status.last_schedule_time.ToDatetime(UTC) == at("12:05")
    assert status.next_schedule_time.ToDatetime(UTC) == at("12:10")
    assert nightly.condition("Ready").message == "next run at 2026-01-01T12:10:00Z, last run succeeded"
    assert nightly.condition("Progressing").status == "False"
    assert not status.HasField("rollout")


@pytest.mark.parametrize(("failed", "successful"), [(0, 0), (1, 1), (1, 0)])
def test_a_failed_run_is_told_of_until_one_succeeds(failed: int, successful: int) -> None:
    nightly = starting_at(Nightly(failed_history_limit=failed, successful_history_limit=successful), at("12:05"))
    nightly.end(3)
    nightly.until(at("12:10"))
    degraded = nightly.condition("Degraded")
    assert (degraded.status, degraded.reason) == ("True", "RunFailed")
    assert degraded.message.endswith("exited with 3")
    nightly.end()
    nightly.until(at("12:11"))
    assert nightly.condition("Degraded").status == "False"
    assert nightly.condition("Ready").message.endswith("last run succeeded")


def test_a_plan_that_is_only_looked_at_begins_no_run_of_a_service_that_is_not_there_yet() -> None:
    declared = pb.Service(spec=pb.ServiceSpec(image="job:1", schedule="* * * * *", restart="no", replicas=1))
    assert not [it for it in plan(declared, [], NOON).operations if isinstance(it, Create)]
