"""A scheduled service in virtual time: planned pass by pass, its runs end as a test says, its program is killed."""

from datetime import UTC, datetime, timedelta
from typing import Any

from handlers.admission import fill_in
from handlers.instance import Instance
from handlers.operations import Amend, Create, Delete, Operation, Release, Stop
from handlers.planner import Plan, plan
from handlers.revision import revision_of, template_of
from handlers.runs import Run, runs_of
from handlers.status import status_of
from proto.dockrunner import v1 as pb

from .scripted_world import seconds
from .world import State

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def at(text: str) -> datetime:
    """A time of the first day, ``12:30`` or ``12:30:05``."""
    return datetime.combine(NOON, datetime.strptime(text, "%X" if text.count(":") == 2 else "%H:%M").time(), UTC)


class Nightly:
    """A service called nightly, declared at noon.

    ``begun`` are the ticks whose containers have come to run, each time that one did; ``told`` the notices.
    """

    plan: Plan

    def __init__(self, schedule: str = "*/5 * * * *", **spec: Any) -> None:
        self.now = NOON
        self.service = pb.Service(metadata=pb.Metadata(name="nightly", uid="nightly", generation=1))
        self.service.metadata.create_time.FromDatetime(NOON)
        self.containers: list[pb.Container] = []
        self.revisions: dict[str, pb.ServiceRevision] = {}
        self.begun: list[datetime] = []
        self.told: list[tuple[str, str]] = []
        self.waits_for = ""
        self.slow = False
        self.declare(schedule, **spec)

    # What somebody wants.

    def declare(self, schedule: str = "*/5 * * * *", **spec: Any) -> None:
        """Another specification in place of the one before."""
        for field in ("starting_deadline", "stop_grace_period"):
            if field in spec:
                spec[field] = seconds(spec[field])
        wanted = pb.ServiceSpec(**{"image": "job:1", "restart": "no", "replicas": 1, **spec}, schedule=schedule)
        fill_in(wanted)
        if self.containers or self.revisions:
            self.service.metadata.generation += 1
        self.service.spec.CopyFrom(wanted)

    def change(self, **fields: Any) -> None:
        """Some fields of the specification alone."""
        self.service.spec.MergeFrom(pb.ServiceSpec(**fields))
        self.service.metadata.generation += 1

    # What the program does.

    def step(self) -> Plan:
        """One pass of the service's controller, carried out and remembered."""
        self._keep_revision()
        answer = self.plan = plan(
            self.service, self.containers, self.now, revisions=list(self.revisions.values()), waits_for=self.waits_for
        )
        self.service.status.CopyFrom(status_of(self.service, self.containers, answer, self.now))
        newest = max(self.revisions.values(), key=lambda it: it.number)
        if answer.agenda is not None:
            newest.last_tick.FromDatetime(answer.agenda.done)
            newest.schedule = answer.agenda.timetable.text
            newest.last_failure = answer.agenda.failure
            if answer.agenda.ended is not None:
                newest.last_ended.FromDatetime(answer.agenda.ended)
            self.told += [(it.reason, it.message) for it in answer.agenda.notices]
        for operation in answer.operations:
            self._carry_out(operation)
        return answer

    def settle(self) -> None:
        """Passes and the engine's work until nothing moves."""
        for _ in range(20):
            moved = bool(self.step().operations)
            if not self.slow:
                moved |= self.work()
            if not moved:
                return
        raise AssertionError("it does not come to rest")

    def work(self) -> bool:
        """What the engine does: makes, starts, removes."""
        moved = False
        for it in list(self.containers):
            if it.metadata.HasField("delete_time"):
                self.containers.remove(it)
                moved = True
            elif it.status.state == State.PENDING:
                it.status.state, it.status.docker_id, moved = State.CREATED, f"id-{it.metadata.uid}", True
            elif it.status.state == State.CREATED and not it.spec.held:
                it.status.state, moved = State.RUNNING, True
                it.status.started_at.FromDatetime(self.now)
                self.begun.append(it.spec.run.ToDatetime(UTC))
        return moved

    def until(self, moment: datetime) -> None:
        """Lets the time pass; the program looks again whenever it asked for it."""
        self.settle()
        while self.now < moment:
            wait = self.plan.look_again
            assert wait is not None
            assert timedelta(0) < wait <= timedelta(minutes=1), "a clock that is set must be noticed"
            self.now = min(moment, self.now + wait)
            self.settle()

    def _keep_revision(self) -> None:
        revision = revision_of(self.service.spec)
        newest = max(self.revisions.values(), key=lambda it: it.number, default=pb.ServiceRevision())
        if newest.revision == revision:
            return
        kept = self.revisions.setdefault(revision, pb.ServiceRevision(revision=revision))
        kept.number = newest.number + 1
        kept.template.CopyFrom(template_of(self.service.spec))
        kept.ended.clear()

    def _carry_out(self, operation: Operation) -> None:
        match operation:
            case Create():
                made = Instance("default").container(self.service, operation)
                made.metadata.create_time.FromDatetime(self.now)
                self.containers.append(made)
            case Delete(container=it):
                it.metadata.delete_time.FromDatetime(self.now)
            case Release(container=it):
                it.spec.held = False
            case Amend(container=it, wanted=wanted):
                it.spec.CopyFrom(wanted)
            case Stop():
                raise AssertionError("a run is not stopped and kept")

    # What happens.

    def end(self, exit_code: int | None = 0, *, tick: datetime | None = None) -> None:
        """All that runs ends, or a run alone; without an exit code somebody took it away."""
        for it in self.containers:
            if it.status.state == State.RUNNING and tick in (None, it.spec.run.ToDatetime(UTC)):
                it.status.state, it.status.ready = State.EXITED, False
                it.status.finished_at.FromDatetime(self.now)
                if exit_code is not None:
                    it.status.exit_code = exit_code

    def crash(self, *, journal: bool = True) -> None:
        """The program is killed and comes back: it knows the journal, and what it finds in the engine."""
        self.service.status.Clear()
        if not journal:
            self.revisions.clear()
            self.service.metadata.create_time.FromDatetime(self.now)
            self.service.metadata.generation = 1
        self.containers = [it for it in self.containers if it.status.docker_id]
        for it in self.containers:
            it.spec.ClearField("template")
            it.metadata.ClearField("delete_time")
            it.spec.held = it.status.state == State.CREATED

    # What is there.

    @property
    def runs(self) -> list[Run]:
        return runs_of(self.containers)

    @property
    def running(self) -> list[datetime]:
        """The ticks of what runs, the oldest first."""
        return sorted(it.spec.run.ToDatetime(UTC) for it in self.containers if it.status.state == State.RUNNING)

    @property
    def reasons(self) -> list[str]:
        return [reason for reason, _ in self.told]

    def condition(self, type_: str) -> pb.Condition:
        return next(it for it in self.service.status.conditions if it.type == type_)
