"""That an update comes to an end: its deadline, a pause, and what is lost meanwhile."""

from proto.dockrunner import v1 as pb

from .scripted_world import Web, crash_at_once, running, seconds
from .world import NOW

Rollout = pb.Rollout
UPDATE = pb.UpdateConfig


def test_without_progress_for_ten_minutes_an_update_is_stopped_and_says_what_it_waited_for() -> None:
    web = running(replicas=2)
    web.declare("web:2", 2)
    assert (web.step(), web.look_again) == (["create 1 web:2"], 600)
    web.started(1).message = "its port is taken"
    name = web.of(1).metadata.name
    web.wait(599)
    assert (web.step(), web.plan.verdict, web.look_again) == ([], None, 1)
    web.wait(1)
    web.step()
    assert (web.kept.failure_reason, web.kept.failure) == (
        "Deadline", f"no progress for 10 min: {name}: its port is taken"
    )  # fmt: skip
    web.wait(1)
    assert (web.step(), web.look_again) == ([], None)
    assert web.rollout.state == Rollout.FAILED


def test_the_deadline_is_as_declared_and_runs_from_the_last_progress() -> None:
    web = running(replicas=2)
    web.declare("web:2", 2, update=UPDATE(deadline=seconds(30)))
    web.step()
    web.wait(29)
    web.up(1)
    web.step()
    web.step()
    web.wait(29)
    web.step()
    assert web.plan.verdict is None
    web.wait(1)
    web.step()
    assert web.plan.verdict is not None
    assert web.kept.failure.startswith("no progress for 30 s: ")


def test_what_ceases_to_be_ready_and_is_ready_again_is_no_progress() -> None:
    web = running(replicas=3)
    web.declare("web:2", 3, update=UPDATE(deadline=seconds(30)))
    web.step()
    web.up(1)
    web.step()
    web.gone()
    web.step()
    for _ in range(3):
        web.wait(9)
        web.of(1).status.ready = False
        web.step()
        web.up(1)
        web.step()
    web.wait(3)
    web.step()
    assert web.plan.verdict is not None


def test_a_deadline_that_passed_is_forgotten_when_it_works_after_all() -> None:
    web = running(replicas=2)
    web.declare("web:2", 2)
    web.step()
    web.started(1)
    web.wait(600)
    web.step()
    web.up(1)
    web.step()
    assert (web.kept.failure, web.kept.failure_reason) == ("", "")
    assert "create 2 web:2" in web.step()
    assert web.rollout.state == Rollout.IN_PROGRESS


def test_a_failure_of_containers_is_not_forgotten_though_they_work_after_all() -> None:
    web = running(replicas=2)
    web.declare("web:2", 2)
    web.step()
    web.stuck(1, "StartFailed", "no such folder")
    web.step()
    web.stuck(1, "", "")
    web.up(1)
    web.wait(60)
    assert "create 2 web:2" not in web.step()
    assert (web.rollout.state, web.kept.failure_reason) == (Rollout.FAILED, "ContainersFailed")


def test_a_failure_of_containers_is_forgotten_when_every_replica_works_all_the_same() -> None:
    web = running()
    web.declare("web:2")
    web.step()
    web.stuck(1, "StartFailed", "no such folder")
    web.step()
    web.stuck(1, "", "")
    web.up(1)
    assert web.step() == ["delete 1 web:1"]
    web.gone()
    web.step()
    web.step()
    assert (web.kept.failure, web.service.status.HasField("rollout")) == ("", False)


def test_with_continue_what_does_not_get_ready_is_left_to_the_end_when_its_time_is_up() -> None:
    web = running(replicas=2)
    web.declare("web:2", 2, update=UPDATE(failure_action="continue", deadline=seconds(30)))
    web.step()
    web.started(1)
    web.wait(30)
    web.step()
    assert (web.plan.verdict, list(web.rollout.failed_slots)) == (None, [1])
    web.wait(30)
    while web.plan.verdict is None:  # it ends all the same
        web.step()
        web.wait(30)
        assert web.now < NOW.replace(hour=1)
    assert web.kept.failure_reason == "Deadline"


# Held.


def test_a_paused_update_begins_nothing_and_goes_on_when_it_is_resumed() -> None:
    web = running(replicas=3)
    web.declare("web:2", 3)
    web.step()
    web.service.spec.paused = True
    web.up(1)
    assert web.step() == ["delete 1 web:1"], "what is begun is ended"
    web.gone()
    assert (web.step(), web.rollout.state, web.rollout.message) == ([], Rollout.PAUSED, "paused")
    web.wait(3600)
    assert (web.step(), web.look_again) == ([], None)
    web.resume()
    assert (web.step(), web.rollout.state) == (["create 2 web:2"], Rollout.IN_PROGRESS)
    assert web.look_again == 600, "its time begins anew"


def test_a_paused_update_replaces_what_is_lost_all_the_same() -> None:
    web = running(replicas=2)
    web.declare("web:2", 2, paused=True)
    assert web.step() == []
    web.end(2, 137)
    assert web.step() == ["create 2 web:1"]


def test_a_paused_update_does_not_take_away_what_serves() -> None:
    web = running()
    web.declare("web:2", update=UPDATE(order="stop-first"))
    web.step()
    web.made(1)
    web.service.spec.paused = True
    assert web.step() == []


def test_what_is_lost_in_a_paused_update_that_has_shown_that_it_works_comes_back_as_the_new_revision() -> None:
    web = running(replicas=3)
    web.declare("web:2", 3)
    web.step()
    web.up(1)
    web.step()
    web.gone()
    web.service.spec.paused = True
    web.step()
    web.end(1, 137)
    assert web.step() == ["create 1 web:2"]


def test_what_is_lost_in_a_paused_update_of_the_old_revision_comes_back_as_that() -> None:
    web = running(replicas=3)
    web.declare("web:2", 3)
    web.step()
    web.up(1)
    web.step()
    web.gone()
    web.service.spec.paused = True
    web.step()
    web.end(3, 137)
    assert web.step() == ["create 3 web:1"]


def test_what_is_lost_when_an_update_was_stopped_by_its_deadline_comes_back_though_the_new_one_may_yet_work() -> None:
    web = running()
    web.declare("web:2", update=UPDATE(deadline=seconds(30)))
    web.step()
    web.wait(30)
    web.step()
    assert (web.step(), web.rollout.state) == ([], Rollout.FAILED)
    web.end(1, 137, "web:1")
    assert web.step() == ["delete 1 web:2"], "it was never started"
    web.gone()
    assert web.step() == ["create 1 web:1"]


def test_a_pause_holds_nothing_but_updates() -> None:
    web = Web()
    web.declare("web:1", 2, paused=True)
    assert web.step() == ["create 1 web:1", "create 2 web:1"]


def test_a_stopped_update_tries_its_failed_container_anew_when_it_is_resumed() -> None:
    web = running(replicas=2)
    web.declare("web:2", 2)
    web.step()
    crash_at_once(web, 1)
    web.step()
    web.step()
    web.wait(60)
    web.resume()
    assert web.step() == ["stop 1 web:2"]
    web.end(1, 143)
    assert web.step() == ["create 1 web:2"]
    assert (web.rollout.state, list(web.rollout.failed_slots)) == (Rollout.IN_PROGRESS, [])
    web.up(1)
    assert "create 2 web:2" in web.step()


def test_an_update_waits_for_what_has_to_come_before_it() -> None:
    web = running()
    web.declare("web:2")
    web.waits_for = "service db to be healthy"
    assert web.step() == []
    assert (web.rollout.state, web.rollout.message) == (Rollout.PAUSED, "waits for service db to be healthy")
    web.waits_for = ""
    assert web.step() == ["create 1 web:2"]


# What is lost meanwhile.


def test_an_old_replica_that_dies_during_an_unproven_update_is_replaced_by_what_served_before() -> None:
    web = running(replicas=2)
    web.declare("web:2", 2)
    web.step()
    web.started(1)
    web.end(2, 137)
    assert web.step() == ["create 2 web:1"]


def test_an_old_replica_that_dies_when_the_update_has_shown_that_it_works_is_replaced_by_the_new_one() -> None:
    web = running(replicas=3)
    web.declare("web:2", 3)
    web.step()
    web.up(1)
    web.step()
    web.gone()
    web.end(3, 137)
    assert "create 3 web:2" in web.step()


def test_when_the_update_was_stopped_and_the_old_one_dies_the_failed_one_makes_room_for_what_served_before() -> None:
    web = running()
    web.declare("web:2")
    web.step()
    crash_at_once(web, 1)
    web.step()
    web.end(1, 137, "web:1")
    assert web.step() == ["stop 1 web:2"]
    web.end(1, 143, "web:2")
    assert web.step() == ["create 1 web:1"]
    assert web.rollout.state == Rollout.FAILED


def test_what_is_lost_comes_back_as_the_new_one_when_nothing_is_kept_of_what_served_before() -> None:
    web = running(replicas=2)
    web.declare("web:2", 2)
    web.step()
    for revision in [it for it in web.revisions if it != web.kept.revision]:
        del web.revisions[revision]
    web.end(2, 137)
    assert web.step() == ["create 2 web:2"]


def test_a_scale_down_during_an_update_takes_what_does_not_serve_first() -> None:
    web = running(replicas=2)
    web.declare("web:2", 2)
    web.step()
    web.up(1)
    web.step()
    web.gone()
    web.sick(1)
    web.service.spec.replicas = 1
    assert web.step()[0] == "delete 1 web:2"
    assert web.serving == ["web:1"]
