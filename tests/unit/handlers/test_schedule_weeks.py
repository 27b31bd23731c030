"""Weeks of a schedule, over a change of the clock, while the program is killed and comes back at any moment.

``WEEKS=200 pytest tests/unit/handlers/test_schedule_weeks.py`` tries so many; a failure prints its seed.
"""

import os
from collections import Counter
from datetime import UTC, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest

from handlers.operations import Operation
from handlers.timetable import timetable_of
from proto.dockrunner import v1 as pb

from .scheduled_world import Nightly
from .world import State

SEEDS = int(os.environ.get("WEEKS", "3"))
BERLIN = ZoneInfo("Europe/Berlin")
BEGIN = datetime(2026, 3, 22, tzinfo=UTC)
END = BEGIN + timedelta(days=14)
DEADLINE = 120.0
# So often in a row, and for so many seconds each, as to leave time for a run within the deadline.
KILLS, AWAY = 3, (0.1, 5.0, 25.0)


class Killed(Exception):
    """The program is killed here."""


class Weeks(Nightly):
    """Chance decides when the program is killed, what of the journal is written then, and how long runs take."""

    def __init__(self, seed: int, schedule: str, **spec: object) -> None:
        self.random = Random(seed)  # noqa: S311  # chance that can be repeated
        self.journal: list[bytes] = []
        self.kills = 0
        self.slots: list[tuple[datetime, int]] = []
        super().__init__(schedule, starting_deadline=DEADLINE, time_zone="Europe/Berlin", **spec)
        self.now = BEGIN
        self.service.metadata.create_time.FromDatetime(BEGIN)

    def _carry_out(self, operation: Operation) -> None:
        self._may_be_killed()
        super()._carry_out(operation)

    def _may_be_killed(self) -> None:
        if self.kills < KILLS and self.random.random() < 0.1:
            self.kills += 1
            raise Killed

    def flush(self) -> None:
        self.journal = [it.SerializeToString() for it in self.revisions.values()]

    def work(self) -> bool:
        """One thing at a time; the journal is written a little later than all else, but before anything is gone."""
        moved = False
        for it in list(self.containers):
            self._may_be_killed()
            if self.random.random() < 0.5 or it.metadata.HasField("delete_time"):
                self.flush()
            if it.metadata.HasField("delete_time"):
                self.containers.remove(it)
                moved = True
            elif it.status.state == State.PENDING:
                it.status.state, it.status.docker_id, moved = State.CREATED, f"id-{it.metadata.uid}", True
            elif it.status.state == State.CREATED and not it.spec.held:
                it.status.state, moved = State.RUNNING, True
                it.status.started_at.FromDatetime(self.now)
                self.begun.append(it.spec.run.ToDatetime(UTC))
                self.slots.append((it.spec.run.ToDatetime(UTC), it.spec.slot))
        return moved

    def live(self) -> None:
        """From the beginning to the end."""
        while self.now < END:
            try:
                self.settle()
            except Killed:
                self.now += timedelta(seconds=self.random.choice(AWAY))
                self._come_back()
                continue
            self.flush()
            self.kills = 0
            self._let_runs_end()
            self._let_time_pass()

    def _come_back(self) -> None:
        self.crash()
        self.revisions = {}
        for data in self.journal:
            kept = pb.ServiceRevision.FromString(data)
            self.revisions[kept.revision] = kept

    def _let_runs_end(self) -> None:
        for run in self.runs:
            if run.living and self.random.random() < 0.6:
                self.end(self.random.choice((0, 0, 1)), tick=run.tick)
                if self.random.random() < 0.1:  # somebody prunes
                    self.kills = KILLS
                    self.settle()
                    self.flush()
                    self.kills = 0
                    self.containers = [it for it in self.containers if it.status.state != State.EXITED]

    def _let_time_pass(self) -> None:
        agenda = self.plan.agenda
        assert agenda is not None
        assert agenda.next is not None
        ahead = [agenda.next - self.now, self.plan.look_again or agenda.next - self.now]
        if ahead[1] == timedelta(minutes=1):
            ahead.pop()  # nothing to be seen before the next tick
        self.now += min(ahead) * self.random.choice((0.5, 1.0, 1.0, 1.0)) + timedelta(
            seconds=self.random.choice((0, 0, 0.5, DEADLINE / 4))
        )


def weeks(seed: int, schedule: str, **spec: object) -> tuple[Weeks, list[datetime]]:
    """A life, and the ticks that came in it."""
    world = Weeks(seed, schedule, **spec)
    world.live()
    timetable = timetable_of(world.service.spec)
    return world, timetable.between(BEGIN, END - timedelta(hours=1), 100_000)


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("schedule", ["0 */2 * * *", "30 2 * * *", "*/20 1-4 * * *"])
def test_with_allow_each_tick_has_exactly_one_complete_run(schedule: str, seed: int) -> None:
    world, ticks = weeks(seed, schedule, replicas=2, concurrency_policy="allow")
    assert world.reasons == []
    starts = Counter(world.begun)
    assert {tick: starts[tick] for tick in ticks} == dict.fromkeys(ticks, 2)
    assert len(set(world.slots)) == len(world.slots), "no replica of a run is started twice"


@pytest.mark.parametrize("seed", range(SEEDS))
def test_with_forbid_each_tick_has_one_run_or_is_said_to_be_left_out(seed: int) -> None:
    world, ticks = weeks(seed, "*/20 1-4 * * *")
    starts = Counter(world.begun)
    show = timetable_of(world.service.spec).show
    told = " ".join(message for _, message in world.told)
    assert not set(world.reasons) - {"RunSkipped"}
    assert max(starts.values()) == 1
    left_out = {tick for tick in ticks if f"due at {show(tick)} is left out" in told}
    assert set(ticks) == {tick for tick in ticks if tick in starts} | left_out
    assert not left_out & set(starts)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_with_replace_each_tick_has_one_run_and_no_two_run_at_once(seed: int) -> None:
    world, ticks = weeks(seed, "*/20 1-4 * * *", concurrency_policy="replace")
    starts = Counter(world.begun)
    assert {tick: starts[tick] for tick in ticks} == dict.fromkeys(ticks, 1)
    assert len(world.running) <= 1
