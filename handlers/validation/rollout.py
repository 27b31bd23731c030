"""How it goes from one revision to the next."""

from collections.abc import Iterator

from controller.errors import Violation
from proto.dockrunner import v1 as pb

from .forms import one_of, positive, span

ORDERS = ("start-first", "stop-first")
FAILURE_ACTIONS = ("pause", "continue", "rollback")
MIN_IMAGE_CHECK = 10.0  # seconds, for the registry's sake


def updates(service: pb.Service) -> Iterator[Violation]:
    """``update``, and ``rollback``, which cannot itself be rolled back."""
    yield from _update("spec.update", service.spec.update, FAILURE_ACTIONS)
    yield from _update("spec.rollback", service.spec.rollback, FAILURE_ACTIONS[:2])


def _update(field: str, update: pb.UpdateConfig, actions: tuple[str, ...]) -> Iterator[Violation]:
    if update.parallelism < 0:
        yield Violation(f"{field}.parallelism", f"{update.parallelism} must be at least 0, which is all at once")
    yield from one_of(f"{field}.order", update.order, ORDERS)
    yield from one_of(f"{field}.failure_action", update.failure_action, actions)
    for name in ("delay", "monitor"):
        yield from span(f"{field}.{name}", getattr(update, name))
    if update.HasField("deadline"):
        yield from positive(f"{field}.deadline", update.deadline)
    if not 0 <= update.max_failure_ratio <= 1:  # nan too
        yield Violation(f"{field}.max_failure_ratio", f"{update.max_failure_ratio:g} is not within 0 and 1")


def image_check(service: pb.Service) -> Iterator[Violation]:
    """A digest never moves."""
    spec = service.spec
    if not spec.HasField("image_check"):
        return
    yield from span("spec.image_check", spec.image_check, MIN_IMAGE_CHECK, zero=True)
    if "@" in spec.image and (spec.image_check.seconds or spec.image_check.nanos):
        yield Violation("spec.image_check", "an image that is given by its digest never changes; leave one of them out")
