"""Each field of a service, as ``docker inspect`` shows it and as the container's process sees it."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker as sdk
import pytest
from google.protobuf.duration_pb2 import Duration

from controller.errors import EngineError
from controller.scheduler.docker import DockerEngine
from controller.scheduler.engine import LABEL_INSTANCE, LABEL_SERVICE
from proto.dockrunner import v1 as pb
from tests.engine.conftest import Requests
from tests.private_engine import IMAGE

Json = dict[str, Any]
Look = Callable[[Json], object]

# Per field of a service: what is asked for, where it shows in `docker inspect`, and what is there.
FIELDS: list[tuple[str, Json, Look, object]] = [
    ("image", {}, lambda data: data["Config"]["Image"], IMAGE),
    ("command", {"command": ["sleep", "9"]}, lambda data: data["Config"]["Cmd"], ["sleep", "9"]),
    ("entrypoint", {"entrypoint": ["sh", "-c"]}, lambda data: data["Config"]["Entrypoint"], ["sh", "-c"]),
    (
        "environment",
        {"environment": {"B": "two=2", "A": "1", "EMPTY": ""}},
        lambda data: data["Config"]["Env"],
        ["A=1", "B=two=2", "EMPTY=", "PATH=/bin"],
    ),
    (
        "ports",
        {"ports": [pb.Port(target=80, published="18080"), pb.Port(target=53, host_ip="127.0.0.1", protocol="udp")]},
        lambda data: data["HostConfig"]["PortBindings"],
        {"80/tcp": [{"HostIp": "", "HostPort": "18080"}], "53/udp": [{"HostIp": "127.0.0.1", "HostPort": ""}]},
    ),
    (
        "ports, exposed",
        {"ports": [pb.Port(target=80, published="18080")]},
        lambda data: data["Config"]["ExposedPorts"],
        {"80/tcp": {}},
    ),
    ("labels", {"labels": {"tier": "front"}}, lambda data: data["Config"]["Labels"]["tier"], "front"),
    ("user", {"user": "app:staff"}, lambda data: data["Config"]["User"], "app:staff"),
    ("working_dir", {"working_dir": "/www"}, lambda data: data["Config"]["WorkingDir"], "/www"),
    (
        "restart",
        {"restart": "on-failure:4"},
        lambda data: data["HostConfig"]["RestartPolicy"],
        {"Name": "on-failure", "MaximumRetryCount": 4},
    ),
    ("stop_signal", {"stop_signal": "SIGINT"}, lambda data: data["Config"]["StopSignal"], "SIGINT"),
    (
        "stop_grace_period",
        {"stop_grace_period": Duration(seconds=75)},
        lambda data: data["Config"]["StopTimeout"],
        75,
    ),
    (
        "networks",
        {"networks": {"spec-networks": ["web", "other"]}},
        lambda data: [network["Aliases"] for network in data["NetworkSettings"]["Networks"].values()],
        [["web", "other"]],
    ),
    (
        "volumes",
        {"volumes": [pb.Mount(type="tmpfs", target="/t", tmpfs=pb.TmpfsOptions(size=65536, mode=0o1770))]},
        lambda data: data["HostConfig"]["Mounts"],
        [{"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 65536, "Mode": 0o1770}}],
    ),
    ("hostname", {"hostname": "web-1"}, lambda data: data["Config"]["Hostname"], "web-1"),
    ("init", {"init": True}, lambda data: data["HostConfig"]["Init"], True),
    ("init, refused", {"init": False}, lambda data: data["HostConfig"]["Init"], False),
    ("read_only", {"read_only": True}, lambda data: data["HostConfig"]["ReadonlyRootfs"], True),
    (
        "tmpfs",
        {"tmpfs": ["/run:size=64k,mode=1777", "/tmp"]},  # noqa: S108  # inside the container
        lambda data: data["HostConfig"]["Tmpfs"],
        {"/run": "size=64k,mode=1777", "/tmp": ""},  # noqa: S108  # as above
    ),
    ("cap_add", {"cap_add": ["CAP_NET_ADMIN"]}, lambda data: data["HostConfig"]["CapAdd"], ["CAP_NET_ADMIN"]),
    ("cap_drop", {"cap_drop": ["ALL"]}, lambda data: data["HostConfig"]["CapDrop"], ["ALL"]),
    (
        "security_opt",
        {"security_opt": ["no-new-privileges:true", "seccomp=unconfined"]},
        lambda data: data["HostConfig"]["SecurityOpt"],
        ["no-new-privileges:true", "seccomp=unconfined"],
    ),
    ("privileged", {"privileged": True}, lambda data: data["HostConfig"]["Privileged"], True),
    (
        "devices",
        {
            "devices": [
                pb.Device(source="/dev/null", target="/dev/void", permissions="r"),
                pb.Device(source="/dev/zero"),
            ]
        },
        lambda data: data["HostConfig"]["Devices"],
        [
            {"PathOnHost": "/dev/null", "PathInContainer": "/dev/void", "CgroupPermissions": "r"},
            {"PathOnHost": "/dev/zero", "PathInContainer": "/dev/zero", "CgroupPermissions": "rwm"},
        ],
    ),
    (
        "gpus",
        {"gpus": [pb.Gpu(count=2)]},
        lambda data: data["HostConfig"]["DeviceRequests"],
        [{"Driver": "nvidia", "Count": 2, "DeviceIDs": None, "Capabilities": [["gpu"]], "Options": {}}],
    ),
    ("group_add", {"group_add": ["staff", "2001"]}, lambda data: data["HostConfig"]["GroupAdd"], ["staff", "2001"]),
    (
        "ulimits",
        {"ulimits": {"nofile": pb.Ulimit(soft=100, hard=200)}},
        lambda data: data["HostConfig"]["Ulimits"],
        [{"Name": "nofile", "Soft": 100, "Hard": 200}],
    ),
    (
        "sysctls",
        {"sysctls": {"net.core.somaxconn": "99"}},
        lambda data: data["HostConfig"]["Sysctls"],
        {"net.core.somaxconn": "99"},
    ),
    ("shm_size", {"shm_size": 1 << 20}, lambda data: data["HostConfig"]["ShmSize"], 1 << 20),
    (
        "extra_hosts",
        {"extra_hosts": ["db=10.0.0.9", "six=fd00::9", "me=host-gateway"]},
        lambda data: data["HostConfig"]["ExtraHosts"],
        ["db:10.0.0.9", "six:fd00::9", "me:host-gateway"],
    ),
    ("dns", {"dns": ["10.0.0.53"]}, lambda data: data["HostConfig"]["Dns"], ["10.0.0.53"]),
    ("dns_search", {"dns_search": ["acme.test"]}, lambda data: data["HostConfig"]["DnsSearch"], ["acme.test"]),
    (
        "logging",
        {"logging": pb.Logging(driver="json-file", options={"max-size": "1m"})},
        lambda data: data["HostConfig"]["LogConfig"],
        {"Type": "json-file", "Config": {"max-size": "1m"}},
    ),
    (
        "healthcheck",
        {
            "healthcheck": pb.HealthCheck(
                test=["CMD", "true"],
                interval=Duration(seconds=2),
                timeout=Duration(seconds=1, nanos=500_000_000),
                retries=4,
                start_period=Duration(seconds=9),
            )
        },
        lambda data: data["Config"]["Healthcheck"],
        {
            "Test": ["CMD", "true"],
            "Interval": 2_000_000_000,
            "Timeout": 1_500_000_000,
            "Retries": 4,
            "StartPeriod": 9_000_000_000,
        },
    ),
    (
        "healthcheck, none",
        {"healthcheck": pb.HealthCheck(disable=True, test=["CMD", "true"])},
        lambda data: data["Config"]["Healthcheck"],
        {"Test": ["NONE"]},
    ),
    ("cpus", {"resources": pb.Resources(cpus=0.5)}, lambda data: data["HostConfig"]["NanoCpus"], 500_000_000),
    ("mem_limit", {"resources": pb.Resources(mem_limit=8 << 20)}, lambda data: data["HostConfig"]["Memory"], 8 << 20),
    ("mem_reservation", {"mem_reservation": 6 << 20}, lambda data: data["HostConfig"]["MemoryReservation"], 6 << 20),
    ("pids_limit", {"resources": pb.Resources(pids_limit=7)}, lambda data: data["HostConfig"]["PidsLimit"], 7),
    ("network_mode", {"network_mode": "none"}, lambda data: data["HostConfig"]["NetworkMode"], "none"),
    (
        "nothing but an image",
        {},
        lambda data: (data["Config"]["Cmd"][0], data["Config"]["Entrypoint"], data["HostConfig"]["Binds"]),
        ("sh", None, None),
    ),
]
# Docker shows nothing of it: see test_an_image_of_another_platform_is_missing.
UNSEEN = ("platform",)
# What Dock Runner does with a service's containers, and when; the container is not told. Secrets, configs and the
# digest come into the request as mounts and as the image.
NOT_OF_A_CONTAINER = (
    "replicas", "pull_policy", "restarted_at", "depends_on", "secrets", "configs", "update", "rollback",
    "restart_backoff", "autoscale", "image_check", "image_digest", "schedule", "time_zone", "concurrency_policy",
    "successful_history_limit", "failed_history_limit", "starting_deadline", "paused",
)  # fmt: skip


def test_each_field_of_a_service_is_tested_here_or_does_not_concern_its_containers() -> None:
    tested = {name.partition(",")[0] for name, *_ in FIELDS} - {"nothing but an image"}
    fields = [field.name for field in pb.ServiceSpec.DESCRIPTOR.fields]
    assert sorted([*tested, *UNSEEN, *NOT_OF_A_CONTAINER]) == sorted(fields)


@pytest.mark.parametrize(("spec", "look", "expected"), [row[1:] for row in FIELDS], ids=[row[0] for row in FIELDS])
async def test_docker_has_what_the_spec_says(
    engine: DockerEngine, request_for: Requests, docker: sdk.APIClient, spec: Json, look: Look, expected: object
) -> None:
    made = await engine.create(request_for(**spec))
    assert look(docker.inspect_container(made)) == expected


async def test_an_image_of_another_platform_is_missing(
    engine: DockerEngine, request_for: Requests, docker: sdk.APIClient
) -> None:
    own = docker.version()["Arch"]
    other = "s390x" if own != "s390x" else "amd64"
    await engine.create(request_for(1, platform=f"linux/{own}"))
    with pytest.raises(EngineError, match=rf"{IMAGE}.*{other}"):
        await engine.create(request_for(2, platform=f"linux/{other}"))


async def test_the_process_finds_what_the_spec_says(
    engine: DockerEngine, request_for: Requests, docker: sdk.APIClient
) -> None:
    script = """
        set -e
        [ "$(hostname)" = named ]; ! touch /file 2>/dev/null; touch /scratch/file; [ -e /dev/void ]
        [ "$(id -G)" = "0 2000" ]; [ "$(ulimit -n)" = 100 ]; [ "$(cat /proc/sys/net/core/somaxconn)" = 99 ]
        case "$(cat /etc/hosts)" in *10.0.0.9*db*) ;; *) exit 1;; esac
        case "$(cat /etc/resolv.conf)" in *acme.test*10.0.0.53*|*10.0.0.53*acme.test*) ;; *) exit 2;; esac
    """
    made = await engine.create(
        request_for(
            command=["sh", "-c", script], hostname="named", read_only=True, tmpfs=["/scratch"], group_add=["staff"],
            devices=[pb.Device(source="/dev/null", target="/dev/void")],
            ulimits={"nofile": pb.Ulimit(soft=100, hard=200)}, sysctls={"net.core.somaxconn": "99"},
            extra_hosts=["db=10.0.0.9"], dns=["10.0.0.53"], dns_search=["acme.test"], init=True,
        )
    )  # fmt: skip
    await engine.start(made)
    assert (await asyncio.to_thread(docker.wait, made, 20))["StatusCode"] == 0, docker.logs(made)


async def test_a_seccomp_profile_keeps_the_process_from_a_call(
    engine: DockerEngine, request_for: Requests, docker: sdk.APIClient, tmp_path: Path
) -> None:
    profile = tmp_path / "profile.json"
    rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}))
    made = await engine.create(request_for(command=["mkdir", "/d"], security_opt=[f"seccomp={profile}"]))
    await engine.start(made)
    assert (await asyncio.to_thread(docker.wait, made, 20))["StatusCode"] == 1
    assert b"not permitted" in docker.logs(made)


async def test_a_container_in_the_network_of_another_has_its_addresses(
    engine: DockerEngine, request_for: Requests, docker: sdk.APIClient
) -> None:
    server = await engine.create(request_for(1, networks={"shared": []}, command=["httpd", "-f", "-h", "/www"]))
    await engine.start(server)
    asking = "until wget -qO- http://127.0.0.1/; do sleep 0.1; done"
    client = await engine.create(
        request_for(
            2, network_mode=f"container:{server}", command=["sh", "-c", asking], hostname="refused", dns=["10.0.0.53"],
            extra_hosts=["db=10.0.0.9"], ports=[pb.Port(target=80, published="18083")],
        )
    )  # fmt: skip
    await engine.start(client)
    assert (await asyncio.to_thread(docker.wait, client, 20))["StatusCode"] == 0
    assert b"hello" in docker.logs(client)


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
        pb.Mount(source=f"{instance}-data", target="/data"),
        pb.Mount(type="bind", source=str(tmp_path), target="/bound", read_only=True),
        pb.Mount(type="tmpfs", target="/scratch"),
        pb.Mount(target="/anonymous"),
    ]
    script = "cat /bound/given && touch /data/a /scratch/a /anonymous/a && ! touch /bound/a"
    made = await engine.create(request_for(volumes=mounts, command=["sh", "-c", script]))
    volumes = {mount["Destination"]: mount.get("Name") for mount in docker.inspect_container(made)["Mounts"]}
    assert volumes["/data"] == f"{instance}-data"
    for name in (volumes["/data"], volumes["/anonymous"]):
        assert docker.inspect_volume(name)["Labels"] == {LABEL_INSTANCE: instance, LABEL_SERVICE: "web"}
    await engine.start(made)
    assert (await asyncio.to_thread(docker.wait, made, 20))["StatusCode"] == 0, docker.logs(made)
    assert b"from the host" in docker.logs(made)
    await engine.remove(made)
    left = {volume["Name"] for volume in docker.volumes(filters={"label": [LABEL_INSTANCE]})["Volumes"]}
    assert volumes["/data"] in left
    assert volumes["/anonymous"] not in left


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
