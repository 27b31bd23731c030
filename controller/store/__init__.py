"""The in-memory database: objects of typed kinds, their versions, watches and events.

Promises: every effective write has a version of its own and is seen by every watcher exactly once and in order; a
write that changes nothing is silent; a slow watcher is closed and never skipped; objects are shared and immutable.
May import: proto, and the errors and the clock of this program.
"""

from .changes import Change
from .kinds import CONTAINER, EVENT, KINDS, SERVICE, Kind, Stored
from .recorder import NORMAL, WARNING, Recorder, reference
from .selector import Selector, everything, parse_selector
from .store import Store
from .watch import Watch

__all__ = [
    "CONTAINER",
    "EVENT",
    "KINDS",
    "NORMAL",
    "SERVICE",
    "WARNING",
    "Change",
    "Kind",
    "Recorder",
    "Selector",
    "Store",
    "Stored",
    "Watch",
    "everything",
    "parse_selector",
    "reference",
]
