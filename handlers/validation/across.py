"""What a service and the others say about the same thing."""

from collections.abc import Iterable, Iterator, Mapping

from google.protobuf.message import Message

from controller.errors import Violation
from controller.store import Listing
from handlers.ports import HostPorts, host_ports
from handlers.surroundings import neighbours
from proto.dockrunner import v1 as pb


class _Claims:
    """Host ports by their number and protocol, with who claims them: looked up, as thousands may be compared."""

    def __init__(self) -> None:
        self.taken = 0  # of the services that are listed, so many are in here
        self._claims: dict[tuple[str, int], list[tuple[HostPorts, str]]] = {}

    def add(self, service: pb.Service, claims: Iterable[HostPorts]) -> None:
        for claim in claims:
            for number in range(claim.first, claim.last + 1):
                self._claims.setdefault((claim.protocol, number), []).append((claim, service.metadata.name))

    def against(self, claim: HostPorts) -> tuple[HostPorts, str] | None:
        """A claim that collides, and whose it is."""
        numbers = range(claim.first, claim.last + 1)
        found = (known for number in numbers for known in self._claims.get((claim.protocol, number), ()))
        return next(((other, owner) for other, owner in found if claim.collides(other)), None)


def conflicts(service: pb.Service, others: Listing) -> Iterator[Violation]:
    """Host ports that a service claims and one of ``others``, or itself, has already."""
    wanted = [(number, claim) for number, port in enumerate(service.spec.ports) if (claim := _claim(port))]
    if not wanted:
        return
    claims: _Claims = others.memo.setdefault("host ports", _Claims())
    for other in others[claims.taken :]:
        claims.add(other, filter(None, map(_claim, other.spec.ports)))
        claims.taken += 1
    own = _Claims()
    for number, claim in wanted:
        taken = claims.against(claim) or own.against(claim)
        if taken is not None:
            text = f"host port {claim} is claimed by service {taken[1]} ({taken[0]}) already; choose another"
            yield Violation(f"spec.ports[{number}].published", text)
        own.add(service, [claim])


def _claim(port: pb.Port) -> HostPorts | None:
    try:
        return host_ports(port)
    except ValueError:
        return None  # said by the check of the port itself


class _Definitions:
    """What networks and volumes are by the services that are listed, and whose word that is."""

    def __init__(self) -> None:
        self.taken = 0
        self.known: dict[tuple[str, str], tuple[Message, str]] = {}


def different_definitions(service: pb.Service, others: Listing) -> Iterator[Violation]:
    """Networks and volumes that one of ``others``, or the service itself, defines in another way."""
    wanted = list(_defined(service))
    if not wanted:
        return
    seen: _Definitions = others.memo.setdefault("definitions", _Definitions())
    for other in others[seen.taken :]:
        for _, kind, name, definition in _defined(other):
            seen.known.setdefault((kind, name), (definition, other.metadata.name))
        seen.taken += 1
    own: dict[tuple[str, str], tuple[Message, str]] = {}
    for field, kind, name, definition in wanted:
        known, owner = seen.known.get((kind, name)) or own.setdefault((kind, name), (definition, service.metadata.name))
        if known != definition:
            text = f"service {owner} defines {kind} {name} in another way; one name is one {kind}: make them equal"
            yield Violation(field, text)


def _defined(service: pb.Service) -> Iterator[tuple[str, str, str, Message]]:
    for name, attachment in service.spec.networks.items():
        if attachment.HasField("definition"):
            yield f"spec.networks.{name}.definition", "network", name, attachment.definition
    for number, mount in enumerate(service.spec.volumes):
        if mount.source and mount.HasField("definition"):
            yield f"spec.volumes[{number}].definition", "volume", mount.source, mount.definition


def circular_waits(service: pb.Service, others: Listing) -> Iterator[Violation]:
    """Services that would wait for each other for ever, each for the next one to be there."""
    name = service.metadata.name
    if not neighbours(service.spec):
        return
    waits = {other.metadata.name: neighbours(other.spec) for other in others if neighbours(other.spec)}
    for first in sorted(neighbours(service.spec) - {name}):
        if path := _path(first, name, waits):
            circle = " → ".join([name, *path])
            field = f"spec.depends_on.{first}" if first in service.spec.depends_on else "spec.network_mode"
            yield Violation(field, f"they would wait for each other for ever: {circle}; leave one of these out")


def _path(start: str, goal: str, waits: Mapping[str, set[str]]) -> list[str]:
    """How one waits for the other, by way of whom; empty when it does not."""
    paths, seen = [[start]], {start}
    while paths:
        path = paths.pop()
        if path[-1] == goal:
            return path
        further = sorted(waits.get(path[-1], set()) - seen)
        seen.update(further)
        paths += [[*path, name] for name in further]
    return []
