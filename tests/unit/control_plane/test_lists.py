"""Get and the three lists: selectors, pages over one snapshot, tokens."""

from typing import Any

import grpc
import pytest

from controller.control_plane.pages import Pages
from controller.errors import Expired
from controller.store import CONTAINER, NORMAL, SERVICE, Recorder, Store
from proto.dockrunner import v1 as pb
from tests.clock import ManualClock
from tests.unit.control_plane.conftest import Api, refusal, violations

Code = grpc.StatusCode


def names(services: list[pb.Service]) -> list[str]:
    return [service.metadata.name for service in services]


async def test_get_gives_the_service_or_not_found(api: Api) -> None:
    created = (await api.apply("web")).service
    assert await api.stub.Get(pb.GetRequest(name="web")) == created
    code, message = await refusal(api.stub.Get(pb.GetRequest(name="other")))
    assert (code, "'other'" in message) == (Code.NOT_FOUND, True)
    assert list(await violations(api.stub.Get(pb.GetRequest()))) == ["name"]


async def test_a_list_is_by_name_with_the_version_to_watch_from(api: Api) -> None:
    empty = await api.stub.List(pb.ListRequest())
    assert (list(empty.services), empty.resource_version) == ([], api.store.version)
    for name in ("b", "c", "a"):
        await api.apply(name)
    response = await api.stub.List(pb.ListRequest())
    assert names(list(response.services)) == ["a", "b", "c"]
    assert response.resource_version == api.store.version
    assert response.next_page_token == ""


async def test_a_selector_sees_metadata_labels_and_behind_them_spec_labels(api: Api) -> None:
    await api.apply("a", labels={"tier": "front"})
    await api.apply("b", labels={"tier": "back"})
    api.store.update(SERVICE, "b", lambda service: service.metadata.labels.update({"tier": "front"}))
    response = await api.stub.List(pb.ListRequest(label_selector="tier=front"))
    assert names(list(response.services)) == ["a", "b"]
    assert list(await violations(api.stub.List(pb.ListRequest(label_selector="a=(")))) == ["label_selector"]


async def test_pages_show_one_moment_whatever_changes_between_them(api: Api) -> None:
    for name in "abcde":
        await api.apply(name)
    first = await api.stub.List(pb.ListRequest(page_size=2))
    await api.stub.Delete(pb.DeleteRequest(name="c"))
    await api.apply("bb")
    second = await api.stub.List(pb.ListRequest(page_size=2, page_token=first.next_page_token))
    third = await api.stub.List(pb.ListRequest(page_size=2, page_token=second.next_page_token))
    pages = [first, second, third]
    assert [names(list(page.services)) for page in pages] == [["a", "b"], ["c", "d"], ["e"]]
    assert len({page.resource_version for page in pages}) == 1
    assert third.next_page_token == ""
    again = await api.stub.List(pb.ListRequest(page_size=2, page_token=first.next_page_token))
    assert again == second


async def test_a_token_that_is_unknown_or_five_minutes_old_is_out_of_range(api: Api) -> None:
    for name in "abc":
        await api.apply(name)
    token = (await api.stub.List(pb.ListRequest(page_size=1))).next_page_token
    key = token.partition(".")[0]
    for wrong in ("x", "x.1", f"{key}.3", f"{key}.-1"):
        assert (await refusal(api.stub.List(pb.ListRequest(page_token=wrong))))[0] == Code.OUT_OF_RANGE
    api.clock.tick(299)
    assert names(list((await api.stub.List(pb.ListRequest(page_token=token))).services)) == ["b", "c"]
    api.clock.tick(1)
    assert (await refusal(api.stub.List(pb.ListRequest(page_token=token))))[0] == Code.OUT_OF_RANGE


async def test_a_token_of_another_list_is_a_violation(api: Api) -> None:
    for name in "abc":
        await api.apply(name)
    token = (await api.stub.List(pb.ListRequest(page_size=1))).next_page_token
    other = pb.ListRequest(page_size=1, page_token=token, label_selector="a")
    assert list(await violations(api.stub.List(other))) == ["page_token"]
    assert list(await violations(api.stub.ListContainers(pb.ListContainersRequest(page_token=token)))) == ["page_token"]


async def test_a_negative_page_size_is_a_violation_and_a_huge_one_is_capped(api: Api) -> None:
    assert list(await violations(api.stub.List(pb.ListRequest(page_size=-1)))) == ["page_size"]
    for number in range(1001):
        api.store.create(SERVICE, pb.Service(metadata=pb.Metadata(name=f"s{number}")))
    capped = await api.stub.List(pb.ListRequest(page_size=5000))
    assert len(capped.services) == 1000
    assert capped.next_page_token
    assert len((await api.stub.List(pb.ListRequest())).services) == 1001


def test_only_so_many_lists_are_remembered_and_the_oldest_goes_first() -> None:
    clock = ManualClock()
    store = Store(clock)
    for name in "abc":
        store.create(SERVICE, pb.Service(metadata=pb.Metadata(name=name)))
    pages = Pages(store, clock, snapshots=2)
    tokens = [pages.page((), 1, "", lambda: store.list(SERVICE)).next_page_token for _ in range(3)]
    with pytest.raises(Expired):
        pages.page((), 1, tokens[0], lambda: store.list(SERVICE))
    for token in tokens[1:]:
        assert [obj.metadata.name for obj in pages.page((), 1, token, lambda: store.list(SERVICE)).objects] == ["b"]


async def test_containers_are_listed_by_service_and_selector(api: Api) -> None:
    for name, service, tier in (("web-2", "web", "front"), ("web-1", "web", "back"), ("db-1", "db", "back")):
        metadata = pb.Metadata(name=name, labels={"tier": tier})
        api.store.create(CONTAINER, pb.Container(metadata=metadata, spec=pb.ContainerSpec(service=service)))

    async def listed(**request: Any) -> list[str]:
        response = await api.stub.ListContainers(pb.ListContainersRequest(**request))
        assert response.resource_version == api.store.version
        return [container.metadata.name for container in response.containers]

    assert await listed() == ["db-1", "web-1", "web-2"]
    assert await listed(service="web") == ["web-1", "web-2"]
    assert await listed(service="web", label_selector="tier!=back") == ["web-2"]


async def test_events_are_listed_oldest_first_by_their_last_time(api: Api) -> None:
    recorder = Recorder(api.store, api.clock)
    for name, reason in (("b", "One"), ("a", "Two"), ("b", "Three"), ("b", "One")):
        recorder.record("test", pb.ObjectReference(kind="Service", name=name, service=name), NORMAL, reason, "")
        api.clock.tick(1)

    async def listed(**request: Any) -> list[str]:
        return [event.reason for event in (await api.stub.ListEvents(pb.ListEventsRequest(**request))).events]

    assert await listed() == ["Two", "Three", "One"]
    assert await listed(service="b") == ["Three", "One"]
