"""What the containers of a service are made of: what is declared, or what a failed rollout was taken back to."""

from collections.abc import Sequence
from dataclasses import dataclass

from proto.dockrunner import v1 as pb

from .revision import revision_of, with_template

NOTHING_KNOWN = pb.ServiceRevision()


@dataclass(frozen=True)
class Target:
    """``spec`` with the parts that change in place as they are declared; its ``revision``, and what is remembered of
    that. ``failed``: what is remembered of the declared revision when it was taken back; ``spec.update`` is then how
    the way back is gone."""

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
    return Target(_on_the_way_back(service.spec, instead.template), instead.revision, instead, failed=memory)


def _on_the_way_back(declared: pb.ServiceSpec, template: pb.ServiceSpec) -> pb.ServiceSpec:
    spec = with_template(declared, template)
    spec.update.CopyFrom(declared.rollback)
    if declared.update.HasField("monitor") and not declared.rollback.HasField("monitor"):
        spec.update.monitor.CopyFrom(declared.update.monitor)  # it also says when a container is ready at all
    return spec
