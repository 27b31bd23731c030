"""The three watches: what begins them, resumes them, ends them, and what they never do: skip."""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.control_plane.watches import Watches
from controller.store import CONTAINER, NORMAL, SERVICE, Recorder, reference
from proto.dockrunner import v1 as pb
from tests.unit.control_plane.conftest import Api, refusal, violations

Code = grpc.StatusCode


async def opened(call: Any) -> Any:
    """The call, once the server has the watch open."""
    async with asyncio.timeout(5):
        await call.initial_metadata()
    return call


async def read(call: Any, count: int) -> list[Any]:
    async with asyncio.timeout(5):
        return [await call.read() for _ in range(count)]


def brief(changes: list[Any]) -> list[tuple[str, str]]:
    return [(pb.ChangeType.Name(change.type), change.service.metadata.name) for change in changes]


async def test_without_a_version_it_begins_with_what_is_there_and_goes_on(api: Api) -> None:
    await api.apply("a")
    call = await opened(api.stub.Watch(pb.WatchRequest()))
    await api.apply("b")
    await api.apply("a", image="other")
    await api.stub.Delete(pb.DeleteRequest(name="b"))
    changes = await read(call, 4)
    assert brief(changes) == [("ADDED", "a"), ("ADDED", "b"), ("MODIFIED", "a"), ("DELETED", "b")]
    versions = [int(change.resource_version) for change in changes]
    assert versions == sorted(set(versions))
    assert all(change.service.metadata.resource_version == change.resource_version for change in changes)
    call.cancel()


@pytest.mark.parametrize("names", [[], ["a", "b"]])
async def test_initial_events_end_with_a_bookmark_even_when_there_are_none(api: Api, names: list[str]) -> None:
    for name in names:
        await api.apply(name)
    call = api.stub.Watch(pb.WatchRequest(send_initial_events=True))
    changes = await read(call, len(names) + 1)
    assert brief(changes) == [*(("ADDED", name) for name in names), ("BOOKMARK", "")]
    assert changes[-1].resource_version == api.store.version
    assert not changes[-1].HasField("service")
    call.cancel()


async def test_from_a_lists_version_every_later_change_comes_once(api: Api) -> None:
    await api.apply("a")
    version = (await api.stub.List(pb.ListRequest())).resource_version
    await api.apply("b")
    call = await opened(api.stub.Watch(pb.WatchRequest(resource_version=version)))
    await api.apply("c")
    assert brief(await read(call, 2)) == [("ADDED", "b"), ("ADDED", "c")]
    call.cancel()


async def test_a_no_op_is_not_seen(api: Api) -> None:
    await api.apply("a")
    call = await opened(api.stub.Watch(pb.WatchRequest(resource_version=api.store.version)))
    await api.apply("a")
    await api.apply("b")
    assert brief(await read(call, 1)) == [("ADDED", "b")]
    call.cancel()


async def test_it_sees_only_its_name_and_selector(api: Api) -> None:
    by_name = await opened(api.stub.Watch(pb.WatchRequest(name="b")))
    by_label = await opened(api.stub.Watch(pb.WatchRequest(label_selector="tier=front")))
    await api.apply("a", labels={"tier": "front"})
    await api.apply("b", labels={"tier": "front"})
    await api.apply("a", labels={"tier": "back"})
    await api.apply("a", labels={"tier": "back", "more": "1"})
    await api.apply("a", labels={"tier": "front"})
    assert brief(await read(by_name, 1)) == [("ADDED", "b")]
    assert brief(await read(by_label, 4)) == [("ADDED", "a"), ("ADDED", "b"), ("DELETED", "a"), ("ADDED", "a")]
    by_name.cancel()
    by_label.cancel()


async def test_containers_and_events_are_watched_by_service(api: Api) -> None:
    containers = await opened(api.stub.WatchContainers(pb.WatchContainersRequest(service="web")))
    events = await opened(api.stub.WatchEvents(pb.WatchEventsRequest(service="web", send_initial_events=True)))
    recorder = Recorder(api.store, api.clock)
    for service in ("db", "web"):
        metadata = pb.Metadata(name=f"{service}-1")
        made = api.store.create(CONTAINER, pb.Container(metadata=metadata, spec=pb.ContainerSpec(service=service)))
        recorder.record("test", reference(made), NORMAL, "Made", service)
    change = (await read(containers, 1))[0]
    assert (change.type, change.container.metadata.name) == (pb.ADDED, "web-1")
    bookmark, seen = await read(events, 2)
    assert (bookmark.type, seen.type, seen.event.message) == (pb.BOOKMARK, pb.ADDED, "web")
    containers.cancel()
    events.cancel()


@pytest.mark.parametrize("version", ["1", "99999999999999999999999", "x", "-1", "9" * 5000])
async def test_a_version_that_is_not_in_the_history_is_out_of_range(api: Api, version: str) -> None:
    call = api.stub.Watch(pb.WatchRequest(resource_version=version))
    assert (await refusal(call.read()))[0] == Code.OUT_OF_RANGE
    future = str(int(api.store.version) + 1)
    assert (await refusal(api.stub.Watch(pb.WatchRequest(resource_version=future)).read()))[0] == Code.OUT_OF_RANGE
    assert api.value("dock_runner_watchers", kind="Service") == 0


async def test_a_selector_that_cannot_be_read_is_a_violation(api: Api) -> None:
    call = api.stub.Watch(pb.WatchRequest(label_selector="=="))
    assert list(await violations(call.read())) == ["label_selector"]


async def test_an_idle_watch_gets_a_bookmark_a_minute(api: Api) -> None:
    call = await opened(api.stub.Watch(pb.WatchRequest()))
    await api.clock.advance(59)
    api.store.create(CONTAINER, pb.Container(metadata=pb.Metadata(name="elsewhere")))
    await api.clock.advance(1)
    bookmark = (await read(call, 1))[0]
    assert (bookmark.type, bookmark.resource_version) == (pb.BOOKMARK, api.store.version)
    await api.clock.advance(60)
    assert brief(await read(call, 1)) == [("BOOKMARK", "")]
    call.cancel()
    await api.until("dock_runner_watchers", 0, kind="Service")
    await api.clock.settle()
    assert api.clock.sleepers == 0


def annotate(text: str) -> Callable[[pb.Service], None]:
    return lambda service: service.metadata.annotations.update(t=text)


class TestSmallStore:
    """With a history of 4 changes and a buffer of 4."""

    @pytest.fixture
    def store_options(self) -> dict[str, Any]:
        return {"history": 4, "watch_buffer": 4}

    async def test_a_version_older_than_the_history_is_out_of_range(self, api: Api) -> None:
        version = api.store.version
        for name in "abcde":
            await api.apply(name)
        call = api.stub.Watch(pb.WatchRequest(resource_version=version))
        assert (await refusal(call.read()))[0] == Code.OUT_OF_RANGE

    async def test_a_bookmark_lets_an_idle_watcher_resume_where_its_own_version_is_forgotten(self, api: Api) -> None:
        call = await opened(api.stub.Watch(pb.WatchRequest(name="quiet")))
        for name in "abcde":
            await api.apply(name)
        await api.clock.advance(60)
        version = (await read(call, 1))[0].resource_version
        call.cancel()
        await api.apply("quiet")
        resumed = api.stub.Watch(pb.WatchRequest(name="quiet", resource_version=version))
        assert brief(await read(resumed, 1)) == [("ADDED", "quiet")]
        resumed.cancel()

    async def test_a_stalled_reader_is_closed_and_never_skipped_and_writers_go_on(self, api: Api) -> None:
        call = await opened(api.stub.Watch(pb.WatchRequest()))
        await overflow(api)
        numbers = []

        async def drain() -> None:
            async for change in call:
                numbers.append(change.service.metadata.annotations["t"].rstrip("x"))  # noqa: PERF401 - it ends in an error

        assert (await refusal(drain()))[0] == Code.RESOURCE_EXHAUSTED
        assert numbers == ["", *map(str, range(len(numbers) - 1))]
        await api.until("dock_runner_watchers", 0, kind="Service")

    async def test_a_stalled_reader_that_goes_away_leaves_nothing(self, api: Api) -> None:
        call = await opened(api.stub.Watch(pb.WatchRequest()))
        await overflow(api)
        call.cancel()
        await api.until("dock_runner_watchers", 0, kind="Service")


async def overflow(api: Api) -> None:
    """Writes until the watch of a client that does not read has been closed."""
    api.store.create(SERVICE, pb.Service(metadata=pb.Metadata(name="big")))
    for number in range(1000):
        api.store.update(SERVICE, "big", annotate(f"{number}{'x' * 500_000}"))
        await asyncio.sleep(0)
        if api.store.watchers(SERVICE) == 0:
            return
    raise AssertionError("the connection took 500 MB that nobody read")


WATCH = {"grpc_type": "server_stream", "grpc_service": "dockrunner.v1.ControlPlane", "grpc_method": "Watch"}


async def test_a_client_that_cancels_releases_its_watch_at_once(api: Api) -> None:
    calls = [await opened(api.stub.Watch(pb.WatchRequest())) for _ in range(3)]
    assert api.value("dock_runner_watchers", kind="Service") == 3
    assert api.store.watchers(SERVICE) == 3
    for call in calls:
        call.cancel()
    await api.until("dock_runner_watchers", 0, kind="Service")
    assert api.store.watchers(SERVICE) == 0
    await api.until("grpc_server_handled_total", 3, **WATCH, grpc_code="Canceled")


async def test_there_may_be_only_so_many_watches(api: Api) -> None:
    api.servicer._watches = Watches(api.store, api.metrics, api.clock, limit=2)
    calls = [await opened(api.stub.Watch(pb.WatchRequest())) for _ in range(2)]
    code, message = await refusal(api.stub.WatchEvents(pb.WatchEventsRequest()).read())
    assert (code, "2 watches" in message) == (Code.RESOURCE_EXHAUSTED, True)
    calls.pop().cancel()
    await api.until("dock_runner_watchers", 1, kind="Service")
    await opened(api.stub.WatchEvents(pb.WatchEventsRequest()))


async def test_streams_end_cleanly_when_the_server_stops(api: Api) -> None:
    call = await opened(api.stub.Watch(pb.WatchRequest()))
    await api.apply("last")
    stopping = asyncio.create_task(api.server.stop(5))
    changes = [change async for change in call]
    assert brief(changes) == [("ADDED", "last")]
    assert await call.code() == Code.OK
    async with asyncio.timeout(4):
        await stopping


NAMES = st.sampled_from(["a", "b", "c"])
OPERATIONS = st.one_of(
    st.tuples(st.just("apply"), NAMES, st.sampled_from(["x", "y"])),
    st.tuples(st.just("delete"), NAMES, st.just("")),
    st.tuples(st.just("watch"), st.just(""), st.just("")),
    st.tuples(st.just("resume"), st.just(""), st.just("")),
)


class Replay:
    """A client that keeps a copy by watching, from a list's version or from the start."""

    def __init__(self, call: Any, known: dict[str, pb.Service]) -> None:
        self.call = call
        self.known = known
        self.version = 0

    async def follow(self, until: int) -> dict[str, pb.Service]:
        async with asyncio.timeout(5):
            while self.version < until:
                change = await self.call.read()
                assert int(change.resource_version) > self.version
                self.version = int(change.resource_version)
                if change.type == pb.DELETED:
                    del self.known[change.service.metadata.name]
                else:
                    assert (change.service.metadata.name in self.known) is (change.type == pb.MODIFIED)
                    self.known[change.service.metadata.name] = change.service
        self.call.cancel()
        return self.known


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(operations=st.lists(OPERATIONS, max_size=12))
async def test_a_watch_opened_at_any_time_replays_to_what_list_says(
    api: Api, operations: list[tuple[str, str, str]]
) -> None:
    replays: list[Replay] = []
    for operation, name, image in [*operations, ("watch", "", "")]:
        if operation == "apply":
            await api.apply(name, image=image)
        elif operation == "delete" and api.store.find(SERVICE, name):
            await api.stub.Delete(pb.DeleteRequest(name=name))
        elif operation == "watch":
            replays.append(Replay(await opened(api.stub.Watch(pb.WatchRequest())), {}))
        elif operation == "resume":
            listed = await api.stub.List(pb.ListRequest())
            call = await opened(api.stub.Watch(pb.WatchRequest(resource_version=listed.resource_version)))
            replays.append(Replay(call, {service.metadata.name: service for service in listed.services}))
    last = await api.apply("end", image=str(len(operations)) + api.store.version)
    final = {service.metadata.name: service for service in (await api.stub.List(pb.ListRequest())).services}
    for replay in replays:
        assert await replay.follow(int(last.service.metadata.resource_version)) == final
