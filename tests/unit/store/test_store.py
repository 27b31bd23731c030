"""Objects and their versions: the semantics of the Kubernetes API."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from controller.errors import AlreadyExists, BeingDeleted, Conflict, NotFound
from controller.store import CONTAINER, EVENT, SERVICE, Change, Store
from proto.dockrunner import v1 as pb
from tests.clock import ManualClock
from tests.unit.store.objects import (
    a_container,
    a_service,
    a_store,
    finalizers,
    generation,
    image,
    label,
    replicas,
)


def test_a_new_object_has_identity_and_time_and_the_callers_message_is_not_kept() -> None:
    clock = ManualClock()
    store = Store(clock)
    given = a_service()
    stored = store.create(SERVICE, given)
    given.spec.image = "changed afterwards"
    assert stored.metadata.uid
    assert stored.metadata.generation == 1
    assert stored.metadata.resource_version == store.version
    assert stored.metadata.create_time.ToDatetime(clock.now().tzinfo) == clock.now()
    assert store.get(SERVICE, "web") is stored
    assert stored.spec.image == "busybox"


def test_a_uid_that_is_given_is_kept_and_server_fields_are_not() -> None:
    forged = a_service(uid="known", generation=9, resource_version="9")
    forged.metadata.delete_time.GetCurrentTime()
    stored = a_store().create(SERVICE, forged)
    assert (stored.metadata.uid, stored.metadata.generation) == ("known", 1)
    assert stored.metadata.resource_version != "9"
    assert not stored.metadata.HasField("delete_time")


def test_names_are_unique_within_a_kind_alone() -> None:
    store = a_store()
    store.create(SERVICE, a_service("a"))
    store.create(CONTAINER, a_container("a", "a"))
    with pytest.raises(AlreadyExists, match="service 'a' already exists"):
        store.create(SERVICE, a_service("a"))


def test_what_is_not_there_is_found_as_none_or_raised() -> None:
    store = a_store()
    assert store.find(SERVICE, "web") is None
    with pytest.raises(NotFound, match="service 'web' not found"):
        store.get(SERVICE, "web")
    with pytest.raises(NotFound):
        store.update(SERVICE, "web", image("x"))
    with pytest.raises(NotFound):
        store.update_status(SERVICE, "web", replicas(1))
    with pytest.raises(NotFound):
        store.delete(SERVICE, "web")


def test_a_thousand_writes_over_all_kinds_have_unique_rising_versions() -> None:
    store = a_store()
    seen: list[int] = []
    store.subscribe(SERVICE, lambda change: seen.append(change.version))
    store.subscribe(CONTAINER, lambda change: seen.append(change.version))
    for number in range(500):
        store.create(SERVICE, a_service(f"s{number}"))
        store.create(CONTAINER, a_container(f"c{number}", "s"))
    assert len(seen) == 1000
    assert seen == sorted(set(seen))
    assert store.version == str(seen[-1])


@pytest.mark.parametrize("with_status", [False, True])
def test_a_write_that_changes_nothing_makes_no_version_and_no_change(with_status: bool) -> None:
    store = a_store()
    store.create(SERVICE, a_service())
    if with_status:
        store.update_status(SERVICE, "web", replicas(1))
    before, version = store.get(SERVICE, "web"), store.version
    seen: list[Change[pb.Service]] = []
    store.subscribe(SERVICE, seen.append)
    assert store.update(SERVICE, "web", image("busybox")) is before
    assert store.update(SERVICE, "web", replicas(9)) is before
    assert store.update_status(SERVICE, "web", lambda _: None) is before
    assert store.update_status(SERVICE, "web", image("y")) is before
    assert (store.version, seen) == (version, [])


def test_objects_handed_out_do_not_change_when_the_store_does() -> None:
    store = a_store()
    first = store.create(SERVICE, a_service())
    text = first.SerializeToString(deterministic=True)
    store.update(SERVICE, "web", image("other"))
    assert first.SerializeToString(deterministic=True) == text


def test_generation_counts_changes_of_the_spec_and_deletion_alone() -> None:
    store = a_store()
    store.create(SERVICE, a_service(finalizers=["ours"]))
    store.update(SERVICE, "web", label(a="1"))
    store.update_status(SERVICE, "web", replicas(1))
    assert generation(store) == 1
    store.update(SERVICE, "web", image("other"))
    assert generation(store) == 2
    store.delete(SERVICE, "web")
    store.delete(SERVICE, "web")
    assert generation(store) == 3


def test_an_update_cannot_write_the_status_and_a_status_write_nothing_else() -> None:
    store = a_store()
    store.create(SERVICE, a_service())

    def everything(service: pb.Service) -> None:
        service.spec.image = "other"
        service.status.replicas = 7
        service.metadata.labels["a"] = "1"

    store.update_status(SERVICE, "web", everything)
    stored = store.get(SERVICE, "web")
    assert (stored.spec.image, stored.status.replicas, dict(stored.metadata.labels)) == ("busybox", 7, {})
    store.update_status(SERVICE, "web", replicas(1))
    store.update(SERVICE, "web", everything)
    stored = store.get(SERVICE, "web")
    assert (stored.spec.image, stored.status.replicas, dict(stored.metadata.labels)) == ("other", 1, {"a": "1"})


def test_an_update_cannot_write_what_the_server_alone_writes() -> None:
    store = a_store()
    before = store.create(SERVICE, a_service())

    def forge(service: pb.Service) -> None:
        service.metadata.name = "other"
        service.metadata.uid = "other"
        service.metadata.generation = 99
        service.metadata.resource_version = "1"
        service.metadata.create_time.GetCurrentTime()
        service.metadata.delete_time.GetCurrentTime()

    assert store.update(SERVICE, "web", forge) is before


def test_of_two_writers_of_one_version_one_wins() -> None:
    store = a_store()
    version = store.create(SERVICE, a_service()).metadata.resource_version
    store.update(SERVICE, "web", image("a"), version=version)
    with pytest.raises(Conflict, match="has changed"):
        store.update(SERVICE, "web", image("b"), version=version)
    with pytest.raises(Conflict):
        store.delete(SERVICE, "web", version=version)
    assert store.get(SERVICE, "web").spec.image == "a"


def test_a_uid_of_an_earlier_object_is_refused() -> None:
    store = a_store()
    first = store.create(SERVICE, a_service())
    store.delete(SERVICE, "web", uid=first.metadata.uid)
    second = store.create(SERVICE, a_service())
    assert second.metadata.uid != first.metadata.uid
    with pytest.raises(Conflict, match="another one now"):
        store.update(SERVICE, "web", image("x"), uid=first.metadata.uid)
    with pytest.raises(Conflict, match="another one now"):
        store.update_status(SERVICE, "web", replicas(1), uid=first.metadata.uid)
    with pytest.raises(Conflict, match="another one now"):
        store.delete(SERVICE, "web", uid=first.metadata.uid)


def test_an_edit_that_fails_changes_nothing() -> None:
    store = a_store()
    before = store.create(SERVICE, a_service())

    def fail(service: pb.Service) -> None:
        service.spec.image = "half done"
        raise RuntimeError

    with pytest.raises(RuntimeError):
        store.update(SERVICE, "web", fail)
    assert store.get(SERVICE, "web") is before
    assert before.spec.image == "busybox"


def test_with_finalizers_a_deletion_marks_and_the_last_removal_deletes() -> None:
    clock = ManualClock()
    store = Store(clock)
    seen: list[Change[pb.Service]] = []
    store.create(SERVICE, a_service(finalizers=["a", "b"]))
    store.subscribe(SERVICE, seen.append)
    clock.tick(5)
    marked = store.delete(SERVICE, "web")
    created = marked.metadata.create_time.ToDatetime()
    assert marked.metadata.delete_time.ToDatetime() - created == timedelta(seconds=5)
    assert store.delete(SERVICE, "web") is marked
    for edit in (finalizers("a", "b", "c"), finalizers("c"), image("other")):
        with pytest.raises(BeingDeleted):
            store.update(SERVICE, "web", edit)
    store.update(SERVICE, "web", label(still="allowed"))
    store.update_status(SERVICE, "web", replicas(3))
    store.update(SERVICE, "web", finalizers("b"))
    last = store.update(SERVICE, "web", finalizers())
    assert store.find(SERVICE, "web") is None
    assert [change.type for change in seen] == [pb.MODIFIED] * 4 + [pb.DELETED]
    assert seen[-1].new is last
    assert last.metadata.resource_version == store.version
    assert (last.status.replicas, last.metadata.labels["still"]) == (3, "allowed")


def test_without_finalizers_a_deletion_deletes_with_a_version_of_its_own() -> None:
    store = a_store()
    before = store.create(SERVICE, a_service())
    gone = store.delete(SERVICE, "web")
    assert store.find(SERVICE, "web") is None
    assert int(gone.metadata.resource_version) > int(before.metadata.resource_version)
    assert gone.metadata.HasField("delete_time")
    assert gone.metadata.uid == before.metadata.uid


def test_finalizers_that_go_before_a_deletion_delete_nothing() -> None:
    store = a_store()
    store.create(SERVICE, a_service(finalizers=["a"]))
    store.update(SERVICE, "web", finalizers())
    assert store.count(SERVICE) == 1


def test_a_list_is_by_name_and_an_index_narrows_it() -> None:
    store = a_store()
    for name, service in (("c", "web"), ("a", "web"), ("b", "db")):
        store.create(CONTAINER, a_container(name, service))

    def names(value: str) -> list[str]:
        return [found.metadata.name for found in store.list(CONTAINER, index="service", value=value)]

    assert [found.metadata.name for found in store.list(CONTAINER)] == ["a", "b", "c"]
    assert (names("web"), names("db"), names("other")) == (["a", "c"], ["b"], [])
    store.update(CONTAINER, "a", lambda container: setattr(container.spec, "service", "db"))
    store.delete(CONTAINER, "b")
    assert (names("web"), names("db")) == (["c"], ["a"])
    assert store.list(CONTAINER, index="service", value="db") == [store.get(CONTAINER, "a")]


def test_an_event_changes_by_its_status_write_though_it_has_no_status() -> None:
    store = a_store()
    store.create(EVENT, pb.Event(metadata=pb.Metadata(name="e"), count=1))
    changed = store.update_status(EVENT, "e", lambda event: setattr(event, "count", 2))
    assert (changed.count, changed.metadata.generation) == (2, 1)


def test_a_write_from_another_thread_is_refused() -> None:
    store = a_store()
    with ThreadPoolExecutor(1) as pool, pytest.raises(RuntimeError, match="belongs to the event loop"):
        pool.submit(store.create, SERVICE, a_service()).result()
    assert store.count(SERVICE) == 0


def test_a_recreated_name_is_another_object() -> None:
    store = a_store()
    first = store.create(SERVICE, a_service())
    store.delete(SERVICE, "web")
    second = store.create(SERVICE, a_service())
    assert second.metadata.uid != first.metadata.uid
    assert second.metadata.generation == 1
