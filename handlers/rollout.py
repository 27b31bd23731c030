"""How far an update is, and whether it goes on: SwarmKit's updater without its loop, as it cannot hang.

Each pass looks at what is there. What it has to remember is in ``ServiceStatus.rollout``; that a revision failed is
kept with the revision, in the journal, so that a restart of the program does not try it once more.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from proto.dockrunner import v1 as pb

from .restart import parse_restart
from .slots import Slot, State, completed, describe_end, settled
from .target import Target
from .trouble import HOPELESS

DEFAULT_DEADLINE = timedelta(minutes=10)
# One that ends within so long of being ready has failed (Swarm's own `monitor`).
DEFAULT_MONITOR = timedelta(seconds=5)

# Why a rollout failed.
DEADLINE = "Deadline"
CONTAINERS_FAILED = "ContainersFailed"

PAUSE, CONTINUE, ROLL_BACK = "pause", "continue", "rollback"


@dataclass(frozen=True)
class Verdict:
    """What is to be remembered of a revision: that its rollout failed and why, or, without a reason, that it works."""

    revision: str
    reason: str = ""
    message: str = ""
    rolled_back_to: str = ""


@dataclass(frozen=True)
class Failing:
    """A container of the wanted revision that is no good, by its name, and why."""

    container: str
    why: str

    def __str__(self) -> str:
        return f"{self.container}: {self.why}"


@dataclass
class Progress:
    """How far an update is. ``status`` is None when there is none; ``going`` is whether it may take further steps."""

    status: pb.Rollout | None = None
    going: bool = False
    verdict: Verdict | None = None
    # By slot.
    failing: dict[int, Failing] = field(default_factory=dict)
    wakes: list[timedelta] = field(default_factory=list)

    def aside(self, slot: int) -> bool:
        """Whether a slot has failed and is left to the end."""
        return self.status is not None and slot in self.status.failed_slots


@dataclass(frozen=True)
class Updater:
    """Judges one update at one moment."""

    target: Target
    slots: Sequence[Slot]
    revisions: Sequence[pb.ServiceRevision]
    before: pb.Rollout
    now: datetime
    waits_for: str = ""

    @property
    def parallelism(self) -> int:
        """How many slots may be under way at once."""
        config = self.target.spec.update
        wanted = config.parallelism if config.HasField("parallelism") else 1
        return wanted or max(1, len(self.slots))

    @property
    def delay(self) -> timedelta:
        return self.target.spec.update.delay.ToTimedelta()

    def progress(self) -> Progress:
        """Where the update stands, and what follows from it."""
        progress = Progress()
        if not self._under_way():
            if self.target.failed is not None:
                progress.status = self._status(pb.Rollout.ROLLED_BACK)
                progress.status.message = self.target.failed.failure
            elif self.target.memory.failure and all(slot.settled(self.target.spec, self.now) for slot in self.slots):
                progress.verdict = Verdict(self.target.revision)
            return progress
        stopped = self.target.memory.failure
        back = self.target.failed is not None
        status = progress.status = self._status(pb.Rollout.ROLLING_BACK if back else pb.Rollout.IN_PROGRESS)
        self._find_failing(progress)
        if stopped:
            status.state, status.message = pb.Rollout.FAILED, stopped
            if self.target.memory.failure_reason == DEADLINE and not progress.failing and self._works():
                progress.verdict = Verdict(self.target.revision)
        elif self.target.spec.paused or self.waits_for:
            status.state = pb.Rollout.PAUSED
            status.message = "paused" if self.target.spec.paused else f"waits for {self.waits_for}"
        else:
            self._judge(progress)
        return progress

    def _continues(self) -> bool:
        """Whether the update is the one of the pass before."""
        return self.before.revision == self.target.revision and self.before.state in (
            pb.Rollout.IN_PROGRESS, pb.Rollout.ROLLING_BACK, pb.Rollout.PAUSED, pb.Rollout.FAILED
        )  # fmt: skip

    def _under_way(self) -> bool:
        if any(slot.outdated for slot in self.slots):
            return True
        return self._continues() and not all(slot.settled(self.target.spec, self.now) for slot in self.slots)

    def _works(self) -> bool:
        """Whether every container of the wanted revision, and there is one, has shown that it works."""
        tried = [slot.current[0] for slot in self.slots if slot.current]
        return bool(tried) and all(settled(it, self.target.spec, self.now) for it in tried)

    def _status(self, state: pb.Rollout.State.ValueType) -> pb.Rollout:
        status = pb.Rollout(revision=self.target.revision, state=state)
        if self.target.failed is not None:
            status.failed_revision = self.target.failed.revision
        status.updated = sum(1 for slot in self.slots if slot.settled(self.target.spec, self.now))
        resumed = self.before.state in (pb.Rollout.PAUSED, pb.Rollout.FAILED)
        held = self.target.memory.failure or self.target.spec.paused or self.waits_for
        if self._continues() and not (resumed and not held):
            status.start_time.CopyFrom(self.before.start_time)
            status.last_progress_time.CopyFrom(self.before.last_progress_time)
            status.order, status.reason = self.before.order, self.before.reason
            status.failed_slots.extend(self.before.failed_slots)
            if status.updated > self.before.most_updated:
                status.last_progress_time.FromDatetime(self.now)
            status.most_updated = max(status.updated, self.before.most_updated)
        elif state == pb.Rollout.ROLLED_BACK and self.before.revision == self.target.revision:
            status.start_time.CopyFrom(self.before.start_time)
            status.last_progress_time.CopyFrom(self.before.last_progress_time)
        else:
            status.most_updated = status.updated
            status.start_time.FromDatetime(self.now)
            status.last_progress_time.FromDatetime(self.now)
        return status

    def _find_failing(self, progress: Progress) -> None:
        assert progress.status is not None  # noqa: S101  # for the type checker; the caller made it
        began = progress.status.start_time.ToNanoseconds()
        for slot in self.slots:
            tried = [it for it in (*slot.current, *slot.ended) if it.spec.revision == self.target.revision]
            if tried and (why := failing(tried[0], self.target.spec, alone=not slot.outdated)):
                progress.failing[slot.number] = Failing(tried[0].metadata.name, why)
                # What was there before is no failure of this update; it is tried once more.
                if tried[0].metadata.create_time.ToNanoseconds() >= began:
                    progress.status.failed_slots.append(slot.number)
        failed = sorted(set(progress.status.failed_slots))
        del progress.status.failed_slots[:]
        progress.status.failed_slots.extend(failed)

    def _judge(self, progress: Progress) -> None:
        """Whether it has failed, and what is done then."""
        status, config = progress.status, self.target.spec.update
        assert status is not None  # noqa: S101  # for the type checker; the caller made it
        why = "; ".join(map(str, list(progress.failing.values())[:3]))
        status.message = why
        borne = len(status.failed_slots) <= config.max_failure_ratio * len(self.slots) + 1e-6
        if not borne and config.failure_action != CONTINUE:
            progress.verdict = self._failed(CONTAINERS_FAILED, why or "containers of it have failed")
            return
        deadline = config.deadline.ToTimedelta() if config.HasField("deadline") else DEFAULT_DEADLINE
        left = status.last_progress_time.ToDatetime(self.now.tzinfo) + deadline - self.now
        if left <= timedelta(0) and config.failure_action == CONTINUE and self._left_to_the_end(status):
            status.last_progress_time.FromDatetime(self.now)
            left = deadline
        if left <= timedelta(0):
            message = f"no progress for {_in_words(deadline)}" + (f": {why or self._laggards()}")
            progress.verdict = self._failed(DEADLINE, message)
            return
        progress.going = True
        progress.wakes.append(left)

    def _left_to_the_end(self, status: pb.Rollout) -> bool:
        """Has the slots that do not get ready count as failed, when there are others to go on with."""
        late = [slot.number for slot in self.slots if slot.current and not slot.settled(self.target.spec, self.now)]
        others = [slot for slot in self.slots if slot.outdated and not slot.current]
        if not set(late) - set(status.failed_slots) or not others:
            return False
        failed = sorted({*late, *status.failed_slots})
        del status.failed_slots[:]
        status.failed_slots.extend(failed)
        return True

    def _laggards(self) -> str:
        late = [it for slot in self.slots for it in slot.current if not it.status.ready]
        told = [f"{it.metadata.name}: {it.status.message or 'not ready'}" for it in late]
        return "; ".join(told[:3]) or "nothing could be begun"

    def _failed(self, reason: str, message: str) -> Verdict:
        revision = self.target.revision
        if self.target.failed is not None:
            return Verdict(revision, reason, f"the rollback failed: {message}")
        if self.target.spec.update.failure_action != ROLL_BACK:
            return Verdict(revision, reason, message)
        if earlier := self._earlier():
            return Verdict(revision, reason, message, rolled_back_to=earlier)
        return Verdict(revision, reason, f"{message} (and there is no earlier revision to go back to)")

    def _earlier(self) -> str:
        """The revision that most of what still serves is of, else the newest one that has worked; or none."""
        known = {it.revision: it for it in self.revisions if not it.failure and it.revision != self.target.revision}
        serving = [
            it.spec.revision
            for slot in self.slots
            for it in slot.outdated
            if it.status.ready and it.spec.revision in known
        ]
        if serving:
            return max(sorted(set(serving)), key=serving.count)
        worked = [it for it in known.values() if it.worked]
        return max(worked, key=lambda it: it.number).revision if worked else ""


def failing(container: pb.Container, spec: pb.ServiceSpec, *, alone: bool) -> str:
    """Why a container of a new revision is no good; empty while nothing speaks against it.

    ``alone``: it has taken its slot over, so that its health later on is not the update's business any more. One
    that was ended or taken away by hand is not its revision's fault.
    """
    status = container.status
    if status.state == State.EXITED:
        if completed(container, spec) and status.exit_code == 0:
            return ""
        by_itself = status.HasField("exit_code") and not parse_restart(container.spec.restart).restarts(status)
        return describe_end(status) if (by_itself or container.spec.stopped) and _soon(status, spec) else ""
    if status.health == pb.Health.UNHEALTHY and (not alone or _soon(status, spec)):
        return "unhealthy"
    if status.restart_count and _soon(status, spec):
        again = "once" if status.restart_count == 1 else f"{status.restart_count} times"
        return f"{describe_end(status)}, restarted {again}"
    if status.reason in HOPELESS and not status.HasField("ready_at"):
        return status.message
    return ""


def _soon(status: pb.ContainerStatus, spec: pb.ServiceSpec) -> bool:
    """Whether its last end came before it was ready, or shortly after."""
    if not status.HasField("ready_at"):
        return True
    monitor = spec.update.monitor.ToTimedelta() if spec.update.HasField("monitor") else DEFAULT_MONITOR
    if not status.HasField("finished_at"):
        return False
    return status.finished_at.ToDatetime() - status.ready_at.ToDatetime() < monitor


def _in_words(span: timedelta) -> str:
    seconds = span.total_seconds()
    return f"{seconds / 60:g} min" if seconds >= 60 and seconds % 60 == 0 else f"{seconds:g} s"
