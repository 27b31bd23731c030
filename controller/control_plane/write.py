"""One service as it is and as a declaration would have it."""

from dataclasses import dataclass

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

    @classmethod
    def of(cls, old: pb.Service | None, admitted: pb.Service, manager: str, *, sets_replicas: bool) -> "Write":
        """The admitted declaration, with what the server alone writes taken over from what is there.

        Labels and annotations replace the old ones. ``replicas_manager`` is the manager when it set the number, and
        nobody when it no longer does: the number stays, and is free to be scaled.
        """
        new = pb.Service()
        if old is not None:
            new.CopyFrom(old)
        new.metadata.name = admitted.metadata.name
        new.metadata.manager = manager
        new.metadata.replicas_manager = manager if sets_replicas else ""
        for field in ("labels", "annotations"):
            new.metadata.ClearField(field)
        new.metadata.labels.update(admitted.metadata.labels)
        new.metadata.annotations.update(admitted.metadata.annotations)
        new.spec.CopyFrom(admitted.spec)
        if old is None or new.spec != old.spec:
            new.metadata.generation += 1
        return cls(old, new)

    def onto(self, current: pb.Service) -> None:
        """Writes what is declared over the service as it is by now; what the program itself writes stays."""
        for field in ("labels", "annotations"):
            current.metadata.ClearField(field)
        current.metadata.labels.update(self.new.metadata.labels)
        current.metadata.annotations.update(self.new.metadata.annotations)
        current.metadata.manager = self.new.metadata.manager
        current.metadata.replicas_manager = self.new.metadata.replicas_manager
        current.spec.CopyFrom(self.new.spec)

    @property
    def outcome(self) -> pb.Outcome.ValueType:
        if self.old is None:
            return pb.CREATED
        return pb.UNCHANGED if self.new == self.old else pb.CONFIGURED


def candidate(requested: pb.Service, old: pb.Service | None) -> pb.Service:
    """What a request declares, for admission: replicas and a restart that it leaves out are the present ones."""
    service = pb.Service(spec=requested.spec)
    service.metadata.name = requested.metadata.name
    service.metadata.labels.update(requested.metadata.labels)
    service.metadata.annotations.update(requested.metadata.annotations)
    if old is not None and not requested.spec.HasField("replicas") and old.spec.HasField("replicas"):
        service.spec.replicas = old.spec.replicas
    if old is not None and not requested.spec.HasField("restarted_at") and old.spec.HasField("restarted_at"):
        service.spec.restarted_at.CopyFrom(old.spec.restarted_at)
    return service
