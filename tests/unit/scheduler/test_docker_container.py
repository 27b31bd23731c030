"""What Docker says of containers, in our words, without Docker."""

import copy
from typing import Any

import pytest

from controller.scheduler.docker_container import inspected, listed
from controller.scheduler.docker_create import restart_policy
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
