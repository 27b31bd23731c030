"""How an update goes: how many at once, when the next, which of old and new goes first."""

from typing import Any

import pytest

from handlers.operations import Create, Delete
from proto.dockrunner import v1 as pb

from .scripted_world import Web, running, seconds
from .world import NOW

Rollout = pb.Rollout
UPDATE = pb.UpdateConfig


@pytest.mark.parametrize(("parallelism", "first"), [(None, [1]), (1, [1]), (2, [1, 2]), (0, [1, 2, 3]), (9, [1, 2, 3])])
def test_as_many_slots_are_replaced_at_once_as_parallelism_says_and_all_with_zero(
    parallelism: int | None, first: list[int]
) -> None:
    web = running(replicas=3)
    web.declare("web:2", 3, update=UPDATE(parallelism=parallelism))
    assert web.step() == [f"create {slot} web:2" for slot in first]


def test_with_two_at_once_the_next_follows_as_soon_as_one_is_ready() -> None:
    web = running(replicas=4)
    web.declare("web:2", 4, update=UPDATE(parallelism=2))
    web.step()
    web.up(2)
    assert web.step() == ["delete 2 web:1", "create 3 web:2"]


def test_the_next_slot_waits_for_the_delay_after_the_one_before_has_shown_that_it_works() -> None:
    web = running(replicas=2)
    web.declare("web:2", 2, update=UPDATE(delay=seconds(10), monitor=seconds(5)))
    assert "create 1 web:2" in web.step(), "there is nothing to wait for before the first"
    web.up(1)
    assert web.step() == ["delete 1 web:1"]
    web.wait(5)
    assert (web.step(), web.look_again) == ([], 10)
    web.wait(9.9)
    assert web.step() == []
    web.wait(0.1)
    assert web.step() == ["create 2 web:2"]


def test_without_a_health_check_a_ready_container_is_trusted_after_a_second() -> None:
    web = running(replicas=2)
    web.declare("web:2", 2)
    web.step()
    web.up(1, health=pb.Health.NONE)
    assert (web.step(), web.look_again) == ([], 1)
    web.wait(1)
    assert web.step() == ["delete 1 web:1", "create 2 web:2"]


def test_with_a_health_check_a_ready_container_is_trusted_at_once() -> None:
    web = running(replicas=2)
    web.declare("web:2", 2)
    web.step()
    web.up(1)
    assert web.step() == ["delete 1 web:1", "create 2 web:2"]


def test_without_a_health_check_a_container_is_to_run_for_monitor_before_it_is_ready() -> None:
    web = running(replicas=2)
    web.declare("web:2", 2, update=UPDATE(monitor=seconds(30)))
    assert "create 1 web:2" in web.step()
    assert web.of(1).spec.min_ready == seconds(30)
    web.started(1, pb.Health.NONE)
    web.wait(29)
    assert web.step() == []
    web.up(1, health=pb.Health.NONE)
    assert web.step() == ["delete 1 web:1", "create 2 web:2"], "monitor has passed, and is not waited for once more"


def test_with_a_health_check_the_old_one_goes_when_healthy_and_the_next_slot_waits_for_monitor() -> None:
    web = running(replicas=2)
    web.declare("web:2", 2, update=UPDATE(monitor=seconds(30)))
    web.step()
    web.up(1)
    assert web.step() == ["delete 1 web:1"]
    assert web.look_again == 30
    web.wait(29)
    assert web.step() == []
    web.wait(1)
    assert web.step() == ["create 2 web:2"]


def test_a_rollout_is_shown_from_its_beginning_to_its_end_and_no_longer() -> None:
    web = running(replicas=2)
    assert not web.service.status.HasField("rollout")
    web.declare("web:2", 2)
    web.step()
    assert (web.rollout.state, web.rollout.updated, web.rollout.order) == (Rollout.IN_PROGRESS, 0, "start-first")
    began = web.rollout.start_time
    web.wait(7)
    web.up(1)
    web.step()
    web.step()
    assert (web.rollout.updated, web.rollout.start_time) == (1, began)
    assert web.rollout.last_progress_time.ToDatetime(NOW.tzinfo) == web.now
    web.up(2)
    web.step()
    assert web.plan.verdict is None
    assert web.step() == []
    assert (web.service.status.HasField("rollout"), web.look_again) == (False, None)
    assert web.serving == ["web:2", "web:2"]


def test_what_is_new_from_the_first_is_no_update() -> None:
    web = Web()
    web.declare("web:1", 3)
    assert web.step() == ["create 1 web:1", "create 2 web:1", "create 3 web:1"]
    assert not web.service.status.HasField("rollout")


@pytest.mark.parametrize(("paused", "image"), [(False, "web:2"), (True, "web:1")])
def test_what_is_scaled_up_during_an_update_is_of_the_new_revision_unless_the_update_is_held(
    paused: bool, image: str
) -> None:
    web = running(replicas=2)
    web.declare("web:2", 2)
    web.step()
    web.declare("web:2", 3, paused=paused)
    assert web.step() == [f"create 3 {image}"]


def test_what_a_plan_creates_and_deletes_has_a_cause() -> None:
    web = running(replicas=2)
    web.declare("web:2", 2)
    web.step()
    (create,) = web.plan.operations
    assert (isinstance(create, Create), create.cause) == (True, "image web:1 → web:2")
    web.up(1)
    web.step()
    delete = web.plan.operations[0]
    assert (isinstance(delete, Delete), delete.cause) == (True, "image web:1 → web:2")


VOLUME = pb.Mount(type="volume", source="data", target="/data")


# Which goes first.


def test_start_first_never_has_fewer_ready_than_before() -> None:
    web = running(replicas=2)
    web.declare("web:2", 2)
    seen = []
    for _ in range(6):
        for step in web.step():
            if step.startswith("create"):
                web.up(int(step.split()[1]))
        seen.append(len({it.spec.slot for it in web.containers if it.status.ready}))
        web.gone()
    assert (set(seen), web.serving) == ({2}, ["web:2", "web:2"])


def test_stop_first_makes_the_new_one_stops_the_old_one_and_starts_the_new_one_slot_after_slot() -> None:
    web = running(replicas=2)
    web.declare("web:2", 2, update=UPDATE(order="stop-first"))
    assert web.step() == ["create 1 web:2, held"]
    assert web.step() == [], "its image may yet be on the way"
    web.made(1)
    assert web.step() == ["delete 1 web:1"]
    assert (web.rollout.order, web.rollout.reason) == ("stop-first", "")
    assert web.step() == [], "the old one is still going"
    web.gone()
    assert web.step() == ["release 1 web:2"]
    assert web.step() == []
    web.up(1)
    assert web.step() == ["create 2 web:2, held"]


def test_stop_first_takes_away_no_more_at_once_than_parallelism() -> None:
    web = running(replicas=3)
    web.declare("web:2", 3, update=UPDATE(order="stop-first", parallelism=2))
    assert web.step() == ["create 1 web:2, held", "create 2 web:2, held"]
    web.end(3, None)  # somebody takes away a third one
    web.made(1)
    web.made(2)
    steps = web.step()
    assert [it for it in steps if it.startswith("delete")] == ["delete 1 web:1"], steps


def test_the_old_one_stays_while_another_slot_does_not_serve() -> None:
    web = running(replicas=2)
    web.declare("web:2", 2, update=UPDATE(order="stop-first"))
    web.step()
    web.made(1)
    web.sick(2)
    web.of(2).status.started_at.FromDatetime(web.now)
    assert "delete 1 web:1" not in web.step()


def addressed(address: str) -> dict[str, Any]:
    kind = "ipv6_address" if ":" in address else "ipv4_address"
    return {"networks": {"back": pb.NetworkAttachment(**{kind: address})}}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("replicas", "spec", "reason"),
    [
        (1, {"ports": [pb.Port(target=80, published="8080")]}, "its host ports leave no room for a second container"),
        (2, {"ports": [pb.Port(target=80, published="80-81")]}, "its host ports leave no room for a second container"),
        (1, {"volumes": [VOLUME]}, "a lone replica has its volume for itself"),
        (1, addressed("10.0.0.9"), "two containers cannot have one address"),
        (1, addressed("fd00::9"), "two containers cannot have one address"),
    ],
    ids=["fixed port", "full range", "volume", "address", "IPv6 address"],
)
def test_where_both_cannot_be_at_once_it_is_stop_first_and_says_why(
    replicas: int, spec: dict[str, Any], reason: str
) -> None:
    web = running(replicas=replicas, **spec)
    web.declare("web:2", replicas, update=UPDATE(order="start-first"), **spec)
    assert web.step() == ["create 1 web:2, held"]
    assert (web.rollout.order, web.rollout.reason) == ("stop-first", reason)
    assert web.plan.operations[0].cause == f"image web:1 → web:2 (stop-first: {reason})"
    web.made(1)
    assert web.step() == ["delete 1 web:1"]
    assert web.plan.operations[0].cause == f"image web:1 → web:2 (stop-first: {reason})"
    assert (web.rollout.order, web.rollout.reason) == ("stop-first", reason)


@pytest.mark.parametrize(
    ("replicas", "spec"),
    [
        (1, {"ports": [pb.Port(target=80, published="8080-8081")]}),
        (1, {"ports": [pb.Port(target=80)]}),
        (2, {"volumes": [VOLUME]}),
        (1, {"volumes": [pb.Mount(type="volume", source="data", target="/data", read_only=True)]}),
        (1, {"volumes": [pb.Mount(type="volume", target="/data")]}),
        (1, {"volumes": [pb.Mount(type="bind", source="/srv", target="/data")]}),
        (1, {"networks": {"back": pb.NetworkAttachment(aliases=["api"])}}),
    ],
    ids=["free port", "Docker's port", "shared volume", "read-only", "anonymous", "bind", "network"],
)
def test_where_both_can_be_at_once_it_is_start_first(replicas: int, spec: dict[str, Any]) -> None:
    web = running(replicas=replicas, **spec)
    web.declare("web:2", replicas, **spec)
    assert web.step() == ["create 1 web:2"]
    assert (web.rollout.order, web.rollout.reason) == ("start-first", "")


def test_a_full_disk_makes_it_stop_first_and_says_so() -> None:
    web = running()
    web.declare("web:2")
    web.step()
    web.stuck(1, "DiskFull", "no space left on device")
    assert web.step() == ["delete 1 web:1"]
    assert (web.rollout.order, web.rollout.reason) == ("stop-first", "the disk is full")


def test_an_old_one_is_not_given_for_an_image_that_has_no_room() -> None:
    web = running()
    web.declare("web:2")
    web.step()
    web.stuck(1, "NoRoomForImage", "no space left on device")
    assert web.step() == []
    assert web.rollout.state == Rollout.IN_PROGRESS, "somebody may make room"


def test_the_next_slot_waits_for_the_delay_after_the_one_before_is_ready() -> None:
    web = running(replicas=2)
    web.declare("web:2", 2, update=UPDATE(delay=seconds(10)))
    assert web.step() == ["create 1 web:2"]
    web.wait(5)
    web.up(1)
    assert web.step() == ["delete 1 web:1"]
    web.wait(9.9)
    assert web.step() == []
    web.wait(0.1)
    assert web.step() == ["create 2 web:2"]
