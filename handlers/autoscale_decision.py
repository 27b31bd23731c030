"""How many replicas a load asks for: pure functions, after the HorizontalPodAutoscaler of Kubernetes.

``desired`` is its replica calculator, ``decided`` its stabilisation windows and its default policies of scaling.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from proto.dockrunner import v1 as pb

# A load that is so near to what is wanted, as a part of it, changes nothing.
TOLERANCE = 0.1
SCALE_DOWN_WINDOW = timedelta(minutes=5)
SCALE_UP_WINDOW = timedelta(0)
# At most so many more in one turn, or twice as many: whichever is more.
MOST_MORE = 4

# Digits after which a product that should be whole is.
_EXACT = 6


@dataclass(frozen=True)
class Recommendation:
    """How many replicas a load asked for at one time, by itself."""

    time: datetime
    replicas: int


def ratio_of(percents: Sequence[float], target: int) -> float:
    """The average load as a part of what is wanted; 0 when nothing is known of it."""
    return sum(percents) / len(percents) / target if percents else 0.0


def desired(current: int, percents: Sequence[float], target: int) -> int:
    """How many replicas bring the load of each to ``target`` percent, given those of which it is known.

    The others are taken to do nothing where the known ones ask for more, and as much as is wanted where they ask for
    fewer: so that what is not known makes the change smaller, and never turns it round.
    """
    known, missing = len(percents), max(0, current - len(percents))
    ratio = ratio_of(percents, target)
    if not known:
        return current
    assumed = 0.0 if ratio > 1 else float(target)
    whole = ratio_of([*percents, *[assumed] * missing], target)
    if _is_near(whole) or (whole > 1) != (ratio > 1):
        return current
    return math.ceil(round(whole * (known + missing), _EXACT))


def decided(current: int, wanted: int, earlier: Sequence[Recommendation], scale: pb.Autoscale, now: datetime) -> int:
    """The number of replicas after ``wanted`` was recommended: up to the lowest that was recommended within the one
    window, down to the highest within the other, not too many more at once, and from min to max."""
    up, down = _windows(scale)
    lowest = min([wanted, *(it.replicas for it in earlier if now - it.time < up)])
    highest = max([wanted, *(it.replicas for it in earlier if now - it.time < down)])
    stable = min(max(current, lowest), highest)
    return clamped(min(stable, max(2 * current, current + MOST_MORE)), scale)


def clamped(replicas: int, scale: pb.Autoscale) -> int:
    """The number within its limits."""
    return min(max(replicas, scale.min), max(scale.max, scale.min))


def longest_window(scale: pb.Autoscale) -> timedelta:
    """How long a recommendation may count."""
    return max(_windows(scale))


def _windows(scale: pb.Autoscale) -> tuple[timedelta, timedelta]:
    up = scale.scale_up_window.ToTimedelta() if scale.HasField("scale_up_window") else SCALE_UP_WINDOW
    down = scale.scale_down_window.ToTimedelta() if scale.HasField("scale_down_window") else SCALE_DOWN_WINDOW
    return up, down


def _is_near(ratio: float) -> bool:
    return abs(round(ratio - 1, _EXACT)) <= TOLERANCE
