"""What may be declared: the mutate handlers complete a declaration, the validate handlers say what is wrong with it."""

import logging
from collections.abc import Iterator
from typing import Any

from controller.errors import AdmissionFailed, HandlerTimeout, Invalid, PermanentError, TemporaryError, Violation
from controller.store import Kind, Listing

from .cause import Cause, Reason, differences, essence, narrowed
from .context import Context, arguments_of
from .filters import meets
from .invocation import Result, invoke, own_traceback
from .memory import Memory
from .patch import Patch
from .registry import Handler

# Seconds that a handler may take to answer, unless it has a `timeout` of its own: somebody waits for it.
PATIENCE = 10.0

logger = logging.getLogger("dock_runner.framework")


class Admission:
    """The mutate and validate handlers, in the order in which they were declared.

    A handler that cannot answer refuses the declaration: what was not checked is not let in.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    async def complete(self, kind: Kind[Any], obj: Any, old: Any | None, *, dry_run: bool = False) -> Any:
        """A copy of ``obj`` with what the mutate handlers add; ``old`` is what it would replace.

        Raises:
            Invalid, AdmissionFailed: a handler refused it, or could not answer.
        """
        found: list[Violation] = []
        complete = type(obj)()
        complete.CopyFrom(obj)
        for handler in self._context.registry.of("mutate", kind.name):
            patch = Patch(complete)
            found += await self._ask(handler, kind, complete, old, patch, dry_run=dry_run, others=())
            complete = patch.onto(complete)
        if found:
            raise Invalid(found)
        return complete

    async def violations(
        self, kind: Kind[Any], obj: Any, old: Any | None, others: Listing, *, dry_run: bool = False
    ) -> list[Violation]:
        """All that the validate handlers have against ``obj``, which would stand beside ``others``.

        Raises:
            AdmissionFailed: a handler could not answer.
        """
        found: list[Violation] = []
        for handler in self._context.registry.of("validate", kind.name):
            found += await self._ask(handler, kind, obj, old, Patch(obj), dry_run=dry_run, others=others)
        return found

    async def _ask(
        self, handler: Handler, kind: Kind[Any], obj: Any, old: Any | None, patch: Patch, **more: Any
    ) -> list[Violation]:
        timeout = handler.limits.timeout
        if timeout is None and handler.source:
            timeout = PATIENCE
        try:
            if not handler.filter.must_match(obj):
                return []
            arguments = self._arguments(handler, kind, obj, old, patch, **more)
            if not meets(handler.filter.old, arguments["old"]) or not handler.filter.agrees(arguments):
                return []
            result = await invoke(handler, arguments, self._context.threads, self._context.clock, within=timeout)
        except Invalid as error:
            return list(error.violations)
        except PermanentError as error:
            field = ".".join(handler.filter.path)
            return [Violation(field, str(error) or f"refused by handler {handler}")]
        except TemporaryError as error:
            where = f"{kind.name.lower()} {obj.metadata.name!r}"
            raise AdmissionFailed(
                f"{where}: handler {handler} cannot say yet whether it is allowed: {error}"
            ) from error
        except Exception as error:
            trace = (type(error), error, own_traceback(error, handler.function))
            logger.error("%s: handler %s failed", obj.metadata.name, handler, exc_info=trace)
            where = f"{kind.name.lower()} {obj.metadata.name!r}"
            why = f": {error}" if isinstance(error, HandlerTimeout) else "; the log says more"
            raise AdmissionFailed(f"{where}: handler {handler} failed, so it cannot be allowed{why}") from error
        return list(_violations(handler, result))

    def _arguments(
        self, handler: Handler, kind: Kind[Any], obj: Any, old: Any | None, patch: Patch, **more: Any
    ) -> dict[str, Any]:
        before, now = (essence(old) if old is not None else None), essence(obj)
        reason = Reason.CREATE if before is None else Reason.UPDATE
        diff = tuple(differences(before, now)) if before is not None else ()
        cause = Cause(reason, before, now, diff)
        path = handler.filter.path
        old_value, new_value, inside = narrowed(path, cause) if path else (before, now, diff)
        return arguments_of(
            self._context, handler, kind, obj, Memory(obj.metadata.uid), patch,
            old=old_value, new=new_value, diff=inside, reason=reason.value, **more,
        )  # fmt: skip


def _violations(handler: Handler, result: Result) -> Iterator[Violation]:
    """What a handler returned: nothing, or violations."""
    if result.value is False:
        yield Violation("", f"refused by handler {handler}")
        return
    for item in result.value or ():
        if not isinstance(item, Violation):
            raise AdmissionFailed(f"handler {handler} answered {type(item).__name__} where a Violation was expected")
        yield item
