"""What a request must fulfil before anything is written, and how its violations name its fields."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from controller.errors import BeingDeleted, Conflict, Invalid, ManagedElsewhere, Violation
from proto.dockrunner import v1 as pb

_INDEX = re.compile(r"^\[(\d+)\]")


def required_name(name: str) -> str:
    """The name of a request that is about one service.

    Raises:
        Invalid: it is empty.
    """
    if not name:
        raise Invalid([Violation("name", "is missing: the name of a service")])
    return name


def check_version(name: str, old: pb.Service | None, uid: str, version: str) -> None:
    if old is None:
        if uid or version:
            raise Conflict(f"service {name!r} does not exist any more: leave out uid and resource_version to create it")
        return
    if uid and uid != old.metadata.uid:
        raise Conflict(f"service {name!r} is another one now: its uid is {old.metadata.uid}")
    if version and version != old.metadata.resource_version:
        raise Conflict(f"service {name!r} has changed since version {version}: read it again")


def check_manager(old: pb.Service, manager: str, force: bool) -> None:
    owner = old.metadata.manager
    if owner not in ("", manager) and not force:
        raise ManagedElsewhere(
            f"service {old.metadata.name!r} is declared by manager {owner!r}, not {manager!r}: "
            "change it there; force takes it over"
        )


def check_not_deleted(old: pb.Service) -> None:
    if old.metadata.HasField("delete_time"):
        raise BeingDeleted(f"service {old.metadata.name!r} is being deleted: try again when it is gone")


def duplicates(names: Sequence[str]) -> list[Violation]:
    """A violation for each name that stands before already; fields begin with the index."""
    seen: set[str] = set()
    found = []
    for index, name in enumerate(names):
        if name and name in seen:
            found.append(Violation(f"[{index}].metadata.name", f"{name!r} is declared more than once"))
        seen.add(name)
    return found


def both_scaled_and_set(requested: Sequence[pb.Service]) -> list[Violation]:
    """A violation for each service whose number is declared, though it is said to follow the load."""
    return [
        Violation(f"[{index}].spec.replicas", "cannot be set together with autoscale; leave one of them out")
        for index, service in enumerate(requested)
        if service.spec.HasField("replicas") and service.spec.HasField("autoscale")
    ]


@contextmanager
def fields_in_request(prefix: Callable[[str], str]) -> Iterator[None]:
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
def as_violations_of_replicas() -> Iterator[None]:
    """Admission's violations as those of a Scale, whose only field is the number."""
    try:
        yield
    except Invalid as error:
        raise Invalid([Violation("replicas", _without_index(violation)) for violation in error.violations]) from None


def _without_index(violation: Violation) -> str:
    field = _INDEX.sub("", violation.field).removeprefix(".")
    return violation.description if field in ("", "spec.replicas") else f"{field}: {violation.description}"
