"""The handlers of one test: those that are built in and the user's own, which no later test sees."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os import PathLike, fspath
from types import ModuleType

import controller.program  # noqa: F401  # the built-in handlers declare themselves
from controller.framework import Handler, Registry, load, on

Source = str | PathLike[str] | Registry
"""Where handlers stand: a file, the name of a module, or a registry that they were declared into."""

_BUILT_IN = "handlers"


def registry_of(sources: Sequence[Source]) -> Registry:
    """The built-in handlers and those of the sources.

    Files and modules are executed anew each time, as by a program that starts, so that nothing is left of what an
    earlier test, or an earlier run, did to their variables.

    Raises:
        StartError: there is no such file or module.
        HandlersBroken: it cannot be loaded.
    """
    registry = Registry([handler for handler in on.default.handlers if _is_built_in(handler)])
    for source in sources:
        for handler in source.handlers if isinstance(source, Registry) else _loaded(fspath(source)):
            registry.add(handler)
    return registry


def _loaded(name: str) -> list[Handler]:
    with _clean_slate(name):
        load(on.default, name)
        return [handler for handler in on.default.handlers if not _is_built_in(handler)]


@contextmanager
def _clean_slate(name: str) -> Iterator[None]:
    """Within it, no module of the user's has declared handlers or is imported; afterwards all is as it was before."""
    registry = on.default
    before = list(registry.handlers)
    registry.handlers[:] = [handler for handler in before if _is_built_in(handler)]
    # The module may be imported already, by the test itself, and others that it has its handlers from as well.
    imported = _forget([name, *(handler.function.__module__ for handler in before if not _is_built_in(handler))])
    try:
        yield
    finally:
        _forget([name, *(handler.function.__module__ for handler in registry.handlers if not _is_built_in(handler))])
        registry.handlers[:] = before
        sys.modules.update(imported)


def _forget(names: Sequence[str]) -> dict[str, ModuleType]:
    return {name: sys.modules.pop(name) for name in {*names} if name in sys.modules}


def _is_built_in(handler: Handler) -> bool:
    return bool(handler.function.__module__.partition(".")[0] == _BUILT_IN)
