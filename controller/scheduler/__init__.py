"""The SchedulerAgent: the Engine port, one file per engine, and the informer that keeps the store true to the engine.

Promises: an engine that does not answer changes nothing in the store; what vanished without an event is noticed by
the next list. May import: the store, metrics, clock and errors; only ``docker_client`` imports the Docker SDK.
"""

from .engine import CreateRequest, Engine, EngineEvent, Observed
from .informer import Informer

__all__ = ["CreateRequest", "Engine", "EngineEvent", "Informer", "Observed"]
