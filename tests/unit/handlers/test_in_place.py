"""What changes in running containers, without new ones."""

from typing import Any

import pytest

from handlers.in_place import amended, describe_change, in_place
from handlers.operations import Amend
from proto.dockrunner import v1 as pb

from .scripted_world import Web, running, seconds

GIBIBYTE = 1 << 30


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"restart": "no"}, "restart always → no"),
        ({"restart": "replace"}, "restart always → no"),
        ({"cpus": 1.5}, "cpus none → 1.5"),
        ({"mem_limit": GIBIBYTE}, "mem_limit none → 1024 MiB"),
        ({"pids_limit": 100}, "pids_limit none → 100"),
        ({"update": pb.UpdateConfig(monitor=seconds(90))}, "monitor 0:00:00 → 0:01:30"),
        ({"cpus": 1, "pids_limit": 7}, "cpus none → 1, pids_limit none → 7"),
    ],
    ids=str,
)
def test_it_changes_in_every_container_at_once_and_says_what(change: dict[str, Any], cause: str) -> None:
    web = running(replicas=2)
    web.declare("web:1", 2, **change)
    assert web.step() == ["amend 1 web:1", "amend 2 web:1"]
    assert [it.cause for it in web.plan.operations] == [cause, cause]
    assert web.step() == [], "it is asked for once"
    assert web.rollout == pb.Rollout(), "no update"


@pytest.mark.parametrize(
    "change",
    [
        {"replicas": 1},
        {"pull_policy": "always"},
        {"restart_backoff": pb.RestartBackoff(min=seconds(5))},
        {"rollback": pb.UpdateConfig(parallelism=2)},
        {"update": pb.UpdateConfig(parallelism=2, monitor=seconds(0))},
        {"paused": True},
        {"image_check": seconds(60)},
    ],
    ids=str,
)
def test_what_containers_know_nothing_of_changes_nothing_in_them(change: dict[str, Any]) -> None:
    web = running()
    web.declare("web:1", **change)
    assert web.step() == []


def test_a_limit_is_taken_away() -> None:
    web = running(cpus=0.5, mem_limit=256 << 20)
    web.declare("web:1")
    assert web.step() == ["amend 1 web:1"]
    assert web.plan.operations[0].cause == "cpus 0.5 → none, mem_limit 256 MiB → none"
    assert web.of(1).spec.resources == pb.Resources()


def test_what_is_yet_to_be_replaced_by_an_update_is_changed_as_well() -> None:
    web = running(replicas=2)
    web.declare("web:2", 2, cpus=1)
    assert web.step() == ["create 1 web:2", "amend 1 web:1", "amend 2 web:1"]
    assert web.of(1).spec.resources.cpus == 1, "the new one has it from the first"
    assert web.step() == []


def test_what_goes_or_has_ended_or_was_stopped_is_not_changed() -> None:
    web = running(replicas=3)
    web.end(1, 137)
    web.of(3).spec.stopped = True
    web.declare("web:1", 2, cpus=1)
    steps = web.step()
    assert [it for it in steps if it.startswith("amend")] == ["amend 2 web:1"]


def test_what_is_stopped_by_the_same_plan_is_not_changed() -> None:
    web = running()
    web.sick(1)
    web.declare("web:1", cpus=1)
    assert web.step() == ["stop 1 web:1"]


def test_what_was_taken_back_follows_what_is_declared_in_place() -> None:
    web = running()
    web.declare("web:2", update=pb.UpdateConfig(failure_action="rollback"))
    web.step()
    web.started(1)
    web.crash(1)
    web.step()
    web.step()
    web.gone()
    web.service.spec.cpus = 2
    assert web.step() == ["amend 1 web:1"]


def test_all_else_of_a_container_stays_as_it_is() -> None:
    old = pb.ContainerSpec(
        service="web", slot=2, revision="1-abc", template=pb.ServiceSpec(image="web:1"), failures=3, restarts=4,
        restart="always", held=True, joined="c1", follows="db=1", min_ready=seconds(5),
    )  # fmt: skip
    wanted = in_place(pb.ServiceSpec(restart="no", cpus=1))
    new = amended(old, wanted)
    expected = pb.ContainerSpec()
    expected.CopyFrom(old)
    expected.restart = "no"
    expected.resources.cpus = 1
    expected.ClearField("min_ready")
    assert new == expected
    assert amended(new, wanted) == new


def test_a_container_whose_policy_is_not_known_gets_the_one_that_is_declared() -> None:
    web = running()
    web.of(1).spec.restart = ""
    assert web.step() == ["amend 1 web:1"]
    (step,) = web.plan.operations
    assert isinstance(step, Amend)
    assert (step.wanted.restart, step.cause) == ("always", "restart (unknown) → always")


def test_nothing_that_changes_is_said_in_no_words() -> None:
    spec = in_place(pb.ServiceSpec(cpus=1))
    assert describe_change(spec, spec) == ""


def test_new_containers_have_it_from_the_first() -> None:
    web = Web()
    web.declare("web:1", restart="on-failure:3", cpus=0.5, mem_limit=GIBIBYTE, pids_limit=9)
    web.step()
    made = web.of(1).spec
    assert (made.restart, made.resources) == (
        "on-failure:3", pb.Resources(cpus=0.5, mem_limit=GIBIBYTE, pids_limit=9)
    )  # fmt: skip
    assert web.step() == []
