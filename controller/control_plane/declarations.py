"""What clients declare: each request is checked whole, and only then written."""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager

from controller.errors import BeingDeleted, Conflict, Invalid, ManagedElsewhere, Violation
from controller.store import NORMAL, SERVICE, Recorder, Store, reference
from proto.dockrunner import v1 as pb

from .admission import Admission
from .codes import Code, Refusal
from .write import API, Write, candidate

MAX_REPLICAS = 1000
_SOURCE = "control-plane"
_INDEX = re.compile(r"^\[(\d+)\]")


class Declarations:
    """Apply, ApplySet, Delete and Scale, without gRPC.

    No method waits, so each is atomic. All raise before they write, with nothing changed:

    - ``Invalid``: every violation of the request at once.
    - ``Conflict``: a uid or version was given and is not current.
    - ``ManagedElsewhere``: another manager declares the service, and ``force`` was not given.
    - ``BeingDeleted``: the service is marked for deletion.
    """

    def __init__(self, store: Store, recorder: Recorder, admission: Admission) -> None:
        self._store = store
        self._recorder = recorder
        self._admission = admission

    def apply(self, request: pb.ApplyRequest) -> pb.ApplyResponse:
        """Creates one service, or makes it equal to the request."""
        manager = request.manager or API
        with _fields_in_request(lambda _: "service"):
            write = self._check([request.service], manager, request.force)[0]
        plan = self._admission.preview(write.new)
        service = write.new if request.dry_run else self._carry_out(write)
        return pb.ApplyResponse(service=service, outcome=write.outcome, plan=plan)

    def apply_set(self, request: pb.ApplySetRequest) -> pb.ApplySetResponse:
        """Makes several services equal to the request, and with ``prune`` deletes the manager's others."""
        manager = request.manager or API
        if request.prune and not request.services and not request.allow_empty:
            raise Refusal(
                Code.FAILED_PRECONDITION,
                f"an empty set would delete every service of manager {manager!r}: allow_empty says that this is meant",
            )
        pruned = self._pruned(request, manager)
        with _fields_in_request(lambda index: f"services[{index}]"):
            writes = self._check(request.services, manager, request.force, [old.metadata.name for old in pruned])
        response = pb.ApplySetResponse(pruned=[old.metadata.name for old in pruned])
        for write in writes:
            response.plan.extend(self._admission.preview(write.new))
        for old in pruned:
            response.plan.extend(self._admission.preview_deletion(old))
        for write in writes:
            service = write.new if request.dry_run else self._carry_out(write)
            response.results.add(service=service, outcome=write.outcome)
        if not request.dry_run:
            for old in pruned:
                self._delete(old, f"manager {manager!r} no longer declares it")
            if request.prune:
                self._admission.declared(manager)
        return response

    def delete(self, request: pb.DeleteRequest) -> pb.Service:
        """Marks a service for deletion, and returns it as marked; a second call is harmless.

        Raises:
            NotFound: there is no such service.
        """
        old = self._store.get(SERVICE, required_name(request.name))
        manager = request.manager or API
        _check_version(request.name, old, request.uid, request.resource_version)
        _check_manager(old, manager, request.force)
        if old.metadata.HasField("delete_time"):
            return old
        return self._delete(old, f"manager {manager!r} asked for it")

    def scale(self, request: pb.ScaleRequest) -> pb.Service:
        """Sets ``replicas`` alone.

        Raises:
            NotFound: there is no such service.
        """
        old = self._store.get(SERVICE, required_name(request.name))
        _check_version(request.name, old, "", request.resource_version)
        _check_not_deleted(old)
        new = pb.Service()
        new.CopyFrom(old)
        new.spec.replicas = request.replicas
        owner = old.metadata.replicas_manager
        if owner not in ("", API):
            if not request.force:
                raise ManagedElsewhere(
                    f"manager {owner!r} sets the replicas of service {request.name!r}: change them there; "
                    "force takes the service over"
                )
            new.metadata.manager = new.metadata.replicas_manager = API
        if not 0 <= request.replicas <= MAX_REPLICAS:
            raise Invalid([Violation("replicas", f"{request.replicas} is not within 0 to {MAX_REPLICAS}")])
        with _as_violations_of_replicas():
            self._admission.admit([new], self._others([request.name]))
        scaled = self._carry_out(Write(old, new))
        if old.spec.replicas != scaled.spec.replicas:
            self._say(scaled, "Scaled", f"replicas {old.spec.replicas} → {scaled.spec.replicas}")
        return scaled

    def _check(
        self, requested: Sequence[pb.Service], manager: str, force: bool, pruned: Collection[str] = ()
    ) -> list[Write]:
        """Everything that can be wrong with declaring these services; what would be written, in their order."""
        olds = [self._store.find(SERVICE, service.metadata.name) for service in requested]
        candidates = [candidate(service, old) for service, old in zip(requested, olds, strict=True)]
        names = [service.metadata.name for service in requested]
        violations = _duplicates(names)
        admitted: Sequence[pb.Service] = ()
        try:
            admitted = self._admission.admit(candidates, self._others([*names, *pruned]))
        except Invalid as error:
            violations.extend(error.violations)
        if violations:
            raise Invalid(violations)
        for service, old in zip(requested, olds, strict=True):
            _check_version(service.metadata.name, old, service.metadata.uid, service.metadata.resource_version)
            if old is not None:
                _check_manager(old, manager, force)
                _check_not_deleted(old)
        return [
            Write.of(old, wanted, manager, sets_replicas=service.spec.HasField("replicas"))
            for service, old, wanted in zip(requested, olds, admitted, strict=True)
        ]

    def _others(self, names: Collection[str]) -> list[pb.Service]:
        """The services that stay beside those."""
        left_out = frozenset(names)
        return [
            service
            for service in self._store.list(SERVICE)
            if service.metadata.name not in left_out and not service.metadata.HasField("delete_time")
        ]

    def _pruned(self, request: pb.ApplySetRequest, manager: str) -> list[pb.Service]:
        if not request.prune:
            return []
        names = [service.metadata.name for service in request.services]
        return [service for service in self._others(names) if service.metadata.manager == manager]

    def _carry_out(self, write: Write) -> pb.Service:
        new = write.new
        if write.old is None:
            return self._store.create(SERVICE, new)
        stored = self._store.update(SERVICE, new.metadata.name, lambda service: service.CopyFrom(new))
        before = write.old.metadata.manager
        if before not in ("", new.metadata.manager):
            self._say(stored, "TakenOver", f"manager {new.metadata.manager!r} took it over from {before!r}")
        return stored

    def _delete(self, old: pb.Service, cause: str) -> pb.Service:
        marked = self._store.delete(SERVICE, old.metadata.name)
        self._say(marked, "Deleting", cause)
        return marked

    def _say(self, service: pb.Service, reason: str, message: str) -> None:
        self._recorder.record(_SOURCE, reference(service), NORMAL, reason, message)


def required_name(name: str) -> str:
    """The name of a request that is about one service.

    Raises:
        Invalid: it is empty.
    """
    if not name:
        raise Invalid([Violation("name", "is missing: the name of a service")])
    return name


def _check_version(name: str, old: pb.Service | None, uid: str, version: str) -> None:
    if old is None:
        if uid or version:
            raise Conflict(f"service {name!r} does not exist any more: leave out uid and resource_version to create it")
        return
    if uid and uid != old.metadata.uid:
        raise Conflict(f"service {name!r} is another one now: its uid is {old.metadata.uid}")
    if version and version != old.metadata.resource_version:
        raise Conflict(f"service {name!r} has changed since version {version}: read it again")


def _check_manager(old: pb.Service, manager: str, force: bool) -> None:
    owner = old.metadata.manager
    if owner not in ("", manager) and not force:
        raise ManagedElsewhere(
            f"service {old.metadata.name!r} is declared by manager {owner!r}, not {manager!r}: "
            "change it there; force takes it over"
        )


def _check_not_deleted(old: pb.Service) -> None:
    if old.metadata.HasField("delete_time"):
        raise BeingDeleted(f"service {old.metadata.name!r} is being deleted: try again when it is gone")


def _duplicates(names: Sequence[str]) -> list[Violation]:
    return [
        Violation(f"[{index}].metadata.name", f"{name!r} is declared more than once")
        for index, name in enumerate(names)
        if name and name in names[:index]
    ]


@contextmanager
def _fields_in_request(prefix: Callable[[str], str]) -> Iterator[None]:
    """Admission's violations with the paths that the request's sender knows: ``[1].spec`` is ``services[1].spec``."""
    try:
        yield
    except Invalid as error:
        raise Invalid(
            [
                Violation(_INDEX.sub(lambda match: prefix(match[1]), violation.field), violation.description)
                for violation in error.violations
            ]
        ) from None


@contextmanager
def _as_violations_of_replicas() -> Iterator[None]:
    """Admission's violations as those of a Scale, whose only field is the number."""
    try:
        yield
    except Invalid as error:
        raise Invalid([Violation("replicas", _without_index(violation)) for violation in error.violations]) from None


def _without_index(violation: Violation) -> str:
    field = _INDEX.sub("", violation.field).removeprefix(".")
    return violation.description if field in ("", "spec.replicas") else f"{field}: {violation.description}"
