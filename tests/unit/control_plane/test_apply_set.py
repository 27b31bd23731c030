"""ApplySet: all or nothing, prune, and the protection from emptying everything by accident."""

from typing import Any

import grpc

from controller.store import SERVICE
from proto.dockrunner import v1 as pb
from tests.unit.control_plane.conftest import Api, refusal, violations

Code = grpc.StatusCode


def a_set(*names: str, image: str = "busybox", manager: str = "file", **options: Any) -> pb.ApplySetRequest:
    services = [pb.Service(metadata=pb.Metadata(name=name), spec=pb.ServiceSpec(image=image)) for name in names]
    return pb.ApplySetRequest(services=services, manager=manager, **options)


def names(api: Api) -> list[str]:
    return [service.metadata.name for service in api.store.list(SERVICE)]


async def test_each_service_has_its_outcome_in_the_order_of_the_request(api: Api) -> None:
    await api.stub.ApplySet(a_set("b", "c"))
    request = a_set("c", "a", "b")
    request.services[0].spec.image = "other"
    response = await api.stub.ApplySet(request)
    assert [(result.service.metadata.name, result.outcome) for result in response.results] == [
        ("c", pb.CONFIGURED),
        ("a", pb.CREATED),
        ("b", pb.UNCHANGED),
    ]
    assert [step.service for step in response.plan] == ["c", "a", "b"]


async def test_one_violation_refuses_the_whole_set_and_all_are_told(api: Api) -> None:
    request = a_set("a", "b", "a")
    request.services[1].spec.image = ""
    assert await violations(api.stub.ApplySet(request)) == {
        "services[2].metadata.name": "'a' is declared more than once",
        "services[1].spec.image": "is missing",
    }
    assert names(api) == []


async def test_one_foreign_service_refuses_the_whole_set(api: Api) -> None:
    await api.apply("b")
    code, message = await refusal(api.stub.ApplySet(a_set("a", "b", "c", prune=True)))
    assert code == Code.FAILED_PRECONDITION
    assert "'api'" in message
    assert names(api) == ["b"]
    assert api.admission.declarations == []


async def test_prune_deletes_what_this_manager_no_longer_declares_and_nothing_else(api: Api) -> None:
    await api.apply("by-hand")
    await api.stub.ApplySet(a_set("a", "b", "c"))
    response = await api.stub.ApplySet(a_set("b", prune=True))
    assert list(response.pruned) == ["a", "c"]
    assert [(step.service, step.action) for step in response.plan] == [
        ("b", pb.PlanStep.CREATE),
        ("a", pb.PlanStep.DELETE),
        ("c", pb.PlanStep.DELETE),
    ]
    assert names(api) == ["b", "by-hand"]
    assert api.admission.others == ["by-hand"]
    assert api.admission.declarations == ["file"]


async def test_without_prune_nothing_goes_and_the_set_is_not_taken_for_complete(api: Api) -> None:
    await api.stub.ApplySet(a_set("a", "b"))
    response = await api.stub.ApplySet(a_set("b"))
    assert list(response.pruned) == []
    assert names(api) == ["a", "b"]
    assert api.admission.declarations == []


async def test_a_service_may_take_the_port_of_one_that_is_pruned(api: Api) -> None:
    first = a_set("a")
    first.services[0].spec.ports.add(target=80, published="8080")
    await api.stub.ApplySet(first)
    second = a_set("b", prune=True)
    second.services[0].spec.ports.add(target=80, published="8080")
    assert list((await api.stub.ApplySet(second)).pruned) == ["a"]


async def test_an_empty_set_with_prune_needs_allow_empty(api: Api) -> None:
    await api.stub.ApplySet(a_set("a"))
    code, message = await refusal(api.stub.ApplySet(a_set(prune=True)))
    assert code == Code.FAILED_PRECONDITION
    assert "allow_empty" in message
    assert names(api) == ["a"]
    assert list((await api.stub.ApplySet(a_set(prune=True, allow_empty=True))).pruned) == ["a"]
    assert names(api) == []


async def test_a_dry_run_of_a_set_changes_and_declares_nothing(api: Api) -> None:
    await api.stub.ApplySet(a_set("a", "b"))
    version = api.store.version
    response = await api.stub.ApplySet(a_set("b", "c", prune=True, dry_run=True))
    assert list(response.pruned) == ["a"]
    assert [result.outcome for result in response.results] == [pb.UNCHANGED, pb.CREATED]
    assert api.store.version == version
    assert api.admission.declarations == []


async def test_a_service_of_the_set_that_is_being_deleted_refuses_it(api: Api) -> None:
    await api.stub.ApplySet(a_set("a", "b"))
    api.store.update(SERVICE, "a", lambda service: service.metadata.finalizers.append("ours"))
    assert list((await api.stub.ApplySet(a_set("b", prune=True))).pruned) == ["a"]
    code, _ = await refusal(api.stub.ApplySet(a_set("a", "c")))
    assert code == Code.FAILED_PRECONDITION
    assert names(api) == ["a", "b"]
    assert list((await api.stub.ApplySet(a_set("b", prune=True))).pruned) == []


async def test_force_takes_the_sets_services_over(api: Api) -> None:
    await api.apply("a", "api")
    await api.stub.ApplySet(a_set("a", force=True))
    assert api.store.get(SERVICE, "a").metadata.manager == "file"
