"""One history: a program, an engine and a disk, and what chance does to them."""

import asyncio
import hashlib
import itertools
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any
from unittest import mock

import grpc

from controller.control_plane.codes import code_of
from controller.control_plane.servicer import ControlPlane
from controller.errors import DockRunnerError
from controller.metrics import Metrics
from controller.program import Program
from controller.scheduler.engine import CreateRequest
from controller.store import CONTAINER, SERVICE, Change
from proto.dockrunner import v1 as pb
from tests.clock import ManualClock

from .engine import FaultyEngine
from .journal import Disk, SimulatedJournal

State = pb.ContainerStatus

NAMES = ("a", "b", "c")
IMAGES = ("web:1", "web:2", "web:3")
# Seconds within which all is as declared once nothing goes wrong any more. The longest backoff is 1000 s.
PATIENCE = 2500.0


class Broken(AssertionError):
    """An invariant does not hold."""


class History:
    """``tell`` is given each step in words."""

    def __init__(self, seed: int, tell: Callable[[str], None] = lambda _: None) -> None:
        self.seed = seed
        self._random = Random(seed)
        self._tell = tell
        self.clock = ManualClock()
        self.engine = FaultyEngine(self.clock, Random(seed + 1))
        self.disk = Disk()
        self.digest = hashlib.sha256()
        self._steps = 0
        # What was acknowledged, and what else may be true because nobody heard how it ended.
        self._declared: dict[str, pb.ServiceSpec | None] = {}
        self._doubtful: dict[str, list[pb.ServiceSpec | None]] = {}
        self._calls: dict[asyncio.Task[Any], tuple[str, pb.ServiceSpec | None]] = {}
        self._foreign: list[str] = []
        self._broken: list[str] = []
        self._surge: dict[str, int] = {}
        self._crashed: set[str] = set()

    async def run(self) -> None:
        """Lives the history, and asks for the invariants all the way."""
        with _certain_uuids(Random(self.seed + 2)):
            await self._strangers()
            await self._begin()
            try:
                self.engine.faulty = True
                for _ in range(self._random.randint(4, 12)):
                    await self._step()
                await self._calm()
            finally:
                await self._kill()

    # The program.

    async def _begin(self) -> None:
        self.journal = SimulatedJournal(self.disk, self.clock, Random(self._random.random()))
        self.metrics = Metrics()
        self.program = program = Program(self.engine, self.journal, self.clock, self.metrics, workers=2)
        program.operator.seed(self._random.random())
        await program.restore()
        self._check_what_was_read_back()
        program.store.subscribe(CONTAINER, self._watch_container)
        self.api: Any = ControlPlane(  # its contexts are of no use here
            program.store, program.recorder, program.admission, program.persistence, self.metrics, self.clock
        )
        self._tasks = [
            asyncio.create_task(program.persistence.run()),
            asyncio.create_task(program.informer.run()),
            asyncio.create_task(self._operate()),
        ]
        await self._pass(0)

    async def _operate(self) -> None:
        await self.program.informer.synced.wait()
        await self.program.operator.start()

    async def _kill(self) -> None:
        """As kill -9: nothing is ended in good order, and what was being written may be there or not."""
        self.journal.die()
        for task in self._calls:
            name, spec = self._calls[task]
            self._doubtful.setdefault(name, []).append(spec)
        current = asyncio.current_task()
        others = [task for task in asyncio.all_tasks() if task is not current]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        self._calls.clear()
        self.program.operator.abandon()

    # What happens.

    async def _step(self) -> None:
        choices: list[tuple[int, Callable[[], Any]]] = [
            (6, self._declare), (2, self._scale), (2, self._delete), (4, self._harm), (1, self._away),
            (1, self._fill_disk), (2, self._crash), (1, self._restart_service), (2, lambda: None),
        ]  # fmt: skip
        (act,) = self._random.choices([act for _, act in choices], [weight for weight, _ in choices])
        result = act()
        if result is not None:
            await result
        await self._pass(self._random.choice((0.0, 0.05, 0.5, 3.0, 12.0)))

    def _declare(self) -> None:
        name = self._random.choice(NAMES)
        spec = pb.ServiceSpec(
            image=self._random.choice(IMAGES), replicas=self._random.randint(0, 3),
            restart=self._random.choice(("always", "unless-stopped", "on-failure")),
        )  # fmt: skip
        if self._random.random() < 0.2:
            start = 8000 + 10 * NAMES.index(name)
            spec.ports.add(target=80, published=f"{start}-{start + self._random.randint(2, 3)}")
        if self._random.random() < 0.5:
            spec.update.parallelism = self._random.choice((0, 1, 2))
            spec.update.order = self._random.choice(("start-first", "stop-first"))
            spec.update.failure_action = self._random.choice(("continue", "pause", "rollback"))
            spec.update.delay.seconds = self._random.choice((0, 0, 5))
        service = pb.Service(metadata=pb.Metadata(name=name), spec=spec)
        update = f"{spec.update}".replace("\n", " ")
        ports = [port.published for port in spec.ports]
        self._say(f"declare {name}: {spec.image} x{spec.replicas} {spec.restart} {ports} {update}")
        self._ask(name, spec, self.api.Apply(pb.ApplyRequest(service=service), None))

    def _scale(self) -> None:
        name, replicas = self._random.choice(NAMES), self._random.randint(0, 4)
        known = self._declared.get(name)
        if known is None or name in self._doubtful or any(busy == name for busy, _ in self._calls.values()):
            return
        spec = pb.ServiceSpec()
        spec.CopyFrom(known)
        spec.replicas = replicas
        self._say(f"scale {name} to {replicas}")
        self._ask(name, spec, self.api.Scale(pb.ScaleRequest(name=name, replicas=replicas), None))

    def _delete(self) -> None:
        name = self._random.choice(NAMES)
        self._say(f"delete {name}")
        self._ask(name, None, self.api.Delete(pb.DeleteRequest(name=name), None))

    def _restart_service(self) -> None:
        name = self._random.choice(NAMES)
        self._say(f"restart {name}")
        self._call(self.api.Restart(pb.RestartRequest(name=name), None))

    def _call(self, call: Any) -> None:
        """Asks for what may be refused, and goes on: no call is answered while the time stands still."""

        async def ask() -> None:
            await call

        task = asyncio.create_task(ask())
        task.add_done_callback(lambda it: it.cancelled() or it.exception())

    def _ask(self, name: str, spec: pb.ServiceSpec | None, call: Any) -> None:
        task = asyncio.create_task(call)
        self._calls[task] = name, spec
        task.add_done_callback(self._answered)

    def _answered(self, task: "asyncio.Task[Any]") -> None:
        name, spec = self._calls.pop(task, ("", None))
        if not name or task.cancelled():
            return
        error = task.exception()
        if error is None:
            self._declared[name] = spec
            self._doubtful.pop(name, None)
        elif not isinstance(error, DockRunnerError):
            self._broken.append(f"a call failed with {error!r}")
        elif code_of(error) is grpc.StatusCode.INTERNAL:
            self._broken.append(f"a call was answered INTERNAL: {error}")
        else:
            self._say(f"refused: {error}")

    def _harm(self) -> None:
        ours = [id_ for id_, container in self.engine.containers.items() if id_ not in self._foreign]
        if not ours or self.engine.is_away:
            return
        victim, how = self._random.choice(ours), self._random.choice(("kill", "crash", "discard", "stop"))
        self._say(f"{how} {self.engine.containers[victim].request.name} by hand")
        if how == "crash":
            self._crashed.add(self.engine.containers[victim].request.labels["dock-runner.service"])
        getattr(self.engine, "kill" if how == "stop" else how)(victim)

    def _away(self) -> None:
        if self.engine.is_away:
            self._say("the engine is back")
            self.engine.come_back()
        else:
            self._say("the engine goes away")
            self.engine.go_away()

    def _fill_disk(self) -> None:
        self.disk.full = not self.disk.full
        self._say(f"the disk is {'full' if self.disk.full else 'free again'}")

    async def _crash(self) -> None:
        self._say("kill -9")
        await self._kill()
        await self._begin()

    async def _strangers(self) -> None:
        """Containers of others: of another instance, and one with our labels by another name."""
        for name, instance in (("other-a-1-aaaaa", "other"), ("a-1-bbbbb", "default")):
            labels = {
                "dock-runner.instance": instance, "dock-runner.service": "a", "dock-runner.slot": "1",
                "dock-runner.uid": f"uid of {name}", "dock-runner.revision": "1-0", "dock-runner.manager": "api",
            }  # fmt: skip
            request = CreateRequest(name, f"uid of {name}", pb.ServiceSpec(image="x"), "no", labels, {})
            id_ = await self.engine.create(request)
            await self.engine.start(id_)
            self._foreign.append(id_)

    # What must be true.

    async def _pass(self, seconds: float) -> None:
        await self.clock.advance(seconds)
        self._check()

    def _check(self) -> None:
        self._steps += 1
        if self._broken:
            raise Broken("; ".join(self._broken))
        for id_ in self._foreign:
            container = self.engine.containers.get(id_)
            if container is None or container.status.state != State.RUNNING:
                raise Broken("a container of somebody else was touched")
        for service in self.program.store.list(SERVICE):
            self._check_number(service)
        self._note("|".join(self._standing()))

    def _check_number(self, service: pb.Service) -> None:
        if service.status.observed_generation != service.metadata.generation or service.metadata.HasField(
            "delete_time"
        ):
            return
        name = service.metadata.name
        staying = [
            it
            for it in self.program.store.list(CONTAINER, index="service", value=name)
            if not it.metadata.HasField("delete_time") and it.status.state != State.EXITED and not it.spec.held
        ]
        spec = service.spec
        at_once = (spec.update.parallelism or spec.replicas) if spec.update.HasField("parallelism") else 1
        # What an earlier declaration let be begun is ended in its own time.
        self._surge[name] = max(self._surge.get(name, 1), at_once)
        if len(staying) > spec.replicas + self._surge[name]:
            raise Broken(f"{name} has {len(staying)} containers for {service.spec.replicas} replicas")

    def _watch_container(self, change: Change[pb.Container]) -> None:
        """No slot that serves is emptied by ourselves, but for a change that asks for it."""
        old, new = change.old, change.new
        if old is None or new is None or change.type != pb.MODIFIED:
            return
        if old.metadata.HasField("delete_time") or not new.metadata.HasField("delete_time") or not old.status.ready:
            return
        service = self.program.store.find(SERVICE, new.spec.service)
        if service is None or service.metadata.HasField("delete_time") or service.spec.ports:
            return
        if service.spec.update.order == "stop-first":
            return
        others = [
            it
            for it in self.program.store.list(CONTAINER, index="service", value=new.spec.service)
            if not it.metadata.HasField("delete_time") and it.status.ready
        ]
        slots = {it.spec.slot for it in others}
        if new.spec.slot not in slots and len(slots) < service.spec.replicas:
            self._broken.append(f"{new.metadata.name} served alone in its slot and was taken away")

    def _check_what_was_read_back(self) -> None:
        """What was acknowledged is there; what was not is there whole, or not at all."""
        for name in NAMES:
            found = self.program.store.find(SERVICE, name)
            known = found.spec if found is not None and not found.metadata.HasField("delete_time") else None
            wanted = [self._declared.get(name), *self._doubtful.get(name, ())]
            if not any(_same(known, spec) for spec in wanted):
                raise Broken(f"{name} was read back as {known}, and should be one of {wanted}")
            self._declared[name] = _bare(known)
        self._doubtful.clear()

    async def _calm(self) -> None:
        """Nothing goes wrong any more: all comes to be as declared, and then nothing happens at all."""
        self.engine.faulty, self.disk.full = False, False
        self._say("calm")
        if self.engine.is_away:
            self.engine.come_back()
        spent = 0.0
        await self._pass(0.1)
        while self._calls or not self._converged():
            self._resume_what_crashed()
            pause = 1.0 if spent < 30 else 20.0
            if (spent := spent + pause) > PATIENCE:
                raise Broken(f"after {spent:g} s: {self._standing()} instead of {self._declared}")
            await self._pass(pause)
        await self._pass(65)
        if not self._converged():
            raise Broken(f"it did not stay: {self._standing()}")
        version, calls = self.program.store.version, self.engine.calls.copy()
        await self._pass(61)
        made = self.engine.calls - calls
        if self.program.store.version != version or set(made) - {"ping", "list"}:
            raise Broken(f"nothing is to be done, and yet {dict(made)} was called, or something was written")

    def _resume_what_crashed(self) -> None:
        """A process that ends by itself in an update is a reason to stop that, and then somebody has to say that it
        shall go on; nothing else is."""
        for service in self.program.store.list(SERVICE):
            name, state = service.metadata.name, service.status.rollout.state
            if name in self._crashed and state == pb.Rollout.FAILED:
                self._say(f"resume {name}")
                self._call(self.api.SetPaused(pb.SetPausedRequest(name=name, paused=False), None))
            elif name in self._crashed and state == pb.Rollout.ROLLED_BACK:
                self._say(f"restart {name}, which was taken back")
                self._call(self.api.Restart(pb.RestartRequest(name=name), None))

    def _converged(self) -> bool:
        services = {it.metadata.name: it for it in self.program.store.list(SERVICE)}
        wanted = {name: spec for name, spec in self._declared.items() if spec is not None}
        if set(services) != set(wanted) or not all(_same(services[name].spec, wanted[name]) for name in wanted):
            return False
        expected = sorted(
            f"{name}/{slot} {spec.image}"
            for name, spec in wanted.items()
            for slot in itertools.islice(itertools.count(), spec.replicas)
        )
        running = [it for id_, it in self.engine.containers.items() if id_ not in self._foreign]
        if any(it.status.state != State.RUNNING for it in running):
            return False
        found: dict[str, int] = {}
        lines = []
        for it in running:
            name = it.request.labels["dock-runner.service"]
            lines.append(f"{name}/{found.setdefault(name, 0)} {it.request.template.image}")
            found[name] += 1
        if sorted(lines) != expected:
            return False
        return all(
            condition.status == ("False" if condition.type == "Progressing" else "True")
            for service in services.values()
            for condition in service.status.conditions
            if condition.type in ("Ready", "Progressing")
        )

    def _standing(self) -> list[str]:
        containers = self.engine.containers.values()
        return sorted(f"{it.request.name} {State.State.Name(it.status.state)}" for it in containers)

    def _say(self, text: str) -> None:
        self._tell(f"{self.clock.monotonic():9.3f}  {text}")
        self._note(text)

    def _note(self, text: str) -> None:
        self.digest.update(f"{self.clock.monotonic()!r} {text}\n".encode())


def _bare(spec: pb.ServiceSpec | None) -> pb.ServiceSpec | None:
    """What of a spec is declared here; the rest are defaults, and when it was restarted."""
    if spec is None:
        return None
    bare = pb.ServiceSpec(image=spec.image, replicas=spec.replicas, restart=spec.restart)
    for port in spec.ports:
        bare.ports.add(target=port.target, published=port.published)
    if spec.HasField("update"):
        bare.update.CopyFrom(spec.update)
    return bare


def _same(one: pb.ServiceSpec | None, other: pb.ServiceSpec | None) -> bool:
    return _bare(one) == _bare(other)


@contextmanager
def _certain_uuids(random: Random) -> Iterator[None]:
    def certain() -> uuid.UUID:
        return uuid.UUID(int=random.getrandbits(128), version=4)

    with mock.patch.object(uuid, "uuid4", certain):
        yield
