"""One service whose containers do what a test says, planned pass by pass in moved time."""

from datetime import timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration

from handlers.admission import fill_in
from handlers.operations import Amend, Create, Delete, Operation, Release, Stop
from handlers.planner import Plan, plan
from handlers.revision import revision_of, template_of
from proto.dockrunner import v1 as pb

from .world import NOW, State, carry_out

HEALTHY, UNHEALTHY = pb.Health.HEALTHY, pb.Health.UNHEALTHY


def seconds(number: float) -> Duration:
    """So many seconds, as a spec has them."""
    span = Duration()
    span.FromTimedelta(timedelta(seconds=number))
    return span


class Web:
    """A service called web. ``plan`` is the answer of the last pass, which was carried out and remembered as by the
    service's controller."""

    plan: Plan

    def __init__(self) -> None:
        self.now = NOW
        self.service = pb.Service(metadata=pb.Metadata(name="web", uid="web"))
        self.containers: list[pb.Container] = []
        self.revisions: dict[str, pb.ServiceRevision] = {}
        self.waits_for = ""

    # What somebody wants.

    def declare(self, image: str, replicas: int = 1, **spec: Any) -> None:
        """Another specification in place of the one before."""
        wanted = pb.ServiceSpec(image=image, replicas=replicas, **spec)
        fill_in(wanted)
        self.service.spec.CopyFrom(wanted)
        self.keep_revision()

    def keep_revision(self) -> None:
        """As ``handlers.revision_history.keep_revision``."""
        revision = revision_of(self.service.spec)
        newest = max(self.revisions.values(), key=lambda it: it.number, default=pb.ServiceRevision())
        if newest.revision == revision:
            return
        for it in self.containers:
            if it.status.ready and it.spec.revision in self.revisions:
                self.revisions[it.spec.revision].worked = True
        self.revisions[revision] = pb.ServiceRevision(
            service="web", revision=revision, number=newest.number + 1, template=template_of(self.service.spec)
        )

    @property
    def kept(self) -> pb.ServiceRevision:
        """What is kept of the declared revision."""
        return self.revisions[revision_of(self.service.spec)]

    def resume(self) -> None:
        """Somebody has the rollout go on."""
        self.service.spec.paused = False
        for it in self.revisions.values():
            if it.failure and not (it.rolled_back_to and it is self.kept):
                it.failure = it.failure_reason = ""

    # What the program does.

    def step(self) -> list[str]:
        """One pass; its operations in short: ``create 1 web:2``, ``delete 1 web:1``."""
        self.plan = plan(
            self.service, self.containers, self.now, revisions=list(self.revisions.values()), waits_for=self.waits_for
        )
        told = [_in_short(it) for it in self.plan.operations]
        before = len(self.containers)
        carry_out(self.plan, self.service, self.containers)
        for number, made in enumerate(self.containers[before:], before):
            made.metadata.create_time.FromDatetime(self.now + timedelta(microseconds=number))
        self.service.status.ClearField("rollout")
        if self.plan.rollout is not None:
            self.service.status.rollout.CopyFrom(self.plan.rollout)
        if (verdict := self.plan.verdict) is not None:
            kept = self.revisions[verdict.revision]
            kept.failure, kept.failure_reason = verdict.message, verdict.reason
            kept.rolled_back_to = verdict.rolled_back_to
        return told

    def wait(self, time: float) -> None:
        """So many seconds go by."""
        self.now += timedelta(seconds=time)

    @property
    def rollout(self) -> pb.Rollout:
        return self.service.status.rollout

    @property
    def look_again(self) -> float | None:
        """Seconds until the next pass, though nothing happens."""
        return None if self.plan.look_again is None else self.plan.look_again.total_seconds()

    @property
    def serving(self) -> list[str]:
        """The images of what is ready and stays, slot by slot."""
        ready = [it for it in self.containers if it.status.ready and not it.metadata.HasField("delete_time")]
        return [it.spec.template.image for it in sorted(ready, key=lambda it: it.spec.slot)]

    # What happens to containers: to the newest of a slot, unless it is said which.

    def of(self, slot: int, image: str = "") -> pb.Container:
        found = [it for it in self.containers if it.spec.slot == slot and not it.metadata.HasField("delete_time")]
        return [it for it in found if image in ("", it.spec.template.image)][-1]

    def made(self, slot: int) -> None:
        """It is in Docker, and was not started."""
        self.of(slot).status.state = State.CREATED

    def started(self, slot: int, health: pb.Health.Status.ValueType = pb.Health.STARTING) -> pb.ContainerStatus:
        """It runs and is not ready yet."""
        status = self.of(slot).status
        status.state, status.health = State.RUNNING, health
        status.started_at.FromDatetime(self.now)
        return status

    def up(self, *slots: int, health: pb.Health.Status.ValueType = HEALTHY) -> None:
        """They run and are ready."""
        for slot in slots:
            status = self.started(slot, health)
            status.ready = True
            if not status.HasField("ready_at"):
                status.ready_at.FromDatetime(self.now)

    def crash(self, slot: int, times: int = 1) -> None:
        """Its process ends by itself, and Docker starts it again."""
        status = self.of(slot).status
        status.state, status.ready, status.exit_code = State.RESTARTING, False, 1
        status.restart_count += times
        status.finished_at.FromDatetime(self.now)

    def end(self, slot: int, exit_code: int | None, image: str = "") -> None:
        """It ends for good; without an exit code it vanishes."""
        status = self.of(slot, image).status
        status.state, status.ready = State.EXITED, False
        status.finished_at.FromDatetime(self.now)
        if exit_code is not None:
            status.exit_code = exit_code

    def sick(self, slot: int, image: str = "") -> None:
        """Its health check fails."""
        status = self.of(slot, image).status
        status.health, status.ready = UNHEALTHY, False

    def stuck(self, slot: int, reason: str, message: str) -> None:
        """It can't be made or started."""
        status = self.of(slot).status
        status.reason, status.message = reason, message

    def gone(self) -> None:
        """What is on its way out is out."""
        self.containers = [it for it in self.containers if not it.metadata.HasField("delete_time")]


def running(image: str = "web:1", replicas: int = 1, **spec: Any) -> Web:
    """A service that runs as declared."""
    web = Web()
    web.declare(image, replicas, **spec)
    web.step()
    web.up(*range(1, replicas + 1))
    assert web.step() == []
    web.wait(100)
    return web


def crash_at_once(web: Web, slot: int) -> None:
    """The newest container of a slot starts, and crashes before it was ready."""
    web.started(slot)
    web.crash(slot)


def _in_short(operation: Operation) -> str:
    match operation:
        case Create(slot=slot, template=template, held=held):
            return f"create {slot} {template.image}" + (", held" if held else "")
        case Delete(container=it) | Stop(container=it) | Release(container=it) | Amend(container=it):
            return f"{type(operation).__name__.lower()} {it.spec.slot} {it.spec.template.image}"
