"""Ways out of a container, by what they need: past Pod Security's baseline, and Docker's own ways to the same."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from controller.confinement import REMOTE_FILE_SYSTEMS, SAFE_SYSCTLS
from proto.dockrunner import v1 as pb

HOST = "host"

# What takes a confinement away: of the kernel's own, or by a profile that nobody has looked at.
_UNCONFINED = re.compile(r"(?:seccomp|apparmor|systempaths)=unconfined|label=disable|seccomp=\{.*", re.DOTALL)
_SELINUX = re.compile(r"label=(?:user|role|type):.*", re.DOTALL)
_SELINUX_TYPES = ("container_t", "container_init_t", "container_kvm_t", "container_engine_t")


def needs_privilege(spec: pb.ServiceSpec) -> Iterator[tuple[str, str]]:
    """Fields that take a confinement away, and how."""
    for number, option in enumerate(spec.security_opt):
        # Docker takes a colon, which it had first, for an equals sign.
        normal = option if "=" in option.split(":", 1)[0] else option.replace(":", "=", 1)
        kind = normal.removeprefix("label=type:")
        if _UNCONFINED.fullmatch(normal) or (_SELINUX.fullmatch(normal) and kind not in _SELINUX_TYPES):
            shown = "seccomp with a profile of its own" if "{" in option else option
            yield f"spec.security_opt[{number}]", f"{shown} takes confinement away"
    for name in spec.sysctls:
        if name.replace("/", ".") not in SAFE_SYSCTLS:
            yield f"spec.sysctls.{name}", f"{name} is not among the safe parameters"
    for number, mount in enumerate(spec.volumes):
        if mount.bind.propagation in ("shared", "rshared"):
            place = f"spec.volumes[{number}].bind.propagation"
            yield place, "what the container mounts would be mounted on the host"


def needs_host_network(spec: pb.ServiceSpec) -> Iterator[str]:
    """Fields that lead into the host's network."""
    if spec.network_mode == HOST:
        yield "spec.network_mode"
    for name, attachment in spec.networks.items():
        definition = attachment.definition
        in_docker = definition.name or (name if definition.external else "")
        if HOST in (definition.driver, in_docker):
            yield f"spec.networks.{name}.definition"


@dataclass(frozen=True)
class VolumeDevice:
    """What a volume of the local driver mounts. ``kind`` is the type of its file system."""

    kind: str
    path: str
    is_bind: bool

    @property
    def is_block(self) -> bool:
        """Whether a disk of the host is mounted, with a file system of disks."""
        return self.path.startswith("/dev/") and self.kind in (
            "ext2",
            "ext3",
            "ext4",
            "xfs",
            "btrfs",
            "vfat",
            "iso9660",
        )


def volume_device(volume: pb.VolumeDefinition) -> VolumeDevice | None:
    """What of the host a volume mounts; None for one that has its own folder, or comes over a network."""
    options = {name.lower(): value for name, value in volume.driver_opts.items()}
    if volume.driver not in ("", "local") or not {"type", "o", "device"} & options.keys():
        return None
    kind, path = options.get("type", "").strip().lower(), options.get("device", "")
    words = [word.strip().lower() for word in options.get("o", "").split(",")]
    if "bind" in words or "rbind" in words:
        return VolumeDevice(kind, path, True)
    if kind in REMOTE_FILE_SYSTEMS or not (kind or path):
        return None
    return VolumeDevice(kind, path, False)
