"""Which objects a handler wants to hear of: filters by labels, annotations, a field, and a function of the user's.

All that are given must hold. A criterion is a value to be equal to, ``PRESENT``, ``ABSENT``, or a function that is
given the value and answers.
"""

import enum
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from google.protobuf.message import Message

from controller.store import labels_of

from .fields import Path, value_at
from .parameters import chosen


class _Presence(enum.Enum):
    PRESENT = "present"
    ABSENT = "absent"
    # No criterion: anything will do, and nothing.
    ANY = "any"


PRESENT: Final = _Presence.PRESENT
"""A label, annotation or field that is there, whatever its value."""
ABSENT: Final = _Presence.ABSENT
"""One that is not there."""
ANY: Final = _Presence.ANY

Arguments = Mapping[str, Any]

logger = logging.getLogger("dock_runner.framework")


@dataclass(frozen=True)
class Filter:
    """What must be true of an object; an empty one matches everything.

    Labels are those that selectors see: of a service its own, and behind them those of its containers, which is what
    ``labels`` in the file are. ``path`` is the field that ``value``, ``old`` and ``new`` speak of. Where only the
    object counts (a creation, a timer …) it has to be there; where a change counts it has to have changed.
    """

    labels: Mapping[str, Any] = field(default_factory=dict)
    annotations: Mapping[str, Any] = field(default_factory=dict)
    path: Path = ()
    value: Any = ANY
    old: Any = ANY
    new: Any = ANY
    when: Callable[..., Any] | None = None

    def matches_object(self, obj: Any) -> bool:
        """Whether labels, annotations and the present value of the field match; ``when`` is not asked.

        A function of the user's that raises lets nothing match, and the log says so: it must not keep other handlers
        from their work. The same goes for the other ``matches_…``.
        """
        return _in_peace(lambda: self.must_match(obj))

    def matches_labels(self, obj: Any) -> bool:
        """Whether labels and annotations match."""
        return _in_peace(lambda: self._labels_match(obj))

    def matches_change(self, old: Message | None, new: Message) -> bool:
        """Whether the field has changed as wanted; without a field any change will do."""
        if not self.path:
            return True
        before, after = value_at(old, self.path), value_at(new, self.path)
        return before != after and _in_peace(
            lambda: meets(self.old, before) and meets(self.new, after) and meets(self.value, after)
        )

    def must_match(self, obj: Any) -> bool:
        """As :meth:`matches_object`, for where an error must not pass for a no.

        Raises:
            Exception: whatever a criterion raises.
        """
        return self._labels_match(obj) and (not self.path or meets(self._wanted_value(), value_at(obj, self.path)))

    def agrees(self, arguments: Arguments) -> bool:
        """What ``when`` says, given the arguments that the handler would be called with.

        Raises:
            Exception: whatever ``when`` raises.
        """
        return self.when is None or bool(self.when(**chosen(self.when, arguments)))

    def _labels_match(self, obj: Any) -> bool:
        labels = labels_of(obj) if self.labels else {}
        return all(meets(criterion, labels.get(key)) for key, criterion in self.labels.items()) and all(
            meets(criterion, obj.metadata.annotations.get(key)) for key, criterion in self.annotations.items()
        )

    def _wanted_value(self) -> Any:
        if self.value is ANY:
            return PRESENT if self.new is ANY else self.new
        return self.value


def meets(criterion: Any, value: Any) -> bool:
    """Whether a value, None for one that is not there, meets a criterion."""
    if criterion is ANY:
        return True
    if criterion is PRESENT:
        return value is not None
    if criterion is ABSENT:
        return value is None
    if callable(criterion):
        return bool(criterion(value))
    return bool(value == criterion)


def _in_peace(matches: Callable[[], bool]) -> bool:
    try:
        return matches()
    except Exception:
        logger.exception("the filter of a handler failed; it matches nothing")
        return False
