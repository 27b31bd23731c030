"""One service as chance would have it: containers that come up, fail, are killed and vanish while plans are carried
out, and what must be true all the way."""

import itertools
from datetime import datetime, timedelta
from random import Random

from handlers.admission import fill_in
from handlers.instance import Instance
from handlers.operations import Amend, Create, Delete, Release, Stop
from handlers.planner import Plan, plan
from handlers.ports import host_ports
from handlers.revision import revision_of, template_of
from handlers.slots import completed
from proto.dockrunner import v1 as pb

from .world import NOW, State

GOOD, BAD = ("web:1", "web:2", "web:3"), ("bad:1", "bad:2")
COMING_UP = (State.PENDING, State.PULLING, State.CREATED, State.STARTING)


class Broken(AssertionError):
    """Something that must always be true is not."""


class World:
    """A service, its containers and its revisions; ``told`` is what happened, for people."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.told: list[str] = []
        self.now = NOW
        self.service = pb.Service(metadata=pb.Metadata(name="web", uid="web"))
        self.containers: list[pb.Container] = []
        self.revisions: dict[str, pb.ServiceRevision] = {}
        self._serial = itertools.count(1)
        self._numbers = itertools.count(1)
        self._surge = 0

    # What somebody wants.

    def declare(self, *, good: bool = False) -> None:
        """Another specification, which may be one that cannot work."""
        random, spec = self.random, pb.ServiceSpec()
        bad = not good and random.random() < 0.4
        spec.image = random.choice(BAD if bad else GOOD)
        spec.replicas = random.randint(0 if good else 1, 4)
        spec.restart = random.choice(("always", "always", "on-failure", "replace"))
        ports = random.choice(("", "", "8080-8089", "8080-8083"))
        if ports:
            spec.ports.add(target=80, published=ports)
        if random.random() < 0.2:
            spec.volumes.add(type="volume", source="data", target="/data")
        update = spec.update
        update.parallelism = random.choice((0, 1, 1, 2))
        update.order = random.choice(("", "start-first", "stop-first"))
        update.failure_action = random.choice(("", "pause", "continue", "rollback", "rollback"))
        update.max_failure_ratio = random.choice((0.0, 0.0, 0.5))
        update.delay.FromTimedelta(timedelta(seconds=random.choice((0, 0, 3))))
        update.deadline.FromTimedelta(timedelta(seconds=random.choice((30, 120))))
        if random.random() < 0.3:
            update.monitor.FromTimedelta(timedelta(seconds=random.choice((0, 2))))
        fill_in(spec)
        self.service.spec.CopyFrom(spec)
        self._say(f"declare {spec.image} x{spec.replicas} {spec.restart} {ports} {update}".replace("\n", " "))
        self._keep()

    def _keep(self) -> None:
        revision = revision_of(self.service.spec)
        newest = max(self.revisions.values(), key=lambda it: it.number, default=None)
        if newest is not None and newest.revision == revision:
            return
        for container in self.containers:
            if container.status.ready:
                self.revisions[container.spec.revision].worked = True
        kept = pb.ServiceRevision(
            metadata=pb.Metadata(name=f"web.{revision}"), service="web", revision=revision,
            number=next(self._numbers), template=template_of(self.service.spec),
        )  # fmt: skip
        self.revisions[revision] = kept

    @property
    def stopped(self) -> bool:
        """Whether a rollout of what may work was stopped, or taken back, for what chance did to it."""
        kept = self.revisions.get(revision_of(self.service.spec))
        return kept is not None and kept.failure != "" and not self.service.spec.image.startswith("bad")

    def resume(self) -> None:
        """Somebody has it tried once more."""
        kept = self.revisions[revision_of(self.service.spec)]
        kept.failure = kept.failure_reason = kept.rolled_back_to = ""
        self._say("resume")

    # What the program does.

    def step(self) -> Plan:
        """One pass of the service's controller, whose answer is carried out; checks that it took away nothing."""
        answer = plan(self.service, self.containers, self.now, revisions=list(self.revisions.values()))
        before = self.serving()
        for operation in answer.operations:
            self._carry_out(operation)
        self._check_nothing_taken(answer, before)
        self.service.status.ClearField("rollout")
        if answer.rollout is not None:
            self.service.status.rollout.CopyFrom(answer.rollout)
        if answer.verdict is not None:
            self._say(f"verdict {answer.verdict}")
            kept = self.revisions[answer.verdict.revision]
            kept.failure, kept.failure_reason = answer.verdict.message, answer.verdict.reason
            kept.rolled_back_to = answer.verdict.rolled_back_to
        self._check()
        return answer

    def _carry_out(self, operation: object) -> None:
        match operation:
            case Create():
                made = Instance("default").container(self.service, operation)
                made.metadata.name = f"web-{operation.slot}-{next(self._serial):03}"
                made.metadata.create_time.FromDatetime(self.now)
                self.containers.append(made)
                self._say(f"create {made.metadata.name} {made.spec.template.image} held={made.spec.held}")
            case Delete(container=it, cause=cause):
                it.metadata.delete_time.FromDatetime(self.now)
                self._say(f"delete {it.metadata.name}: {cause}")
            case Stop(container=it, cause=cause):
                it.spec.stopped = True
                self._say(f"stop {it.metadata.name}: {cause}")
            case Release(container=it, cause=cause):
                it.spec.held = False
                self._say(f"release {it.metadata.name}: {cause}")
            case Amend(container=it, wanted=wanted):
                it.spec.CopyFrom(wanted)

    # What happens to containers.

    def let_time_pass(self, *, eager: bool, hostile: bool) -> bool:
        """A second or so; some containers move on, in the end (``eager``) all do. Whether any could."""
        self.now += timedelta(seconds=self.random.choice((0.2, 1, 1, 5)))
        could = False
        for it in list(self.containers):
            if hostile and self.random.random() < 0.06:
                self._harm(it)
            elif eager or self.random.random() < 0.5:
                could |= self._move(it)
        return could

    def _move(self, it: pb.Container) -> bool:
        status = it.status
        if it.metadata.HasField("delete_time"):
            self.containers.remove(it)
            return True
        if it.spec.stopped and status.state != State.EXITED:
            self._end(it, 143)
            return True
        if status.state in (State.PENDING, State.PULLING):
            status.state = State.CREATED
            return True
        if status.state in (State.CREATED, State.STARTING) and not it.spec.held:
            status.state = State.RUNNING
            status.started_at.FromDatetime(self.now)
            if not it.spec.template.image.startswith("bad") or self.random.random() < 0.3:
                status.ready = True
                if not status.HasField("ready_at"):
                    status.ready_at.FromDatetime(self.now)
            return True
        if status.state == State.RUNNING and it.spec.template.image.startswith("bad"):
            self._fail(it)
            return True
        if status.state == State.RESTARTING:
            status.state = State.RUNNING
            status.started_at.FromDatetime(self.now)
            return True
        return False

    def _fail(self, it: pb.Container) -> None:
        """What a bad image does: it ends again and again."""
        it.status.exit_code = 1
        it.status.ready = False
        it.status.finished_at.FromDatetime(self.now)
        if it.spec.restart in ("always", "on-failure"):
            it.status.state, it.status.restart_count = State.RESTARTING, it.status.restart_count + 1
        else:
            it.status.state = State.EXITED

    def _harm(self, it: pb.Container) -> None:
        how = self.random.choice(("kill", "vanish", "sick"))
        if it.status.state != State.RUNNING:
            return
        self._say(f"{how} {it.metadata.name}")
        if how == "kill":
            self._end(it, 137)
        elif how == "vanish":
            self._end(it, None)
        else:
            it.status.health, it.status.ready = pb.Health.UNHEALTHY, False

    def _end(self, it: pb.Container, exit_code: int | None) -> None:
        it.status.state, it.status.ready = State.EXITED, False
        it.status.finished_at.FromDatetime(self.now)
        if exit_code is not None:
            it.status.exit_code = exit_code

    # What must be true.

    def serving(self) -> set[int]:
        """The slots where something is ready, or has done what is wanted."""
        staying = [it for it in self.containers if not it.metadata.HasField("delete_time")]
        return {it.spec.slot for it in staying if it.status.ready or completed(it, self.service.spec)}

    @property
    def parallelism(self) -> int:
        spec = self.service.spec
        rollout = self.service.status.rollout.state
        back = rollout in (pb.Rollout.ROLLING_BACK, pb.Rollout.ROLLED_BACK)
        return 1 if back else spec.update.parallelism or max(1, spec.replicas)

    def _check_nothing_taken(self, answer: Plan, before: set[int]) -> None:
        """No plan takes away what serves, but as many as are replaced at once where old and new can't be together."""
        replicas, after = self.service.spec.replicas, self.serving()
        stop_first = any("stop-first" in step.cause for step in answer.operations if isinstance(step, Delete))
        allowed = max(self.parallelism, self.service.spec.update.parallelism or replicas) if stop_first else 0
        if len(after) < min(len(before), replicas - allowed):
            raise Broken(f"a plan took away what served: {sorted(before)} to {sorted(after)}")

    def _check(self) -> None:
        staying = [
            it
            for it in self.containers
            if not it.metadata.HasField("delete_time") and it.status.state != State.EXITED and not it.spec.held
        ]
        spec = self.service.spec
        # What an earlier declaration let be begun is ended in its own time.
        self._surge = max(self._surge, spec.update.parallelism or spec.replicas, 1)
        most = max(1, spec.replicas) + self._surge
        if len(staying) > most:
            raise Broken(f"{len(staying)} containers, and {most} are the most")
        running = [it for it in self.containers if it.status.state != State.EXITED and not it.spec.held]
        ports = [(host_ports(port), it) for it in running for port in it.spec.template.ports]
        for number, (port, one) in enumerate(ports):
            for other_port, other in ports[:number]:
                if port and other_port and one is not other and port.collides(other_port):
                    raise Broken(f"{one.metadata.name} and {other.metadata.name} have one port")

    def _say(self, text: str) -> None:
        self.told.append(f"{(self.now - NOW).total_seconds():8.1f}  {text}")


def moment(time: datetime) -> str:
    """A moment of a world, for people."""
    return f"{(time - NOW).total_seconds():.1f} s"
