"""Whatever happens in whatever order: each container has the content of its revision, and the safe nothing else."""

import asyncio
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from controller.store import REVISION, SERVICE
from proto.dockrunner import v1 as pb
from tests.unit.handlers.secret_world import World, world

NAMES = ("web", "db")

Step = tuple[str, str, int]
"""What is done, to which service, and a number: a content, or how far back."""

steps = st.lists(
    st.tuples(st.sampled_from(("rotate", "undo", "delete", "scale", "restart", "reboot")), st.sampled_from(NAMES),
              st.integers(0, 4)),
    max_size=14,
)  # fmt: skip


@dataclass
class History:
    """Carries out steps, and knows what each revision of each service should have."""

    machine: World
    wanted: dict[str, bytes] = field(default_factory=dict)

    async def carry_out(self, step: Step) -> None:
        action, name, number = step
        there = self.machine.program.store.find(SERVICE, name) is not None
        match action:
            case "rotate":
                content = f"{name} {number}".encode()
                # Of the same content in two services there is one copy, that both need.
                secrets = [pb.Secret(source="own", content=content), pb.Secret(source="both", content=b"%d" % number)]
                await self.machine.apply(name, replicas=1 + number % 2, secrets=secrets)
                self.wanted[self.machine.revision(name)] = content
            case "undo" if there:
                kept = self.machine.program.store.list(REVISION, index="service", value=name)
                chosen = sorted(kept, key=lambda it: it.number)[number % len(kept)]
                request = pb.RollbackRequest(name=name, revision=chosen.revision)
                await self.machine.api.Rollback(request, None)
                await self.machine.settle()
            case "scale" if there:
                await self.machine.api.Scale(pb.ScaleRequest(name=name, replicas=number), None)
                await self.machine.settle()
            case "delete" if there:
                await self.machine.api.Delete(pb.DeleteRequest(name=name), None)
                await self.machine.settle()
            case "restart" | "reboot":
                await self.machine.stop()
                if action == "reboot":
                    self.machine.lose_files()
                    self.machine.engine.kill_all()
                await self.machine.start()
                await self.machine.settle()

    def check(self) -> None:
        for revision, files in self.machine.engine.files():
            assert files["/run/secrets/own"] == self.wanted[revision]
        assert self.machine.versions() == self.machine.referred_to()
        assert len(self.machine.folders()) == len(self.machine.engine.files())
        services = self.machine.program.store.list(SERVICE)
        assert len(self.machine.engine.files()) == sum(service.spec.replicas for service in services)


@settings(max_examples=40, deadline=None)
@given(steps)
@example([("rotate", "web", 0), ("rotate", "web", 1), ("reboot", "web", 0), ("undo", "web", 0), ("delete", "web", 0)])
@example([("rotate", "web", 1), ("rotate", "db", 1), ("delete", "web", 0), ("restart", "web", 0), ("scale", "db", 3)])
def test_each_container_has_what_its_revision_has_and_in_the_end_nothing_is_left(history: list[Step]) -> None:
    async def run(disk: Path) -> None:
        async with world(disk) as machine:
            played = History(machine)
            for step in history:
                await played.carry_out(step)
                played.check()
            for name in NAMES:
                await played.carry_out(("delete", name, 0))
            assert (machine.versions(), machine.folders()) == (set(), [])

    with tempfile.TemporaryDirectory(prefix="dock-runner-test-") as disk:
        asyncio.run(run(Path(disk)))
