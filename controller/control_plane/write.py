"""One service as it is and as a declaration would have it."""

from collections.abc import Sequence
from dataclasses import dataclass

from google.protobuf.field_mask_pb2 import FieldMask

from controller.store import HANDLERS_FINALIZER, VOLUMES_FINALIZER
from proto.dockrunner import v1 as pb

API = "api"
"""The manager of whoever names none."""

FILE = "file"
"""The manager of what the server's own file declares: that is the file's to say."""


@dataclass(frozen=True)
class Write:
    """What a declaration comes to for one service. ``old`` is None for one that would be created."""

    old: pb.Service | None
    new: pb.Service
    only: Sequence[str] = ()
    """The fields of the spec that alone are changed, with the managers; none: all that is declared."""

    @classmethod
    def of(cls, old: pb.Service | None, admitted: pb.Service, manager: str, *, sets_replicas: bool) -> "Write":
        """The admitted declaration, with what the server alone writes taken over from what is there.

        Labels and annotations replace those that were declared before. ``replicas_manager`` is the manager when it set
        the number, and nobody when it no longer does: the number stays, and is free to be scaled.
        """
        new = pb.Service()
        if old is not None:
            new.CopyFrom(old)
        new.metadata.name = admitted.metadata.name
        new.metadata.manager = manager
        new.metadata.replicas_manager = manager if sets_replicas else ""
        _declare(new.metadata, admitted.metadata)
        new.spec.CopyFrom(admitted.spec)
        if old is None or new.spec != old.spec:
            new.metadata.generation += 1
        return cls(old, new)

    def onto(self, current: pb.Service) -> None:
        """Writes what is declared over the service as it is by now; what the program itself writes stays."""
        current.metadata.manager = self.new.metadata.manager
        current.metadata.replicas_manager = self.new.metadata.replicas_manager
        if self.only:
            for field in self.only:  # a mask would leave what the new one lacks
                current.spec.ClearField(field)  # type: ignore[arg-type]  # the stubs know names by Literal alone
            FieldMask(paths=self.only).MergeMessage(self.new.spec, current.spec)
            return
        declared = pb.Metadata(
            labels={key: self.new.metadata.labels[key] for key in self.new.metadata.declared_labels},
            annotations={key: self.new.metadata.annotations[key] for key in self.new.metadata.declared_annotations},
        )
        _declare(current.metadata, declared)
        current.spec.CopyFrom(self.new.spec)

    @property
    def outcome(self) -> pb.Outcome.ValueType:
        if self.old is None:
            return pb.CREATED
        return pb.UNCHANGED if self.new == self.old else pb.CONFIGURED


def _declare(metadata: pb.Metadata, declared: pb.Metadata) -> None:
    """Replaces the labels and annotations that were declared before; those that handlers have added stay."""
    for present, before, wanted in (
        (metadata.labels, metadata.declared_labels, declared.labels),
        (metadata.annotations, metadata.declared_annotations, declared.annotations),
    ):
        for key in before:
            present.pop(key, None)
        present.update(wanted)
        before[:] = sorted(wanted)


def _is_later(one: pb.ServiceSpec, other: pb.ServiceSpec) -> bool:
    """Whether a restart was asked for in one and none since in the other: to go back to it would be one more."""
    if not one.HasField("restarted_at"):
        return False
    moments = [(spec.restarted_at.seconds, spec.restarted_at.nanos) for spec in (one, other)]
    return not other.HasField("restarted_at") or moments[0] > moments[1]


def hold_for_volumes(service: pb.Service) -> None:
    """Has a deletion wait until the service's volumes are gone; also that of a service that was never handled."""
    finalizers = service.metadata.finalizers
    finalizers.extend(it for it in (HANDLERS_FINALIZER, VOLUMES_FINALIZER) if it not in finalizers)


def candidate(requested: pb.Service, old: pb.Service | None) -> pb.Service:
    """What a request declares, for admission: what others set, and it leaves out, is as it is at present."""
    service = pb.Service(spec=requested.spec)
    service.metadata.name = requested.metadata.name
    service.metadata.labels.update(requested.metadata.labels)
    service.metadata.annotations.update(requested.metadata.annotations)
    if old is not None and not requested.spec.HasField("replicas") and old.spec.HasField("replicas"):
        service.spec.replicas = old.spec.replicas
    if old is not None and _is_later(old.spec, requested.spec):
        service.spec.restarted_at.CopyFrom(old.spec.restarted_at)
    if old is not None:
        service.spec.paused = old.spec.paused
        if requested.spec.image == old.spec.image and not requested.spec.image_digest:
            service.spec.image_digest = old.spec.image_digest
    if requested.spec.HasField("autoscale") and not requested.spec.HasField("replicas"):
        scale = requested.spec.autoscale
        service.spec.replicas = min(max(service.spec.replicas, scale.min), max(scale.max, scale.min))
    return service
