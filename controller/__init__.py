"""Dock Runner: keeps what runs in Docker on one machine equal to what is declared.

What a module of handlers needs is here; the rest are packages that each say what they are for.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from controller.errors import PermanentError, TemporaryError
    from controller.framework import Result, on

__all__ = ["PermanentError", "Result", "TemporaryError", "on"]


def __getattr__(name: str) -> Any:
    # Imported when first asked for: the client verbs need none of the framework.
    if name in ("PermanentError", "TemporaryError"):
        from controller import errors as home
    elif name in ("Result", "on"):
        from controller import framework as home  # type: ignore[no-redef]  # two homes of one kind
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(home, name)
