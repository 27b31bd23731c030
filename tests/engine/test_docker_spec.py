"""Each field of a service, as ``docker inspect`` shows it and as the container's process sees it."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker as sdk
import pytest
from google.protobuf.duration_pb2 import Duration

from controller.metrics import Metrics
from controller.scheduler.docker import DockerEngine
from controller.scheduler.engine import LABEL_INSTANCE
from proto.dockrunner import v1 as pb
from tests.engine.conftest import Requests

Json = dict[str, Any]
Look = Callable[[Json], object]

FIELDS: list[tuple[str, Json, Look, object]] = [
    ("command", {"command": ["sleep", "9"]}, lambda data: data["Config"]["Cmd"], ["sleep", "9"]),
    ("entrypoint", {"entrypoint": ["sh", "-c"]}, lambda data: data["Config"]["Entrypoint"], ["sh", "-c"]),
    (
        "environment",
        {"environment": {"B": "two=2", "A": "1", "EMPTY": ""}},
        lambda data: data["Config"]["Env"],
        ["A=1", "B=two=2", "EMPTY=", "PATH=/bin"],
    ),
    ("user", {"user": "app:staff"}, lambda data: data["Config"]["User"], "app:staff"),
    ("working_dir", {"working_dir": "/www"}, lambda data: data["Config"]["WorkingDir"], "/www"),
    ("stop_signal", {"stop_signal": "SIGINT"}, lambda data: data["Config"]["StopSignal"], "SIGINT"),
    (
        "stop_grace_period",
        {"stop_grace_period": Duration(seconds=75)},
        lambda data: data["Config"]["StopTimeout"],
        75,
    ),
    (
        "ports",
        {"ports": [pb.Port(target=80, published="18080"), pb.Port(target=53, host_ip="127.0.0.1", protocol="udp")]},
        lambda data: data["HostConfig"]["PortBindings"],
        {"80/tcp": [{"HostIp": "", "HostPort": "18080"}], "53/udp": [{"HostIp": "127.0.0.1", "HostPort": ""}]},
    ),
    (
        "exposed ports",
        {"ports": [pb.Port(target=80, published="18080")]},
        lambda data: data["Config"]["ExposedPorts"],
        {"80/tcp": {}},
    ),
    (
        "restart",
        {"restart": "on-failure:4"},
        lambda data: data["HostConfig"]["RestartPolicy"],
        {"Name": "on-failure", "MaximumRetryCount": 4},
    ),
    (
        "nothing but an image",
        {},
        lambda data: (data["Config"]["Cmd"][0], data["Config"]["Entrypoint"], data["HostConfig"]["Binds"]),
        ("sh", None, None),
    ),
]


@pytest.mark.parametrize(("spec", "look", "expected"), [row[1:] for row in FIELDS], ids=[row[0] for row in FIELDS])
async def test_docker_has_what_the_spec_says(
    engine: DockerEngine, request_for: Requests, docker: sdk.APIClient, spec: Json, look: Look, expected: object
) -> None:
    made = await engine.create(request_for(**spec))
    assert look(docker.inspect_container(made)) == expected


async def test_labels_are_exactly_those_of_the_request(
    engine: DockerEngine, request_for: Requests, docker: sdk.APIClient
) -> None:
    request = request_for()
    assert docker.inspect_container(await engine.create(request))["Config"]["Labels"] == dict(request.labels)


async def test_mounts_of_each_type_work_inside(
    engine: DockerEngine, request_for: Requests, docker: sdk.APIClient, instance: str, tmp_path: Path
) -> None:
    (tmp_path / "given").write_text("from the host\n")
    mounts = [
        pb.Mount(source="data", target="/data"),
        pb.Mount(type="bind", source=str(tmp_path), target="/bound", read_only=True),
        pb.Mount(type="tmpfs", target="/scratch"),
        pb.Mount(target="/anonymous"),
    ]
    script = "cat /bound/given && touch /data/a /scratch/a /anonymous/a && ! touch /bound/a"
    made = await engine.create(request_for(volumes=mounts, command=["sh", "-c", script]))
    volumes = {mount["Destination"]: mount.get("Name") for mount in docker.inspect_container(made)["Mounts"]}
    assert volumes["/data"] == f"{instance}-data"
    for name in (volumes["/data"], volumes["/anonymous"]):
        assert docker.inspect_volume(name)["Labels"] == {LABEL_INSTANCE: instance}
    await engine.start(made)
    assert (await asyncio.to_thread(docker.wait, made, 20))["StatusCode"] == 0, docker.logs(made)
    assert b"from the host" in docker.logs(made)
    await engine.remove(made)
    left = {volume["Name"] for volume in docker.volumes(filters={"label": [LABEL_INSTANCE]})["Volumes"]}
    assert volumes["/data"] in left
    assert volumes["/anonymous"] not in left


async def test_the_default_instance_has_volumes_without_a_prefix(
    engine_host: str, docker: sdk.APIClient, request_for: Requests
) -> None:
    engine = DockerEngine(engine_host, "default", Metrics())
    made = await engine.create(request_for(volumes=[pb.Mount(source="test-of-names", target="/data")]))
    try:
        assert docker.inspect_container(made)["Mounts"][0]["Name"] == "test-of-names"
    finally:
        docker.remove_container(made)
        docker.remove_volume("test-of-names")
        await engine.close()


async def test_published_ports_are_told_as_docker_chose_them(engine: DockerEngine, request_for: Requests) -> None:
    ports = [pb.Port(target=80), pb.Port(target=81, published="18081", host_ip="127.0.0.1", protocol="udp")]
    made = await engine.create(request_for(ports=ports))
    asked = (await engine.inspect(made)).status.ports
    assert [(port.target, port.published) for port in asked] == [(80, ""), (81, "18081")]
    await engine.start(made)
    chosen, fixed = (await engine.inspect(made)).status.ports
    assert (chosen.target, chosen.protocol, chosen.host_ip) == (80, "tcp", "")
    assert int(chosen.published) > 1024
    assert fixed == pb.Port(target=81, published="18081", host_ip="127.0.0.1", protocol="udp")


async def test_a_port_that_is_taken_fails_the_start_with_dockers_words(
    engine: DockerEngine, request_for: Requests
) -> None:
    for slot in (1, 2):
        made = await engine.create(request_for(slot, ports=[pb.Port(target=80, published="18082")]))
        if slot == 1:
            await engine.start(made)
    with pytest.raises(Exception, match=r"18082.*already allocated"):
        await engine.start(made)
    assert "already allocated" in (await engine.inspect(made)).status.message
