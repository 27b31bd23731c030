"""Every error of the program, one small tree.

``DockRunnerError``
    what a caller can be told in one line. Anything else that is raised is a defect of ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass


class DockRunnerError(Exception):
    """Root of the tree."""


class StartError(DockRunnerError):
    """The program cannot start, or cannot go on; the message says why and what to do."""


# What handlers raise.


class TemporaryError(DockRunnerError):
    """Not now: the handler is called again after ``delay`` seconds, or by the item's backoff when it is None."""

    def __init__(self, message: str, delay: float | None = None) -> None:
        super().__init__(message)
        self.delay = delay


class PermanentError(DockRunnerError):
    """Never in this way: the handler is not called again until the object changes."""


class HandlerTimeout(DockRunnerError):
    """A handler's time was up, and its call was cancelled."""


class HandlersBroken(DockRunnerError):
    """A module of the user's handlers cannot be loaded; ``module`` is what it was named by."""

    def __init__(self, module: str, message: str) -> None:
        super().__init__(message)
        self.module = module


# What the store raises.


class StoreError(DockRunnerError):
    """A read or write that the store refused; nothing was changed."""


class NotFound(StoreError):
    """There is no object of that kind and name."""


class AlreadyExists(StoreError):
    """There is an object of that kind and name already."""


class Conflict(StoreError):
    """The version or uid that the caller relied on is not the current one."""


class BeingDeleted(StoreError):
    """The object is marked for deletion, and its spec can no longer be changed."""


class Expired(StoreError):
    """The version is older than the history, lies in the future, or belongs to another run of the server."""


class SlowWatcher(StoreError):
    """The watcher did not read fast enough and was closed; it must list again."""


# What the journal raises.


class JournalError(DockRunnerError):
    """Desired state could not be kept, or what was kept could not be read."""


class JournalFull(JournalError):
    """It could not be kept because the disk is full."""


class JournalDamaged(JournalError):
    """What was kept is cut off or altered, or the file is no journal at all."""


# What the safe raises.


class SafeError(DockRunnerError):
    """The content of a secret could not be kept, or what was kept could not be read."""


class SafeFull(SafeError):
    """It could not be kept because the disk is full."""


# What admission raises.


@dataclass(frozen=True)
class Violation:
    """One thing that is wrong with a declaration: the field's dotted path, and a sentence with the fix."""

    field: str
    description: str

    def __str__(self) -> str:
        return f"{self.field}: {self.description}" if self.field else self.description


class Invalid(DockRunnerError):
    """A declaration with one or more violations, all of them at once."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        super().__init__("; ".join(map(str, violations)))
        self.violations = tuple(violations)


class AdmissionFailed(DockRunnerError):
    """A handler that has to agree to a declaration could not answer."""


class PolicyDenied(DockRunnerError):
    """The policy has something against what is about to be made, though it had nothing when it was declared."""


class ManagedElsewhere(DockRunnerError):
    """Another manager declares this service; ``force`` takes it over."""


# What engines raise.


class EngineError(DockRunnerError):
    """The engine answered that it will not or cannot; trying again may help."""


class EngineUnavailable(EngineError):
    """The engine did not answer: nothing is known about what happened, and nothing may be concluded."""


class ContainerGone(EngineError):
    """The engine has no container of that id."""


class ImageMissing(EngineError):
    """The image is not on this machine."""


class FilesRefused(EngineError):
    """The secrets and configs of a container cannot be given to it; ``hopeless`` when no waiting mends it."""

    def __init__(self, message: str, *, hopeless: bool = True) -> None:
        super().__init__(message)
        self.hopeless = hopeless


class PullError(EngineError):
    """An image could not be fetched or asked for.

    ``reason`` says why in one word, as a condition shows it: ``ImageNotFound``, ``ImageDenied``, ``RateLimited``,
    ``RegistryUnreachable``, ``DiskFull``, or ``PullFailed`` for anything else. ``wait`` is how many seconds a registry
    that limits its requests asks for, if it says so.
    """

    def __init__(self, message: str, reason: str = "PullFailed", wait: float | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.wait = wait
