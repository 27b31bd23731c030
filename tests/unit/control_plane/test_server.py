"""The server: sockets and their permissions, health, reflection, and a client that knows nothing but reflection."""

import asyncio
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from controller.control_plane.server import Address, Server
from controller.control_plane.servicer import ControlPlane
from controller.errors import StartError
from controller.metrics import Metrics
from controller.store import NoJournal, Persistence, Recorder, Store
from proto.dockrunner import v1 as pb
from proto.dockrunner.v1.control_plane_pb2_grpc import ControlPlaneStub
from tests.clock import ManualClock
from tests.unit.control_plane.conftest import Api, FakeAdmission

SERVICE = "dockrunner.v1.ControlPlane"
Status = health_pb2.HealthCheckResponse


def a_server(*addresses: Address) -> Server:
    clock, metrics = ManualClock(), Metrics()
    store = Store(clock)
    persistence = Persistence(store, NoJournal(), clock)
    servicer = ControlPlane(store, Recorder(store, clock), FakeAdmission(), persistence, metrics, clock)
    return Server(addresses, servicer, metrics, clock)


@pytest.fixture
def careless_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.usefixtures("careless_umask")
async def test_the_socket_is_0660_in_a_folder_of_0750_and_the_umask_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "run" / "dock-runner" / "s.sock"
    server = a_server(path)
    await server.start()
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o750
    umask = os.umask(0o022)
    assert umask == 0o022
    await server.stop(0)
    assert not path.exists()


async def test_a_second_server_never_takes_a_live_socket(api: Api) -> None:
    inode = api.socket.stat().st_ino
    second = a_server(api.socket)
    with pytest.raises(StartError, match=f"another process serves on {api.socket}"):
        await second.start()
    assert api.socket.stat().st_ino == inode
    await api.apply("web")


async def test_a_socket_that_a_dead_process_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()
    server = a_server(path)
    await server.start()
    async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
        await ControlPlaneStub(channel).List(pb.ListRequest())
    await server.stop(0)


async def test_what_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    path.write_text("precious")
    with pytest.raises(StartError, match="is no socket"):
        await a_server(path).start()
    assert path.read_text() == "precious"


async def test_a_path_too_long_for_a_socket_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="longer than 107 bytes"):
        await a_server(tmp_path / ("x" * 100) / "s.sock").start()


async def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartError, match="cannot use the socket"):
        await a_server(tmp_path / "file" / "s.sock").start()


async def test_a_tcp_port_is_not_shared_and_a_failed_start_leaves_nothing(tmp_path: Path) -> None:
    first = a_server(("127.0.0.1", 0))
    await first.start()
    (address,) = first.bound
    assert isinstance(address, tuple)
    second = a_server(tmp_path / "s.sock", address)
    with pytest.raises(StartError, match=f"cannot listen on 127.0.0.1:{address[1]}"):
        await second.start()
    assert not (tmp_path / "s.sock").exists()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{address[1]}") as channel:
        await ControlPlaneStub(channel).List(pb.ListRequest())
    await first.stop(0)


async def test_several_addresses_serve_one_store(tmp_path: Path) -> None:
    server = a_server(tmp_path / "s.sock", ("::1", 0)) if socket.has_ipv6 else a_server(tmp_path / "s.sock")
    try:
        await server.start()
    except StartError:
        pytest.skip("this machine has no IPv6 loopback")
    targets = [f"unix:{tmp_path}/s.sock", *(f"[::1]:{bound[1]}" for bound in server.bound if isinstance(bound, tuple))]
    assert len(targets) == 2
    versions = set()
    for target in targets:
        async with grpc.aio.insecure_channel(target) as channel:
            versions.add((await ControlPlaneStub(channel).List(pb.ListRequest())).resource_version)
    assert len(versions) == 1
    await server.stop(0)


async def test_stop_may_be_repeated_and_comes_before_start_without_harm(tmp_path: Path) -> None:
    server = a_server(tmp_path / "s.sock")
    await server.stop(0)
    await server.start()
    await server.stop(0)
    await server.stop(0)


async def test_health_answers_for_the_server_and_the_service(api: Api) -> None:
    stub: Any = health_pb2_grpc.HealthStub(api.channel)

    async def check(service: str) -> int:
        response = await stub.Check(health_pb2.HealthCheckRequest(service=service))
        return int(response.status)

    assert [await check(""), await check(SERVICE)] == [Status.SERVING, Status.SERVING]
    await api.server.set_serving(False)
    assert [await check(""), await check(SERVICE)] == [Status.NOT_SERVING, Status.NOT_SERVING]
    await api.server.set_serving(True)
    assert await check("") == Status.SERVING


async def test_health_says_not_serving_while_the_server_stops(api: Api) -> None:
    stub: Any = health_pb2_grpc.HealthStub(api.channel)
    call = stub.Watch(health_pb2.HealthCheckRequest(service=SERVICE))
    assert (await call.read()).status == Status.SERVING
    stopping = asyncio.create_task(api.server.stop(0.2))
    async with asyncio.timeout(5):
        assert (await call.read()).status == Status.NOT_SERVING
        await stopping


async def test_a_client_that_knows_reflection_alone_can_list_and_check(api: Api) -> None:
    await api.apply("web", replicas=2)
    found = await asyncio.to_thread(by_reflection, f"unix:{api.socket}")
    assert found["services"] == [SERVICE, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"]
    assert [service["metadata"]["name"] for service in found["list"]["services"]] == ["web"]
    assert found["list"]["services"][0]["spec"]["replicas"] == 2
    assert found["health"] == {"status": "SERVING"}


def by_reflection(target: str) -> dict[str, Any]:
    """What a generic client in any language does: no generated code, only descriptors that the server hands out."""
    with grpc.insecure_channel(target) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        pool = DescriptorPool(database)

        def call(service: str, method: str, /, **fields: Any) -> dict[str, Any]:
            found = pool.FindServiceByName(service).FindMethodByName(method)
            request, response = GetMessageClass(found.input_type), GetMessageClass(found.output_type)
            invoke = channel.unary_unary(
                f"/{service}/{method}",
                request_serializer=request.SerializeToString,
                response_deserializer=response.FromString,
            )
            return json_format.MessageToDict(invoke(request(**fields), timeout=5))

        return {
            "services": sorted(database.get_services()),
            "list": call(SERVICE, "List"),
            "health": call("grpc.health.v1.Health", "Check", service=SERVICE),
        }
