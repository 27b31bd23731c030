"""One run of the program in moved time."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from controller.framework import Operator
from controller.program import Program

from .clock import ManualClock

# Seconds that handlers have for their end, as in the program itself.
GRACE = 6.0
# The jitter of retries is the same in every run of a test.
SEED = 1


@asynccontextmanager
async def running(
    program: Program, clock: ManualClock, *, declare: Callable[[], None] = lambda: None, grace: float = GRACE
) -> AsyncIterator[None]:
    """A run from its start to its end in good order; engine and journal are left as they are.

    ``declare`` is called when it is known what runs, and before anything is done about it, as the file is read then.
    Without an answer of the engine the controllers start as soon as there is one.

    Raises:
        StartError: a start-up handler failed.
    """
    program.operator.seed(SEED)
    await program.restore()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(program.persistence.close)
        for work in (program.persistence.run(), program.informer.run()):
            stack.push_async_callback(_cancelled, asyncio.create_task(work))
        await clock.settle()
        declare()
        started = asyncio.create_task(_start(program))
        stack.push_async_callback(_stopped, program, started, clock, grace)
        await clock.settle()
        if started.done():
            started.result()
        yield


async def _start(program: Program) -> None:
    await program.informer.synced.wait()
    await program.operator.start()


async def _stopped(program: Program, started: "asyncio.Task[None]", clock: ManualClock, grace: float) -> None:
    if started.done() and started.exception() is None:
        await _stop(program.operator, clock, grace)
    else:
        program.operator.abandon()
    await _cancelled(started)
    await program.in_flight.close()


async def _stop(operator: Operator, clock: ManualClock, grace: float) -> None:
    """Ends the operator; what waits for the time is given it, a second after the other."""
    stopping = asyncio.create_task(operator.stop(grace))
    until = clock.monotonic() + grace
    await clock.settle()
    while not stopping.done() and clock.monotonic() < until:
        await clock.advance(1.0)
    await stopping


async def _cancelled(task: "asyncio.Task[Any]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
