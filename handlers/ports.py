"""Published ports: ranges, what collides with what, and which port of a range a container gets."""

from collections.abc import Iterable
from dataclasses import dataclass

from proto.dockrunner import v1 as pb

_ALL_ADDRESSES = frozenset(("", "0.0.0.0", "::"))  # noqa: S104  # compared with, not bound to


@dataclass(frozen=True)
class HostPorts:
    """A range of ports on the host, both ends included."""

    first: int
    last: int
    protocol: str
    host_ip: str

    def __len__(self) -> int:
        return self.last - self.first + 1

    def __str__(self) -> str:
        numbers = str(self.first) if self.first == self.last else f"{self.first}-{self.last}"
        return f"{numbers}/{self.protocol}"

    def collides(self, other: "HostPorts") -> bool:
        """Whether both hold a same port on a same address."""
        same_address = self.host_ip == other.host_ip or bool({self.host_ip, other.host_ip} & _ALL_ADDRESSES)
        return (
            self.protocol == other.protocol and same_address and self.first <= other.last and other.first <= self.last
        )


def host_ports(port: pb.Port) -> HostPorts | None:
    """What a port claims on the host; None when Docker chooses.

    Raises:
        ValueError: ``published`` is neither a port nor a range; the message says so.
    """
    if not port.published:
        return None
    first, dash, last = port.published.partition("-")
    if not (first.isascii() and first.isdigit() and (not dash or (last.isascii() and last.isdigit()))):
        raise ValueError(f"{port.published!r} is neither a port nor a range such as 8080-8089")
    low, high = int(first), int(last or first)
    if not 1 <= low <= high <= 65535:
        raise ValueError(f"{port.published!r} must lie within 1 and 65535, the lower port first")
    return HostPorts(low, high, port.protocol or "tcp", port.host_ip)


def claimed(containers: Iterable[pb.Container]) -> list[HostPorts]:
    """What containers hold on the host: those in Docker by what is seen, the others by what they were given."""
    return claims_of(
        port
        for container in containers
        if container.status.state != pb.ContainerStatus.EXITED
        for port in (*container.spec.template.ports, *container.status.ports)
    )


def claims_of(ports: Iterable[pb.Port]) -> list[HostPorts]:
    """What ports claim on the host, without those that Docker chooses."""
    return [claim for port in ports if (claim := host_ports(port)) is not None]


def allocate(ports: Iterable[pb.Port], taken: Iterable[HostPorts]) -> list[pb.Port] | None:
    """One port for each range, the lowest that nobody holds; None when a range has none left."""
    held = list(taken)
    chosen = []
    for port in ports:
        wanted = host_ports(port)
        single = pb.Port()
        single.CopyFrom(port)
        if wanted is not None:
            free = _lowest_free(wanted, held)
            if free is None:
                return None
            held.append(free)
            single.published = str(free.first)
        chosen.append(single)
    return chosen


def up_to(ports: Iterable[pb.Port], given: Iterable[pb.Port]) -> list[HostPorts]:
    """Of each range the part that ends with the port that was given out of it."""
    ranges = ((host_ports(port), host_ports(single)) for port, single in zip(ports, given, strict=False))
    return [
        HostPorts(whole.first, one.last, whole.protocol, whole.host_ip)
        for whole, one in ranges
        if whole is not None and one is not None and whole.first <= one.last <= whole.last
    ]


def _lowest_free(wanted: HostPorts, held: list[HostPorts]) -> HostPorts | None:
    number = wanted.first
    for other in sorted((other for other in held if wanted.collides(other)), key=lambda other: other.first):
        if other.first > number:
            break
        number = max(number, other.last + 1)
    return HostPorts(number, number, wanted.protocol, wanted.host_ip) if number <= wanted.last else None
