"""The specifications that a service has had: the newest are kept, so that they can be gone back to."""

from collections.abc import Sequence

from controller.store import NORMAL, REVISION, WARNING, Recorder, Store, owner_of, reference
from proto.dockrunner import v1 as pb

from .revision import revision_of, template_of
from .rollout import Verdict

KEPT = 10
SOURCE = "service-controller"
TAKEN_BACK = "TakenBack"


def keep_revision(service: pb.Service, containers: Sequence[pb.Container], store: Store) -> None:
    """Keeps the present specification, under the next number, unless it is the newest that is kept already; and of
    the earlier ones, whether they work."""
    kept = history(service, store)
    revision = revision_of(service.spec)
    if kept and kept[-1].revision == revision:
        return
    ready = {it.spec.revision for it in containers if it.status.ready}
    for earlier in kept:
        if earlier.revision in ready and not earlier.worked:
            store.update_status(REVISION, earlier.metadata.name, lambda it: setattr(it, "worked", True))
    number = kept[-1].number + 1 if kept else 1
    known = next((it for it in kept if it.revision == revision), None)
    if known is not None:

        def again(edited: pb.ServiceRevision) -> None:
            edited.number = number
            for field in ("failure", "failure_reason", "rolled_back_to", "ended"):  # a new attempt
                edited.ClearField(field)

        store.update_status(REVISION, known.metadata.name, again)
        return
    name = service.metadata.name
    metadata = pb.Metadata(name=revision_name(service, revision), owners=[owner_of(service)])
    store.create(
        REVISION,
        pb.ServiceRevision(
            metadata=metadata, service=name, revision=revision, number=number, template=template_of(service.spec)
        ),
    )
    for old in kept[: max(0, len(kept) + 1 - KEPT)]:
        store.delete(REVISION, old.metadata.name)


def remember(verdict: Verdict, service: pb.Service, store: Store, recorder: Recorder) -> None:
    """Keeps how the rollout of a revision ended, and tells of it."""
    name = revision_name(service, verdict.revision)
    if store.find(REVISION, name) is None:
        return

    def edit(edited: pb.ServiceRevision) -> None:
        edited.failure, edited.failure_reason = verdict.message, verdict.reason
        edited.rolled_back_to = verdict.rolled_back_to

    store.update_status(REVISION, name, edit)
    about = reference(service)
    if not verdict.reason:
        recorder.record(SOURCE, about, NORMAL, "RolloutResumed", f"revision {verdict.revision} works after all")
    elif verdict.rolled_back_to:
        text = f"revision {verdict.revision}: {verdict.message}; back to {verdict.rolled_back_to}"
        recorder.record(SOURCE, about, WARNING, "RollingBack", text)
    else:
        recorder.record(SOURCE, about, WARNING, "RolloutFailed", f"revision {verdict.revision}: {verdict.message}")


def forget_failure(service: pb.Service, store: Store) -> None:
    """Has the present revision, or the one in its place, tried again."""
    for kept in history(service, store):
        declared = kept.revision == revision_of(service.spec)
        if kept.failure and (not kept.rolled_back_to or not declared):

            def edit(edited: pb.ServiceRevision) -> None:
                edited.failure = edited.failure_reason = ""

            store.update_status(REVISION, kept.metadata.name, edit)


def mark_taken_back(service: pb.Service, store: Store) -> None:
    """Remembers with the revision that a service had that somebody went back from it."""
    name = revision_name(service, revision_of(service.spec))

    def edit(edited: pb.ServiceRevision) -> None:
        edited.failure, edited.failure_reason = edited.failure or "taken back by hand", TAKEN_BACK

    if store.find(REVISION, name) is not None:
        store.update_status(REVISION, name, edit)


def revision_name(service: pb.Service, revision: str) -> str:
    """The name of the object that keeps a revision."""
    return f"{service.metadata.name}.{revision}"


def history(service: pb.Service, store: Store) -> Sequence[pb.ServiceRevision]:
    """What is kept of a service, the oldest first."""
    found = store.list(REVISION, index="service", value=service.metadata.name)
    owned = (it for it in found if any(owner.uid == service.metadata.uid for owner in it.metadata.owners))
    return sorted(owned, key=lambda it: it.number)
