"""The specifications that a service has had: the newest are kept, so that they can be gone back to."""

from collections.abc import Sequence

from controller.store import REVISION, Store, owner_of
from proto.dockrunner import v1 as pb

from .revision import revision_of, template_of

KEPT = 10


def keep_revision(service: pb.Service, store: Store) -> None:
    """Keeps the present specification, under the next number, unless it is the newest that is kept already."""
    kept = history(service, store)
    revision = revision_of(service.spec)
    if kept and kept[-1].revision == revision:
        return
    number = kept[-1].number + 1 if kept else 1
    known = next((it for it in kept if it.revision == revision), None)
    if known is not None:
        store.update_status(REVISION, known.metadata.name, lambda it: setattr(it, "number", number))
        return
    name = service.metadata.name
    metadata = pb.Metadata(name=f"{name}.{revision}", owners=[owner_of(service)])
    store.create(
        REVISION,
        pb.ServiceRevision(
            metadata=metadata, service=name, revision=revision, number=number, template=template_of(service.spec)
        ),
    )
    for old in kept[: max(0, len(kept) + 1 - KEPT)]:
        store.delete(REVISION, old.metadata.name)


def history(service: pb.Service, store: Store) -> Sequence[pb.ServiceRevision]:
    """What is kept of a service, the oldest first."""
    found = store.list(REVISION, index="service", value=service.metadata.name)
    owned = (it for it in found if any(owner.uid == service.metadata.uid for owner in it.metadata.owners))
    return sorted(owned, key=lambda it: it.number)
