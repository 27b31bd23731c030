"""Who owns what, and that nothing outlives its owner."""

from typing import Any

from proto.dockrunner import v1 as pb

from .changes import Change
from .kinds import KINDS, SERVICE, Kind
from .store import Store


def owner_of(service: pb.Service) -> pb.OwnerReference:
    """What an object says of itself that belongs to a service."""
    return pb.OwnerReference(kind=SERVICE.name, name=service.metadata.name, uid=service.metadata.uid)


class GarbageCollector:
    """Deletes each object that has owners of which none is there any more, or ever was (as Kubernetes does).

    Owners are matched by uid: another object under an owner's name owns nothing of it. An object with finalizers is
    marked for deletion, as by anybody.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        for kind in KINDS:
            store.subscribe(kind, self._follower(kind))

    def _follower(self, kind: Kind[Any]) -> Any:
        def follow(change: Change[Any]) -> None:
            if change.new is None:
                return
            if change.type == pb.DELETED:
                self._collect(change.new.metadata.uid)
            elif change.old is None or change.old.metadata.owners != change.new.metadata.owners:
                self._check(kind, change.new)

        return follow

    def _collect(self, owner: str) -> None:
        for kind in KINDS:
            for child in self._store.list(kind, index="owner", value=owner):
                self._check(kind, child)

    def _check(self, kind: Kind[Any], child: Any) -> None:
        present = self._store.find(kind, child.metadata.name)
        if present is None or present.metadata.uid != child.metadata.uid:
            return
        owners = present.metadata.owners
        if owners and not any(self._store.knows(owner.uid) for owner in owners):
            self._store.delete(kind, child.metadata.name, uid=child.metadata.uid)
