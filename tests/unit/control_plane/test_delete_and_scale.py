"""Delete and Scale: managers and preconditions."""

import grpc
import pytest

from controller.store import EVENT, HANDLERS_FINALIZER, SERVICE, VOLUMES_FINALIZER
from proto.dockrunner import v1 as pb
from tests.unit.control_plane.conftest import Api, refusal, violations

Code = grpc.StatusCode


async def with_finalizer(api: Api, name: str, manager: str = "") -> pb.Service:
    await api.apply(name, manager)
    return api.store.update(SERVICE, name, lambda service: service.metadata.finalizers.append("ours"))


async def test_delete_marks_and_a_second_one_is_harmless(api: Api) -> None:
    before = await with_finalizer(api, "web")
    marked = await api.stub.Delete(pb.DeleteRequest(name="web"))
    assert marked.metadata.HasField("delete_time")
    assert marked.metadata.generation == before.metadata.generation + 1
    version = api.store.version
    assert await api.stub.Delete(pb.DeleteRequest(name="web")) == marked
    assert api.store.version == version


async def test_delete_with_volumes_holds_the_service_until_they_are_gone(api: Api) -> None:
    await api.apply("web")
    marked = await api.stub.Delete(pb.DeleteRequest(name="web", volumes=True))
    assert marked.metadata.HasField("delete_time")
    assert list(marked.metadata.finalizers) == [HANDLERS_FINALIZER, VOLUMES_FINALIZER]
    assert await api.stub.Delete(pb.DeleteRequest(name="web", volumes=True)) == marked
    assert await api.stub.Delete(pb.DeleteRequest(name="web")) == marked


async def test_volumes_cannot_join_a_deletion_that_is_under_way(api: Api) -> None:
    await with_finalizer(api, "web")
    marked = await api.stub.Delete(pb.DeleteRequest(name="web"))
    code, message = await refusal(api.stub.Delete(pb.DeleteRequest(name="web", volumes=True)))
    assert (code, message) == (
        Code.FAILED_PRECONDITION, "service 'web' is being deleted already, without its volumes",
    )  # fmt: skip
    assert api.store.get(SERVICE, "web") == marked


async def test_delete_of_another_managers_service_needs_force(api: Api) -> None:
    await with_finalizer(api, "web", "file")
    code, message = await refusal(api.stub.Delete(pb.DeleteRequest(name="web")))
    assert code == Code.FAILED_PRECONDITION
    assert "'file'" in message
    assert not api.store.get(SERVICE, "web").metadata.HasField("delete_time")
    assert (await api.stub.Delete(pb.DeleteRequest(name="web", force=True))).metadata.HasField("delete_time")


def a_deletion(field: str, value: str) -> pb.DeleteRequest:
    request = pb.DeleteRequest(name="web")
    setattr(request, field, value)
    return request


@pytest.mark.parametrize("field", ["uid", "resource_version"])
async def test_delete_with_a_precondition_that_is_not_current_aborts(api: Api, field: str) -> None:
    before = await with_finalizer(api, "web")
    code, _ = await refusal(api.stub.Delete(a_deletion(field, "7")))
    assert code == Code.ABORTED
    request = a_deletion(field, getattr(before.metadata, field))
    assert (await api.stub.Delete(request)).metadata.HasField("delete_time")


async def test_scale_sets_replicas_alone_and_says_so(api: Api) -> None:
    await api.apply("web", "file")
    scaled = await api.stub.Scale(pb.ScaleRequest(name="web", replicas=5))
    assert scaled.spec.replicas == 5
    assert scaled.metadata.generation == 2
    assert (scaled.metadata.manager, scaled.metadata.replicas_manager) == ("file", "")
    assert [event.message for event in api.store.list(EVENT)] == ["replicas 1 → 5"]


async def test_the_managers_next_apply_without_replicas_keeps_the_scaled_number(api: Api) -> None:
    await api.apply("web", "file")
    await api.stub.Scale(pb.ScaleRequest(name="web", replicas=5))
    assert (await api.apply("web", "file")).outcome == pb.UNCHANGED


async def test_scale_is_refused_where_another_manager_set_replicas_and_force_takes_over(api: Api) -> None:
    await api.apply("web", "file", replicas=2)
    code, message = await refusal(api.stub.Scale(pb.ScaleRequest(name="web", replicas=5)))
    assert code == Code.FAILED_PRECONDITION
    assert "'file'" in message
    assert api.store.get(SERVICE, "web").spec.replicas == 2
    scaled = await api.stub.Scale(pb.ScaleRequest(name="web", replicas=5, force=True))
    assert scaled.spec.replicas == 5
    assert (scaled.metadata.manager, scaled.metadata.replicas_manager) == ("api", "api")
    assert (await api.stub.Scale(pb.ScaleRequest(name="web", replicas=6))).spec.replicas == 6


@pytest.mark.parametrize("replicas", [-1, 1001])
async def test_scale_keeps_within_0_to_1000(api: Api, replicas: int) -> None:
    await api.apply("web")
    assert list(await violations(api.stub.Scale(pb.ScaleRequest(name="web", replicas=replicas)))) == ["replicas"]
    for limit in (0, 1000):
        assert (await api.stub.Scale(pb.ScaleRequest(name="web", replicas=limit))).spec.replicas == limit


async def test_scale_passes_admission(api: Api) -> None:
    await api.apply("web", ports=[pb.Port(target=80, published="8080-8081")])
    found = await violations(api.stub.Scale(pb.ScaleRequest(name="web", replicas=3)))
    assert found == {"replicas": "spec.ports[0].published: is too small"}
    assert api.store.get(SERVICE, "web").spec.replicas == 1


async def test_scale_checks_its_version_and_deletion(api: Api) -> None:
    await with_finalizer(api, "web")
    request = pb.ScaleRequest(name="web", replicas=2, resource_version="7")
    assert (await refusal(api.stub.Scale(request)))[0] == Code.ABORTED
    await api.stub.Delete(pb.DeleteRequest(name="web"))
    code, _ = await refusal(api.stub.Scale(pb.ScaleRequest(name="web", replicas=2)))
    assert code == Code.FAILED_PRECONDITION


async def test_scale_to_the_present_number_writes_nothing(api: Api) -> None:
    await api.apply("web")
    version = api.store.version
    await api.stub.Scale(pb.ScaleRequest(name="web", replicas=1))
    assert api.store.version == version
