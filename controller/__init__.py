"""Dock Runner: keeps what runs in Docker on one machine equal to what is declared.

What a module of handlers needs is here; the rest are packages that each say what they are for.
"""

from controller.errors import PermanentError, TemporaryError
from controller.framework import Result, on

__all__ = ["PermanentError", "Result", "TemporaryError", "on"]
