"""The in-memory database: objects of typed kinds, their versions, watches and events.

Promises: every effective write has a version of its own and is seen by every watcher exactly once and in order; a
write that changes nothing is silent; a slow watcher is closed and never skipped; objects are shared and immutable.
The journal keeps what was declared over a restart, and the safe what is in secrets.
May import: proto, and the errors, the clock and the metrics of this program.
"""

from .changes import Change
from .finalizers import HANDLERS_FINALIZER, VOLUMES_FINALIZER
from .journal import Journal, NoJournal, Record, SqliteJournal, read_backup
from .kinds import CONTAINER, EVENT, KINDS, REVISION, SERVICE, Kind, Stored, labels_of
from .listing import Listing
from .ownership import GarbageCollector, owner_of
from .persistence import Persistence
from .recorder import NORMAL, WARNING, Recorder, reference
from .safe import Safe
from .selector import Selector, everything, parse_selector
from .store import Store
from .watch import Watch

__all__ = [
    "CONTAINER",
    "EVENT",
    "HANDLERS_FINALIZER",
    "KINDS",
    "NORMAL",
    "REVISION",
    "SERVICE",
    "VOLUMES_FINALIZER",
    "WARNING",
    "Change",
    "GarbageCollector",
    "Journal",
    "Kind",
    "Listing",
    "NoJournal",
    "Persistence",
    "Record",
    "Recorder",
    "Safe",
    "Selector",
    "SqliteJournal",
    "Store",
    "Stored",
    "Watch",
    "everything",
    "labels_of",
    "owner_of",
    "parse_selector",
    "read_backup",
    "reference",
]
