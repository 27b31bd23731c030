"""What the store takes over from an earlier run, and what it would store of a new object."""

import pytest

from controller.errors import AlreadyExists
from controller.store import SERVICE, Store
from proto.dockrunner import v1 as pb
from tests.clock import ManualClock
from tests.unit.store.objects import a_service, a_store, image


def test_a_draft_is_what_create_would_store_and_stores_nothing() -> None:
    store = a_store()
    version = store.version
    draft = store.draft(SERVICE, a_service())
    assert (store.version, store.count(SERVICE)) == (version, 0)
    stored = store.create(SERVICE, draft)
    stored_without_version = pb.Service()
    stored_without_version.CopyFrom(stored)
    stored_without_version.metadata.ClearField("resource_version")
    assert stored_without_version == draft


def test_an_object_of_an_earlier_run_is_restored_as_it_was_under_a_new_version() -> None:
    earlier = a_store()
    earlier.create(SERVICE, a_service(finalizers=["f"]))
    earlier.update(SERVICE, "web", image("other"))
    marked = earlier.delete(SERVICE, "web")
    later = a_store(epoch=int(earlier.version) // 1_000_000 + 1)
    restored = later.restore(SERVICE, marked)
    assert restored.metadata.resource_version == later.version
    assert int(later.version) > int(earlier.version)
    again = pb.Service()
    again.CopyFrom(restored)
    again.metadata.resource_version = marked.metadata.resource_version
    assert again == marked
    with pytest.raises(AlreadyExists):
        later.restore(SERVICE, marked)


def test_versions_begin_at_the_epoch_that_is_given_whatever_the_clock_says() -> None:
    clock = ManualClock()
    later = int(clock.now().timestamp() * 1000) + 1
    before = Store(clock, epoch=later)
    after = Store(clock, epoch=later + 1)
    assert int(before.version) < int(before.create(SERVICE, a_service()).metadata.resource_version) < int(after.version)


def test_a_time_of_creation_that_is_given_is_kept() -> None:
    given = a_service()
    given.metadata.create_time.FromSeconds(7)
    assert a_store().create(SERVICE, given).metadata.create_time.seconds == 7
