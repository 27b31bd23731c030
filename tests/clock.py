"""The clock that tests move."""

from controller.testing.clock import ManualClock

__all__ = ["ManualClock"]
