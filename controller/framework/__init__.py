"""The operator framework: decorators, causes, the work queue, the controller loop.

Promises: a handler is called for what is, not for what happened in between (level-triggered); one object is never in
two hands at once; an error is retried with exponential backoff and never stops another object; what succeeded is not
called again for the same cause. May import: the store, metrics, clock and errors; knows no gRPC and no Docker.
"""

from . import on
from .cause import Cause, Difference, Reason
from .controller import FINALIZER, Controller
from .invocation import Result
from .operator import Operator
from .queue import LOW_PRIORITY, ShutDown, WorkQueue
from .registry import Handler, Registry

__all__ = [
    "FINALIZER",
    "LOW_PRIORITY",
    "Cause",
    "Controller",
    "Difference",
    "Handler",
    "Operator",
    "Reason",
    "Registry",
    "Result",
    "ShutDown",
    "WorkQueue",
    "on",
]
