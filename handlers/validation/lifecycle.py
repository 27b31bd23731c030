"""How many there are, and what follows when one ends."""

import re
import signal
from collections.abc import Iterator
from datetime import timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from controller.errors import Violation
from handlers.restart import parse_restart
from proto.dockrunner import v1 as pb

from .forms import one_of, positive, seconds, span

MAX_REPLICAS = 1000
MAX_GRACE = timedelta(hours=1)

PULL_POLICIES = ("missing", "if_not_present", "always", "never", "digest")
CONDITIONS = ("service_started", "service_healthy", "service_completed_successfully")


def replicas(service: pb.Service) -> Iterator[Violation]:
    """Their number."""
    if not 0 <= service.spec.replicas <= MAX_REPLICAS:
        yield Violation("spec.replicas", f"{service.spec.replicas} is not within 0 and {MAX_REPLICAS}")


def lifecycle(service: pb.Service) -> Iterator[Violation]:
    """Restart, stop and pull."""
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
    yield from one_of("spec.pull_policy", spec.pull_policy, PULL_POLICIES, empty=False)


def dependencies(service: pb.Service) -> Iterator[Violation]:
    """Services that it waits for; circles of several are seen where all services are."""
    for name, dependency in service.spec.depends_on.items():
        if name == service.metadata.name:
            yield Violation(f"spec.depends_on.{name}", "a service cannot wait for itself; leave it out")
        elif not name:
            yield Violation("spec.depends_on.", "is no name of a service")
        yield from one_of(f"spec.depends_on.{name}.condition", dependency.condition, CONDITIONS)


def autoscale(service: pb.Service) -> Iterator[Violation]:
    """Replicas by load, which is measured in parts of ``cpus``."""
    spec, field = service.spec, "spec.autoscale"
    if not spec.HasField("autoscale"):
        return
    scale = spec.autoscale
    if not 1 <= scale.min <= MAX_REPLICAS:
        yield Violation(f"{field}.min", f"{scale.min} is not within 1 and {MAX_REPLICAS}")
    if not max(1, scale.min) <= scale.max <= MAX_REPLICAS:
        yield Violation(f"{field}.max", f"{scale.max} is not within min, {scale.min}, and {MAX_REPLICAS}")
    if not 1 <= scale.cpu <= 1000:
        yield Violation(f"{field}.cpu", f"{scale.cpu} is not within 1 and 1000 percent of cpus")
    if not spec.cpus > 0:
        yield Violation("spec.cpus", "is required by autoscale, whose cpu is a part of it; set e.g. cpus = 0.5")
    for name in ("scale_down_window", "scale_up_window"):
        yield from span(f"{field}.{name}", getattr(scale, name))


def backoff(service: pb.Service) -> Iterator[Violation]:
    """Waits after failures."""
    wait, field = service.spec.restart_backoff, "spec.restart_backoff"
    for name in ("min", "max", "reset"):
        if wait.HasField(name):
            yield from positive(f"{field}.{name}", getattr(wait, name))
    longest = seconds(wait.max) if wait.HasField("max") else 60.0
    if wait.HasField("min") and seconds(wait.min) > longest > 0:
        yield Violation(f"{field}.min", f"is longer than max, {longest:g}s; lower it, or raise max")


def _is_moment(timestamp: Timestamp) -> bool:
    try:
        timestamp.ToDatetime()
    except (ValueError, OverflowError):
        return False
    return True


def _is_signal(text: str) -> bool:
    if text.isascii() and text.isdigit():
        return 1 <= int(text) <= signal.SIGRTMAX
    name = text.upper()
    name = name if name.startswith("SIG") else f"SIG{name}"
    return name in signal.Signals.__members__ or bool(re.fullmatch(r"SIGRTM(IN\+|AX-)[0-9]{1,2}", name))
