"""Dock Runner: keeps what runs in Docker on one machine equal to what is declared.

What a module of handlers needs is here; the rest are packages that each say what they are for.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from controller.errors import Invalid, PermanentError, TemporaryError, Violation
    from controller.framework import ABSENT, PRESENT, ErrorsMode, Patch, Result, on

__all__ = [
    "ABSENT",
    "PRESENT",
    "ErrorsMode",
    "Invalid",
    "Patch",
    "PermanentError",
    "Result",
    "TemporaryError",
    "Violation",
    "on",
]

_ERRORS = ("Invalid", "PermanentError", "TemporaryError", "Violation")


def __getattr__(name: str) -> Any:
    # Imported when first asked for: the client verbs need none of the framework.
    if name in _ERRORS:
        from controller import errors as home
    elif name in __all__:
        from controller import framework as home  # type: ignore[no-redef]  # two homes of one kind
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(home, name)
