"""Which handlers there are, and what each wants to be called for."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from .cause import Reason

HandlerFunction = Callable[..., Any]


@dataclass(frozen=True)
class Handler:
    """A function that somebody wrote, and when it is called.

    ``activity`` is the decorator's name. ``id`` is unique among the handlers of one kind and activity.
    """

    function: HandlerFunction
    activity: str
    id: str
    kind: str = ""
    param: Any = None
    # Of timers, in seconds.
    interval: float = 0.0
    initial_delay: float = 0.0


@dataclass
class Registry:
    """All handlers of a program, in the order in which they were declared."""

    handlers: list[Handler] = field(default_factory=list)

    def add(self, handler: Handler) -> None:
        """Declares a handler.

        Raises:
            ValueError: there is one of that id already.
        """
        same = (handler.activity, handler.kind, handler.id)
        if any((known.activity, known.kind, known.id) == same for known in self.handlers):
            raise ValueError(f"there are two handlers {handler.id!r} for {handler.activity} of {handler.kind}")
        self.handlers.append(handler)

    def of(self, activity: str, kind: str = "") -> Iterable[Handler]:
        """The handlers of an activity, for a kind."""
        return [known for known in self.handlers if known.activity == activity and known.kind == kind]

    def for_reason(self, reason: Reason, kind: str) -> Iterable[Handler]:
        """The handlers to be called for a cause."""
        return [] if reason in (Reason.NOOP, Reason.FREE) else self.of(reason.value, kind)

    def needs_finalizer(self, kind: str) -> bool:
        """Whether an object of the kind may only go after one of our handlers has seen it."""
        return bool(self.of(Reason.DELETE.value, kind))
