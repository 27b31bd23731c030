"""Containers in our words and in Docker's JSON: pure translation, both ways."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from controller.scheduler.engine import LABEL_INSTANCE, CreateRequest, Observed
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


def create_json(request: CreateRequest, instance: str, networks: Mapping[str, str]) -> Json:
    """The body of a create call. ``networks`` gives the ids of the request's networks; the first one is joined here."""
    spec = request.template
    body: Json = {
        "Image": spec.image,
        "Cmd": list(spec.command),
        "Entrypoint": list(spec.entrypoint),
        "Env": [f"{name}={value}" for name, value in sorted(spec.environment.items())],
        "User": spec.user,
        "WorkingDir": spec.working_dir,
        "StopSignal": spec.stop_signal,
        "StopTimeout": spec.stop_grace_period.seconds if spec.HasField("stop_grace_period") else None,
        # Without ExposedPorts nothing is published, and nothing says so.
        "ExposedPorts": {_port_key(port): {} for port in spec.ports},
    }
    body = {key: value for key, value in body.items() if value not in (None, "", [], {})}
    host: Json = {
        "RestartPolicy": restart_policy(request.restart),
        "PortBindings": _port_bindings(spec.ports),
        "Mounts": [_mount(mount, instance) for mount in spec.volumes],
    }
    for name, aliases in list(request.networks.items())[:1]:
        host["NetworkMode"] = networks[name]
        body["NetworkingConfig"] = {"EndpointsConfig": {networks[name]: {"Aliases": list(aliases)}}}
    return {**body, "Labels": dict(request.labels), "HostConfig": host}


def restart_policy(restart: str) -> Json:
    """Docker's form of ``always``, ``unless-stopped``, ``on-failure[:N]`` or ``no``."""
    name, _, retries = restart.partition(":")
    return {"Name": name or "no", "MaximumRetryCount": int(retries or 0)}


def volume_name(name: str, instance: str) -> str:
    """What a named volume is called in Docker: instances other than the default have volumes of their own."""
    return name if instance == "default" or not name else f"{instance}-{name}"


def _port_key(port: pb.Port) -> str:
    return f"{port.target}/{port.protocol or 'tcp'}"


def _port_bindings(ports: Iterable[pb.Port]) -> Json:
    bindings: Json = {}
    for port in ports:
        bindings.setdefault(_port_key(port), []).append({"HostIp": port.host_ip, "HostPort": port.published})
    return bindings


def _mount(mount: pb.Mount, instance: str) -> Json:
    """Never a bind of HostConfig.Binds: for that Docker makes a missing host folder, as root."""
    kind = mount.type or "volume"
    result: Json = {"Type": kind, "Target": mount.target, "ReadOnly": mount.read_only}
    if kind == "volume":
        result["Source"] = volume_name(mount.source, instance)
        result["VolumeOptions"] = {"Labels": {LABEL_INSTANCE: instance}}
    elif kind == "bind":
        result["Source"] = mount.source
    return result


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
    return Observed(data["Id"], data["Name"].lstrip("/"), data["Config"]["Labels"] or {}, status, True, restart)


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
