"""What Docker is asked for to make a container, without Docker."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from controller.errors import EngineError
from controller.scheduler.docker_create import create_json
from controller.scheduler.docker_seccomp import MAX_PROFILE, with_profiles
from controller.scheduler.engine import CreateRequest, FileMount
from proto.dockrunner import v1 as pb

Json = dict[str, Any]


def request(networks: dict[str, pb.NetworkAttachment] | None = None, mode: str = "", **spec: Any) -> CreateRequest:
    template = pb.ServiceSpec(**{"image": "i:1", **spec})
    return CreateRequest("web-1-abcde", "u1", template, "always", {"l": "v"}, networks or {}, mode)


def host(version: str = "1.41", **spec: Any) -> Json:
    config: Json = create_json(request(**spec), "blue", {}, version)["HostConfig"]
    return config


def test_what_the_spec_leaves_out_is_left_to_the_image() -> None:
    assert create_json(request(), "default", {}) == {
        "Image": "i:1",
        "Labels": {"l": "v"},
        "HostConfig": {
            "RestartPolicy": {"Name": "always", "MaximumRetryCount": 0},
            "PortBindings": {},
            "Mounts": [],
        },
    }


def test_the_first_network_is_joined_at_creation_by_its_id() -> None:
    networks = {"app": pb.NetworkAttachment(aliases=["web", "w"]), "db": pb.NetworkAttachment(aliases=["web"])}
    body = create_json(request(networks), "default", {"app": "id1", "db": "id2"})
    assert body["HostConfig"]["NetworkMode"] == "id1"
    assert body["NetworkingConfig"] == {"EndpointsConfig": {"id1": {"Aliases": ["web", "w"]}}}


def test_fixed_addresses_are_asked_for() -> None:
    networks = {"app": pb.NetworkAttachment(ipv4_address="10.9.0.9", ipv6_address="fd00::9")}
    body = create_json(request(networks), "default", {"app": "id1"})
    assert body["NetworkingConfig"]["EndpointsConfig"]["id1"] == {
        "Aliases": [],
        "IPAMConfig": {"IPv4Address": "10.9.0.9", "IPv6Address": "fd00::9"},
    }


@pytest.mark.parametrize("mode", ["none", "host", "container:c1"])
def test_without_a_network_of_its_own_it_joins_and_publishes_nothing(mode: str) -> None:
    networks = {"app": pb.NetworkAttachment()}
    body = create_json(request(networks, mode, ports=[pb.Port(target=80, published="1")]), "default", {"app": "id1"})
    assert body["HostConfig"]["NetworkMode"] == mode
    assert body["HostConfig"]["PortBindings"] == {}
    assert not {"NetworkingConfig", "ExposedPorts"} & set(body)


@pytest.mark.parametrize(("mode", "own"), [("host", True), ("none", True), ("container:c1", False)])
def test_in_another_containers_network_it_has_that_ones_names(mode: str, own: bool) -> None:
    names: Json = {"hostname": "h", "dns": ["1.1.1.1"], "dns_search": ["x"], "extra_hosts": ["a=1.1.1.1"]}
    body = create_json(request({}, mode, **names), "default", {})
    assert ("Hostname" in body) is own
    assert ({"Dns", "DnsSearch", "ExtraHosts"} <= set(body["HostConfig"])) is own
    assert ({"Dns", "DnsSearch", "ExtraHosts"} & set(body["HostConfig"]) == set()) is not own


def test_files_are_mounted_besides_volumes_and_cannot_be_written() -> None:
    volumes = [pb.Mount(type="tmpfs", target="/t")]
    asked = replace(request(volumes=volumes), files=[FileMount("/run/x", "/run/secrets/x")])
    assert create_json(asked, "blue", {})["HostConfig"]["Mounts"] == [
        {"Type": "tmpfs", "Target": "/t", "ReadOnly": False},
        {"Type": "bind", "Source": "/run/x", "Target": "/run/secrets/x", "ReadOnly": True},
    ]


def test_one_target_may_be_published_twice() -> None:
    ports = [pb.Port(target=80, published="1"), pb.Port(target=80, published="2", host_ip="127.0.0.1")]
    assert host(ports=ports)["PortBindings"] == {
        "80/tcp": [{"HostIp": "", "HostPort": "1"}, {"HostIp": "127.0.0.1", "HostPort": "2"}]
    }


OURS: Json = {"dock-runner.instance": "blue"}
NFS = pb.VolumeDefinition(driver_opts={"type": "nfs"}, labels={"tier": "db", "dock-runner.instance": "other"})


@pytest.mark.parametrize(
    ("mount", "expected"),
    [
        (pb.Mount(source="data", target="/d"), {"Type": "volume", "Source": "data", "VolumeOptions": {"Labels": OURS}}),
        (pb.Mount(target="/d"), {"Type": "volume", "Source": "", "VolumeOptions": {"Labels": OURS}}),
        (
            pb.Mount(source="data", target="/d", volume=pb.VolumeOptions(nocopy=True), definition=NFS),
            {
                "Type": "volume",
                "Source": "data",
                "VolumeOptions": {
                    "NoCopy": True,
                    "Labels": {"tier": "db", **OURS},
                    "DriverConfig": {"Name": "local", "Options": {"type": "nfs"}},
                },
            },
        ),
        (
            pb.Mount(source="data", target="/d", definition=pb.VolumeDefinition(external=True, driver="x")),
            {"Type": "volume", "Source": "data", "VolumeOptions": {}},
        ),
        (pb.Mount(type="bind", source="/s", target="/d"), {"Type": "bind", "Source": "/s"}),
        (
            pb.Mount(type="bind", source="/s", target="/d", bind=pb.BindOptions(propagation="rshared")),
            {"Type": "bind", "Source": "/s", "BindOptions": {"Propagation": "rshared"}},
        ),
        (pb.Mount(type="tmpfs", target="/d"), {"Type": "tmpfs"}),
        (
            pb.Mount(type="tmpfs", target="/d", tmpfs=pb.TmpfsOptions(size=4096, mode=0o1777)),
            {"Type": "tmpfs", "TmpfsOptions": {"SizeBytes": 4096, "Mode": 0o1777}},
        ),
    ],
    ids=["named", "anonymous", "defined", "external", "bind", "propagation", "tmpfs", "sized"],
)
def test_a_mount_of_each_type(mount: pb.Mount, expected: Json) -> None:
    assert host(volumes=[mount])["Mounts"] == [{**expected, "Target": "/d", "ReadOnly": False}]


@pytest.mark.parametrize(("version", "known"), [("1.9", False), ("1.43", False), ("1.44", True), ("1.100", True)])
def test_start_interval_is_sent_to_an_engine_that_knows_it(version: str, known: bool) -> None:
    check = pb.HealthCheck(test=["CMD", "true"], start_interval=Duration(seconds=2))
    sent = create_json(request(healthcheck=check), "default", {}, version)["Healthcheck"]
    assert sent == {"Test": ["CMD", "true"], **({"StartInterval": 2_000_000_000} if known else {})}


@pytest.mark.parametrize(
    ("gpu", "expected"),
    [
        (pb.Gpu(), {"Driver": "nvidia", "Count": -1, "DeviceIDs": None, "Capabilities": [["gpu"]], "Options": {}}),
        (
            pb.Gpu(driver="amd", count=2, capabilities=["utility", "gpu"], options={"a": "b"}),
            {
                "Driver": "amd",
                "Count": 2,
                "DeviceIDs": None,
                "Capabilities": [["utility", "gpu"]],
                "Options": {"a": "b"},
            },
        ),
        (
            pb.Gpu(device_ids=["0", "3"], capabilities=["compute"]),
            {
                "Driver": "nvidia",
                "Count": 0,
                "DeviceIDs": ["0", "3"],
                "Capabilities": [["compute", "gpu"]],
                "Options": {},
            },
        ),
    ],
    ids=["all", "some", "these"],
)
def test_graphics_processors_are_requests_for_devices(gpu: pb.Gpu, expected: Json) -> None:
    assert host(gpus=[gpu])["DeviceRequests"] == [expected]


def test_no_grace_at_all_is_not_dockers_default() -> None:
    assert create_json(request(stop_grace_period=Duration()), "default", {})["StopTimeout"] == 0


def test_init_may_be_refused_though_the_engine_has_it_by_default() -> None:
    assert host(init=False)["Init"] is False


def test_a_seccomp_profile_is_sent_with_its_content(tmp_path: Path) -> None:
    profile = tmp_path / "profile.json"
    profile.write_text('{ "defaultAction": "SCMP_ACT_ALLOW" }\n')
    options = ["no-new-privileges:true", "seccomp=unconfined", f"seccomp={profile}", 'seccomp={"a":1}']
    assert with_profiles(options) == [*options[:2], 'seccomp={"defaultAction":"SCMP_ACT_ALLOW"}', options[3]]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file"), (b"secret", "is not JSON"), (b"[" * 100_000, "is not JSON"),
        (b" " * (MAX_PROFILE + 1), "larger"),
    ],
    ids=["missing", "no JSON", "deep", "large"],
)  # fmt: skip
def test_a_profile_that_cannot_be_sent_is_an_error_that_does_not_show_it(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    profile = tmp_path / "profile"
    if content is not None:
        profile.write_bytes(content)
    with pytest.raises(EngineError, match=rf"^seccomp profile {profile} .*{reason}") as raised:
        with_profiles([f"seccomp={profile}"])
    assert "secret" not in str(raised.value)


def test_a_folder_is_no_profile(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="is not a file"):
        with_profiles([f"seccomp={tmp_path}"])
