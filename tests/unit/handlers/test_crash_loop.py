"""Containers that end again and again, and what is said of them."""

from collections.abc import Sequence
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from controller.errors import EngineError, EngineUnavailable
from controller.scheduler.memory import MemoryEngine
from controller.store import EVENT, Recorder, Store
from handlers.crash_loop import crash_looping, crashes, tell_of_crashes
from proto.dockrunner import v1 as pb
from tests.clock import ManualClock
from tests.cluster import Cluster

from .world import NOW, State, container, service


def crashing(count: int, state: Any = State.RESTARTING, *, ran: float = 1.0) -> pb.Container:
    it = container(service(), state=state, exit_code=1, ready=False)
    it.status.restart_count = count
    it.status.started_at.FromDatetime(NOW - timedelta(seconds=ran))
    it.status.finished_at.FromDatetime(NOW - timedelta(seconds=ran))
    return it


def test_restarts_by_docker_and_replacements_that_failed_count_alike() -> None:
    it = crashing(2)
    it.spec.failures = 3
    assert crashes(it) == 5


@pytest.mark.parametrize(("restarts", "failures", "loops"), [(2, 0, False), (3, 0, True), (0, 3, True), (1, 2, True)])
def test_three_ends_in_a_row_are_a_loop(restarts: int, failures: int, loops: bool) -> None:
    it = crashing(restarts)
    it.spec.failures = failures
    assert crash_looping(it, NOW) == loops


@pytest.mark.parametrize(
    ("state", "ran", "loops"),
    [
        (State.RESTARTING, 60, True),
        (State.EXITED, 60, True),
        (State.RUNNING, 9.9, True),
        (State.RUNNING, 10, False),
        (State.PENDING, 1, False),
        (State.PULLING, 1, False),
        (State.STARTING, 1, False),
        (State.STOPPING, 1, False),
    ],
)
def test_one_that_has_run_for_ten_seconds_is_out_of_it(state: Any, ran: float, loops: bool) -> None:
    assert crash_looping(crashing(5, state, ran=ran), NOW) == loops


class Speaking(MemoryEngine):
    """Containers that have put out ``lines``, or cannot be asked."""

    def __init__(self, *lines: str, error: Exception | None = None) -> None:
        super().__init__(ManualClock())
        self.lines, self.error, self.asked = lines, error, 0

    async def last_lines(self, container_id: str, count: int) -> Sequence[str]:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return self.lines[-count:]


class Told:
    """What is said of one container, as its crashes become more."""

    def __init__(self, engine: Speaking) -> None:
        self.engine = engine
        self.store = Store(ManualClock())
        self.recorder = Recorder(self.store, ManualClock())
        self.memo = SimpleNamespace()

    async def hear(self, it: pb.Container) -> str:
        """What is said of it now."""
        before = {event.metadata.name: event.count for event in self.store.list(EVENT)}
        await tell_of_crashes(it, self.engine, self.recorder, self.memo)
        new = [it for it in self.store.list(EVENT) if before.get(it.metadata.name) != it.count]
        return "".join(f"{event.type} {event.reason}: {event.message}" for event in new)


async def test_it_is_said_how_often_and_how_it_ended_with_its_last_words() -> None:
    told = Told(Speaking("a", "b", "c", "no such file"))
    assert await told.hear(crashing(3)) == (
        "Warning CrashLoop: exited with 1, 3 times in a row; its last words: b | c | no such file"
    )


async def test_it_is_said_more_and_more_seldom() -> None:
    told = Told(Speaking())
    said = [count for count in range(50) if await told.hear(crashing(count))]
    assert said == [3, 6, 12, 24, 48]


async def test_it_is_said_once_though_it_is_looked_at_again() -> None:
    told = Told(Speaking())
    assert await told.hear(crashing(3)) != ""
    assert await told.hear(crashing(3, State.RUNNING)) == ""


async def test_one_that_cannot_be_read_has_no_last_words() -> None:
    told = Told(Speaking(error=EngineError("configured logging driver does not support reading")))
    assert await told.hear(crashing(3)) == "Warning CrashLoop: exited with 1, 3 times in a row"


async def test_one_that_said_nothing_has_no_last_words() -> None:
    assert await Told(Speaking()).hear(crashing(3)) == "Warning CrashLoop: exited with 1, 3 times in a row"


async def test_an_engine_that_does_not_answer_is_heard_of() -> None:
    told = Told(Speaking(error=EngineUnavailable("away")))
    with pytest.raises(EngineUnavailable):
        await told.hear(crashing(3))


def never_ended() -> pb.Container:
    it = crashing(3)
    it.status.ClearField("finished_at")
    return it


def not_in_docker() -> pb.Container:
    it = crashing(3)
    it.status.docker_id = ""
    return it


@pytest.mark.parametrize("it", [never_ended(), not_in_docker(), crashing(3, State.PENDING), crashing(2)])
async def test_nothing_is_asked_of_one_that_is_in_no_loop(it: pb.Container) -> None:
    told = Told(Speaking("x"))
    assert (await told.hear(it), told.engine.asked) == ("", 0)


async def test_a_process_that_ends_again_and_again_is_said_to_be_in_a_crash_loop(world: Cluster) -> None:
    world.declare("web")
    await world.settle()
    for _ in range(3):
        (docker_id,) = world.running()
        world.engine.crash(docker_id)
        await world.settle()
    assert "CrashLoop" in world.reasons()
    assert world.condition("Degraded").reason == "CrashLoop"
