"""What the containers of a service are made of: what is declared, or what a failed rollout was taken back to."""

from collections.abc import Sequence
from dataclasses import dataclass

from proto.dockrunner import v1 as pb

from .revision import revision_of, with_template

NOTHING_KNOWN = pb.ServiceRevision()


@dataclass(frozen=True)
class Target:
    """``spec`` with the parts that change in place as they are declared; its ``revision``, and what is remembered of
    that. ``failed``: what is remembered of the declared revision when it was taken back."""

    spec: pb.ServiceSpec
    revision: str
    memory: pb.ServiceRevision
    failed: pb.ServiceRevision | None = None


def target_of(service: pb.Service, revisions: Sequence[pb.ServiceRevision]) -> Target:
    """Where a service is to go, given the revisions that are kept of it."""
    kept = {it.revision: it for it in revisions}
    declared = revision_of(service.spec)
    memory = kept.get(declared, NOTHING_KNOWN)
    instead = kept.get(memory.rolled_back_to) if memory.rolled_back_to else None
    if instead is None:
        return Target(service.spec, declared, memory)
    return Target(with_template(service.spec, instead.template), instead.revision, instead, failed=memory)
