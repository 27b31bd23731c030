"""The program as a process: its start, its size, its doors, and a client that knows nothing of it."""

import stat
import time
from typing import Any

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from proto.dockrunner import v1 as pb

from .program import Program, eventually, refused

SERVING_WITHIN = 1.0
MEGABYTE = 1 << 20


def test_it_serves_within_a_second_on_an_empty_state(simulated: Program) -> None:
    took = []
    for _ in range(5):
        began = time.monotonic()
        simulated.start(ready=False)
        eventually(simulated.is_ready, every=0.005)
        took.append(time.monotonic() - began)
        simulated.stop()
    assert min(took) < SERVING_WITHIN, took


def test_it_holds_under_100_megabytes_with_100_services(simulated: Program) -> None:
    simulated.declare("".join(f'[services.s{number}]\nimage = "web:1"\n' for number in range(100)))
    simulated.start()
    simulated.until_converged(**{f"s{number}": 1 for number in range(100)})
    assert simulated.metric("process_resident_memory_bytes") < 100 * MEGABYTE
    assert simulated.metric("dock_runner_store_objects", kind="Container") == 100


def test_the_socket_is_for_its_owner_and_group_alone(simulated: Program) -> None:
    simulated.start()
    assert stat.S_IMODE(simulated.socket.stat().st_mode) == 0o660
    assert stat.S_IMODE(simulated.socket.parent.stat().st_mode) == 0o750
    assert simulated.stop() == 0
    assert not simulated.socket.exists()


def test_it_stops_within_ten_seconds_and_leaves_no_thread_hanging(simulated: Program) -> None:
    simulated.start()
    streams = [simulated.api.Watch(pb.WatchRequest()) for _ in range(20)]
    began = time.monotonic()
    assert simulated.stop() == 0
    assert time.monotonic() - began < 10
    assert len(streams) == 20


def test_a_client_made_from_reflection_alone_can_work_with_it(simulated: Program) -> None:
    simulated.start()
    database = ProtoReflectionDescriptorDatabase(simulated.channel)
    assert set(database.get_services()) >= {
        "dockrunner.v1.ControlPlane", "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection",
    }  # fmt: skip
    pool = DescriptorPool(database)
    service = pool.FindServiceByName("dockrunner.v1.ControlPlane")

    def call(method: str, request: dict[str, object]) -> dict[str, object]:
        described = service.FindMethodByName(method)
        unary: Any = simulated.channel.unary_unary(
            f"/{service.full_name}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=GetMessageClass(described.output_type).FromString,
        )
        message = json_format.ParseDict(request, GetMessageClass(described.input_type)())
        answer: dict[str, object] = json_format.MessageToDict(unary(message), preserving_proto_field_name=True)
        return answer

    applied = call("Apply", {"service": {"metadata": {"name": "web"}, "spec": {"image": "web:1", "replicas": 2}}})
    assert applied["outcome"] == "CREATED"
    eventually(lambda: simulated.converged(web=2))
    assert call("Get", {"name": "web"})["status"]["ready_replicas"] == 2  # type: ignore[index]  # from JSON
    assert len(call("ListContainers", {"service": "web"})["containers"]) == 2  # type: ignore[arg-type]  # as above


def test_health_answers_for_the_server_and_for_the_service(simulated: Program) -> None:
    simulated.start()
    stub: Any = health_pb2_grpc.HealthStub(simulated.channel)
    for name in ("", "dockrunner.v1.ControlPlane"):
        answer = stub.Check(health_pb2.HealthCheckRequest(service=name))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_the_metrics_of_controllers_queues_and_calls_exist_from_the_start(simulated: Program) -> None:
    simulated.start()
    samples = simulated.metrics()
    for controller in ("service", "container"):
        for result in ("success", "error", "requeue", "requeue_after"):
            key = ("controller_runtime_reconcile_total", (("controller", controller), ("result", result)))
            assert key in samples
        assert ("workqueue_retries_total", (("controller", controller), ("name", controller))) in samples
    assert simulated.metric("dock_runner_engine_up") == 1
    assert simulated.metric(
        "grpc_server_handled_total",
        grpc_service="dockrunner.v1.ControlPlane", grpc_method="Apply", grpc_type="unary", grpc_code="OK",
    ) == 0  # fmt: skip


def test_the_series_of_a_deleted_service_go_away(simulated: Program) -> None:
    simulated.start()
    service = pb.Service(metadata=pb.Metadata(name="web"), spec=pb.ServiceSpec(image="web:1"))
    simulated.api.Apply(pb.ApplyRequest(service=service))
    simulated.until_converged(web=1)
    assert simulated.metric("dock_runner_service_replicas_ready", service="web") == 1
    assert simulated.metric("dock_runner_service_condition", service="web", condition="Ready", status="True") == 1
    simulated.api.Delete(pb.DeleteRequest(name="web"))
    eventually(lambda: simulated.service_or_none("web") is None)
    assert not [key for key in simulated.metrics() if ("service", "web") in key[1]]


def test_the_memory_engine_says_loudly_that_nothing_is_real(simulated: Program) -> None:
    simulated.start()
    assert "NOTHING IS REAL" in simulated.log


def test_scale_keeps_the_managers_word(simulated: Program) -> None:
    simulated.declare('[services.web]\nimage = "web:1"\nreplicas = 2\n\n[services.api]\nimage = "web:1"\n')
    simulated.start()
    with refused(grpc.StatusCode.FAILED_PRECONDITION) as caught:
        simulated.api.Scale(pb.ScaleRequest(name="web", replicas=5))
    assert "file" in str(caught.value.details())
    simulated.api.Scale(pb.ScaleRequest(name="api", replicas=3))
    simulated.until_converged(web=2, api=3)
    simulated.declare('[services.web]\nimage = "web:2"\nreplicas = 2\n\n[services.api]\nimage = "web:2"\n')
    eventually(lambda: simulated.service("api").spec.image == "web:2")
    simulated.until_converged(web=2, api=3)
