"""What is asked of Docker to make a container, as JSON: each field of a service in Docker's own form. Pure."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf.duration_pb2 import Duration

from controller.scheduler.docker_resources import limits_json
from controller.scheduler.engine import LABEL_INSTANCE, LABEL_SERVICE, CreateRequest, FileMount
from proto.dockrunner import v1 as pb

Json = dict[str, Any]

# The first version of the API whose health checks know start_interval; an older Engine would pass over it silently.
_START_INTERVAL = (1, 44)
_ALL_GPUS = -1


def create_json(
    request: CreateRequest, instance: str, networks: Mapping[str, str], version: str = "", security: Iterable[str] = ()
) -> Json:
    """The body of a create call, for an Engine that speaks this ``version`` of its API.

    ``networks`` gives the ids of the request's networks; the first one is joined here. ``security`` are the template's
    security options with the content of their files. The request's limits are what they come to on the machine.
    """
    spec = request.template
    body = _process(request, version)
    host = {
        "RestartPolicy": restart_policy(request.restart),
        "PortBindings": _port_bindings(_ports(request)),
        "Mounts": [*(_mount(mount, request, instance) for mount in spec.volumes), *map(_file, request.files)],
        **_confinement(spec, security),
        **_resources(request),
        **_surroundings(spec, shares_network=_shares_network(request)),
    }
    if request.network_mode:
        host["NetworkMode"] = request.network_mode
        return {**body, "Labels": dict(request.labels), "HostConfig": host}
    for name, attachment in list(request.networks.items())[:1]:
        host["NetworkMode"] = networks[name]
        body["NetworkingConfig"] = {"EndpointsConfig": {networks[name]: _endpoint(attachment)}}
    return {**body, "Labels": dict(request.labels), "HostConfig": host}


def restart_policy(restart: str) -> Json:
    """Docker's form of ``always``, ``unless-stopped``, ``on-failure[:N]`` or ``no``."""
    name, _, retries = restart.partition(":")
    return {"Name": name or "no", "MaximumRetryCount": int(retries or 0)}


def _given(fields: Mapping[str, Any]) -> Json:
    """Those that say something: what is left out is the image's or the Engine's to say."""
    return {key: value for key, value in fields.items() if value not in (None, "", [], {})}


def _process(request: CreateRequest, version: str) -> Json:
    """What runs, and how it is asked whether it is well."""
    spec = request.template
    return _given(
        {
            "Image": spec.image,
            "Cmd": list(spec.command),
            "Entrypoint": list(spec.entrypoint),
            "Env": [f"{name}={value}" for name, value in sorted(spec.environment.items())],
            "User": spec.user,
            "WorkingDir": spec.working_dir,
            "StopSignal": spec.stop_signal,
            "StopTimeout": spec.stop_grace_period.seconds if spec.HasField("stop_grace_period") else None,
            "Hostname": "" if _shares_network(request) else spec.hostname,
            "Healthcheck": _healthcheck(spec.healthcheck, version) if spec.HasField("healthcheck") else None,
            # Without ExposedPorts nothing is published, and nothing says so.
            "ExposedPorts": {_port_key(port): {} for port in _ports(request)},
        }
    )


def _shares_network(request: CreateRequest) -> bool:
    return request.network_mode.startswith("container:")


def _confinement(spec: pb.ServiceSpec, security: Iterable[str]) -> Json:
    """What the process may and may not do."""
    return _given(
        {
            "ReadonlyRootfs": spec.read_only or None,
            "CapAdd": list(spec.cap_add),
            "CapDrop": list(spec.cap_drop),
            "SecurityOpt": list(security),
            "Privileged": spec.privileged or None,
            "Devices": [_device(device) for device in spec.devices],
            "DeviceRequests": [_gpu(gpu) for gpu in spec.gpus],
            "GroupAdd": list(spec.group_add),
            "Sysctls": dict(spec.sysctls),
        }
    )


def _resources(request: CreateRequest) -> Json:
    """How much it may take."""
    spec = request.template
    return limits_json(request.resources) | _given(
        {
            "MemoryReservation": spec.mem_reservation or None,
            "ShmSize": spec.shm_size or None,
            "Ulimits": [
                {"Name": name, "Soft": limit.soft, "Hard": limit.hard} for name, limit in sorted(spec.ulimits.items())
            ],
        }
    )


def _surroundings(spec: pb.ServiceSpec, *, shares_network: bool) -> Json:
    """What it finds around itself. Docker refuses names of hosts for one that is in another container's network."""
    network = {
        "ExtraHosts": [_extra_host(entry) for entry in spec.extra_hosts],
        "Dns": list(spec.dns),
        "DnsSearch": list(spec.dns_search),
    }
    return _given(
        {
            "Init": spec.init if spec.HasField("init") else None,
            "Tmpfs": {path: options for path, _, options in (entry.partition(":") for entry in spec.tmpfs)},
            "LogConfig": {"Type": spec.logging.driver, "Config": dict(spec.logging.options)}
            if spec.HasField("logging")
            else None,
            **({} if shares_network else network),
        }
    )


def _ports(request: CreateRequest) -> Iterable[pb.Port]:
    """None without a network of its own, as Docker would refuse them."""
    return () if request.network_mode else request.template.ports


def _port_key(port: pb.Port) -> str:
    return f"{port.target}/{port.protocol or 'tcp'}"


def _port_bindings(ports: Iterable[pb.Port]) -> Json:
    bindings: Json = {}
    for port in ports:
        bindings.setdefault(_port_key(port), []).append({"HostIp": port.host_ip, "HostPort": port.published})
    return bindings


def _endpoint(attachment: pb.NetworkAttachment) -> Json:
    addresses = _given({"IPv4Address": attachment.ipv4_address, "IPv6Address": attachment.ipv6_address})
    return {"Aliases": list(attachment.aliases), **({"IPAMConfig": addresses} if addresses else {})}


def _healthcheck(check: pb.HealthCheck, version: str) -> Json:
    """Docker's form, with times in nanoseconds; what is left out is the image's."""
    if check.disable:
        return {"Test": ["NONE"]}
    return _given(
        {
            "Test": list(check.test),
            "Interval": _nanoseconds(check.interval),
            "Timeout": _nanoseconds(check.timeout),
            "Retries": check.retries or None,
            "StartPeriod": _nanoseconds(check.start_period),
            "StartInterval": _nanoseconds(check.start_interval) if _parts(version) >= _START_INTERVAL else None,
        }
    )


def _nanoseconds(duration: Duration) -> int | None:
    return duration.ToNanoseconds() or None


def _parts(version: str) -> tuple[int, ...]:
    """``1.44`` as (1, 44), to be compared."""
    return tuple(map(int, re.findall("[0-9]+", version)))


def _extra_host(entry: str) -> str:
    """``HOST=IP`` in Docker's own form. The address of version 6 has colons, and Docker divides at the first one."""
    return entry.replace("=", ":", 1)


def _device(device: pb.Device) -> Json:
    return {
        "PathOnHost": device.source,
        "PathInContainer": device.target or device.source,
        "CgroupPermissions": device.permissions or "rwm",
    }


def _gpu(gpu: pb.Gpu) -> Json:
    """A driver takes the request only when it is told that a ``gpu`` is wanted."""
    capabilities = list(gpu.capabilities)
    return {
        "Driver": gpu.driver or "nvidia",
        "Count": 0 if gpu.device_ids else gpu.count or _ALL_GPUS,
        "DeviceIDs": list(gpu.device_ids) or None,
        "Capabilities": [capabilities if "gpu" in capabilities else [*capabilities, "gpu"]],
        "Options": dict(gpu.options),
    }


def _file(file: FileMount) -> Json:
    return {"Type": "bind", "Source": file.source, "Target": file.target, "ReadOnly": True}


def _mount(mount: pb.Mount, request: CreateRequest, instance: str) -> Json:
    """Never a bind of HostConfig.Binds: for that Docker makes a missing host folder, as root."""
    kind = mount.type or "volume"
    result: Json = {"Type": kind, "Target": mount.target, "ReadOnly": mount.read_only}
    if kind != "tmpfs":
        result["Source"] = mount.source
    options: Json = {}
    if kind == "volume":
        result["VolumeOptions"] = _volume_options(mount, request, instance)
    elif kind == "bind":
        options["BindOptions"] = _given({"Propagation": mount.bind.propagation})
    elif kind == "tmpfs":
        options["TmpfsOptions"] = _given({"SizeBytes": mount.tmpfs.size or None, "Mode": mount.tmpfs.mode or None})
    return {**result, **_given(options)}


def _volume_options(mount: pb.Mount, request: CreateRequest, instance: str) -> Json:
    """Docker makes a volume that is not there by these; one that is there stays as it is."""
    definition = mount.definition
    options: Json = {"NoCopy": True} if mount.volume.nocopy else {}
    if definition.external:
        return options
    ours = {LABEL_INSTANCE: instance, LABEL_SERVICE: request.labels.get(LABEL_SERVICE, "")}
    options["Labels"] = {**definition.labels, **_given(ours)}
    if definition.driver or definition.driver_opts:
        options["DriverConfig"] = {"Name": definition.driver or "local", "Options": dict(definition.driver_opts)}
    return options
