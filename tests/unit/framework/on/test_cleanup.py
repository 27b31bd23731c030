"""@on.cleanup: called once when the program stops; an error is logged."""

from typing import Any

import pytest

from controller.framework import Registry, on
from tests.unit.framework.world import running


async def test_cleanup_is_called_when_daemons_have_ended(registry: Registry) -> None:
    told: list[str] = []

    @on.daemon("Service", registry=registry)
    async def follow(stopped: Any) -> None:
        await stopped.wait()
        told.append("daemon ended")

    @on.cleanup(registry=registry)
    async def end(answer: int) -> None:
        told.append(f"cleanup {answer}")

    async with running(registry) as world:
        world.create()
        await world.clock.settle()
    assert told[-1] == "cleanup 42"


async def test_an_error_is_logged_and_the_other_cleanup_handlers_are_called_all_the_same(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[str] = []

    @on.cleanup(registry=registry)
    async def broken() -> None:
        raise OSError("no route")

    @on.cleanup(registry=registry)
    def well() -> None:
        told.append("cleanup")

    async with running(registry):
        pass
    assert told == ["cleanup"]
    assert "clean-up handler" in caplog.text
    assert "no route" in caplog.text


async def test_a_cleanup_handler_that_does_not_end_keeps_nobody_waiting(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    @on.cleanup(registry=registry)
    async def hangs() -> None:
        await world.clock.sleep(1e9)

    async with running(registry, grace=0.1) as world:
        pass
    assert "the clean-up handlers do not end" in caplog.text
