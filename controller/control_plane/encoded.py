"""One serialisation of a change for all watchers who are sent the same."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, cast

from google.protobuf.message import Message

from controller.store import Change

# A change is sent to all watchers in one go, but those behind; so few need be remembered.
_REMEMBERED = 256


class Encoded:
    """Answers of a stream as bytes: the serialiser of the call lets these pass as they are."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, int, int], bytes] = OrderedDict()

    def of(self, kind: str, change: Change[Any], make: Callable[[Change[Any]], Message]) -> Any:
        """The answer that tells of a change; ``make`` gives it where it was not made yet."""
        key = (kind, change.version, int(change.type))
        data = self._known.get(key)
        if data is None:
            data = self._known[key] = make(change).SerializeToString()
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return data


def serialiser(serialise: Callable[[Message], bytes]) -> Callable[[Any], bytes]:
    """The serialiser of a call, which lets pass what is serialised already."""
    return lambda answer: answer if type(answer) is bytes else serialise(cast(Message, answer))
