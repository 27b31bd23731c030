"""The program ends within the promised time, whatever of the user's does not."""

import signal
import time
from pathlib import Path

import pytest

from .program import Program, eventually

# Seconds that are promised.
PROMISED = 10.0

FILE = '[services.web]\nimage = "web:1"\n'

BEGIN = """
import asyncio
import threading
import time
from pathlib import Path
from controller import on

def begun():
    Path("begun").touch()

async def ignore():
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass
"""

# Ways not to end, and what the log says of each.
STUBBORN = {
    "a handler that swallows its cancellation": (
        """
@on.create("Service")
async def created(**_):
    begun()
    await ignore()
""",
        "without waiting any longer for what does not end: stubborn: created of web",
    ),
    "a blocking call that a coroutine waits for": (
        """
@on.create("Service")
async def created(**_):
    begun()
    await asyncio.to_thread(time.sleep, 60)
""",
        "service-handlers web: its handlers have not ended within 2 s; they are cancelled",
    ),
    "a daemon that ignores its cancellation": (
        """
@on.daemon("Service")
async def follow(**_):
    begun()
    await ignore()
""",
        "without waiting any longer for what does not end: daemon stubborn: follow of web",
    ),
    "an event handler that ignores its cancellation": (
        """
@on.event("Service")
async def told(**_):
    begun()
    await ignore()
""",
        "without waiting any longer for what does not end: events of web",
    ),
    "a handler that holds up the event loop": (
        """
@on.create("Service")
async def created(**_):
    begun()
    time.sleep(60)
""",
        "without waiting any longer for what does not end: the event loop",
    ),
    "a thread of the user's own": (
        """
@on.create("Service")
async def created(**_):
    threading.Thread(target=time.sleep, args=(60,), name="copier").start()
    begun()
""",
        "without waiting any longer for what does not end: thread copier",
    ),
}


def end(program: Program, number: signal.Signals) -> float:
    """Ends the program, which is to do so well; the seconds that it takes."""
    begun = time.monotonic()
    assert program.signal(number) == 0
    return time.monotonic() - begun


def begin(program: Program, handlers: str) -> None:
    (program.folder / "stubborn.py").write_text(BEGIN + handlers)
    program.declare(FILE)
    program.start("--handlers", "stubborn.py", "--config", str(program.config), ready=False)
    eventually((program.folder / "begun").exists)


@pytest.mark.parametrize("way", STUBBORN)
def test_the_program_ends_in_time_in_spite_of(simulated: Program, way: str) -> None:
    handlers, said = STUBBORN[way]
    begin(simulated, handlers)
    assert end(simulated, signal.SIGTERM) < PROMISED
    assert said in simulated.log, simulated.log
    assert "Traceback" not in simulated.log


def test_an_interrupt_is_as_good_as_the_signal_of_a_service_manager(simulated: Program) -> None:
    begin(simulated, STUBBORN["a handler that swallows its cancellation"][0])
    assert end(simulated, signal.SIGINT) < PROMISED


def test_a_program_in_which_everything_ends_waits_for_no_limit(simulated: Program) -> None:
    simulated.declare(FILE)
    simulated.start()
    simulated.until_converged(web=1)
    assert end(simulated, signal.SIGTERM) < PROMISED / 3
    assert "end" not in simulated.log.partition("stopping; containers are left running")[2]


def test_the_status_of_a_program_that_fails_stays_what_it_is_and_its_error_is_said(simulated: Program) -> None:
    failing = """
@on.startup()
async def stubborn(**_):
    global kept
    kept = asyncio.create_task(ignore(), name="what is left of it")
    await asyncio.sleep(0)
    raise ValueError("no such queue")
"""
    (simulated.folder / "stubborn.py").write_text(BEGIN + failing)
    simulated.start("--handlers", "stubborn.py", ready=False)
    assert simulated.wait() == 1
    assert "no such queue" in simulated.log.splitlines()[-2]
    assert simulated.log.splitlines()[-1].endswith("does not end: what is left of it")


@pytest.fixture
def journal_that_hangs(tmp_path: Path) -> str:
    """Handlers after whose creation of an object the journal writes no more."""
    return """
from controller.store.journal_file import JournalFile

def hang(self, records):
    begun()
    time.sleep(60)

JournalFile.write = hang
"""


def test_the_program_ends_in_time_in_spite_of_a_disk_that_hangs(simulated: Program, journal_that_hangs: str) -> None:
    begin(simulated, journal_that_hangs)
    assert end(simulated, signal.SIGTERM) < PROMISED
    assert "the journal does not end; the program ends without it" in simulated.log
