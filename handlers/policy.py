"""The admission policy: what a declaration may reach outside of its container. Applying a service is root on the host.

Read from a TOML file, or the built-in one, which lets nothing out.
"""

import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from controller.errors import PolicyDenied, StartError, Violation
from controller.store import Listing
from proto.dockrunner import v1 as pb

from .validation import MAX_REPLICAS

DOCKER_SOCKETS = ("/var/run/docker.sock", "/run/docker.sock")


@dataclass(frozen=True)
class Policy:
    """``allowed_host_paths``: folders that bind mounts may name, with all that is in them; ``allow_docker_socket``:
    also the socket of Docker itself, or a folder that holds it; the limits are counts."""

    allowed_host_paths: Sequence[str] = ()
    allow_docker_socket: bool = False
    max_replicas: int = MAX_REPLICAS
    max_services: int = 10_000

    def violations(self, service: pb.Service) -> Iterator[Violation]:
        """What the policy has against a service."""
        if self.max_replicas < service.spec.replicas <= MAX_REPLICAS:
            yield Violation("spec.replicas", f"the policy allows {self.max_replicas}")
        for number, mount in enumerate(service.spec.volumes):
            if mount.type == "bind" and mount.source.startswith("/"):
                yield from self._bind(f"spec.volumes[{number}].source", mount.source)

    def too_many(self, others: Listing) -> Iterator[Violation]:
        """What the policy has against one more service beside ``others``, which may name one twice."""
        if others.at_most < self.max_services:
            return
        services = len({other.metadata.name for other in others}) + 1
        if services > self.max_services:
            yield Violation("", f"{services} services; the policy allows {self.max_services}")

    def check(self, template: pb.ServiceSpec) -> None:
        """Asks again when a container is made: a folder may have become a link since it was declared.

        Raises:
            PolicyDenied: the policy has something against it now.
        """
        for violation in self.violations(pb.Service(spec=template)):
            raise PolicyDenied(f"the policy refuses {violation}")

    def _bind(self, field: str, source: str) -> Iterator[Violation]:
        # A link inside an allowed folder must not lead out of it.
        path = PurePosixPath(os.path.realpath(source))
        sockets = [PurePosixPath(os.path.realpath(socket)) for socket in DOCKER_SOCKETS]
        if any(socket.is_relative_to(path) for socket in sockets):
            if not self.allow_docker_socket:
                yield Violation(field, f"{source} gives access to Docker; the policy needs allow_docker_socket = true")
                return
            if path in sockets:
                return
        allowed = [PurePosixPath(os.path.realpath(folder)) for folder in self.allowed_host_paths]
        if not any(path.is_relative_to(folder) for folder in allowed):
            leads = "" if str(path) == source else f" (it leads to {path})"
            yield Violation(field, f"{source}{leads} is not within the policy's allowed_host_paths; add it there")


def read_policy(path: Path | None) -> Policy:
    """The policy of a file; the built-in one without a file.

    Raises:
        StartError: it cannot be read, or says something unknown.
    """
    if path is None:
        return Policy()
    try:
        content: Mapping[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise StartError(f"policy {path} cannot be read: {error}") from error
    for key, value in content.items():
        default = getattr(Policy, key, None)
        if default is None or key.startswith("_") or callable(default):
            raise StartError(f"policy {path}: {key} is not known; known are {', '.join(Policy.__dataclass_fields__)}")
        expected = list if isinstance(default, tuple) else type(default)
        if type(value) is not expected or (expected is list and not all(isinstance(item, str) for item in value)):
            raise StartError(
                f"policy {path}: {key} must be a {'list of texts' if expected is list else expected.__name__}"
            )
    return Policy(**content)
