"""Containers that end again and again, shortly after their start."""

from datetime import datetime, timedelta
from typing import Any

from controller.errors import EngineError, EngineUnavailable
from controller.scheduler.engine import Engine
from controller.store import WARNING, Recorder, reference
from proto.dockrunner import v1 as pb

from .slots import State, describe_end

SOURCE = "container-controller"
# So many ends in a row are a loop.
CRASHES = 3
# A container that has run for so long has got out of it (Docker's own rule).
RECOVERED = timedelta(seconds=10)
LAST_LINES = 3


def crashes(container: pb.Container) -> int:
    """How often in a row the container, or its slot, has come to an end: Docker's restarts and our replacements."""
    return container.status.restart_count + container.spec.failures


def crash_looping(container: pb.Container, now: datetime) -> bool:
    """Whether a container is in a crash loop."""
    status = container.status
    if crashes(container) < CRASHES:
        return False
    if status.state in (State.RESTARTING, State.EXITED):
        return True
    return status.state == State.RUNNING and now - status.started_at.ToDatetime(now.tzinfo) < RECOVERED


async def tell_of_crashes(container: pb.Container, engine: Engine, recorder: Recorder, memo: Any) -> None:
    """Says how a container that ends again and again has ended, with its last words; more and more seldom."""
    status, count = container.status, crashes(container)
    if status.state not in (State.RESTARTING, State.RUNNING, State.EXITED) or not status.HasField("finished_at"):
        return
    told = getattr(memo, "crashes", 0)
    if count < max(CRASHES, 2 * told) or not status.docker_id:
        return
    memo.crashes = count
    try:
        lines = await engine.last_lines(status.docker_id, LAST_LINES)
    except EngineUnavailable:
        raise
    except EngineError:  # with some log drivers there are none to be read
        lines = ()
    said = f"; its last words: {' | '.join(lines)}" if lines else ""
    text = f"{describe_end(status)}, {count} times in a row{said}"
    recorder.record(SOURCE, reference(container), WARNING, "CrashLoop", text)
