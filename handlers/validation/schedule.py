"""Services that run at times."""

import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime

from cronsim import CronSim, CronSimError

from controller.errors import Violation
from handlers.timetable import NICKNAMES
from proto.dockrunner import v1 as pb

from .forms import MAX_KEY, one_of, span

CONCURRENCY = ("forbid", "allow", "replace")

_ANY_TIME = datetime(2026, 1, 1, tzinfo=UTC)
_ONLY_WITH = (
    "time_zone",
    "concurrency_policy",
    "successful_history_limit",
    "failed_history_limit",
    "starting_deadline",
)


def schedule(service: pb.Service) -> Iterator[Violation]:
    """When, where, and what of those before."""
    spec = service.spec
    if spec.schedule:
        yield from _times(spec.schedule)
        if spec.restart != "no" and not spec.restart.startswith("on-failure"):
            text = f'with a schedule it is {spec.restart!r} that never ends; set restart = "no" or "on-failure"'
            yield Violation("spec.restart", text)
        if spec.HasField("autoscale"):
            yield Violation("spec.autoscale", "what runs at times has no load to scale by; leave out one of them")
    else:
        for name in _ONLY_WITH:
            if name in {field.name for field, _ in spec.ListFields()}:
                yield Violation(f"spec.{name}", "is for services with a schedule; set one, or leave it out")
    if spec.time_zone and not _is_zone(spec.time_zone):
        yield Violation("spec.time_zone", f"{spec.time_zone[:MAX_KEY]!r} is no time zone such as Europe/Berlin")
    yield from one_of("spec.concurrency_policy", spec.concurrency_policy, CONCURRENCY)
    for name in ("successful_history_limit", "failed_history_limit"):
        if getattr(spec, name) < 0:
            yield Violation(f"spec.{name}", f"{getattr(spec, name)} must be at least 0")
    yield from span("spec.starting_deadline", spec.starting_deadline)


def _times(text: str) -> Iterator[Violation]:
    expression = NICKNAMES.get(text, text)
    if len(text) > MAX_KEY or len(expression.split()) != 5:
        known = ", ".join(NICKNAMES)
        yield Violation("spec.schedule", f"{text[:MAX_KEY]!r} is neither five fields such as 0 3 * * * nor {known}")
        return
    try:
        next(CronSim(expression, _ANY_TIME))
    except CronSimError as error:
        yield Violation("spec.schedule", f"{text!r}: {error}; the fields are minute, hour, day, month, weekday")
    except StopIteration:
        yield Violation("spec.schedule", f"{text!r} is a day that never comes")


def _is_zone(name: str) -> bool:
    try:
        zoneinfo.ZoneInfo(name)
    except (KeyError, OSError, ValueError):  # a key of no zone, a folder, no key at all
        return False
    return True
