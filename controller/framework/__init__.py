"""The operator framework: decorators, causes, the work queue, the controller loop.

Promises: a handler is called for what is, not for what happened in between (level-triggered); one object is never in
two hands at once; an error is retried with exponential backoff and never stops another object; what succeeded is not
called again for the same cause. May import: the store, metrics, clock and errors; knows no gRPC and no Docker.
"""

from . import on
from .admission import Admission
from .cause import Cause, Difference, Reason
from .controller import Controller
from .filters import ABSENT, PRESENT
from .finalizers import FINALIZER, USERS_FINALIZER
from .invocation import Result
from .loading import load
from .operator import Operator
from .patch import Patch
from .queue import LOW_PRIORITY, ShutDown, WorkQueue
from .registry import ErrorsMode, Handler, Registry

__all__ = [
    "ABSENT",
    "FINALIZER",
    "LOW_PRIORITY",
    "PRESENT",
    "USERS_FINALIZER",
    "Admission",
    "Cause",
    "Controller",
    "Difference",
    "ErrorsMode",
    "Handler",
    "Operator",
    "Patch",
    "Reason",
    "Registry",
    "Result",
    "ShutDown",
    "WorkQueue",
    "load",
    "on",
]
