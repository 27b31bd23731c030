"""Watches: beginning, resuming, selecting, and never skipping."""

import asyncio
from typing import Any

import pytest

from controller.errors import Expired, SlowWatcher
from controller.store import CONTAINER, SERVICE, Store, Watch
from proto.dockrunner import v1 as pb
from tests.clock import ManualClock
from tests.unit.store.objects import a_container, a_service, a_store, finalizers, image, label


async def read(watch: Watch[pb.Service], count: int) -> list[tuple[str, str]]:
    async with asyncio.timeout(1):
        changes = [await anext(watch) for _ in range(count)]
    return [(pb.ChangeType.Name(change.type), change.new.metadata.name if change.new else "") for change in changes]


def silent(watch: Watch[Any]) -> bool:
    """Whether nothing waits to be read."""
    return watch.bookmark(0) is not None


async def test_without_a_version_it_begins_with_what_is_there() -> None:
    store = a_store()
    store.create(SERVICE, a_service("a"))
    with store.watch(SERVICE) as watch:
        store.create(SERVICE, a_service("b"))
        assert await read(watch, 2) == [("ADDED", "a"), ("ADDED", "b")]


async def test_what_is_there_comes_by_version_so_that_who_breaks_off_can_resume_from_any_of_it() -> None:
    store = a_store()
    for name in "cba":
        store.create(SERVICE, a_service(name))
    with store.watch(SERVICE) as watch:
        first = await anext(watch)
    with store.watch(SERVICE, version=str(first.version)) as resumed:
        assert await read(resumed, 2) == [("ADDED", "b"), ("ADDED", "a")]


async def test_initial_events_end_with_a_bookmark_also_of_an_empty_store() -> None:
    store = a_store()
    with store.watch(SERVICE, initial=True) as watch:
        assert (await anext(watch)).type == pb.BOOKMARK
    store.create(SERVICE, a_service("a"))
    with store.watch(SERVICE, initial=True) as watch:
        store.create(SERVICE, a_service("b"))
        assert await read(watch, 3) == [("ADDED", "a"), ("BOOKMARK", ""), ("ADDED", "b")]


async def test_from_a_version_every_later_change_comes_once_and_in_order() -> None:
    store = a_store()
    store.create(SERVICE, a_service("a"))
    version = store.version
    store.update(SERVICE, "a", image("x"))
    store.create(CONTAINER, a_container("elsewhere", "a"))
    store.create(SERVICE, a_service("b"))
    store.delete(SERVICE, "a")
    with store.watch(SERVICE, version=version) as watch:
        store.create(SERVICE, a_service("a"))
        assert await read(watch, 4) == [("MODIFIED", "a"), ("ADDED", "b"), ("DELETED", "a"), ("ADDED", "a")]
        assert silent(watch)


async def test_a_deletion_carries_the_last_state_and_its_own_version() -> None:
    store = a_store()
    store.create(SERVICE, a_service(image="last", finalizers=["f"]))
    store.delete(SERVICE, "web")
    with store.watch(SERVICE, version=store.version) as watch:
        store.update(SERVICE, "web", finalizers())
        change = await anext(watch)
    assert change.new is not None
    assert (change.type, change.new.spec.image) == (pb.DELETED, "last")
    assert change.new.metadata.resource_version == str(change.version) == store.version


async def test_a_selector_turns_changes_into_what_its_watcher_sees() -> None:
    store = a_store()
    with store.watch(SERVICE, lambda service: service.metadata.labels["on"] == "1") as watch:
        store.create(SERVICE, a_service())  # no
        store.update(SERVICE, "web", label(on="0"))  # no → no
        store.update(SERVICE, "web", label(on="1"))  # no → yes
        store.update(SERVICE, "web", image("x"))  # yes → yes
        store.update(SERVICE, "web", label(on="0"))  # yes → no
        store.delete(SERVICE, "web")  # was not seen
        store.create(SERVICE, a_service("new", labels={"on": "1"}))
        store.delete(SERVICE, "new")
        seen = await read(watch, 5)
        assert [what for what, _ in seen] == ["ADDED", "MODIFIED", "DELETED", "ADDED", "DELETED"]
        assert silent(watch)


@pytest.mark.parametrize("version", ["0", "17", "x", "-3", "", "²", "9" * 5000])
def test_a_version_of_no_write_of_this_run_has_expired(version: str) -> None:
    store = a_store()
    if version:
        with pytest.raises(Expired):
            store.watch(SERVICE, version=version)
    with pytest.raises(Expired, match="future"):
        store.watch(SERVICE, version=str(int(store.version) + 1))
    assert store.watchers(SERVICE) == 0


def test_a_version_of_an_earlier_run_has_expired() -> None:
    clock = ManualClock()
    before = Store(clock)
    for number in range(100):
        before.create(SERVICE, a_service(f"s{number}"))
    clock.tick(0.001)
    with pytest.raises(Expired, match="not of this run"):
        Store(clock).watch(SERVICE, version=before.version)


async def test_the_history_reaches_back_exactly_so_many_changes_of_the_kind() -> None:
    store = a_store(history=3)
    versions = [store.version]
    for name in "abcd":
        versions.append(store.create(SERVICE, a_service(name)).metadata.resource_version)
        store.create(CONTAINER, a_container(name, name))
    with pytest.raises(Expired, match="older than the history"):
        store.watch(SERVICE, version=versions[0])
    with store.watch(SERVICE, version=versions[1]) as watch:
        assert await read(watch, 3) == [("ADDED", "b"), ("ADDED", "c"), ("ADDED", "d")]
    with pytest.raises(Expired):
        store.watch(SERVICE, version=versions[0], initial=True)


async def test_a_slow_watcher_is_closed_and_told_and_others_go_on() -> None:
    store = a_store(watch_buffer=2)
    slow, fast = store.watch(SERVICE), store.watch(SERVICE)
    for name in "ab":
        store.create(SERVICE, a_service(name))
    assert await read(fast, 2) == [("ADDED", "a"), ("ADDED", "b")]
    assert store.watchers(SERVICE) == 2
    store.create(SERVICE, a_service("c"))
    assert store.watchers(SERVICE) == 1
    assert await read(fast, 1) == [("ADDED", "c")]
    for _ in range(2):
        with pytest.raises(SlowWatcher):
            await anext(slow)


async def test_what_a_watch_begins_with_does_not_make_it_slow() -> None:
    store = a_store(watch_buffer=2)
    for number in range(10):
        store.create(SERVICE, a_service(f"s{number}"))
    with store.watch(SERVICE) as watch:
        store.create(SERVICE, a_service("x"))
        store.create(SERVICE, a_service("y"))
        assert len(await read(watch, 12)) == 12


async def test_a_closed_watch_ends_after_what_it_has_and_gets_no_more() -> None:
    store = a_store()
    watch = store.watch(SERVICE)
    store.create(SERVICE, a_service("a"))
    watch.close()
    watch.close()
    store.create(SERVICE, a_service("b"))
    assert [change.new.metadata.name async for change in watch if change.new] == ["a"]
    assert store.watchers(SERVICE) == 0


async def test_a_reader_that_waits_is_woken_by_a_change_and_by_the_end() -> None:
    store = a_store()
    watch = store.watch(SERVICE)
    reading = asyncio.create_task(read(watch, 1))
    await asyncio.sleep(0)
    store.create(SERVICE, a_service("a"))
    assert await reading == [("ADDED", "a")]
    ending = asyncio.create_task(anext(watch, None))
    await asyncio.sleep(0)
    watch.close()
    assert await ending is None


async def test_a_cancelled_read_loses_nothing() -> None:
    store = a_store()
    with store.watch(SERVICE) as watch:
        reading = asyncio.create_task(read(watch, 1))
        await asyncio.sleep(0)
        reading.cancel()
        store.create(SERVICE, a_service("a"))
        await asyncio.gather(reading, return_exceptions=True)
        assert await read(watch, 1) == [("ADDED", "a")]


async def test_what_is_written_while_the_initial_part_is_read_is_not_lost() -> None:
    store = a_store()
    store.create(SERVICE, a_service("a"))
    with store.watch(SERVICE, initial=True) as watch:
        assert (await anext(watch)).type == pb.ADDED
        store.create(SERVICE, a_service("b"))
        seen = [await anext(watch) for _ in range(2)]
    assert [change.type for change in seen] == [pb.BOOKMARK, pb.ADDED]
    assert seen[0].version < seen[1].version


async def test_a_watcher_sees_a_name_go_and_come_back_as_another_object() -> None:
    store = a_store()
    first = store.create(SERVICE, a_service())
    with store.watch(SERVICE, version=store.version) as watch:
        store.delete(SERVICE, "web")
        store.create(SERVICE, a_service())
        gone, back = [await anext(watch) for _ in range(2)]
    assert (gone.type, back.type) == (pb.DELETED, pb.ADDED)
    assert gone.new is not None
    assert back.new is not None
    assert gone.new.metadata.uid == first.metadata.uid != back.new.metadata.uid
