"""What of a service changes in its containers without new ones: restart policy, limits, the time until ready."""

from proto.dockrunner import v1 as pb

from .restart import docker_policy

_MEBIBYTE = 1024 * 1024


def in_place(spec: pb.ServiceSpec) -> pb.ContainerSpec:
    """The part of a container's spec that follows its service at once."""
    wanted = pb.ContainerSpec(
        restart=docker_policy(spec.restart),
        resources=pb.Resources(cpus=spec.cpus, mem_limit=spec.mem_limit, pids_limit=spec.pids_limit),
    )
    if spec.update.HasField("monitor") and spec.update.monitor.ToTimedelta():
        wanted.min_ready.CopyFrom(spec.update.monitor)
    return wanted


def amended(container: pb.ContainerSpec, wanted: pb.ContainerSpec) -> pb.ContainerSpec:
    """The container's spec with what is wanted in place."""
    new = pb.ContainerSpec()
    new.CopyFrom(container)
    new.restart = wanted.restart
    new.resources.CopyFrom(wanted.resources)
    new.ClearField("min_ready")
    if wanted.HasField("min_ready"):
        new.min_ready.CopyFrom(wanted.min_ready)
    return new


def describe_change(old: pb.ContainerSpec, new: pb.ContainerSpec) -> str:
    """What changes in place, for people: ``cpus 0.5 → 1, mem_limit 256 MiB → none``."""
    parts = []
    if old.restart != new.restart:
        parts.append(f"restart {old.restart or '(unknown)'} → {new.restart}")
    if old.resources.cpus != new.resources.cpus:
        parts.append(f"cpus {_number(old.resources.cpus)} → {_number(new.resources.cpus)}")
    if old.resources.mem_limit != new.resources.mem_limit:
        parts.append(f"mem_limit {_size(old.resources.mem_limit)} → {_size(new.resources.mem_limit)}")
    if old.resources.pids_limit != new.resources.pids_limit:
        parts.append(f"pids_limit {_number(old.resources.pids_limit)} → {_number(new.resources.pids_limit)}")
    if old.min_ready != new.min_ready:
        parts.append(f"monitor {old.min_ready.ToTimedelta()} → {new.min_ready.ToTimedelta()}")
    return ", ".join(parts)


def _number(value: float) -> str:
    return f"{value:g}" if value else "none"


def _size(value: int) -> str:
    return f"{value / _MEBIBYTE:g} MiB" if value else "none"
