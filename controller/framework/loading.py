"""Loads the user's own modules of handlers, next to those that are built in."""

import importlib
import importlib.util
import logging
import sys
from pathlib import Path
from types import ModuleType, TracebackType

from controller.errors import HandlersBroken, StartError

from .parameters import check_arguments
from .registry import Registry

logger = logging.getLogger("dock_runner.framework")


def load(registry: Registry, name: str) -> str:
    """Loads a file such as ``notify.py`` or a module such as ``company.notify``; the name that its handlers go by.

    Raises:
        StartError: there is no such file or module.
        HandlersBroken: it cannot be loaded; none of its handlers stays. The log has its own traceback.
    """
    is_file = name.endswith(".py") or "/" in name
    if is_file and not Path(name).is_file():
        what = "it is a folder; name a file in it" if Path(name).is_dir() else "there is no such file"
        raise StartError(f"--handlers {name}: {what}")
    source = Path(name).stem if is_file else name
    try:
        with registry.loading(source):
            _import_file(Path(name), source) if is_file else _import_module(name)
            found = [handler for handler in registry.handlers if handler.source == source]
            for handler in found:
                check_arguments(handler.function, handler.activity)
    except StartError:
        raise
    except (Exception, SystemExit) as error:
        trace = (type(error), error, _own_traceback(error))
        logger.error("handlers %s cannot be loaded; everything else goes on", name, exc_info=trace)
        raise HandlersBroken(name, f"{name} cannot be loaded: {type(error).__name__}: {error}") from error
    if found:
        logger.info("handlers %s: %s", name, ", ".join(f"{handler.activity} {handler.id}" for handler in found))
    else:
        logger.warning("handlers %s: there are none in it; is the right module named?", name)
    return source


def _import_file(path: Path, source: str) -> ModuleType:
    # A name of its own, lest it hide a module that somebody else imports.
    qualified = f"dock_runner_handlers_{source}"
    spec = importlib.util.spec_from_file_location(qualified, path)
    if spec is None or spec.loader is None:
        raise StartError(f"--handlers {path}: it is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[qualified] = module  # as dataclasses and pickle look there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[qualified]
        raise
    return module


def _import_module(name: str) -> ModuleType:
    try:
        found = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise StartError(f"--handlers {name}: there is no such module; a file needs its path, such as ./{name}.py")
    return importlib.import_module(name)


def _own_traceback(error: BaseException) -> TracebackType | None:
    """The traceback from the module's own first line on, without the import system's."""
    trace = error.__traceback__
    while trace is not None and (
        trace.tb_frame.f_code.co_filename == __file__ or "importlib" in trace.tb_frame.f_code.co_filename
    ):
        trace = trace.tb_next
    return trace
