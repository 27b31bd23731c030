"""Tests of handlers without Docker: the real program over simulated containers, under a clock that the test moves.

Users test with :class:`Harness`. May import: everything but the entry points and the clients.
"""

from typing import TYPE_CHECKING, Any

from .clock import ManualClock

if TYPE_CHECKING:
    from .harness import Harness

__all__ = ["Harness", "ManualClock"]


def __getattr__(name: str) -> Any:
    # Imported when first asked for: who only needs a clock needs none of the program.
    if name != "Harness":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .harness import Harness

    return Harness
