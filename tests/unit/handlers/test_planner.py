"""What follows from a service and its containers."""

from datetime import timedelta

import pytest

from handlers.operations import Create
from handlers.planner import plan
from handlers.revision import revision_of
from proto.dockrunner import v1 as pb

from .world import NOW, State, container, in_short, leaving, planned, service


def name(of: pb.Container) -> str:
    return of.metadata.name


def test_nothing_becomes_as_many_containers_as_are_wanted_in_the_lowest_slots() -> None:
    assert planned(service(replicas=3)) == ["create 1", "create 2", "create 3"]


def test_what_is_as_declared_plans_nothing() -> None:
    web = service(replicas=2)
    assert planned(web, container(web, 1), container(web, 2)) == []


def test_scaling_up_takes_the_lowest_free_slot_first() -> None:
    web = service(replicas=3)
    assert planned(web, container(web, 1), container(web, 3)) == ["create 2"]


def test_scaling_down_takes_the_highest_slot_first() -> None:
    web = service(replicas=1)
    first, second, third = (container(web, slot) for slot in (1, 2, 3))
    assert planned(web, first, second, third) == [f"delete {name(third)}", f"delete {name(second)}"]


def test_scaling_to_zero_deletes_all() -> None:
    web = service(replicas=0)
    assert planned(web, only := container(web)) == [f"delete {name(only)}"]


def test_a_container_on_its_way_out_does_not_count() -> None:
    web = service()
    assert planned(web, leaving(container(web))) == ["create 1"]


def test_an_update_puts_the_new_container_beside_the_old_one() -> None:
    old, new = service("web:1"), service("web:2")
    assert planned(new, container(old)) == ["create 1"]


def test_the_old_container_goes_when_the_new_one_is_ready_and_not_before() -> None:
    old, new = service("web:1"), service("web:2")
    before, after = container(old), container(new, ready=False)
    assert planned(new, before, after) == []
    after.status.ready = True
    assert planned(new, before, after) == [f"delete {name(before)}"]


def test_an_update_replaces_one_slot_after_the_other() -> None:
    old, new = service("web:1", replicas=3), service("web:2", replicas=3)
    first, second, third = (container(old, slot) for slot in (1, 2, 3))
    assert planned(new, first, second, third) == ["create 1"]
    starting = container(new, 1, ready=False)
    assert planned(new, first, second, third, starting) == []
    starting.status.ready = True
    assert planned(new, first, second, third, starting) == [f"delete {name(first)}", "create 2"]


def test_an_update_begins_where_nothing_serves_anyway() -> None:
    old, new = service("web:1", replicas=2), service("web:2", replicas=2)
    assert planned(new, container(old, 1), container(old, 2, ready=False)) == ["create 2"]


def test_an_update_waits_until_every_slot_that_has_the_new_revision_is_ready() -> None:
    old, new = service("web:1", replicas=2), service("web:2", replicas=2)
    assert planned(new, container(old, 1), container(new, 2, State.RESTARTING)) == []


def test_a_newer_update_supersedes_one_that_did_not_get_ready() -> None:
    first, bad, good = service("web:1"), service("web:bad"), service("web:2")
    serving, failing = container(first), container(bad, state=State.CREATED)
    assert planned(good, serving, failing) == [f"delete {name(failing)}", "create 1"]


def prepared(of: pb.Service, slot: int = 1) -> pb.Container:
    """A container that was made, and waits for its predecessor to go."""
    held = container(of, slot, State.CREATED)
    held.spec.held = True
    return held


def test_without_a_free_host_port_the_new_container_is_made_and_starts_when_the_old_one_has_gone() -> None:
    port = [pb.Port(target=80, published="8080")]
    old, new = service("web:1", ports=port), service("web:2", ports=port)
    before = container(old)
    answer = plan(new, [before], NOW)
    assert [in_short(step) for step in answer.operations] == ["create 1, held"]
    assert "stop-first" in answer.operations[0].cause
    assert answer.rollout is not None
    assert (answer.rollout.order, answer.rollout.reason) == (
        "stop-first", "its host ports leave no room for a second container"
    )  # fmt: skip
    fetching = container(new, state=State.PULLING)
    fetching.spec.held = True
    assert planned(new, before, fetching) == [], "what serves does not go before its successor is there"
    after = prepared(new)
    assert planned(new, before, after) == [f"delete {name(before)}"]
    assert planned(new, leaving(before), after) == [], "the port is still held"
    assert planned(new, after) == [f"release {name(after)}"]


def test_a_lone_replica_with_a_named_volume_has_it_for_itself() -> None:
    volume = [pb.Mount(type="volume", source="data", target="/data")]
    old, new = service("web:1", volumes=volume), service("web:2", volumes=volume)
    before, after = container(old), prepared(new)
    answer = plan(new, [before], NOW)
    assert [in_short(step) for step in answer.operations] == ["create 1, held"]
    assert answer.rollout is not None
    assert answer.rollout.reason == "a lone replica has its volume for itself"
    assert planned(new, before, after) == [f"delete {name(before)}"]
    assert planned(new, leaving(before), after) == []
    assert planned(new, after) == [f"release {name(after)}"]
    assert planned(new, leaving(container(old))) == []


def test_a_port_that_is_about_to_be_free_is_waited_for_instead_of_stopping_first() -> None:
    port = [pb.Port(target=80, published="8080-8082")]
    old, new = service("web:1", 2, ports=port), service("web:2", 2, ports=port)
    made = [container(old, 2), container(new, 1), leaving(container(old, 1))]
    for number, it in enumerate(made):
        it.spec.template.ports[0].published = str(8080 + number)
    assert planned(new, *made) == []


def test_each_container_gets_the_lowest_free_port_of_a_range() -> None:
    web = service(replicas=3, ports=[pb.Port(target=80, published="8080-8089")])
    created = [step for step in plan(web, [], NOW).operations if isinstance(step, Create)]
    assert [step.template.ports[0].published for step in created] == ["8080", "8081", "8082"]


@pytest.mark.parametrize("policy", ["always", "unless-stopped", "on-failure"])
def test_a_container_that_was_killed_by_hand_is_replaced_at_once(policy: str) -> None:
    web = service(restart=policy)
    assert planned(web, container(web, state=State.EXITED, exit_code=137)) == ["create 1"]


@pytest.mark.parametrize("policy", ["always", "no", "on-failure"])
def test_a_container_that_vanished_is_replaced(policy: str) -> None:
    web = service(restart=policy)
    assert planned(web, container(web, state=State.EXITED)) == ["create 1"]


@pytest.mark.parametrize(("policy", "exit_code"), [("no", 0), ("no", 1), ("on-failure", 0)])
def test_a_container_that_has_done_its_work_is_left_alone(policy: str, exit_code: int) -> None:
    web = service(restart=policy)
    assert planned(web, container(web, state=State.EXITED, exit_code=exit_code)) == []


def test_on_failure_with_a_limit_gives_up_when_docker_has() -> None:
    web = service(restart="on-failure:2")
    ended = container(web, state=State.EXITED, exit_code=1)
    ended.status.restart_count = 2
    assert planned(web, ended) == []


def test_the_ended_container_goes_when_its_successor_serves() -> None:
    web = service()
    ended, successor = container(web, state=State.EXITED, exit_code=137), container(web, ready=False)
    assert planned(web, ended, successor) == []
    successor.status.ready = True
    assert planned(web, ended, successor) == [f"delete {name(ended)}"]


def test_of_several_ended_containers_only_the_newest_is_kept() -> None:
    web = service(restart="on-failure:3")
    older = container(web, state=State.EXITED, exit_code=1, age=9)
    newer = container(web, state=State.EXITED, exit_code=1, age=1)
    assert planned(web, older, newer) == [f"delete {name(older)}", "create 1"]


def test_containers_that_fail_again_and_again_back_off() -> None:
    web = service(restart="on-failure:3")
    ended = container(web, state=State.EXITED, exit_code=1, ran=1)
    ended.spec.failures = 4
    answer = plan(web, [ended], NOW)
    assert (answer.operations, answer.look_again) == ((), timedelta(milliseconds=800))
    assert planned(web, ended, now=NOW + timedelta(milliseconds=800)) == ["create 1"]


def test_a_replacement_counts_the_restarts_of_its_slot() -> None:
    web = service()
    ended = container(web, state=State.EXITED, exit_code=137)
    ended.spec.restarts, ended.status.restart_count = 2, 3
    (create,) = plan(web, [ended], NOW).operations
    assert isinstance(create, Create)
    assert create.restarts == 6


def test_of_two_containers_in_one_slot_the_ready_one_stays() -> None:
    web = service()
    starting, serving = container(web, ready=False), container(web)
    assert planned(web, starting, serving) == [f"delete {name(starting)}"]


def test_a_container_that_has_done_its_work_is_not_replaced_by_one_that_has_yet_to_begin() -> None:
    web = service(restart="no")
    pending = container(web, state=State.PENDING, age=9)
    done = container(web, state=State.EXITED, exit_code=0)
    assert planned(web, pending, done) == [f"delete {name(pending)}"]


def test_the_restart_policy_and_the_number_of_replicas_change_in_place() -> None:
    before, after = service(restart="always"), service(restart="no")
    assert planned(after, it := container(before)) == [f"amend {name(it)}"]


def test_a_container_that_was_found_in_docker_is_known_by_its_revision_alone() -> None:
    web = service()
    found = container(web)
    found.spec.ClearField("template")
    assert planned(web, found) == []
    assert planned(service("web:2"), found) == ["create 1"]


def test_the_cause_names_what_changes_but_no_value_of_the_environment() -> None:
    old, new = service("web:1"), service("web:2")
    old.spec.environment["TOKEN"], new.spec.environment["TOKEN"] = "hunter1", "hunter2"
    (step,) = plan(new, [container(old)], NOW).operations
    assert step.cause == "image web:1 → web:2, environment.TOKEN changed"


def test_the_revision_is_stable_across_versions_of_the_program() -> None:
    web = service("nginx:1.27", ports=[pb.Port(target=80, published="8080-8089")], command=["serve", "--port=80"])
    web.spec.environment["LOG_LEVEL"] = "info"
    assert revision_of(web.spec) == "1-d6b6f7f9aa41"


@pytest.mark.parametrize(("field", "value"), [("replicas", 7), ("restart", "no"), ("pull_policy", "always")])
def test_the_revision_does_not_cover_what_changes_in_place(field: str, value: object) -> None:
    web, other = service(), service()
    setattr(other.spec, field, value)
    assert revision_of(web.spec) == revision_of(other.spec)


def taken(of: pb.Service, port: int) -> pb.Container:
    """A container that cannot start, as somebody else holds its port."""
    stuck = container(of, state=State.CREATED)
    stuck.spec.template.ports[0].published = str(port)
    stuck.status.reason = "PortTaken"
    return stuck


def test_a_port_of_a_range_that_somebody_else_holds_is_passed_over_up_to_the_end_of_the_range() -> None:
    web = service(ports=[pb.Port(target=80, published="8080-8082")])
    for port in (8080, 8081):
        before = taken(web, port)
        create, delete = plan(web, [before], NOW).operations
        assert isinstance(create, Create)
        assert create.template.ports[0].published == str(port + 1)
        assert in_short(delete) == f"delete {name(before)}"
    assert planned(web, taken(web, 8082)) == [], "it waits for that one"


def test_a_single_port_that_somebody_else_holds_is_waited_for() -> None:
    web = service(ports=[pb.Port(target=80, published="8080")])
    assert planned(web, taken(web, 8080)) == []


def test_a_container_that_was_found_made_and_not_started_starts_beside_the_old_one_if_it_can() -> None:
    old, new = service("web:1"), service("web:2")
    before, found = container(old), prepared(new)
    assert planned(new, before, found) == [f"release {name(found)}"]
    old, new = (service(it, ports=[pb.Port(target=80, published="8080-8089")]) for it in ("web:1", "web:2"))
    before, found = container(old), prepared(new)
    for it in (before, found):
        it.spec.template.ports[0].published = "8080"
    assert planned(new, before, found) == [f"delete {name(before)}"], "it was given the same port"
