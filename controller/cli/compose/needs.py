"""What the built-in policy refuses of a service, and what a policy has to say to allow it.

What is refused is decided by the server; this follows it, so that nobody has to find out one by one.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from controller.confinement import BASELINE_CAPABILITIES, DOCKER_SOCKETS, REMOTE_FILE_SYSTEMS, SAFE_SYSCTLS

from .document import Section, Text, Value
from .layout import Table, array

_CONFINING = {"no-new-privileges", "no-new-privileges=true", "no-new-privileges:true", "no-new-privileges=false"}
_DISKS = ("ext2", "ext3", "ext4", "xfs", "btrfs", "vfat", "iso9660")


@dataclass
class Needs:
    """What one service needs that is refused without a policy. ``folder`` is what relative paths start from."""

    folder: str
    host_paths: dict[str, None] = field(default_factory=dict)
    capabilities: dict[str, None] = field(default_factory=dict)
    devices: dict[str, None] = field(default_factory=dict)
    privileged: bool = False
    docker_socket: bool = False
    host_network: bool = False

    def host_path(self, source: str) -> None:
        """A folder or file of the host is mounted."""
        path = os.path.normpath(os.path.join(self.folder, os.path.expanduser(source)))
        if any(PurePosixPath(socket).is_relative_to(path) for socket in DOCKER_SOCKETS):
            self.docker_socket = True
        if path not in DOCKER_SOCKETS:
            self.host_paths[path] = None

    def capability(self, name: str) -> None:
        """A capability is added."""
        name = name.upper().removeprefix("CAP_")
        if name not in BASELINE_CAPABILITIES:
            self.capabilities[name] = None

    def sysctls(self, names: Iterable[str]) -> None:
        """Kernel parameters are set."""
        self.privileged |= any(name.replace("/", ".") not in SAFE_SYSCTLS for name in names)

    def security_option(self, option: str) -> None:
        """A profile is chosen: one of a file is of the host, and none at all is no confinement."""
        kind, _, profile = option.partition("=")
        if kind == "seccomp" and profile.startswith("/"):
            self.host_path(profile)
        elif option not in _CONFINING and (profile in ("unconfined", "disable") or kind in ("label", "systempaths")):
            self.privileged = True

    def propagation(self, name: str) -> None:
        """A mount of the host is shared in one direction or both."""
        self.privileged |= name in ("shared", "rshared")

    def volume(self, declared: Value) -> None:
        """A named volume is mounted, which can be a folder or a disk of the host."""
        options = _texts(declared, "driver_opts")
        kind, path = options.get("type", "").strip().lower(), options.get("device", "")
        words = [word.strip().lower() for word in options.get("o", "").split(",")]
        if _texts(declared).get("driver", "local") != "local":
            return
        if {"bind", "rbind"} & set(words):
            self.host_path(path)
        elif kind in _DISKS and path.startswith("/dev/"):
            self.devices[path] = None
        elif kind not in REMOTE_FILE_SYSTEMS and (kind or path):
            self.privileged = True

    def network(self, name: str, declared: Value) -> None:
        """A network is joined, which can be the host's own."""
        given = _texts(declared)
        external = isinstance(declared, Section) and bool(declared.get("external"))
        in_docker = given.get("name", name if external else "")
        self.host_network |= "host" in (given.get("driver"), in_docker)

    def policy(self) -> Table:
        """The table of a policy that allows it; privileged includes capabilities and devices."""
        table = Table()
        for key, needed in (
            ("allow_privileged", self.privileged),
            ("allow_docker_socket", self.docker_socket),
            ("allow_host_network", self.host_network),
        ):
            if needed:
                table.set(key, True)
        for key, values in (
            ("allowed_host_paths", self.host_paths),
            ("allowed_capabilities", {} if self.privileged else self.capabilities),
            ("allowed_devices", {} if self.privileged else self.devices),
        ):
            if values:
                listed = array(*values)
                listed.tall = len(values) > 2
                table.set(key, listed)
        return table


def _texts(value: Value, key: str = "") -> dict[str, str]:
    """The texts in a mapping, or in one that it has under a key."""
    if key and isinstance(value, Section):
        value = value.get(key)
    if not isinstance(value, Section):
        return {}
    return {name.lower(): str(item) for name, item in value.items() if isinstance(item, Text)}
