"""Apply: outcomes, managers, replicas, preconditions and dry runs."""

from datetime import UTC
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from controller.store import EVENT, SERVICE
from proto.dockrunner import v1 as pb
from tests.unit.control_plane.conftest import Api, refusal, violations

Code = grpc.StatusCode


async def test_a_new_service_is_created_with_defaults_and_a_plan(api: Api) -> None:
    response = await api.apply("web", replicas=2)
    assert response.outcome == pb.CREATED
    assert response.service.metadata.generation == 1
    assert response.service.metadata.manager == "api"
    assert response.service.spec.restart == "always"
    assert [step.slot for step in response.plan] == [1, 2]
    assert api.store.get(SERVICE, "web") == response.service


async def test_the_same_again_is_unchanged_and_writes_nothing(api: Api) -> None:
    first = await api.apply("web")
    version = api.store.version
    again = await api.apply("web")
    assert again.outcome == pb.UNCHANGED
    assert again.service == first.service
    assert api.store.version == version


async def test_another_spec_configures_and_raises_the_generation(api: Api) -> None:
    first = await api.apply("web")
    second = await api.apply("web", image="other")
    assert second.outcome == pb.CONFIGURED
    assert second.service.metadata.generation == 2
    assert second.service.metadata.uid == first.service.metadata.uid


async def test_labels_and_annotations_are_replaced_entirely_and_leave_the_generation(api: Api) -> None:
    def request(**labels: str) -> pb.ApplyRequest:
        metadata = pb.Metadata(name="web", labels=labels, annotations=labels)
        return pb.ApplyRequest(service=pb.Service(metadata=metadata, spec=pb.ServiceSpec(image="busybox")))

    await api.stub.Apply(request(a="1", b="2"))
    response = await api.stub.Apply(request(b="3"))
    assert response.outcome == pb.CONFIGURED
    assert dict(response.service.metadata.labels) == {"b": "3"}
    assert dict(response.service.metadata.annotations) == {"b": "3"}
    assert response.service.metadata.generation == 1


async def test_a_clients_status_finalizers_and_server_fields_are_ignored(api: Api) -> None:
    await api.apply("web")
    api.store.update(SERVICE, "web", lambda service: service.metadata.finalizers.append("ours"))
    api.store.update_status(SERVICE, "web", lambda service: setattr(service.status, "replicas", 7))
    before = api.store.get(SERVICE, "web")
    forged = pb.Service(metadata=pb.Metadata(name="web", generation=99, manager="x", finalizers=["theirs"]))
    forged.spec.image = "busybox"
    forged.status.replicas = 42
    response = await api.stub.Apply(pb.ApplyRequest(service=forged))
    assert response.outcome == pb.UNCHANGED
    assert response.service == before


async def test_replicas_left_out_keep_the_number_and_free_it_to_be_scaled(api: Api) -> None:
    created = await api.apply("web")
    assert created.service.spec.replicas == 1
    assert created.service.metadata.replicas_manager == ""
    await api.apply("web", replicas=4)
    kept = await api.apply("web")
    assert kept.service.spec.replicas == 4
    assert kept.service.metadata.generation == 2
    assert kept.service.metadata.replicas_manager == ""
    assert (await api.apply("web")).outcome == pb.UNCHANGED


async def test_another_managers_service_is_refused_and_force_takes_it_over(api: Api) -> None:
    await api.apply("web", "file")
    code, message = await refusal(api.apply("web", image="other"))
    assert code == Code.FAILED_PRECONDITION
    assert "'file'" in message
    assert api.store.get(SERVICE, "web").spec.image == "busybox"
    taken = await api.apply("web", force=True)
    assert taken.outcome == pb.CONFIGURED
    assert taken.service.metadata.manager == "api"
    assert taken.service.metadata.generation == 1
    assert [event.reason for event in api.store.list(EVENT)] == ["TakenOver"]


async def test_a_service_that_is_being_deleted_cannot_be_applied(api: Api) -> None:
    await api.apply("web")
    api.store.update(SERVICE, "web", lambda service: service.metadata.finalizers.append("ours"))
    await api.stub.Delete(pb.DeleteRequest(name="web"))
    code, message = await refusal(api.apply("web"))
    assert code == Code.FAILED_PRECONDITION
    assert "being deleted" in message


@pytest.mark.parametrize("field", ["uid", "resource_version"])
async def test_a_precondition_that_is_not_current_aborts(api: Api, field: str) -> None:
    request = pb.ApplyRequest(service=pb.Service(metadata=pb.Metadata(name="web"), spec=pb.ServiceSpec(image="a")))
    setattr(request.service.metadata, field, "7")
    assert (await refusal(api.stub.Apply(request)))[0] == Code.ABORTED
    created = await api.apply("web", image="a")
    assert (await refusal(api.stub.Apply(request)))[0] == Code.ABORTED
    setattr(request.service.metadata, field, getattr(created.service.metadata, field))
    request.service.spec.image = "b"
    assert (await api.stub.Apply(request)).outcome == pb.CONFIGURED


async def test_of_two_writers_of_one_version_one_wins(api: Api) -> None:
    version = (await api.apply("web")).service.metadata.resource_version

    def request(image: str) -> pb.ApplyRequest:
        metadata = pb.Metadata(name="web", resource_version=version)
        return pb.ApplyRequest(service=pb.Service(metadata=metadata, spec=pb.ServiceSpec(image=image)))

    assert (await api.stub.Apply(request("a"))).outcome == pb.CONFIGURED
    assert (await refusal(api.stub.Apply(request("b"))))[0] == Code.ABORTED
    assert api.store.get(SERVICE, "web").spec.image == "a"


async def test_violations_carry_the_paths_of_the_request(api: Api) -> None:
    assert await violations(api.stub.Apply(pb.ApplyRequest())) == {
        "service.metadata.name": "is missing",
        "service.spec.image": "is missing",
    }
    assert api.store.count(SERVICE) == 0


async def test_so_many_violations_that_they_would_not_arrive_are_shortened_to_what_does(api: Api) -> None:
    ports = [pb.Port(target=80, published="8080") for _ in range(500)]
    found = await violations(api.apply("web", ports=ports))
    assert found["service.spec.ports[1].published"] == "is taken"
    assert found[""].startswith("… and ")
    more = int(found[""].split()[2])
    assert len(found) - 1 + more == 499


async def test_a_dry_run_says_what_would_be_and_keeps_nothing(api: Api) -> None:
    await api.apply("web")
    version = api.store.version
    service = pb.Service(metadata=pb.Metadata(name="web"), spec=pb.ServiceSpec(image="other", replicas=3))
    request = pb.ApplyRequest(service=service, dry_run=True)
    response = await api.stub.Apply(request)
    assert response.outcome == pb.CONFIGURED
    assert response.service.spec.image == "other"
    assert response.service.metadata.generation == 2
    assert len(response.plan) == 3
    assert api.store.version == version
    request.service.metadata.name = "new"
    assert (await api.stub.Apply(request)).outcome == pb.CREATED
    assert api.store.version == version


async def test_a_dry_run_still_raises_conflicts_and_violations(api: Api) -> None:
    await api.apply("web", "file")
    service = pb.Service(metadata=pb.Metadata(name="web"), spec=pb.ServiceSpec(image="busybox"))
    code, _ = await refusal(api.stub.Apply(pb.ApplyRequest(service=service, dry_run=True)))
    assert code == Code.FAILED_PRECONDITION
    service.metadata.uid = "another"
    forced = pb.ApplyRequest(service=service, dry_run=True, force=True)
    assert (await refusal(api.stub.Apply(forced)))[0] == Code.ABORTED
    forced.service.spec.image = ""
    assert "service.spec.image" in await violations(api.stub.Apply(forced))


async def test_services_on_their_way_out_do_not_stand_beside_the_new_one(api: Api) -> None:
    for name in ("a", "b", "c"):
        await api.apply(name)
    api.store.update(SERVICE, "b", lambda service: service.metadata.finalizers.append("ours"))
    await api.stub.Delete(pb.DeleteRequest(name="b"))
    await api.apply("c", image="other")
    assert api.admission.others == ["a"]


async def test_what_handlers_have_added_to_labels_and_annotations_stays(api: Api) -> None:
    async def declare(**metadata: Any) -> pb.ApplyResponse:
        service = pb.Service(metadata=pb.Metadata(name="web", **metadata), spec=pb.ServiceSpec(image="a"))
        return await api.stub.Apply(pb.ApplyRequest(service=service))

    await declare(annotations={"declared": "1"}, labels={"tier": "front"})

    def note(service: pb.Service) -> None:
        service.metadata.annotations["booked"] = "42"
        service.metadata.labels["sized"] = "yes"

    api.store.update(SERVICE, "web", note)
    again = await declare(annotations={"declared": "1"}, labels={"tier": "front"})
    assert again.outcome == pb.UNCHANGED
    less = await declare(labels={"tier": "back"})
    assert less.service.metadata.annotations == {"booked": "42"}
    assert less.service.metadata.labels == {"tier": "back", "sized": "yes"}


async def test_a_restart_that_was_asked_for_is_not_taken_back_by_an_older_one(api: Api) -> None:
    await api.apply("web")
    restarted = await api.stub.Restart(pb.RestartRequest(name="web"))
    assert restarted.spec.restarted_at.ToDatetime(UTC) == api.clock.now()
    assert restarted.metadata.generation == 2
    for older in (None, Timestamp(seconds=1)):
        again = await api.apply("web", restarted_at=older)
        assert again.outcome == pb.UNCHANGED
        assert again.service.spec.restarted_at == restarted.spec.restarted_at
