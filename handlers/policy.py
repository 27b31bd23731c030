"""The admission policy: what a declaration may reach outside of its container. Applying a service is root on the host.

Read from a TOML file, or the built-in one, which lets nothing out. What is denied by default is what Kubernetes' Pod
Security baseline denies, and what of Docker's own leads to the same.
"""

import dataclasses
import difflib
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from controller.confinement import BASELINE_CAPABILITIES, DOCKER_SOCKETS
from controller.errors import PolicyDenied, StartError, Violation
from controller.store import Listing
from proto.dockrunner import v1 as pb

from .escapes import needs_host_network, needs_privilege, volume_device
from .image_patterns import ImagePattern
from .validation import MAX_REPLICAS
from .validation.confinement import CAPABILITIES, capability

GPU = "gpu"
_NEEDS_PRIVILEGE = "the policy needs allow_privileged = true"


@dataclass(frozen=True)
class Policy:
    """What is allowed beyond the baseline.

    ``allow_privileged``: privileged containers, and with them all that takes confinement away: unconfined profiles,
    unsafe sysctls, shared mounts, and all capabilities and devices. ``allowed_capabilities``, ``allowed_devices``:
    these alone; a device by its path or that of a folder, or ``gpu``. ``allowed_host_paths``: folders that bind mounts
    may name, with all that is in them; ``allow_docker_socket``: also the socket of Docker itself, or a folder that
    holds it. ``allowed_images``: patterns as ``image_patterns`` has them, of which one has to match; without any, all
    images. The limits are counts. ``services``: policies that hold for single services instead.
    """

    allow_privileged: bool = False
    allowed_host_paths: Sequence[str] = ()
    allowed_images: Sequence[str] = ()
    allowed_capabilities: Sequence[str] = ()
    allowed_devices: Sequence[str] = ()
    allow_docker_socket: bool = False
    allow_host_network: bool = False
    max_replicas: int = MAX_REPLICAS
    max_services: int = 10_000
    services: Mapping[str, "Policy"] = field(default_factory=dict)

    def violations(self, service: pb.Service) -> Iterator[Violation]:
        """What the policy has against a service."""
        own = self.services.get(service.metadata.name, self)
        yield from own._amounts(service.spec)
        yield from own._image(service.spec)
        yield from own._privileges(service.spec)
        yield from own._devices(service.spec)
        yield from own._networks(service.spec)
        yield from own._mounts(service.spec)

    def too_many(self, others: Listing) -> Iterator[Violation]:
        """What the policy has against one more service beside ``others``, which may name one twice."""
        if others.at_most < self.max_services:
            return
        services = len({other.metadata.name for other in others}) + 1
        if services > self.max_services:
            yield Violation("", f"{services} services; the policy allows {self.max_services}")

    def check(self, template: pb.ServiceSpec, service: str = "") -> None:
        """Asks again when a container of a service is made: a folder may have become a link since it was declared.

        Raises:
            PolicyDenied: the policy has something against it now.
        """
        for violation in self.violations(pb.Service(metadata=pb.Metadata(name=service), spec=template)):
            raise PolicyDenied(f"the policy refuses {violation}")

    def _amounts(self, spec: pb.ServiceSpec) -> Iterator[Violation]:
        for name, number in (("replicas", spec.replicas), ("autoscale.max", spec.autoscale.max)):
            if self.max_replicas < number <= MAX_REPLICAS:
                yield Violation(f"spec.{name}", f"the policy allows {self.max_replicas}")

    def _image(self, spec: pb.ServiceSpec) -> Iterator[Violation]:
        if self.allowed_images and not any(ImagePattern(text).matches(spec.image) for text in self.allowed_images):
            yield Violation("spec.image", f"{spec.image} matches none of the policy's allowed_images; add it there")

    def _privileges(self, spec: pb.ServiceSpec) -> Iterator[Violation]:
        if self.allow_privileged:
            return
        if spec.privileged:
            yield Violation("spec.privileged", f"is root on the host; {_NEEDS_PRIVILEGE}")
        for place, why in needs_privilege(spec):
            yield Violation(place, f"{why}; {_NEEDS_PRIVILEGE}")
        allowed = {*BASELINE_CAPABILITIES, *map(capability, self.allowed_capabilities)}
        for number, name in enumerate(spec.cap_add):
            if "ALL" not in allowed and capability(name) not in allowed:
                text = f"{name} is not within the policy's allowed_capabilities; add it there"
                yield Violation(f"spec.cap_add[{number}]", text)

    def _devices(self, spec: pb.ServiceSpec) -> Iterator[Violation]:
        for number, device in enumerate(spec.devices):
            yield from self._device(f"spec.devices[{number}].source", device.source)
        if GPU not in self.allowed_devices and not self.allow_privileged:
            for number in range(len(spec.gpus)):
                yield Violation(
                    f"spec.gpus[{number}]", f"{GPU} is not within the policy's allowed_devices; add it there"
                )

    def _device(self, place: str, source: str) -> Iterator[Violation]:
        allowed = (device for device in self.allowed_devices if device != GPU)
        if not self.allow_privileged and not _is_within(source, allowed):
            yield Violation(place, f"{_leads(source)} is not within the policy's allowed_devices; add it there")

    def _networks(self, spec: pb.ServiceSpec) -> Iterator[Violation]:
        for place in () if self.allow_host_network else needs_host_network(spec):
            yield Violation(place, "is the host's own network; the policy needs allow_host_network = true")

    def _mounts(self, spec: pb.ServiceSpec) -> Iterator[Violation]:
        for number, mount in enumerate(spec.volumes):
            place = f"spec.volumes[{number}]"
            if mount.type == "bind" and mount.source.startswith("/"):
                yield from self._host_path(f"{place}.source", mount.source)
            device = volume_device(mount.definition)
            if device is None:
                continue
            place = f"{place}.definition.driver_opts"
            if device.is_bind:
                yield from self._host_path(f"{place}.device", device.path)
            elif device.is_block:
                yield from self._device(f"{place}.device", device.path)
            elif not self.allow_privileged:
                yield Violation(
                    place, f"mounts what the host alone may: {device.kind or device.path}; {_NEEDS_PRIVILEGE}"
                )
        for number, option in enumerate(spec.security_opt):
            profile = option.replace(":", "=", 1).removeprefix("seccomp=")
            if option.startswith("seccomp") and profile.startswith("/") and not self.allow_privileged:
                yield from self._host_path(f"spec.security_opt[{number}]", profile)

    def _host_path(self, place: str, source: str) -> Iterator[Violation]:
        # A link inside an allowed folder must not lead out of it.
        path = PurePosixPath(os.path.realpath(source))
        sockets = [PurePosixPath(os.path.realpath(socket)) for socket in DOCKER_SOCKETS]
        if any(socket.is_relative_to(path) for socket in sockets):
            if not self.allow_docker_socket:
                yield Violation(place, f"{source} gives access to Docker; the policy needs allow_docker_socket = true")
                return
            if path in sockets:
                return
        if not _is_within(source, self.allowed_host_paths):
            text = f"{_leads(source)} is not within the policy's allowed_host_paths; add it there"
            yield Violation(place, text)


def _is_within(source: str, folders: Iterable[str]) -> bool:
    path = PurePosixPath(os.path.realpath(source))
    return any(path.is_relative_to(os.path.realpath(folder)) for folder in folders)


def _leads(source: str) -> str:
    path = os.path.realpath(source)
    return source if path == source else f"{source} (it leads to {path})"


_SERVICES = "services"
_KEYS = [known.name for known in dataclasses.fields(Policy) if known.name != _SERVICES]
_TYPES = {list: "a list of texts", bool: "true or false", int: "a whole number"}
_WORDS = {"allowed_devices": GPU}


def read_policy(path: Path | None) -> Policy:
    """The policy of a file; the built-in one without a file. ``[services.NAME]`` says what differs for one service.

    Raises:
        StartError: it cannot be read, or says something unknown.
    """
    if path is None:
        return Policy()
    try:
        content: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise StartError(f"policy {path} cannot be read: {error}") from error
    tables = content.pop(_SERVICES, {})
    common = _checked(path, "", content, [*_KEYS, _SERVICES])
    policy = Policy(**common)
    if not isinstance(tables, dict):
        raise StartError(f"policy {path}: {_SERVICES} must be tables, [{_SERVICES}.NAME]")
    known = [key for key in _KEYS if key != "max_services"]
    own = {name: _checked(path, f"{_SERVICES}.{name}.", table, known) for name, table in tables.items()}
    services = {name: dataclasses.replace(policy, **values) for name, values in own.items()}
    return dataclasses.replace(policy, services=services)


def _checked(path: Path, place: str, content: Any, known: Sequence[str]) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise StartError(f"policy {path}: {place.rstrip('.')} must be a table")
    for key, value in content.items():
        if key not in known:
            near = difflib.get_close_matches(key.lower(), known, 1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            raise StartError(f"policy {path}: {place}{key} is not known; {hint}")
        try:
            _check_value(key, value)
        except ValueError as error:
            raise StartError(f"policy {path}: {place}{key} {error}") from None
    return content


def _check_value(key: str, value: Any) -> None:
    default = getattr(Policy, key)
    expected = list if isinstance(default, tuple) else type(default)
    if type(value) is not expected or (expected is list and not all(isinstance(item, str) for item in value)):
        raise ValueError(f"must be {_TYPES[expected]}")
    if type(value) is int and value < 0:
        raise ValueError("must be at least 0")
    for item in value if expected is list else ():
        if key == "allowed_images":
            ImagePattern(item)
        elif key == "allowed_capabilities" and capability(item) not in (*CAPABILITIES, "ALL"):
            raise ValueError(f"has {item!r}, which is no capability such as NET_ADMIN")
        elif key in ("allowed_devices", "allowed_host_paths") and not (item.startswith("/") or item == _WORDS.get(key)):
            raise ValueError(f"has {item!r}, which is no absolute path")
