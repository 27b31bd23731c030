"""Subscribers are told of every change, in order, whatever they or others do."""

import pytest

from controller.store import SERVICE, Change
from proto.dockrunner import v1 as pb
from tests.unit.store.objects import a_service, a_store, image


def test_a_subscriber_that_fails_leaves_no_gap_in_a_watch() -> None:
    store = a_store()

    def fail(_: Change[pb.Service]) -> None:
        raise RuntimeError

    store.subscribe(SERVICE, fail)
    with store.watch(SERVICE) as watch:
        with pytest.raises(RuntimeError):
            store.create(SERVICE, a_service())
        assert watch.bookmark(0) is None  # a change waits


def test_a_subscriber_that_writes_is_not_overtaken() -> None:
    store = a_store()
    seen: list[int] = []

    def writes(change: Change[pb.Service]) -> None:
        if change.type == pb.ADDED:
            store.update(SERVICE, "web", image("by the subscriber"))

    store.subscribe(SERVICE, writes)
    store.subscribe(SERVICE, lambda change: seen.append(change.version))
    store.create(SERVICE, a_service())
    assert len(seen) == 2
    assert seen == sorted(seen)


def test_a_subscriber_that_fails_keeps_nobody_from_being_told() -> None:
    store = a_store()
    seen: list[str] = []

    def fail(change: Change[pb.Service]) -> None:
        if change.type == pb.ADDED:
            store.update(SERVICE, "web", image("by the subscriber"))
            raise RuntimeError("a defect")

    store.subscribe(SERVICE, fail)
    store.subscribe(SERVICE, lambda change: seen.append(change.new.spec.image if change.new else ""))
    with pytest.raises(RuntimeError, match="a defect"):
        store.create(SERVICE, a_service())
    assert seen == ["busybox", "by the subscriber"]
