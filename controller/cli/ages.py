"""How long ago something was, as kubectl says it: the nearer, the finer."""

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def now() -> datetime:
    """The wall clock, which ages are counted from."""
    return datetime.now(UTC)


def age(timestamp: Timestamp) -> str:
    """``5s``, ``3m12s``, ``2d`` since a moment; ``<unknown>`` for one that was never set."""
    if timestamp.seconds == 0:
        return "<unknown>"
    return short(now().timestamp() - timestamp.ToNanoseconds() / 1e9)


def short(seconds: float) -> str:
    """A duration in at most two units; a negative one, by clocks that differ, is ``0s``."""
    whole = max(0, int(seconds))
    if whole < 2 * _MINUTE:
        return f"{whole}s"
    if whole < 10 * _MINUTE:
        return _two(whole, _MINUTE, "m", 1, "s")
    if whole < 3 * _HOUR:
        return f"{whole // _MINUTE}m"
    if whole < 8 * _HOUR:
        return _two(whole, _HOUR, "h", _MINUTE, "m")
    if whole < 2 * _DAY:
        return f"{whole // _HOUR}h"
    if whole < 8 * _DAY:
        return _two(whole, _DAY, "d", _HOUR, "h")
    return f"{whole // _DAY}d"


def _two(whole: int, unit: int, name: str, smaller: int, smaller_name: str) -> str:
    rest = whole % unit // smaller
    return f"{whole // unit}{name}{rest}{smaller_name}" if rest else f"{whole // unit}{name}"
