"""@on.startup: called once before anything else; an error keeps the program from starting."""

import asyncio
import logging
import threading
from typing import Any

import pytest

from controller.errors import StartError
from controller.framework import Registry, on
from tests.unit.framework.world import World, running


async def test_startup_comes_first_and_cleanup_last(registry: Registry) -> None:
    told: list[str] = []

    @on.startup(registry=registry)
    async def begin(answer: int, **_: Any) -> None:
        told.append(f"startup {answer}")

    @on.create("Service", registry=registry)
    async def created(**_: Any) -> None:
        told.append("create")

    @on.cleanup(registry=registry)
    async def end(**_: Any) -> None:
        told.append("cleanup")

    async with running(registry) as world:
        world.create()
        await world.clock.settle()
    assert told == ["startup 42", "create", "cleanup"]


async def test_startup_handlers_are_called_one_after_the_other_as_they_were_declared(registry: Registry) -> None:
    told: list[str] = []

    @on.startup(registry=registry)
    async def first() -> None:
        await asyncio.sleep(0)
        told.append("first")

    @on.startup(registry=registry)
    async def second() -> None:
        told.append("second")

    async with running(registry):
        assert told == ["first", "second"]


async def test_a_plain_startup_handler_is_called_in_a_thread(registry: Registry) -> None:
    threads: list[threading.Thread] = []

    @on.startup(registry=registry)
    def begin() -> None:
        threads.append(threading.current_thread())

    async with running(registry):
        assert threads[0] is not threading.main_thread()


async def test_an_error_keeps_the_program_from_starting_and_is_said_in_one_line(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[str] = []

    @on.startup(registry=registry)
    async def begin() -> None:
        raise ConnectionError("no database")

    @on.create("Service", registry=registry)
    async def created() -> None:
        told.append("create")

    world = World(registry)
    world.create()
    with pytest.raises(StartError, match=r"start-up handler .*begin failed: ConnectionError: no database"):
        await world.operator.start()
    await world.clock.settle()
    assert told == []
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info is not None
    trace = record.exc_info[2]
    assert trace is not None
    assert trace.tb_frame.f_code.co_name == "begin", "the traceback begins in the handler"
    await world.operator.stop(0)


async def test_a_startup_handler_may_say_itself_why_the_program_cannot_start(registry: Registry) -> None:
    @on.startup(registry=registry)
    async def begin() -> None:
        raise StartError("set SMTP_HOST")

    world = World(registry)
    with pytest.raises(StartError, match=r"\Aset SMTP_HOST\Z"):
        await world.operator.start()
    await world.operator.stop(0)
