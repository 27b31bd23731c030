"""The finalizers of the framework: on an object only while something of its handlers has to happen before it goes."""

from collections.abc import Sequence
from typing import Any

from controller.errors import NotFound
from controller.store import HANDLERS_FINALIZER, Kind, Store
from controller.store.kinds import T
from proto.dockrunner import v1 as pb

from .context import Context
from .memory import Memory
from .registry import Handler

FINALIZER = HANDLERS_FINALIZER
"""Of what the program has built in."""
USERS_FINALIZER = "dock-runner.user-handlers"
"""Of the user's own handlers: these can be passed over."""
BLOCKED = "DeletionBlocked"
"""The type of the condition of an object whose delete handler has given up."""


def hold(store: Store, kind: Kind[T], obj: T, handlers: Sequence[Handler], finalizer: str = FINALIZER) -> T:
    """Adds the finalizer to an object that stays and that one of ``handlers`` matches, or takes it off again."""
    if obj.metadata.HasField("delete_time"):
        return obj
    wanted = any(handler.filter.matches_object(obj) for handler in handlers)
    if wanted is (finalizer in obj.metadata.finalizers):
        return obj

    def edit(edited: T) -> None:
        if wanted:
            edited.metadata.finalizers.append(finalizer)
        else:
            edited.metadata.finalizers.remove(finalizer)

    return store.update(kind, obj.metadata.name, edit, uid=obj.metadata.uid)


def release(store: Store, kind: Kind[T], obj: T, finalizer: str = FINALIZER) -> None:
    """Lets an object go."""

    def remove(edited: T) -> None:
        if finalizer in edited.metadata.finalizers:
            edited.metadata.finalizers.remove(finalizer)

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

    # The handlers of the program and those of the user's speak here, each of their own: neither takes the other's word
    # back, or they would do so for ever.
    reason = "HandlerGaveUp" if any(handler.source for handler in handlers) else "DeletionFailed"

    def edit(edited: Any) -> None:
        conditions = edited.status.conditions
        known = next((condition for condition in conditions if condition.type == BLOCKED), None)
        if known is not None and known.status == "True" and known.reason != reason:
            return
        if known is None or known.status != "True":
            if not stuck:
                return
            known = known or conditions.add(type=BLOCKED)
        status = "True" if stuck else "False"
        if known.status != status:
            known.last_transition_time.FromDatetime(context.clock.now())
        known.status, known.reason = status, reason if stuck else "AsExpected"
        known.message, known.observed_generation = message, obj.metadata.generation

    if context.store.find(kind, obj.metadata.name) is not None:
        context.store.update_status(kind, obj.metadata.name, edit)


def _service_of(obj: pb.Service | pb.Container) -> str:
    return obj.metadata.name if isinstance(obj, pb.Service) else obj.spec.service
