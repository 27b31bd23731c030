"""The agenda of a scheduled service: what a plan comes to, and the plan in the making."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from controller.store import NORMAL
from proto.dockrunner import v1 as pb

from .operations import Delete, Operation
from .runs import Run
from .slots import State
from .timetable import Timetable

STARTING_DEADLINE = timedelta(minutes=1)
# No pass comes at once, so that less would be never.
SHORTEST_DEADLINE = timedelta(seconds=1)


@dataclass(frozen=True)
class Notice:
    """What is to be told of ticks, as an event."""

    reason: str
    message: str
    type: str = NORMAL


@dataclass(frozen=True)
class Agenda:
    """The operations of a plan, and what else there is to know.

    ``done``: up to when the ticks are done with. ``last`` and ``next``: when the service last ran, and will;
    ``due``: a run that has yet to begin, and what it ``waits_for``. ``ended``: when the newest of the runs that have
    ended was due, and its ``failure``, empty when it succeeded.
    """

    operations: tuple[Operation, ...]
    look_again: timedelta
    timetable: Timetable
    done: datetime
    last: datetime | None
    next: datetime | None
    due: datetime | None
    waits_for: str
    ended: datetime | None
    failure: str
    notices: tuple[Notice, ...]


@dataclass
class AgendaDraft:
    """An agenda in the making. ``known``: up to when ticks are done with, or have a run at least."""

    service: pb.Service
    containers: Sequence[pb.Container]
    now: datetime
    revision: str
    waits_for: str
    joined: Mapping[int, str] | None
    timetable: Timetable
    runs: Sequence[Run]
    known: datetime
    done: datetime
    due: datetime | None = None
    given_up: set[datetime] = field(default_factory=set)
    operations: list[Operation] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    wakes: list[timedelta] = field(default_factory=list)

    @property
    def spec(self) -> pb.ServiceSpec:
        return self.service.spec

    @property
    def deadline(self) -> timedelta:
        """How late a run may begin."""
        if not self.spec.HasField("starting_deadline"):
            return STARTING_DEADLINE
        return max(SHORTEST_DEADLINE, self.spec.starting_deadline.ToTimedelta())

    @property
    def active(self) -> Sequence[Run]:
        """The runs that have not ended."""
        return [run for run in self.runs if run.living and run.tick not in self.given_up]

    @property
    def leaving(self) -> bool:
        """Whether anything that runs is on its way out, by now or by this plan."""
        going = {it.container.metadata.name for it in self.operations if isinstance(it, Delete)}
        return any(
            it.status.state != State.EXITED and (it.metadata.HasField("delete_time") or it.metadata.name in going)
            for it in self.containers
        )

    def late(self, tick: datetime) -> bool:
        """Whether it is too late for a run to begin; if it is not, this will be looked at again when it is."""
        left = tick + self.deadline - self.now
        if left >= timedelta(0):
            self.wakes.append(left + timedelta(milliseconds=1))
        return left < timedelta(0)

    def finish(self, tick: datetime) -> None:
        """A tick is done with."""
        self.done, self.known = max(self.done, tick), max(self.known, tick)
