"""What all parts of the framework share, and the arguments that a handler is called with."""

import logging
from collections.abc import Callable, Mapping, MutableMapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from random import Random
from typing import Any

from google.protobuf.message import Message

from controller.clock import Clock
from controller.metrics import Metrics
from controller.store import WARNING, Kind, Recorder, Store, labels_of, reference

from .indices import Indices
from .memory import Memory
from .parameters import names
from .patch import Patch
from .registry import Handler, Registry

logger = logging.getLogger("dock_runner.framework")

Admit = Callable[[Kind[Any], Any], Any]


@dataclass(frozen=True)
class Context:
    """The surroundings of every handler. ``inject`` are further arguments that one may name, such as ``engine``."""

    registry: Registry
    store: Store
    recorder: Recorder
    clock: Clock
    metrics: Metrics
    threads: Executor
    indices: Indices
    inject: Mapping[str, Any] = field(default_factory=dict)
    # Spreads retries; what comes of it is never compared, so any source will do.
    random: Random = field(default_factory=Random)

    def complain(self, kind: Kind[Any], obj: Any, handler: Handler, text: str, reason: str = "HandlerFailed") -> None:
        """Says in an event what went wrong in a handler; the log has it from there."""
        text = f"{handler}: {text}" if handler.source else text
        self.recorder.record(f"{kind.name.lower()}-controller", reference(obj), WARNING, reason, text)


class ObjectLogger(logging.LoggerAdapter[logging.Logger]):
    """A handler's logger: each line names the object that it is about."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        extra = self.extra or {}
        return f"{extra['object']}: {msg}", {**kwargs, "extra": {**extra, **kwargs.get("extra", {})}}


def arguments_of(
    context: Context, handler: Handler, kind: Kind[Any], obj: Any, memory: Memory, patch: Patch, /, **more: Any
) -> dict[str, Any]:
    """Every argument that a handler of an object may name; ``more`` are those of its cause.

    The object is the handler's own copy, as are ``old`` and ``new``: what it does to them has no effect.
    """
    copy = _own(obj)
    for side in ("old", "new"):
        if side in more and names(handler.function, side):
            more[side] = _own(more[side])
    name = obj.metadata.name
    log = logging.getLogger(
        f"dock_runner.handlers.{handler.source}" if handler.source else f"dock_runner.{kind.name.lower()}"
    )
    return {
        **context.inject,
        "store": context.store, "indices": context.indices, "now": context.clock.now(),
        "name": name, "uid": obj.metadata.uid, "body": copy, "spec": copy.spec, "meta": copy.metadata,
        "labels": labels_of(copy), "annotations": copy.metadata.annotations, "status": copy.status,
        "patch": patch, "memo": memory.memo, "param": handler.param,
        "old": None, "new": None, "diff": (), "reason": handler.activity,
        "retry": 0, "started": context.clock.now(), "runtime": 0.0,
        "logger": ObjectLogger(log, {"object": name, "handler": handler.id}),
        **more,
    }  # fmt: skip


def _own(value: Any) -> Any:
    """A copy that the handler may change: objects of the store, and what is remembered of them, are shared."""
    if isinstance(value, Message):
        copy = type(value)()
        copy.CopyFrom(value)
        return copy
    if isinstance(value, list):
        return [_own(item) for item in value]
    if isinstance(value, dict):
        return {key: _own(item) for key, item in value.items()}
    return value
