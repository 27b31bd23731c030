"""The steps that a plan is made of."""

from dataclasses import dataclass
from datetime import datetime

from proto.dockrunner import v1 as pb


@dataclass(frozen=True)
class Create:
    """A container object to be made, of ``template``, whose port ranges are resolved to one port each.

    ``failures`` and ``restarts`` are what its slot has seen before. ``held``: it waits for its predecessor to go.
    ``joined`` and ``follows`` are as in ContainerSpec; ``run``: when its run was due, of a scheduled service.
    """

    slot: int
    template: pb.ServiceSpec
    revision: str
    failures: int
    restarts: int
    cause: str
    held: bool = False
    joined: str = ""
    follows: str = ""
    run: datetime | None = None


@dataclass(frozen=True)
class Delete:
    """A container object to be marked for deletion."""

    container: pb.Container
    cause: str


@dataclass(frozen=True)
class Stop:
    """A container that is stopped, and kept until its successor serves."""

    container: pb.Container
    cause: str


@dataclass(frozen=True)
class Release:
    """A container that was held, and may start now."""

    container: pb.Container
    cause: str


@dataclass(frozen=True)
class Amend:
    """A container of which the engine changes something in place; ``wanted`` is its new spec."""

    container: pb.Container
    wanted: pb.ContainerSpec
    cause: str


Operation = Create | Delete | Stop | Release | Amend
