"""Containers as Docker's JSON has them, in our words: pure translation."""

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from controller.scheduler.docker_resources import limits
from controller.scheduler.engine import Observed
from proto.dockrunner import v1 as pb

Json = dict[str, Any]

_STATES = {
    "created": pb.ContainerStatus.CREATED,
    "running": pb.ContainerStatus.RUNNING,
    "restarting": pb.ContainerStatus.RESTARTING,
    "paused": pb.ContainerStatus.PAUSED,
    "exited": pb.ContainerStatus.EXITED,
    "removing": pb.ContainerStatus.EXITED,
    "dead": pb.ContainerStatus.EXITED,
}
_HEALTH = {"starting": pb.Health.STARTING, "healthy": pb.Health.HEALTHY, "unhealthy": pb.Health.UNHEALTHY}
_ALL_ADDRESSES = {"0.0.0.0", "::", ""}  # noqa: S104  # what Docker reports, nothing is bound here


def listed(data: Mapping[str, Any]) -> Observed:
    """A container out of Docker's list."""
    status = pb.ContainerStatus(
        state=_STATES[data["State"]],
        health=_listed_health(data["Status"]),
        docker_id=data["Id"],
        image_id=data["ImageID"],
    )
    return Observed(data["Id"], _own_name(data["Names"] or ()), data["Labels"] or {}, status, inspected=False)


def _own_name(names: Sequence[str]) -> str:
    """The name that is not one of the ``/other/alias`` kind, which links make."""
    return next((name[1:] for name in names if name.count("/") == 1), "")


def _listed_health(text: str) -> pb.Health.Status.ValueType:
    """From texts such as ``Up 3 minutes (healthy)`` and ``Up 1 second (health: starting)``."""
    if not text.startswith("Up ") or not text.endswith(")"):
        return pb.Health.NONE
    word = text[text.rfind("(") + 1 : -1].removeprefix("health: ")
    return _HEALTH.get(word, pb.Health.NONE)


def inspected(data: Mapping[str, Any]) -> Observed:
    """A container as its inspection shows it."""
    state = data["State"]
    status = pb.ContainerStatus(
        state=_STATES[state["Status"]],
        health=_HEALTH.get((state.get("Health") or {}).get("Status", ""), pb.Health.NONE),
        docker_id=data["Id"],
        image_id=data["Image"],
        oom_killed=state["OOMKilled"],
        restart_count=data["RestartCount"],
        message=" ".join(state["Error"].split()),
        ports=_ports(data),
        started_at=_time(state["StartedAt"]),
        finished_at=_time(state["FinishedAt"]),
        addresses=_addresses(data),
    )
    # A start sets ExitCode to 0, and a failed first one sets it to the error's: neither is the end of a process.
    if status.HasField("finished_at") and state["Status"] not in ("running", "paused", "created"):
        status.exit_code = state["ExitCode"]
    policy = data["HostConfig"]["RestartPolicy"]
    restart = (policy["Name"] or "no") + (f":{policy['MaximumRetryCount']}" if policy["MaximumRetryCount"] else "")
    return Observed(
        data["Id"], data["Name"].lstrip("/"), data["Config"]["Labels"] or {}, status, True, restart, limits(data)
    )  # fmt: skip


def _ports(data: Mapping[str, Any]) -> list[pb.Port]:
    """Those that are open on the host; of a container that doesn't run, those that were asked for."""
    published = data["NetworkSettings"].get("Ports") or data["HostConfig"].get("PortBindings") or {}
    ports: list[pb.Port] = []
    for key, bindings in published.items():
        target, _, protocol = key.partition("/")
        for binding in bindings or ():
            address = "" if binding["HostIp"] in _ALL_ADDRESSES else binding["HostIp"]
            port = pb.Port(
                target=int(target), published=binding["HostPort"], host_ip=address, protocol=protocol or "tcp"
            )
            if port not in ports:  # one entry each for IPv4 and IPv6
                ports.append(port)
    return sorted(ports, key=lambda port: (port.target, port.protocol, port.host_ip, port.published))


def _addresses(data: Mapping[str, Any]) -> dict[str, str]:
    """By network; of one that the container is not connected to now, as it doesn't run, Docker has an empty one."""
    networks = data["NetworkSettings"].get("Networks") or {}
    return {name: network["IPAddress"] for name, network in networks.items() if network.get("IPAddress")}


def _time(text: str) -> Timestamp | None:
    """None for Docker's zero time."""
    if not text or text.startswith("0001-"):
        return None
    moment = Timestamp()
    moment.FromJsonString(text)
    return moment
