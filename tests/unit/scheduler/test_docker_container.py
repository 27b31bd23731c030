"""The translation between our words and Docker's JSON, without Docker."""

import copy
from typing import Any

import pytest

from controller.scheduler.docker_container import create_json, inspected, listed, restart_policy, volume_name
from controller.scheduler.engine import CreateRequest
from proto.dockrunner import v1 as pb

Json = dict[str, Any]
State = pb.ContainerStatus
ZERO = "0001-01-01T00:00:00Z"
LISTED: Json = {
    "Id": "c1", "Names": ["/web-1-abcde"], "ImageID": "sha256:1", "Labels": {"a": "b"}, "State": "running",
    "Status": "Up 3 seconds",
}  # fmt: skip
INSPECTED: Json = {
    "Id": "c1", "Name": "/web-1-abcde", "Image": "sha256:1", "RestartCount": 0,
    "State": {"Status": "running", "Running": True, "OOMKilled": False, "ExitCode": 0, "Error": "",
              "StartedAt": "2026-01-02T03:04:05.123456789Z", "FinishedAt": ZERO},
    "Config": {"Labels": {"a": "b"}},
    "HostConfig": {"RestartPolicy": {"Name": "always", "MaximumRetryCount": 0}, "PortBindings": None},
    "NetworkSettings": {"Ports": {}, "Networks": {}},
}  # fmt: skip


def changed(**state: object) -> Json:
    data = copy.deepcopy(INSPECTED)
    data["State"].update(state)
    return data


def request(networks: dict[str, list[str]] | None = None, **spec: Any) -> CreateRequest:
    template = pb.ServiceSpec(**{"image": "i:1", **spec})
    return CreateRequest("web-1-abcde", "u1", template, "always", {"l": "v"}, networks or {})


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
    body = create_json(request({"app": ["web", "w"], "db": ["web"]}), "default", {"app": "id1", "db": "id2"})
    assert body["HostConfig"]["NetworkMode"] == "id1"
    assert body["NetworkingConfig"] == {"EndpointsConfig": {"id1": {"Aliases": ["web", "w"]}}}


def test_one_target_may_be_published_twice() -> None:
    ports = [pb.Port(target=80, published="1"), pb.Port(target=80, published="2", host_ip="127.0.0.1")]
    assert create_json(request(ports=ports), "default", {})["HostConfig"]["PortBindings"] == {
        "80/tcp": [{"HostIp": "", "HostPort": "1"}, {"HostIp": "127.0.0.1", "HostPort": "2"}]
    }


@pytest.mark.parametrize(
    ("mount", "expected"),
    [
        (
            pb.Mount(source="data", target="/d"),
            {"Type": "volume", "Source": "blue-data", "VolumeOptions": {"Labels": {"dock-runner.instance": "blue"}}},
        ),
        (
            pb.Mount(target="/d"),
            {"Type": "volume", "Source": "", "VolumeOptions": {"Labels": {"dock-runner.instance": "blue"}}},
        ),
        (pb.Mount(type="bind", source="/s", target="/d"), {"Type": "bind", "Source": "/s"}),
        (pb.Mount(type="tmpfs", target="/d"), {"Type": "tmpfs"}),
    ],
    ids=["named", "anonymous", "bind", "tmpfs"],
)
def test_a_mount_of_each_type(mount: pb.Mount, expected: Json) -> None:
    body = create_json(request(volumes=[mount]), "blue", {})
    assert body["HostConfig"]["Mounts"] == [{**expected, "Target": "/d", "ReadOnly": False}]


def test_volumes_of_the_default_instance_keep_their_name() -> None:
    assert (volume_name("data", "default"), volume_name("data", "blue")) == ("data", "blue-data")


@pytest.mark.parametrize("policy", ["always", "unless-stopped", "on-failure", "on-failure:3", "no"])
def test_a_restart_policy_survives_the_way_there_and_back(policy: str) -> None:
    data = copy.deepcopy(INSPECTED)
    data["HostConfig"]["RestartPolicy"] = restart_policy(policy)
    assert inspected(data).restart == policy


def test_no_policy_at_all_is_no() -> None:
    data = copy.deepcopy(INSPECTED)
    data["HostConfig"]["RestartPolicy"] = {"Name": "", "MaximumRetryCount": 0}
    assert inspected(data).restart == "no"


@pytest.mark.parametrize(
    ("docker", "ours"),
    [
        ("created", State.CREATED), ("running", State.RUNNING), ("restarting", State.RESTARTING),
        ("paused", State.PAUSED), ("exited", State.EXITED), ("dead", State.EXITED), ("removing", State.EXITED),
    ],
)  # fmt: skip
def test_states_in_list_and_inspect(docker: str, ours: State.State.ValueType) -> None:
    assert listed({**LISTED, "State": docker}).status.state == ours
    assert inspected(changed(Status=docker)).status.state == ours


@pytest.mark.parametrize(
    ("text", "health"),
    [
        ("Up 3 seconds", pb.Health.NONE), ("Up 3 seconds (healthy)", pb.Health.HEALTHY),
        ("Up 2 hours (unhealthy)", pb.Health.UNHEALTHY), ("Up 1 second (health: starting)", pb.Health.STARTING),
        ("Up 2 hours (Paused)", pb.Health.NONE), ("Exited (0) 3 seconds ago", pb.Health.NONE),
        ("Exited (137)", pb.Health.NONE), ("Created", pb.Health.NONE),
    ],
)  # fmt: skip
def test_health_out_of_a_lists_text(text: str, health: pb.Health.Status.ValueType) -> None:
    assert listed({**LISTED, "Status": text}).status.health == health


def test_a_listed_container_has_its_own_name_and_says_that_it_is_not_inspected() -> None:
    observed = listed({**LISTED, "Names": ["/other/alias", "/web-1-abcde"], "Labels": None})
    assert (observed.name, observed.inspected, observed.labels) == ("web-1-abcde", False, {})
    assert (observed.status.docker_id, observed.status.image_id) == ("c1", "sha256:1")
    assert listed({**LISTED, "Names": None}).name == ""


def test_times_keep_their_nanoseconds_and_zero_is_unset() -> None:
    status = inspected(INSPECTED).status
    assert status.started_at.ToJsonString() == "2026-01-02T03:04:05.123456789Z"
    assert not status.HasField("finished_at")


@pytest.mark.parametrize(
    ("state", "finished", "code"),
    [
        ("exited", "2026-01-02T03:04:06Z", 3), ("restarting", "2026-01-02T03:04:06Z", 3),
        ("dead", "2026-01-02T03:04:06Z", 3), ("running", "2026-01-02T03:04:06Z", None), ("created", ZERO, None),
        ("exited", ZERO, None),
    ],
)  # fmt: skip
def test_an_exit_code_is_that_of_a_process_that_ended(state: str, finished: str, code: int | None) -> None:
    status = inspected(changed(Status=state, FinishedAt=finished, ExitCode=3)).status
    assert (status.exit_code if status.HasField("exit_code") else None) == code


def test_an_error_is_told_on_one_line_and_so_are_memory_and_restarts() -> None:
    status = inspected({**changed(Error="runc:\n  no such file\n", OOMKilled=True), "RestartCount": 4}).status
    assert (status.message, status.oom_killed, status.restart_count) == ("runc: no such file", True, 4)


def test_a_port_on_ipv4_and_ipv6_is_one_port() -> None:
    data = copy.deepcopy(INSPECTED)
    data["NetworkSettings"]["Ports"] = {
        "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}],  # noqa: S104  # as Docker reports
        "53/udp": [{"HostIp": "127.0.0.1", "HostPort": "53"}],
        "9/tcp": None,
    }
    assert list(inspected(data).status.ports) == [
        pb.Port(target=53, published="53", host_ip="127.0.0.1", protocol="udp"),
        pb.Port(target=80, published="8080", protocol="tcp"),
    ]


@pytest.mark.parametrize("health", ["starting", "healthy", "unhealthy", "none"])
def test_health_of_an_inspection(health: str) -> None:
    assert inspected(changed(Health={"Status": health})).status.health == pb.Health.Status.Value(health.upper())


def test_addresses_are_by_network_and_only_those_that_there_are() -> None:
    data = copy.deepcopy(INSPECTED)
    data["NetworkSettings"]["Networks"] = {
        "dock-runner-default": {"IPAddress": "172.18.0.2", "GlobalIPv6Address": ""},
        "left": {"IPAddress": ""},
        "none": {},
    }
    assert dict(inspected(data).status.addresses) == {"dock-runner-default": "172.18.0.2"}
    data["NetworkSettings"]["Networks"] = None
    assert dict(inspected(data).status.addresses) == {}
