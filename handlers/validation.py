"""What a service may look like: every violation, each with its field and the way out."""

import ipaddress
import re
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from controller.errors import Violation
from controller.store import Listing
from proto.dockrunner import v1 as pb

from .naming import DEFAULT_NETWORK
from .ports import HostPorts, host_ports
from .restart import parse_restart

MAX_REPLICAS = 1000
MAX_GRACE = timedelta(hours=1)
# Docker takes labels and environments of any size; these keep one service from filling the memory.
MAX_ENTRIES = 1000
MAX_KEY = 253
MAX_TEXT = 32 * 1024
RESERVED_LABELS = "dock-runner."

PULL_POLICIES = ("missing", "if_not_present", "always", "never")
PROTOCOLS = ("tcp", "udp", "sctp")
MOUNT_TYPES = ("volume", "bind", "tmpfs")

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?")
# The grammar of distribution/reference: [HOST[:PORT]/]PATH[:TAG][@DIGEST].
_IMAGE = re.compile(
    r"(?:(?:[A-Za-z0-9](?:[-A-Za-z0-9]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[-A-Za-z0-9]*[A-Za-z0-9])?)*|\[[0-9a-fA-F:]+\])"
    r"(?::[0-9]+)?/)?"
    r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
    r"(?::[A-Za-z0-9_][-.A-Za-z0-9_]{0,127})?(?:@[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[0-9a-fA-F]{32,})?"
)
_VOLUME = re.compile(r"[A-Za-z0-9][-A-Za-z0-9_.]{0,127}")
_ALIAS = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

Check = Callable[[pb.Service], Iterator[Violation]]


def violations(service: pb.Service) -> list[Violation]:
    """All that is wrong with one service by itself; defaults are filled in already."""
    return [violation for check in _CHECKS for violation in check(service)]


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


def _metadata(service: pb.Service) -> Iterator[Violation]:
    metadata = service.metadata
    if not _NAME.fullmatch(metadata.name):
        text = f"{metadata.name!r} must be 1 to 42 lower-case letters, digits and inner dashes"
        yield Violation("metadata.name", text)
    yield from _texts("metadata.labels", metadata.labels)
    yield from _texts("metadata.annotations", metadata.annotations)


def _image(service: pb.Service) -> Iterator[Violation]:
    image = service.spec.image
    if not image:
        yield Violation("spec.image", "is required, e.g. nginx:1.27")
    elif len(image) > MAX_KEY or not _IMAGE.fullmatch(image):
        yield Violation("spec.image", f"{image[:MAX_KEY]!r} is not an image reference such as nginx:1.27")


def _replicas(service: pb.Service) -> Iterator[Violation]:
    if not 0 <= service.spec.replicas <= MAX_REPLICAS:
        yield Violation("spec.replicas", f"{service.spec.replicas} is not within 0 and {MAX_REPLICAS}")


def _process(service: pb.Service) -> Iterator[Violation]:
    spec = service.spec
    for field, arguments in (("command", spec.command), ("entrypoint", spec.entrypoint)):
        for number, argument in enumerate(arguments):
            if "\0" in argument or len(argument) > MAX_TEXT:
                yield Violation(f"spec.{field}[{number}]", f"holds a NUL or is longer than {MAX_TEXT} characters")
    yield from _texts("spec.environment", spec.environment, multiline=True)
    for name in spec.environment:
        if "=" in name or not name:
            yield Violation(f"spec.environment.{name}", "the name of a variable is not empty and has no '='")
    if _CONTROL.search(spec.user) or len(spec.user) > MAX_KEY:
        yield Violation("spec.user", "is not of the form USER[:GROUP]")
    if spec.working_dir and not _absolute(spec.working_dir):
        yield Violation("spec.working_dir", f"{spec.working_dir!r} must be an absolute path")


def _labels(service: pb.Service) -> Iterator[Violation]:
    yield from _texts("spec.labels", service.spec.labels, multiline=True)
    for name in service.spec.labels:
        if name.startswith(RESERVED_LABELS):
            yield Violation(f"spec.labels.{name}", f"labels that begin with {RESERVED_LABELS} are Dock Runner's own")


def _lifecycle(service: pb.Service) -> Iterator[Violation]:
    spec = service.spec
    try:
        parse_restart(spec.restart)
    except ValueError as error:
        yield Violation("spec.restart", str(error))
    if spec.stop_signal and not _is_signal(spec.stop_signal):
        yield Violation("spec.stop_signal", f"{spec.stop_signal!r} is no signal; write e.g. SIGTERM or 15")
    grace = spec.stop_grace_period
    if grace.nanos or not 0 <= grace.seconds <= MAX_GRACE.total_seconds():
        yield Violation("spec.stop_grace_period", "must be whole seconds from 0s to 1h")
    if spec.HasField("restarted_at") and not _is_moment(spec.restarted_at):
        yield Violation("spec.restarted_at", "is no date and time between the years 1 and 9999")
    if spec.pull_policy not in PULL_POLICIES:
        yield Violation("spec.pull_policy", f"{spec.pull_policy!r} is not one of {', '.join(PULL_POLICIES)}")


def _ports(service: pb.Service) -> Iterator[Violation]:
    for number, port in enumerate(service.spec.ports):
        field = f"spec.ports[{number}]"
        if not 1 <= port.target <= 65535:
            yield Violation(f"{field}.target", f"{port.target} is not within 1 and 65535")
        if port.protocol not in PROTOCOLS:
            yield Violation(f"{field}.protocol", f"{port.protocol!r} is not one of {', '.join(PROTOCOLS)}")
        if port.host_ip and not _is_address(port.host_ip):
            yield Violation(f"{field}.host_ip", f"{port.host_ip!r} is not an IP address")
        try:
            claim = host_ports(port)
        except ValueError as error:
            yield Violation(f"{field}.published", str(error))
            continue
        if claim is not None and len(claim) < service.spec.replicas:
            text = f"{port.published} has {len(claim)} ports for {service.spec.replicas} replicas; widen it"
            yield Violation(f"{field}.published", text)


def _networks(service: pb.Service) -> Iterator[Violation]:
    for name, attachment in service.spec.networks.items():
        if name != DEFAULT_NETWORK:
            yield Violation(
                f"spec.networks.{name}", f"there is no such network; the instance's own is {DEFAULT_NETWORK}"
            )
        for number, alias in enumerate(attachment.aliases):
            if not _ALIAS.fullmatch(alias):
                yield Violation(f"spec.networks.{name}.aliases[{number}]", f"{alias!r} is not a host name")


def _volumes(service: pb.Service) -> Iterator[Violation]:
    targets: set[str] = set()
    for number, mount in enumerate(service.spec.volumes):
        field = f"spec.volumes[{number}]"
        if mount.type not in MOUNT_TYPES:
            yield Violation(f"{field}.type", f"{mount.type!r} is not one of {', '.join(MOUNT_TYPES)}")
        if not _absolute(mount.target) or mount.target.rstrip("/") == "":
            yield Violation(f"{field}.target", f"{mount.target!r} must be an absolute path other than /")
        elif mount.target in targets:
            yield Violation(f"{field}.target", f"{mount.target!r} is mounted twice")
        targets.add(mount.target)
        if mount.type == "bind" and not _absolute(mount.source):
            yield Violation(f"{field}.source", f"{mount.source!r} must be an absolute path on the host")
        if mount.type == "bind" and ".." in mount.source.split("/"):
            # Docker drops `link/..` as text, and the policy follows the link: they would mean two different folders.
            yield Violation(f"{field}.source", f"{mount.source!r} must be written without '..'")
        if mount.type == "volume" and mount.source and not _VOLUME.fullmatch(mount.source):
            yield Violation(f"{field}.source", f"{mount.source!r} is not the name of a volume")
        if mount.type == "tmpfs" and mount.source:
            yield Violation(f"{field}.source", "a tmpfs has no source")


_CHECKS: tuple[Check, ...] = (
    _metadata, _image, _replicas, _process, _labels, _lifecycle, _ports, _networks, _volumes,
)  # fmt: skip


def _texts(field: str, entries: Mapping[str, str], *, multiline: bool = False) -> Iterator[Violation]:
    if len(entries) > MAX_ENTRIES:
        yield Violation(field, f"has {len(entries)} entries, at most {MAX_ENTRIES} are allowed")
        return
    for key, value in entries.items():
        if not key or len(key) > MAX_KEY or _CONTROL.search(key):
            yield Violation(
                f"{field}.{key[:MAX_KEY]}", f"a name has 1 to {MAX_KEY} characters and no control characters"
            )
        if len(value) > MAX_TEXT or "\0" in value or (not multiline and _CONTROL.search(value)):
            yield Violation(f"{field}.{key[:MAX_KEY]}", f"is longer than {MAX_TEXT} or has control characters")


def _is_moment(timestamp: Timestamp) -> bool:
    try:
        timestamp.ToDatetime()
    except (ValueError, OverflowError):
        return False
    return True


def _absolute(path: str) -> bool:
    return path.startswith("/") and not _CONTROL.search(path) and len(path) <= 4096


def _is_signal(text: str) -> bool:
    if text.isascii() and text.isdigit():
        return 1 <= int(text) <= signal.SIGRTMAX
    name = text.upper()
    name = name if name.startswith("SIG") else f"SIG{name}"
    return name in signal.Signals.__members__ or bool(re.fullmatch(r"SIGRTM(IN\+|AX-)[0-9]{1,2}", name))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
