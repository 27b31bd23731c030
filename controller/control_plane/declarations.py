"""What clients declare: each request is checked whole, and only then written."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, nullcontext, suppress

from controller.clock import Clock
from controller.errors import BeingDeleted, Conflict, Invalid, NotFound
from controller.store import NORMAL, SERVICE, VOLUMES_FINALIZER, Listing, Recorder, Store, reference
from proto.dockrunner import v1 as pb

from .admission import Admission
from .codes import Code, Refusal
from .commits import Commits
from .preconditions import (
    both_scaled_and_set,
    check_manager,
    check_not_deleted,
    check_version,
    duplicates,
    fields_in_request,
    required_name,
)
from .write import API, FILE, Write, candidate, hold_for_volumes

_SOURCE = "control-plane"


class Declarations:
    """Apply, ApplySet, Delete and Restore, and what ``amendments.py`` builds on it, without gRPC.

    Each is checked against what stands and what is on its way, then kept in the journal, then written; it returns
    when it is durable. All raise before they write, with nothing changed:

    - ``Invalid``: every violation of the request at once.
    - ``Conflict``: a uid or version was given and is not current.
    - ``ManagedElsewhere``: another manager declares the service, and ``force`` was not given.
    - ``BeingDeleted``: the service is marked for deletion.
    - ``JournalFull``, ``JournalError``, ``SafeFull``, ``SafeError``: it could not be kept.
    """

    def __init__(self, store: Store, recorder: Recorder, admission: Admission, commits: Commits, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._recorder = recorder
        self._admission = admission
        self._commits = commits

    async def apply(self, request: pb.ApplyRequest) -> pb.ApplyResponse:
        """Creates one service, or makes it equal to the request."""
        manager = request.manager or API
        async with self._turn([request.service.metadata.name]):
            with fields_in_request(lambda _: "service"):
                write = (await self._check([request.service], manager, request.force, dry_run=request.dry_run))[0]
            plan = self._admission.preview(write.new)
            if request.dry_run:
                return pb.ApplyResponse(service=write.new, outcome=write.outcome, plan=plan)
            commit = self._begin([write])
        (service,) = await commit
        return pb.ApplyResponse(service=service, outcome=write.outcome, plan=plan)

    async def apply_set(self, request: pb.ApplySetRequest) -> pb.ApplySetResponse:
        """Makes several services equal to the request, and with ``prune`` deletes the manager's others."""
        manager = request.manager or API
        if request.prune and not request.services and not request.allow_empty:
            raise Refusal(
                Code.FAILED_PRECONDITION,
                f"an empty set would delete every service of manager {manager!r}: allow_empty says that this is meant",
            )
        names = None if request.prune else [service.metadata.name for service in request.services]
        async with self._turn(names):
            pruned = self._pruned(request, manager)
            going = [old.metadata.name for old in pruned]
            with fields_in_request(lambda index: f"services[{index}]"):
                writes = await self._check(request.services, manager, request.force, going, dry_run=request.dry_run)
            response = pb.ApplySetResponse(pruned=going)
            for write in writes:
                response.plan.extend(self._admission.preview(write.new))
            for old in pruned:
                response.plan.extend(self._admission.preview_deletion(old))
            if not request.dry_run:
                commit = self._begin(writes, pruned, f"manager {manager!r} no longer declares it")
        stored = [write.new for write in writes] if request.dry_run else await commit
        for write, service in zip(writes, stored, strict=True):
            response.results.add(service=service, outcome=write.outcome)
        if request.prune and not request.dry_run:
            self._admission.declared(manager)
        return response

    async def delete(self, request: pb.DeleteRequest) -> pb.Service:
        """Marks a service for deletion, and returns it as marked; with ``volumes`` those are removed after it.

        A second call is harmless; with ``force`` it has the deletion wait no longer for anything but the containers.

        Raises:
            NotFound: there is no such service.
        """
        name, manager = required_name(request.name), request.manager or API
        async with self._turn([name]):
            old = self._store.get(SERVICE, name)
            check_version(name, old, request.uid, request.resource_version)
            check_manager(old, manager, request.force)
            if old.metadata.HasField("delete_time"):
                if request.volumes and VOLUMES_FINALIZER not in old.metadata.finalizers:
                    raise BeingDeleted(f"service {name!r} is being deleted already, without its volumes")
                if request.force:
                    self._admission.release(old)
                return old
            going = _copy(old)
            if request.volumes:
                hold_for_volumes(going)
            commit = self._begin([], [going], f"manager {manager!r} asked for it")
        await commit
        return self._store.find(SERVICE, name) or self._marked(old)

    async def restore(self, services: Sequence[pb.Service], *, dry_run: bool) -> pb.RestoreResponse:
        """Makes what is declared equal to ``services``, each with its own manager; what manager ``file`` declares, in
        there or now, stays as it is."""
        wanted = [service for service in services if service.metadata.manager != FILE]
        async with self._turn(None):
            present = {old.metadata.name: old for old in self._store.list(SERVICE)}
            wanted = [it for it in wanted if _manager_of(present.get(it.metadata.name)) != FILE]
            names = {service.metadata.name for service in wanted}
            going = [
                old
                for name, old in present.items()
                if name not in names and old.metadata.manager != FILE and not old.metadata.HasField("delete_time")
            ]
            olds = [present.get(service.metadata.name) for service in wanted]
            for old in filter(None, olds):
                check_not_deleted(old)
            left_out = [*names, *(old.metadata.name for old in going)]
            with fields_in_request(lambda index: f"services[{wanted[int(index)].metadata.name}]"):
                admitted = await self._admission.admit(
                    [candidate(it, old) for it, old in zip(wanted, olds, strict=True)],
                    olds,
                    self._others(left_out),
                    dry_run=dry_run,
                )
            writes = [
                Write.of(old, new, it.metadata.manager, sets_replicas=it.metadata.replicas_manager != "")
                for it, old, new in zip(wanted, olds, admitted, strict=True)
            ]
            changed = [write for write in writes if write.outcome != pb.UNCHANGED]
            if not dry_run:
                commit = self._begin(changed, going, "the backup that was restored does not have it")
        if not dry_run:
            await commit
        return pb.RestoreResponse(
            restored=[write.new.metadata.name for write in changed], deleted=[old.metadata.name for old in going]
        )

    def quiet(self) -> AbstractAsyncContextManager[None]:
        """The time in which nothing is being checked or on its way; whoever declares something waits for its end."""
        return self._turn(None)

    @asynccontextmanager
    async def _turn(self, names: Collection[str] | None) -> AsyncIterator[None]:
        """The time to check and begin one declaration, when none of these services (None: no one) is on its way."""
        async with self._commits.turn:
            await self._commits.settled(names)
            yield

    async def _check(
        self, requested: Sequence[pb.Service], manager: str, force: bool, pruned: Collection[str] = (), *, dry_run: bool
    ) -> list[Write]:
        """Everything that can be wrong with declaring these services; what would be written, in their order."""
        olds = [self._store.find(SERVICE, service.metadata.name) for service in requested]
        candidates = [candidate(service, old) for service, old in zip(requested, olds, strict=True)]
        names = [service.metadata.name for service in requested]
        violations = [*duplicates(names), *both_scaled_and_set(requested)]
        admitted: Sequence[pb.Service] = ()
        try:
            admitted = await self._admission.admit(candidates, olds, self._others([*names, *pruned]), dry_run=dry_run)
        except Invalid as error:
            violations.extend(error.violations)
        if violations:
            raise Invalid(violations)
        # Handlers may have been asked, which takes its time: what counts is what is there now.
        olds = [self._store.find(SERVICE, name) for name in names]
        for service, old in zip(requested, olds, strict=True):
            check_version(service.metadata.name, old, service.metadata.uid, service.metadata.resource_version)
            if old is not None:
                check_manager(old, manager, force)
                check_not_deleted(old)
        return [
            Write.of(old, wanted, manager, sets_replicas=service.spec.HasField("replicas"))
            for service, old, wanted in zip(requested, olds, admitted, strict=True)
        ]

    async def amend(
        self, name: str, edit: Callable[[pb.Service], None], only: Sequence[str], *,
        check: Callable[[pb.Service], None] = lambda _: None,
        naming: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> tuple[pb.Service, pb.Service]:  # fmt: skip
        """Changes fields of one service's spec alone; what it was and what it is now.

        ``check`` raises when the service as it is speaks against it; ``naming`` makes the violations those of the
        caller's own fields.

        Raises:
            NotFound: there is no such service.
        """
        async with self._turn([required_name(name)]):
            old = self._store.get(SERVICE, name)
            check(old)
            check_not_deleted(old)
            new = _copy(old)
            edit(new)
            with naming():
                (admitted,) = await self._admission.admit([new], [old], self._others([name]))
            new.spec.CopyFrom(admitted.spec)
            new.metadata.generation += new.spec != old.spec
            commit = self._begin([Write(old, new, only=only)])
        return old, (await commit)[0]

    def _others(self, names: Collection[str]) -> Listing:
        """The services that stay beside those, and those on their way: which of the two will be is not known yet."""
        left_out = frozenset(names)
        on_the_way = self._commits.on_the_way

        def read() -> Sequence[pb.Service]:
            return [
                service
                for service in (*self._store.list(SERVICE), *on_the_way)
                if service.metadata.name not in left_out and not service.metadata.HasField("delete_time")
            ]

        return Listing(read, self._store.count(SERVICE) + len(on_the_way))

    def _pruned(self, request: pb.ApplySetRequest, manager: str) -> list[pb.Service]:
        if not request.prune:
            return []
        names = [service.metadata.name for service in request.services]
        return [service for service in self._others(names) if service.metadata.manager == manager]

    def _begin(
        self, writes: Sequence[Write], going: Sequence[pb.Service] = (), cause: str = ""
    ) -> "asyncio.Future[list[pb.Service]]":
        """Has the writes and deletions kept and carried out; the answer is what was written, in order."""
        drafts = [self._store.draft(SERVICE, write.new) if write.old is None else write.new for write in writes]
        changed = [draft for write, draft in zip(writes, drafts, strict=True) if write.outcome != pb.UNCHANGED]

        def publish() -> list[pb.Service]:
            stored = [self._carry_out(write, draft) for write, draft in zip(writes, drafts, strict=True)]
            for old in going:
                with suppress(NotFound, Conflict):  # gone meanwhile, as is wanted
                    if VOLUMES_FINALIZER in old.metadata.finalizers:
                        self._store.update(SERVICE, old.metadata.name, hold_for_volumes, uid=old.metadata.uid)
                    self._say(self._store.delete(SERVICE, old.metadata.name, uid=old.metadata.uid), "Deleting", cause)
            return stored

        return self._commits.begin([*changed, *map(self._marked, going)], publish)

    def _carry_out(self, write: Write, draft: pb.Service) -> pb.Service:
        if write.old is None:
            return self._store.create(SERVICE, draft)
        if write.outcome == pb.UNCHANGED:
            return self._store.find(SERVICE, draft.metadata.name) or write.old
        stored = self._store.update(SERVICE, draft.metadata.name, write.onto, uid=write.old.metadata.uid)
        before = write.old.metadata.manager
        if before not in ("", draft.metadata.manager):
            self._say(stored, "TakenOver", f"manager {draft.metadata.manager!r} took it over from {before!r}")
        return stored

    def _marked(self, service: pb.Service) -> pb.Service:
        """A service as it is once its deletion was asked for: for the journal, as the store marks it by itself."""
        marked = _copy(service)
        marked.metadata.delete_time.FromDatetime(self._clock.now())
        marked.metadata.generation += 1
        return marked

    def _say(self, service: pb.Service, reason: str, message: str) -> None:
        self._recorder.record(_SOURCE, reference(service), NORMAL, reason, message)


def _copy(service: pb.Service) -> pb.Service:
    copy = pb.Service()
    copy.CopyFrom(service)
    return copy


def _manager_of(service: pb.Service | None) -> str:
    return service.metadata.manager if service is not None else ""
