"""The short ways to write a message or a field, as the Compose specification has them.

They are registered by the type of message that they stand for, so that every field of that type has them at once.
"""

import os
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path as FilePath
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from proto.dockrunner import v1 as pb

from .problem import NotThatForm, show

MAX_PORT = 65535
PROPAGATIONS = {"private", "rprivate", "shared", "rshared", "slave", "rslave"}
MOUNT_OPTIONS = {"ro", "rw", "nocopy", "z", "Z", *PROPAGATIONS}

_PORT_RANGE = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_PORTS = re.compile(
    r"(?:(?:\[(?P<ipv6>[^\]]*)\]|(?P<ipv4>[^:\[\]]*)):(?=[^:]*:))?"
    r"(?:(?P<published>[^:/]*):)?(?P<target>[^:/]*)(?:/(?P<protocol>[^:/]*))?"
)
_DURATION = re.compile(r"(?:[0-9]{1,15}(?:\.[0-9]{1,9})?(?:us|ms|s|m|h))+")
_DURATION_PART = re.compile(r"([0-9.]+)(us|ms|s|m|h)")
_NANOSECONDS = {"us": 1_000, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_LONGEST = 315_576_000_000  # seconds, by google/protobuf/duration.proto
_DURATION_HELP = "expected a duration such as `1m30s` or `500ms`, or a number of seconds"
_PORT_HELP = "expected `[HOST_IP:][PUBLISHED:]TARGET[/PROTOCOL]`, with an IPv6 address in brackets"
_MOUNT_HELP = "expected `[SOURCE:]TARGET[:ro|rw]`"


def ports(value: Any, limit: int) -> Sequence[pb.Port]:
    """``[HOST_IP:][PUBLISHED:]TARGET[/PROTOCOL]``, or a number for TARGET alone.

    Two ranges of one length are pairs; a range of published ports before a single target stays a range, from which
    each replica gets one. At most ``limit`` ports come of it.
    """
    if isinstance(value, int):
        return [_port(value, "", "", "")]
    match = _PORTS.fullmatch(value)
    if match is None:
        raise NotThatForm(_PORT_HELP)
    address = match["ipv6"] if match["ipv4"] is None else match["ipv4"]
    if address == "" or match["protocol"] == "":
        raise NotThatForm(_PORT_HELP)
    rest = (address or "", (match["protocol"] or "").lower())
    published = _port_range(match["published"]) if match["published"] else None
    target = _port_range(match["target"])
    if len(target) == 1:
        return [_port(target[0], _written(published) if published else "", *rest)]
    _check_ranges(published, target, limit)
    sources = map(str, published) if published else [""] * len(target)
    return [_port(inside, outside, *rest) for outside, inside in zip(sources, target, strict=True)]


def _check_ranges(published: range | None, target: range, limit: int) -> None:
    if published and len(published) != len(target):
        raise NotThatForm(f"{len(published)} published ports for {len(target)} targets")
    if max(target[-1], published[-1] if published else 0) > MAX_PORT:
        raise NotThatForm(f"a range of ports ends at {MAX_PORT}")
    if len(target) > limit:
        raise NotThatForm("too many ports")


def _port_range(text: str) -> range:
    match = _PORT_RANGE.fullmatch(text)
    if match is None:
        raise NotThatForm(f"{show(text)} is not a port or a range of ports")
    first, last = int(match[1]), int(match[2] or match[1])
    if last < first:
        raise NotThatForm(f"the range {text} ends before it begins")
    return range(first, last + 1)


def _written(ports: range) -> str:
    return str(ports[0]) if len(ports) == 1 else f"{ports[0]}-{ports[-1]}"


def _port(target: int, published: str, host_ip: str, protocol: str) -> pb.Port:
    if not 0 <= target < 2**32:
        raise NotThatForm(f"{target} is not a port")
    return pb.Port(target=target, published=published, host_ip=host_ip, protocol=protocol)


def mounts(value: Any, _limit: int) -> Sequence[pb.Mount]:
    """``[SOURCE:]TARGET[:OPTIONS]``; a SOURCE that looks like a path is a folder or file of the host.

    OPTIONS are ``ro``, ``rw``, ``nocopy`` and a propagation, with commas between them.
    """
    parts = value.split(":")
    options = parts.pop().split(",") if len(parts) > 1 and MOUNT_OPTIONS.issuperset(parts[-1].split(",")) else []
    if not 1 <= len(parts) <= 2 or not all(parts):
        raise NotThatForm(_MOUNT_HELP)
    if {"z", "Z"} & set(options):
        raise NotThatForm("`z` and `Z` are not supported: label the folder for SELinux on the host, with chcon")
    source, target = parts if len(parts) == 2 else ("", parts[0])
    is_path = source in (".", "..") or source.startswith(("/", "./", "../", "~"))
    mount = pb.Mount(type="bind" if is_path else "volume", source=source, target=target, read_only="ro" in options)
    if "nocopy" in options:
        mount.volume.nocopy = True
    for propagation in PROPAGATIONS.intersection(options):
        mount.bind.propagation = propagation
    return [mount]


def durations(value: Any, _limit: int) -> Sequence[Duration]:
    """``1m30s``, ``500ms``; a number is of seconds."""
    if isinstance(value, str):
        if not _DURATION.fullmatch(value):
            raise NotThatForm(_DURATION_HELP)
        parts = _DURATION_PART.findall(value)
        nanoseconds = int(sum(Decimal(number) * _NANOSECONDS[unit] for number, unit in parts))
    elif abs(value) <= _LONGEST:
        nanoseconds = value * 10**9 if isinstance(value, int) else round(value * 10**9)
    else:  # nan too
        raise NotThatForm(f"a duration is at most {_LONGEST} seconds")
    if abs(nanoseconds) > _LONGEST * 10**9:
        raise NotThatForm(f"a duration is at most {_LONGEST} seconds")
    duration = Duration()
    duration.FromNanoseconds(nanoseconds)
    return [duration]


def timestamps(value: Any, _limit: int) -> Sequence[Timestamp]:
    """A date and time of TOML's own, or the same as a text; without an offset it is UTC."""
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        timestamp = Timestamp()
        timestamp.FromDatetime(moment.astimezone(UTC) if moment.tzinfo else moment)
    except (ValueError, OverflowError):
        raise NotThatForm(f"{show(str(value))} is no date and time such as 2026-01-31T03:00:00Z") from None
    return [timestamp]


def resolve_mount(mount: Message, folder: FilePath) -> None:
    """Makes the source of a bind mount absolute: ``~`` is the home folder, others start from the file's folder."""
    if not isinstance(mount, pb.Mount) or mount.type != "bind" or not mount.source:
        return
    try:
        source = os.path.expanduser(mount.source)
    except ValueError:  # a NUL in the name of a user
        source = mount.source
    if source.startswith("~"):
        raise NotThatForm(f"there is no home folder {show(source)}")
    path = os.path.normpath(os.path.join(folder, source))
    mount.source = f"/{path.lstrip('/')}"  # POSIX leaves two leading slashes alone


def devices(value: Any, _limit: int) -> Sequence[pb.Device]:
    """``SOURCE[:TARGET[:PERMISSIONS]]``; what stands after SOURCE alone may be either."""
    parts = value.split(":")
    if not 1 <= len(parts) <= 3 or not all(parts):
        raise NotThatForm("expected `SOURCE[:TARGET[:PERMISSIONS]]`")
    if len(parts) == 2 and set(parts[1]) <= set("rwm"):
        return [pb.Device(source=parts[0], permissions=parts[1])]
    return [pb.Device(source=parts[0], target="".join(parts[1:2]), permissions="".join(parts[2:]))]


def gpus(value: Any, _limit: int) -> Sequence[pb.Gpu]:
    """``all``."""
    if value != "all":
        raise NotThatForm(f"expected `all` or a table, got {show(value)}")
    return [pb.Gpu(count=-1)]


def ulimits(value: Any, _limit: int) -> Sequence[pb.Ulimit]:
    """One number for both limits."""
    if not -1 <= value < 2**63:
        raise NotThatForm("expected a whole number from -1, which is no limit")
    return [pb.Ulimit(soft=value, hard=value)]


# Which TOML types a message may be written as besides a table, and how they are read.
SHORT_FORMS: dict[str, tuple[tuple[type, ...], Callable[[Any, int], Sequence[Message]]]] = {
    pb.Port.DESCRIPTOR.full_name: ((str, int), ports),
    pb.Mount.DESCRIPTOR.full_name: ((str,), mounts),
    Duration.DESCRIPTOR.full_name: ((str, int, float), durations),
    Timestamp.DESCRIPTOR.full_name: ((datetime, str), timestamps),
    pb.Device.DESCRIPTOR.full_name: ((str,), devices),
    pb.Gpu.DESCRIPTOR.full_name: ((str,), gpus),
    pb.Ulimit.DESCRIPTOR.full_name: ((int,), ulimits),
    pb.Secret.DESCRIPTOR.full_name: ((str,), lambda name, _: [pb.Secret(source=name)]),
    pb.Config.DESCRIPTOR.full_name: ((str,), lambda name, _: [pb.Config(source=name)]),
}
# What is done to a message once it is read, however it was written.
FINISHED: dict[str, Callable[[Message, FilePath], None]] = {pb.Mount.DESCRIPTOR.full_name: resolve_mount}
# Messages of which a list of names makes a map.
NAMED = {pb.NetworkAttachment.DESCRIPTOR.full_name, pb.Dependency.DESCRIPTOR.full_name}
# Fields that are not written where they are, but in a table of their own.
ELSEWHERE = {
    "dockrunner.v1.NetworkAttachment.definition",
    "dockrunner.v1.Mount.definition",
    "dockrunner.v1.Secret.content",
    "dockrunner.v1.Config.content",
}
