"""Rollback, Restart and SetPaused: one part of a service changes, and the rest stays as it was declared."""

import grpc
import pytest

from controller.store import EVENT
from proto.dockrunner import v1 as pb

from .conftest import Api


async def failure(call: object) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call  # type: ignore[misc]  # a call of the stub
    return caught.value


def reasons(api: Api) -> list[str]:
    return [event.reason for event in api.store.list(EVENT)]


async def test_a_rollback_takes_back_what_makes_a_revision_and_nothing_else(api: Api) -> None:
    await api.apply("web", image="web:2", command=["serve", "--new"], replicas=3)
    api.admission.kept = [pb.ServiceRevision(revision="1-a", number=1, template=pb.ServiceSpec(image="web:1"))]
    service = await api.stub.Rollback(pb.RollbackRequest(name="web", revision="1-a"))
    assert (service.spec.image, list(service.spec.command), service.spec.replicas) == ("web:1", [], 3)
    assert service.metadata.generation == 2
    assert "RolledBack" in reasons(api)


async def test_a_rollback_to_what_is_not_kept_says_so(api: Api) -> None:
    await api.apply("web")
    error = await failure(api.stub.Rollback(pb.RollbackRequest(name="web", revision="1-b")))
    assert error.code() is grpc.StatusCode.NOT_FOUND


async def test_a_rollback_of_what_the_file_declares_says_that_the_file_differs(api: Api) -> None:
    await api.apply("web", "file", image="web:2")
    api.admission.kept = [pb.ServiceRevision(revision="1-a", number=1, template=pb.ServiceSpec(image="web:1"))]
    service = await api.stub.Rollback(pb.RollbackRequest(name="web"))
    assert service.metadata.manager == "file"
    assert "FileDiffers" in reasons(api)


async def test_a_pause_outlasts_further_declarations_until_it_is_taken_back(api: Api) -> None:
    await api.apply("web", image="web:1")
    assert (await api.stub.SetPaused(pb.SetPausedRequest(name="web", paused=True))).spec.paused
    answer = await api.apply("web", image="web:2")
    assert answer.service.spec.paused
    assert api.admission.resumed == []
    assert not (await api.stub.SetPaused(pb.SetPausedRequest(name="web", paused=False))).spec.paused
    assert api.admission.resumed == ["web"]


async def test_a_resume_gives_a_stopped_rollout_another_try_though_it_was_not_paused(api: Api) -> None:
    await api.apply("web")
    await api.stub.SetPaused(pb.SetPausedRequest(name="web", paused=False))
    assert api.admission.resumed == ["web"]


@pytest.mark.parametrize("call", ["Rollback", "SetPaused", "Restart"])
async def test_what_is_not_there_cannot_be_amended(api: Api, call: str) -> None:
    request = getattr(pb, f"{call}Request")(name="web")
    assert (await failure(getattr(api.stub, call)(request))).code() is grpc.StatusCode.NOT_FOUND


async def test_replicas_and_autoscale_cannot_both_be_declared(api: Api) -> None:
    error = await failure(api.apply("web", replicas=2, autoscale=pb.Autoscale(min=1, max=4, cpu=70)))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "together with autoscale" in (error.details() or "")


async def test_a_service_that_is_scaled_by_load_is_not_scaled_by_hand(api: Api) -> None:
    answer = await api.apply("web", autoscale=pb.Autoscale(min=2, max=4, cpu=70))
    assert answer.service.spec.replicas == 2, "it begins with the least"
    error = await failure(api.stub.Scale(pb.ScaleRequest(name="web", replicas=3, force=True)))
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION


async def test_a_service_that_is_scaled_by_load_follows_its_limits_at_once(api: Api) -> None:
    for least, most, replicas in ((1, 4, 1), (3, 4, 3), (1, 4, 3), (1, 2, 2)):
        answer = await api.apply("web", autoscale=pb.Autoscale(min=least, max=most, cpu=70))
        assert answer.service.spec.replicas == replicas


async def test_a_digest_that_was_found_stays_until_another_image_is_declared(api: Api) -> None:
    await api.apply("web", image="web:1", image_digest="sha256:1")
    assert (await api.apply("web", image="web:1")).service.spec.image_digest == "sha256:1"
    assert (await api.apply("web", image="web:2")).service.spec.image_digest == ""
