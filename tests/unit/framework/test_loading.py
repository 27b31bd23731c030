"""The user's own modules, as ``--handlers`` names them: a file by its path, or a module by its name."""

import logging
import sys
from pathlib import Path
from typing import Any

import pytest

from controller.errors import HandlersBroken, StartError
from controller.framework import Registry, load, on
from tests.unit.framework.world import running

HEAD = "from tests.unit.framework.test_loading import REGISTRY\nfrom controller import on\n"
# Where the modules of these tests declare their handlers.
REGISTRY = Registry()


@pytest.fixture
def registry() -> Any:
    before = list(REGISTRY.handlers)
    yield sys.modules["tests.unit.framework.test_loading"].REGISTRY
    sys.modules["tests.unit.framework.test_loading"].REGISTRY.handlers[:] = before


def written(path: Path, text: str) -> str:
    path.write_text(HEAD + text)
    return str(path)


WELL = """
@on.create("Service", registry=REGISTRY)
async def announce(name, logger):
    logger.info("is there")
"""


def test_the_handlers_of_a_file_go_by_its_name(registry: Registry, tmp_path: Path) -> None:
    assert load(registry, written(tmp_path / "notify.py", WELL)) == "notify"
    (handler,) = registry.handlers
    assert (handler.source, handler.id, handler.key) == ("notify", "announce", "notify/create/announce")
    assert str(handler) == "notify: announce"


def test_the_handlers_of_a_module_go_by_its_whole_name(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "acme_handlers_of_a_test"
    package.mkdir()
    (package / "__init__.py").touch()
    written(package / "notify.py", WELL)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load(registry, "acme_handlers_of_a_test.notify") == "acme_handlers_of_a_test.notify"
    assert registry.handlers[0].key == "acme_handlers_of_a_test.notify/create/announce"


def test_what_is_declared_outside_of_a_module_of_the_users_is_built_in(registry: Registry) -> None:
    on.create("Service", id="it", registry=registry)(lambda: None)
    assert (registry.handlers[0].source, registry.handlers[0].key) == ("", "create/it")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("raise RuntimeError('oops')", "RuntimeError: oops"),
        ("import no_such_module_at_all", "ModuleNotFoundError: No module named 'no_such_module_at_all'"),
        ("def broken(:", "SyntaxError: "),
        ("@on.update('Service', field='spec.imgae', registry=REGISTRY)\ndef f(): ...", "did you mean image?"),
        ("@on.create('Servce', registry=REGISTRY)\ndef f(): ...", "did you mean Service?"),
        ("import sys; sys.exit('no configuration')", "SystemExit: no configuration"),
    ],
    ids=["raises", "import", "syntax", "field", "kind", "exit"],
)
def test_a_broken_module_is_rolled_back_entirely_and_says_why(
    registry: Registry, tmp_path: Path, text: str, said: str
) -> None:
    load(registry, written(tmp_path / "good.py", WELL))
    before, modules = list(registry.handlers), set(sys.modules)
    with pytest.raises(HandlersBroken) as caught:
        load(registry, written(tmp_path / "bad.py", WELL + text))
    assert said in str(caught.value)
    assert registry.handlers == before
    assert registry.source == "", "what is declared from now on is not the broken module's"
    assert set(sys.modules) == modules


def test_the_log_has_the_traceback_from_the_modules_own_first_line_on(
    registry: Registry, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = written(tmp_path / "bad.py", "def helper():\n    raise RuntimeError('oops')\nhelper()")
    with pytest.raises(HandlersBroken):
        load(registry, path)
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info is not None
    trace = record.exc_info[2]
    assert trace is not None
    assert (trace.tb_frame.f_code.co_filename, trace.tb_lineno) == (path, 5)


def test_two_handlers_of_one_id_in_one_module_are_refused(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(HandlersBroken, match="two handlers 'announce' for create of Service"):
        load(registry, written(tmp_path / "notify.py", WELL + WELL))
    assert registry.handlers == []


def test_two_modules_may_have_handlers_of_one_id(registry: Registry, tmp_path: Path) -> None:
    for name in ("a", "b"):
        load(registry, written(tmp_path / f"{name}.py", WELL))
    assert [handler.source for handler in registry.handlers] == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("./nowhere.py", "there is no such file"),
        ("no_such_module_at_all", "there is no such module; a file needs its path, such as ./no_such_module_at_all.py"),
        ("no_such_package.notify", "there is no such module"),
    ],
)
def test_what_is_not_there_is_an_error_in_the_command_line(registry: Registry, name: str, said: str) -> None:
    with pytest.raises(StartError) as caught:
        load(registry, name)
    assert said in str(caught.value)


async def test_errors_of_its_handlers_are_said_under_its_name(registry: Registry, tmp_path: Path) -> None:
    text = '\n@on.create("Service", registry=REGISTRY)\nasync def announce():\n    raise ValueError("oops")\n'
    load(registry, written(tmp_path / "notify.py", text))
    async with running(registry) as world:
        world.create()
        await world.clock.settle()
        assert world.said() == ["notify: announce: ValueError: oops"]


def test_dataclasses_of_a_file_work(registry: Registry, tmp_path: Path) -> None:
    path = tmp_path / "notify.py"
    path.write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass\nclass A:\n    b: int = 1\n"
    )
    assert load(registry, str(path)) == "notify"
