"""Events: identical ones are counted, the store of them is bounded."""

import logging
from datetime import timedelta

import pytest

from controller.store import CONTAINER, EVENT, NORMAL, SERVICE, WARNING, Recorder, Store, reference
from proto.dockrunner import v1 as pb
from tests.clock import ManualClock
from tests.unit.store.objects import a_container, a_service


class Desk:
    """A recorder with its store and clock."""

    def __init__(self, limit: int = 1000) -> None:
        self.clock = ManualClock()
        self.store = Store(self.clock)
        self.recorder = Recorder(self.store, self.clock, limit=limit)
        self.web = reference(self.store.create(SERVICE, a_service()))

    def say(self, message: str = "text", reason: str = "Reason", type_: str = NORMAL, source: str = "test") -> None:
        self.recorder.record(source, self.web, type_, reason, message)

    def events(self) -> list[pb.Event]:
        return self.store.list(EVENT)


def test_a_hundred_repeats_are_one_event_with_a_count_of_100() -> None:
    desk = Desk()
    for _ in range(100):
        desk.say()
        desk.clock.tick(1)
    (event,) = desk.events()
    assert event.count == 100
    assert event.last_time.ToDatetime() - event.first_time.ToDatetime() == timedelta(seconds=99)
    assert (event.type, event.reason, event.message, event.source) == ("Normal", "Reason", "text", "test")
    assert event.regarding == desk.web


def test_what_differs_in_anything_is_another_event() -> None:
    desk = Desk()
    desk.say()
    desk.say(message="other")
    desk.say(reason="Other")
    desk.say(type_=WARNING)
    desk.say(source="other")
    desk.web.uid = "recreated"
    desk.say()
    assert [event.count for event in desk.events()] == [1] * 6


def test_only_so_many_are_kept_and_those_that_were_seen_last() -> None:
    desk = Desk(limit=2)
    for message in ("a", "b", "a", "c"):
        desk.say(message)
    assert sorted(event.message for event in desk.events()) == ["a", "c"]
    desk.say("b")
    assert sorted((event.message, event.count) for event in desk.events()) == [("b", 1), ("c", 1)]


def test_an_event_names_its_object_and_that_objects_service() -> None:
    store = Store(ManualClock())
    service = store.create(SERVICE, a_service("web"))
    container = store.create(CONTAINER, a_container("web-1", "web"))
    assert reference(service) == pb.ObjectReference(kind="Service", name="web", uid=service.metadata.uid, service="web")
    assert reference(container) == pb.ObjectReference(
        kind="Container", name="web-1", uid=container.metadata.uid, service="web"
    )


def test_an_events_names_are_unique_though_its_objects_are_not_named() -> None:
    desk = Desk()
    for message in ("a", "b"):
        desk.recorder.record("test", pb.ObjectReference(kind="Config"), WARNING, "Broken", message)
    assert [event.metadata.name for event in desk.events()] == ["config.00000001", "config.00000002"]


def test_a_source_says_25_things_of_an_object_and_then_one_in_5_minutes() -> None:
    desk = Desk()
    for number in range(40):
        desk.say(f"thing {number}")
    assert len(desk.events()) == 25
    desk.clock.tick(299)
    desk.say("too early")
    assert len(desk.events()) == 25
    desk.clock.tick(1)
    desk.say("in time")
    desk.say("one too many")
    assert len(desk.events()) == 26
    desk.clock.tick(100_000)
    for number in range(40):
        desk.say(f"later thing {number}")
    assert len(desk.events()) == 26 + 25, "what was not said is not saved up"


def test_another_object_or_source_may_speak_for_itself() -> None:
    desk = Desk()
    for number in range(40):
        desk.say(f"thing {number}")
    desk.say("of another source", source="other")
    desk.web.uid = "recreated"
    desk.say("of another object")
    assert len(desk.events()) == 27


def test_the_steps_of_an_update_do_not_drown_that_it_failed() -> None:
    desk = Desk()
    for number in range(40):
        desk.say(f"container {number}", reason="Deleting")
    desk.say("no progress", reason="RolloutFailed")
    assert desk.events()[-1].reason == "RolloutFailed"


def test_what_was_said_before_is_counted_however_much_was_said() -> None:
    desk = Desk()
    for number in range(40):
        desk.say(f"thing {number}")
    for _ in range(10):
        desk.say("thing 3")
    assert max(event.count for event in desk.events()) == 11


def test_a_message_is_kept_within_bounds() -> None:
    desk = Desk()
    desk.say("x" * 5000)
    assert len(desk.events()[0].message) == 1024


def test_what_was_said_before_takes_nothing_from_what_may_be_said() -> None:
    desk = Desk()
    for _ in range(100):
        desk.say("again")
    for number in range(24):
        desk.say(f"thing {number}")
    assert len(desk.events()) == 25


def test_only_so_many_objects_are_remembered_to_have_been_spoken_of() -> None:
    desk = Desk()
    for number in range(26):
        desk.say(f"thing {number}")
    for number in range(4096):
        desk.recorder.record("test", pb.ObjectReference(name=f"other-{number}"), NORMAL, "Reason", "text")
    desk.say("anew")
    assert "anew" in [event.message for event in desk.events()]


def test_what_is_one_too_many_is_in_the_debug_log(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk()
    with caplog.at_level(logging.DEBUG, "dock_runner.events"):
        for number in range(26):
            desk.say(f"thing {number}")
    assert caplog.messages == ["test: Service web: one event too many: Reason: thing 25"]
