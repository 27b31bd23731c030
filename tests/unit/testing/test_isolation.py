"""The handlers of one test are seen by no other, and each run begins anew."""

import logging
import sys
from pathlib import Path

import pytest

from controller.framework import on
from controller.testing import Harness
from controller.testing.loading import registry_of

from .conftest import Write

COUNTING = """
    from controller import on

    calls = []

    @on.create("Service")
    async def count(name, logger):
        calls.append(name)
        logger.info("number %d", len(calls))
"""


async def test_a_loaded_module_leaves_nothing_behind(write: Write) -> None:
    before, modules = list(on.default.handlers), set(sys.modules)
    async with Harness(write(COUNTING)):
        assert on.default.handlers == before
    assert on.default.handlers == before
    assert "dock_runner_handlers_greet" not in set(sys.modules) - modules


def test_a_module_that_cannot_be_loaded_leaves_nothing_behind(write: Write) -> None:
    before = list(on.default.handlers)
    with pytest.raises(Exception, match="division by zero"):
        registry_of([write(COUNTING + "\n    1 / 0\n")])
    assert on.default.handlers == before


async def test_the_variables_of_a_module_are_new_in_each_test_and_after_each_restart(write: Write) -> None:
    greet = write(COUNTING)
    async with Harness(greet) as dock:
        await dock.apply("web", image="web:1")
    async with Harness(greet) as dock:
        await dock.apply("web", image="web:1")
        await dock.restart()
        await dock.apply("db", image="db:1")
        assert [line for line in dock.log if "number" in line] == ["INFO web: number 1", "INFO db: number 1"]


async def test_a_module_that_the_test_has_imported_itself_is_not_there_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "company_greet.py").write_text(
        "from controller import on\nimport company_shared\n"
        "@on.create('Service')\nasync def greet(logger): logger.info('hello')\n"
    )
    (tmp_path / "company_shared.py").write_text(
        "from controller import on\n@on.create('Service')\nasync def bow(logger): logger.info('bows')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(on.default, "handlers", list(on.default.handlers))
    import company_greet  # type: ignore[import-not-found]  # written above

    for _ in range(2):
        async with Harness("company_greet") as dock:
            await dock.apply("web", image="web:1")
            assert sorted(line for line in dock.log if line.endswith(("hello", "bows"))) == [
                "INFO web: bows", "INFO web: hello",
            ]  # fmt: skip
        assert sys.modules["company_greet"] is company_greet
    for name in ("company_greet", "company_shared"):
        del sys.modules[name]


async def test_handlers_that_another_module_has_declared_do_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on.default, "handlers", list(on.default.handlers))

    @on.create("Service")
    async def stray() -> None:
        raise AssertionError("it was not asked for")

    async with Harness() as dock:
        await dock.apply("web", image="web:1")
        assert [event for event in dock.events() if event.reason == "HandlerFailed"] == []


async def test_logging_is_as_it_was() -> None:
    program = logging.getLogger("dock_runner")
    before = program.level, list(program.handlers)
    async with Harness():
        pass
    assert (program.level, program.handlers) == before
