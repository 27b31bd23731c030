"""kill -9 at any moment: what was acknowledged is there after the restart, and what was not is whole or absent."""

import itertools
import logging
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from proto.dockrunner import v1 as pb
from tests.system.program import Program

# How often the process is killed. KILLS=200 is the long way.
KILLS = int(os.environ.get("KILLS", "15"))
SET = ("set-x", "set-y", "set-z")

logger = logging.getLogger(__name__)


@dataclass
class Declarer:
    """A client that declares without a pause, and notes what it asked for and what was acknowledged."""

    names: tuple[str, ...]
    acknowledged: int = -1
    asked: int = -1
    numbers: Iterator[int] = field(default_factory=itertools.count)
    thread: threading.Thread | None = None
    first: threading.Event = field(default_factory=threading.Event)

    def begin(self, program: Program) -> None:
        self.first.clear()
        self.thread = threading.Thread(target=self._declare, args=(program.api,))
        self.thread.start()

    def _declare(self, api: "object") -> None:
        for number in self.numbers:
            self.asked = number
            services = [
                pb.Service(metadata=pb.Metadata(name=name), spec=pb.ServiceSpec(image=f"web:{number}", replicas=0))
                for name in self.names
            ]
            try:
                if len(services) == 1:
                    api.Apply(pb.ApplyRequest(service=services[0]))  # type: ignore[attr-defined]  # the stub is untyped
                else:
                    api.ApplySet(pb.ApplySetRequest(services=services))  # type: ignore[attr-defined]  # likewise
            except (grpc.RpcError, ValueError):  # nobody answers any more; or the channel is closed already
                return
            self.acknowledged = number
            self.first.set()

    def check(self, program: Program) -> None:
        """What is there now, after a restart."""
        found = {program.service(name).spec.image for name in self.names}
        assert len(found) == 1, f"of a set only a part is there: {found}"
        number = int(found.pop().removeprefix("web:"))
        assert self.acknowledged <= number <= self.asked


def test_every_acknowledged_apply_is_there_after_each_kill(tmp_path: Path) -> None:
    declarers = [Declarer(("one",)), Declarer(("two",)), Declarer(SET)]
    with Program(tmp_path, "--engine", "memory", "--log-level", "warning") as program:
        for turn in range(KILLS):
            program.start()
            if turn:
                for declarer in declarers:
                    declarer.check(program)
            for declarer in declarers:
                declarer.begin(program)
            # Right after an acknowledgement, each time of another client; the others are in the midst of it.
            for declarer in declarers:
                assert declarer.first.wait(30)
            watched = declarers[turn % len(declarers)]
            watched.first.clear()
            assert watched.first.wait(30)
            program.signal(signal.SIGKILL)
            for declarer in declarers:
                assert declarer.thread is not None
                declarer.thread.join(30)
        program.start()
        for declarer in declarers:
            declarer.check(program)
    logger.info("%d kills; acknowledged: %s", KILLS, [declarer.acknowledged + 1 for declarer in declarers])
