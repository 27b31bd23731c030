"""The finalizer of the framework: on an object only while something of its handlers has to happen before it goes."""

from collections.abc import Sequence
from typing import Any

from controller.errors import NotFound
from controller.store import Kind, Store
from controller.store.kinds import T
from proto.dockrunner import v1 as pb

from .context import Context
from .memory import Memory
from .registry import Handler

FINALIZER = "dock-runner.handlers"
BLOCKED = "DeletionBlocked"
"""The type of the condition of an object whose delete handler has given up."""


def hold(store: Store, kind: Kind[T], obj: T, handlers: Sequence[Handler]) -> T:
    """Adds the finalizer to an object that stays and that one of ``handlers`` matches, or takes it off again."""
    if obj.metadata.HasField("delete_time"):
        return obj
    wanted = any(handler.filter.matches_object(obj) for handler in handlers)
    if wanted is (FINALIZER in obj.metadata.finalizers):
        return obj

    def edit(edited: T) -> None:
        if wanted:
            edited.metadata.finalizers.append(FINALIZER)
        else:
            edited.metadata.finalizers.remove(FINALIZER)

    return store.update(kind, obj.metadata.name, edit, uid=obj.metadata.uid)


def release(store: Store, kind: Kind[T], obj: T) -> None:
    """Lets an object go."""

    def remove(edited: T) -> None:
        if FINALIZER in edited.metadata.finalizers:
            edited.metadata.finalizers.remove(FINALIZER)

    try:
        store.update(kind, obj.metadata.name, remove, uid=obj.metadata.uid)
    except NotFound:
        return


def say_blocked(context: Context, kind: Kind[Any], obj: Any, handlers: Sequence[Handler], memory: Memory) -> None:
    """Shows in a condition which delete handlers have given up, and how to go on without them; takes it back again."""
    stuck = {handler: memory.progress[handler.key] for handler in handlers if handler.key in memory.progress}
    stuck = {handler: progress for handler, progress in stuck.items() if progress.failure}
    message = "; ".join(f"handler {handler}: {progress.message}" for handler, progress in stuck.items())
    if any(handler.source for handler in stuck):
        message += f"; `dock-runner delete {_service_of(obj)} --force` goes on without it"

    def edit(edited: Any) -> None:
        conditions = edited.status.conditions
        known = next((condition for condition in conditions if condition.type == BLOCKED), None)
        if known is None:
            if not stuck:
                return
            known = conditions.add(type=BLOCKED)
        status = "True" if stuck else "False"
        if known.status != status:
            known.last_transition_time.FromDatetime(context.clock.now())
        known.status, known.reason = status, "HandlerGaveUp" if stuck else "AsExpected"
        known.message, known.observed_generation = message, obj.metadata.generation

    if context.store.find(kind, obj.metadata.name) is not None:
        context.store.update_status(kind, obj.metadata.name, edit)


def _service_of(obj: pb.Service | pb.Container) -> str:
    return obj.metadata.name if isinstance(obj, pb.Service) else obj.spec.service
