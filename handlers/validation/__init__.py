"""What a service may look like: every violation, each with its field and the way out.

The limits are Docker's own, so that what is admitted is not refused when a container is made. Every check is a pure
function of one service; ``across`` compares it with the others.
"""

from collections.abc import Callable, Iterator

from controller.errors import Violation
from proto.dockrunner import v1 as pb

from . import attachment, confinement, files, lifecycle, process, rollout, schedule
from .across import circular_waits, conflicts, different_definitions
from .lifecycle import MAX_REPLICAS

__all__ = ["MAX_REPLICAS", "circular_waits", "conflicts", "different_definitions", "violations"]

Check = Callable[[pb.Service], Iterator[Violation]]

_CHECKS: tuple[Check, ...] = (
    process.metadata, process.image, process.process, process.labels, process.healthcheck, process.logging,
    lifecycle.replicas, lifecycle.lifecycle, lifecycle.dependencies, lifecycle.autoscale, lifecycle.backoff,
    attachment.ports, attachment.networks, attachment.network_mode, attachment.names,
    files.volumes, files.tmpfs, files.secrets, files.configs,
    confinement.capabilities, confinement.security, confinement.devices, confinement.limits, confinement.sysctls,
    rollout.updates, rollout.image_check, schedule.schedule,
)  # fmt: skip


def violations(service: pb.Service) -> list[Violation]:
    """All that is wrong with one service by itself; defaults are filled in already."""
    return [violation for check in _CHECKS for violation in check(service)]
