"""Forms that several fields share."""

import ipaddress
import re
from collections.abc import Iterator, Mapping

from google.protobuf.duration_pb2 import Duration

from controller.errors import Violation
from handlers.placeholders import filler
from proto.dockrunner import v1 as pb

# Docker takes labels and environments of any size; these keep one service from filling the memory.
MAX_ENTRIES = 1000
MAX_KEY = 253
MAX_TEXT = 32 * 1024
MAX_PATH = 4096
MAX_SPAN = 10 * 365 * 24 * 3600  # seconds of any duration

CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
NUMBER = re.compile("[0-9]{1,10}")
# What networks, volumes, secrets and configs may be called.
RESOURCE = re.compile(r"[A-Za-z0-9][-A-Za-z0-9_.]{0,127}")
_DRIVER = re.compile(r"[A-Za-z0-9][-A-Za-z0-9_./:]{0,127}")
_HOST_LABEL = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?")


def texts(field: str, entries: Mapping[str, str], *, multiline: bool = False) -> Iterator[Violation]:
    """Names and values of any kind."""
    if len(entries) > MAX_ENTRIES:
        yield Violation(field, f"has {len(entries)} entries, at most {MAX_ENTRIES} are allowed")
        return
    for key, value in entries.items():
        if not key or len(key) > MAX_KEY or CONTROL.search(key):
            yield Violation(
                f"{field}.{key[:MAX_KEY]}", f"a name has 1 to {MAX_KEY} characters and no control characters"
            )
        if len(value) > MAX_TEXT or "\0" in value or (not multiline and CONTROL.search(value)):
            yield Violation(f"{field}.{key[:MAX_KEY]}", f"is longer than {MAX_TEXT} or has control characters")


def one_of(field: str, text: str, known: tuple[str, ...], *, empty: bool = True) -> Iterator[Violation]:
    """One word of a few, or nothing."""
    if text not in known and (text or not empty):
        yield Violation(field, f"{text!r} is not one of {', '.join(known)}")


def driver(field: str, text: str) -> Iterator[Violation]:
    """The name of a driver of the engine, or nothing."""
    if text and not _DRIVER.fullmatch(text):
        yield Violation(field, f"{text!r} is not the name of a driver")


def absolute(path: str) -> bool:
    """Whether it is a path from the root, of a bearable length."""
    return path.startswith("/") and not CONTROL.search(path) and len(path) <= MAX_PATH


def is_address(text: str, version: int = 0) -> bool:
    """Whether it is an IP address, of this version unless 0."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return version in (0, address.version)


def is_host_name(text: str) -> bool:
    """RFC 1123, as the name of a machine."""
    return 0 < len(text) <= MAX_KEY and all(_HOST_LABEL.fullmatch(label) for label in text.split("."))


def filled(service: pb.Service, text: str) -> str:
    """The text as it may be in a container: with the highest slot, and an instance of the usual name."""
    return filler({"slot": "1000", "service": service.metadata.name, "instance": "default"})(text)


def seconds(duration: Duration) -> float:
    """Its length."""
    return duration.seconds + duration.nanos / 1e9


def span(field: str, duration: Duration, lowest: float = 0.0, *, zero: bool = False) -> Iterator[Violation]:
    """A duration of at least ``lowest`` seconds; with ``zero`` also none."""
    length = seconds(duration)
    if not (length >= lowest or (zero and length == 0)) or not _is_well_formed(duration):
        least = f"{'0s or ' if zero and lowest else ''}at least {_shown(lowest)}"
        yield Violation(field, f"must be {least}, and at most {MAX_SPAN // 3600}h")


def positive(field: str, duration: Duration) -> Iterator[Violation]:
    """A duration that is not nothing."""
    if not seconds(duration) > 0 or not _is_well_formed(duration):
        yield Violation(field, f"must be more than 0s, and at most {MAX_SPAN // 3600}h")


def _is_well_formed(duration: Duration) -> bool:
    return 0 <= duration.seconds <= MAX_SPAN and 0 <= duration.nanos < 10**9


def _shown(length: float) -> str:
    return f"{length * 1000:g}ms" if 0 < length < 1 else f"{length:g}s"
