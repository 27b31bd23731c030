"""What is said of a service: counts, and each reason of each condition."""

from collections.abc import Callable
from typing import Any

import pytest

from handlers.planner import plan
from handlers.status import status_of
from proto.dockrunner import v1 as pb

from .scripted_world import Web, running, seconds
from .world import NOW, State


def status(web: Web, refused: str = "") -> pb.ServiceStatus:
    """What the next pass would write, given what is there before its plan is carried out."""
    answer = plan(web.service, web.containers, web.now, revisions=list(web.revisions.values()), waits_for=web.waits_for)
    return status_of(web.service, web.containers, answer, web.now, refused=refused)


def condition(web: Web, type_: str, refused: str = "") -> pb.Condition:
    return next(it for it in status(web, refused).conditions if it.type == type_)


def said(web: Web, type_: str, refused: str = "") -> tuple[str, str, str]:
    it = condition(web, type_, refused)
    return it.status, it.reason, it.message


def declared(replicas: int = 1, **spec: Any) -> Web:
    """Nothing of it is there yet."""
    web = Web()
    web.declare("web:1", replicas, **spec)
    return web


def job(*exit_codes: int) -> Web:
    """A job of so many replicas that have ended."""
    web = declared(len(exit_codes), restart="no")
    web.step()
    for slot, code in enumerate(exit_codes, 1):
        web.started(slot, pb.Health.NONE)
        web.end(slot, code)
    return web


def deleting(web: Web) -> Web:
    web.service.metadata.delete_time.FromDatetime(web.now)
    return web


def updating(**update: Any) -> Web:
    """One of two replicas is of the new revision and works."""
    web = running(replicas=2)
    web.declare("web:2", 2, update=pb.UpdateConfig(**update))
    web.step()
    web.up(1)
    web.step()
    web.gone()
    web.step()
    return web


def failed(**update: Any) -> Web:
    """The second of two new replicas crashes, and it is known what follows."""
    web = updating(**update)
    web.started(2)
    web.crash(2)
    web.step()
    return web


# Ready.


def test_ready_is_that_as_many_are_ready_as_are_wanted() -> None:
    web = running(replicas=2)
    assert said(web, "Ready") == ("True", "ReplicasReady", "2 of 2 ready")


def test_a_service_of_no_replicas_is_ready() -> None:
    assert said(declared(0), "Ready") == ("True", "ReplicasReady", "0 of 0 ready")


def test_not_ready_says_how_many_are() -> None:
    web = running(replicas=2)
    web.end(2, 137)
    assert said(web, "Ready") == ("False", "ReplicasNotReady", "1 of 2 ready")


def test_not_ready_says_what_keeps_the_others_from_it() -> None:
    web = running(replicas=2)
    web.sick(2)
    assert said(web, "Ready")[2] == f"1 of 2 ready: {web.of(2).metadata.name}: unhealthy"


def test_no_more_than_three_troubles_are_told() -> None:
    web = running(replicas=5)
    for slot in range(1, 6):
        web.sick(slot)
    assert said(web, "Ready")[2].count("unhealthy") == 3
    assert said(web, "Degraded")[2].count("unhealthy") == 3


def test_the_old_ones_count_as_ready_during_an_update() -> None:
    assert said(updating(), "Ready") == ("True", "ReplicasReady", "2 of 2 ready")


def test_a_job_that_has_ended_is_completed_however_it_ended() -> None:
    assert said(job(0, 0), "Ready") == ("True", "Completed", "2 of 2 completed")
    assert said(job(0, 3), "Ready") == ("True", "Completed", "2 of 2 completed")


def test_a_job_of_which_one_runs_is_completed_as_far_as_it_is() -> None:
    web = job(0, 0)
    web.up(2)
    web.of(2).status.ClearField("exit_code")
    assert said(web, "Ready") == ("True", "Completed", "1 of 2 completed")


def test_what_waits_says_what_for() -> None:
    web = declared()
    web.waits_for = "service db to be healthy"
    assert said(web, "Ready") == ("False", "Waiting", "waits for service db to be healthy")


def test_what_was_begun_no_longer_waits() -> None:
    web = running()
    web.waits_for = "service db to be healthy"
    web.sick(1)
    assert said(web, "Ready")[1] == "ReplicasNotReady"


def test_what_is_being_deleted_is_not_ready() -> None:
    assert said(deleting(running()), "Ready") == ("False", "Deleting", "being deleted")


# Progressing.


def test_what_runs_as_declared_has_converged() -> None:
    assert said(running(replicas=2), "Progressing") == ("False", "Converged", "runs as declared")
    assert said(job(0), "Progressing") == ("False", "Converged", "runs as declared")


def test_what_is_to_be_made_is_reconciled() -> None:
    web = declared(2)
    assert said(web, "Progressing") == ("True", "Reconciling", "0 of 2 ready")
    web.step()
    web.up(1)
    assert said(web, "Progressing") == ("True", "Reconciling", "1 of 2 ready")


def test_it_has_not_converged_before_what_goes_has_gone() -> None:
    web = running(replicas=2)
    web.service.spec.replicas = 1
    web.step()
    assert said(web, "Progressing")[1] == "Reconciling"
    web.gone()
    assert said(web, "Progressing")[1] == "Converged"


def test_it_has_not_converged_while_a_replacement_waits() -> None:
    web = running(restart="replace", restart_backoff=pb.RestartBackoff(min=seconds(5)))
    web.of(1).status.started_at.FromDatetime(web.now)
    web.end(1, 1)
    assert said(web, "Progressing")[1] == "Reconciling"


def test_an_update_says_how_far_it_is() -> None:
    web = updating()
    assert said(web, "Progressing") == (
        "True", "RollingOut", f"1 of 2 updated to revision {web.rollout.revision}"
    )  # fmt: skip


def test_a_paused_update_does_not_progress() -> None:
    web = updating()
    web.service.spec.paused = True
    revision = web.rollout.revision
    assert said(web, "Progressing") == ("False", "Paused", f"1 of 2 updated to revision {revision}: paused")


def test_an_update_that_was_stopped_does_not_progress_and_says_why() -> None:
    web = failed()
    name = web.of(2).metadata.name
    assert said(web, "Progressing") == (
        "False", "RolloutFailed",
        f"1 of 2 updated to revision {web.rollout.revision}: {name}: exited with 1, restarted once",
    )  # fmt: skip


def test_what_is_being_taken_back_progresses_until_it_is_back() -> None:
    web = failed(failure_action="rollback")
    assert said(web, "Progressing")[:2] == ("True", "RollingBack")
    web.step()
    web.gone()
    web.up(1)
    web.step()
    web.gone()
    assert said(web, "Progressing")[:2] == ("False", "RolledBack")
    assert web.kept.failure in said(web, "Progressing")[2]


def test_what_is_being_deleted_progresses() -> None:
    assert said(deleting(running()), "Progressing") == ("True", "Deleting", "its containers are going")


# Degraded.


def test_without_trouble_it_is_as_expected() -> None:
    expected = ("False", "AsExpected", "no container has trouble")
    assert said(running(), "Degraded") == expected
    assert said(updating(), "Degraded") == expected
    assert said(job(0), "Degraded") == expected
    assert said(declared(), "Degraded") == expected


def test_what_is_no_longer_allowed_says_why_before_all_else() -> None:
    assert said(failed(), "Degraded", refused="spec.privileged: is not allowed") == (
        "True", "NoLongerAllowed",
        "no longer allowed, so nothing of it is made or changed: spec.privileged: is not allowed",
    )  # fmt: skip


def test_an_update_that_was_stopped_is_said_until_it_is_superseded() -> None:
    web = failed()
    assert said(web, "Degraded") == ("True", "RolloutFailed", web.kept.failure)
    web.declare("web:1", 2)
    web.of(2).status.state = State.EXITED
    assert said(web, "Degraded")[1] == "AsExpected"


def test_what_was_taken_back_is_degraded_though_all_replicas_are_ready() -> None:
    web = failed(failure_action="rollback")
    assert said(web, "Degraded")[:2] == ("True", "RolledBack")
    web.step()
    web.gone()
    web.up(1)
    web.step()
    web.gone()
    assert said(web, "Degraded") == ("True", "RolledBack", web.kept.failure)
    assert said(web, "Ready")[:2] == ("True", "ReplicasReady")


def test_a_job_that_failed_says_how_it_ended() -> None:
    web = job(0, 3)
    assert said(web, "Degraded") == ("True", "Failed", f"{web.of(2).metadata.name}: exited with 3")


def test_a_crash_loop_says_how_often_and_how_it_ended() -> None:
    web = running()
    web.crash(1, times=3)
    assert said(web, "Degraded") == (
        "True", "CrashLoop", f"{web.of(1).metadata.name}: exited with 1, 3 times in a row"
    )  # fmt: skip


def oom(web: Web) -> None:
    web.crash(1)
    web.of(1).status.oom_killed = True


def stuck(web: Web) -> None:
    web.of(1).status.ready = False
    web.stuck(1, "PortTaken", "port 80 is taken")


def paused(web: Web) -> None:
    web.of(1).status.state, web.of(1).status.ready = State.PAUSED, False


@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        (lambda web: web.crash(1), "exited with 1, restarting"),
        (oom, "out of memory, restarting"),
        (lambda web: web.sick(1), "unhealthy"),
        (stuck, "port 80 is taken"),
        (paused, "paused"),
    ],
    ids=["restarting", "out of memory", "unhealthy", "stuck", "paused"],
)
def test_a_container_in_trouble_is_named_with_it(trouble: Callable[[Web], None], message: str) -> None:
    web = running()
    trouble(web)
    assert said(web, "Degraded") == ("True", "ContainerFailing", f"{web.of(1).metadata.name}: {message}")
    assert said(web, "Ready") == ("False", "ReplicasNotReady", f"0 of 1 ready: {web.of(1).metadata.name}: {message}")


def pulling(web: Web, reason: str) -> None:
    web.made(1)
    container = web.of(1)
    container.status.state, container.status.reason = State.PULLING, reason
    container.status.message = "pulling web:1: 3 of 6 MB"


def test_a_pull_is_told_and_is_no_trouble() -> None:
    web = declared()
    web.step()
    pulling(web, reason="")
    assert said(web, "Degraded")[1] == "AsExpected"
    assert said(web, "Ready")[2] == f"0 of 1 ready: {web.of(1).metadata.name}: pulling web:1: 3 of 6 MB"


def test_a_pull_that_has_failed_before_is_trouble_until_it_has_come() -> None:
    web = declared()
    web.step()
    pulling(web, reason="RegistryUnreachable")
    assert said(web, "Degraded")[:2] == ("True", "ContainerFailing")


def test_a_container_whose_health_is_not_known_yet_is_told_and_is_no_trouble() -> None:
    web = declared()
    web.step()
    web.started(1)
    assert said(web, "Degraded")[1] == "AsExpected"
    assert said(web, "Ready")[2].endswith(": its health check has not passed yet")


def test_a_container_that_has_to_run_for_a_while_is_told_and_is_no_trouble() -> None:
    web = declared(update=pb.UpdateConfig(monitor=seconds(2)))
    web.step()
    web.started(1, health=pb.Health.NONE)
    assert said(web, "Degraded")[1] == "AsExpected"
    assert said(web, "Ready")[2].endswith(": it has to run for 2 s")


def test_what_is_ready_has_no_trouble_whatever_its_message_says() -> None:
    web = running()
    web.stuck(1, "", "a note")
    assert said(web, "Degraded")[1] == "AsExpected"


def test_what_is_on_its_way_out_has_no_trouble() -> None:
    web = running(replicas=2)
    web.sick(2)
    web.service.spec.replicas = 1
    web.step()
    assert said(web, "Degraded")[1] == "AsExpected"


# Counts.


def test_what_is_there_is_counted() -> None:
    web = updating()
    web.end(2, 137, "web:1")
    found = status(web)
    assert (found.replicas, found.updated_replicas, found.ready_replicas, found.available_replicas) == (2, 2, 1, 1)
    assert found.revision == web.kept.revision


def test_what_is_on_its_way_out_is_not_counted() -> None:
    web = running(replicas=2)
    web.service.spec.replicas = 1
    web.step()
    found = status(web)
    assert (found.replicas, found.ready_replicas) == (1, 1)


def test_of_what_was_taken_back_those_are_updated_that_are_of_what_it_was_taken_back_to() -> None:
    web = failed(failure_action="rollback")
    back = web.kept.rolled_back_to
    assert (status(web).revision, status(web).updated_replicas) == (back, 1)


def test_restarts_are_those_of_all_slots_and_of_two_in_one_slot_the_more() -> None:
    web = running(replicas=2)
    web.of(1).spec.restarts, web.of(1).status.restart_count = 2, 3
    web.of(2).status.restart_count = 1
    assert status(web).restarts == 6
    web.declare("web:2", 2)
    web.step()
    assert status(web).restarts == 6


def test_it_speaks_of_the_present_generation() -> None:
    web = running()
    web.service.metadata.generation = 7
    found = status(web)
    assert found.observed_generation == 7
    assert {it.observed_generation for it in found.conditions} == {7}


def test_a_rollout_is_part_of_it_unless_the_service_is_being_deleted() -> None:
    web = updating()
    assert status(web).rollout.state == pb.Rollout.IN_PROGRESS
    assert not status(deleting(web)).HasField("rollout")


# Conditions.


def test_the_time_of_a_condition_moves_only_when_its_status_flips() -> None:
    web = declared()
    web.service.status.CopyFrom(status(web))
    web.step()
    web.wait(5)
    web.service.status.CopyFrom(status(web))
    assert condition(web, "Ready").last_transition_time.ToDatetime(NOW.tzinfo) == NOW
    web.up(1)
    assert condition(web, "Ready").last_transition_time.ToDatetime(NOW.tzinfo) == web.now


def test_what_others_say_of_the_service_stays() -> None:
    web = running()
    ours = pb.Condition(type="Backed up", status="True")
    web.service.status.conditions.append(ours)
    assert [it.type for it in status(web).conditions] == ["Ready", "Progressing", "Degraded", "Backed up"]
    web.service.status.CopyFrom(status(web))
    assert len(status(web).conditions) == 4
