"""How long the program takes to start, and what it holds in memory."""

import socket
import tempfile
import time
from pathlib import Path

from proto.dockrunner import v1 as pb
from tests.system.program import Program, eventually

from .contender import PATIENCE
from .table import Series

LOOK_EVERY = 0.005  # seconds


def start_up(title: str, options: tuple[str, ...], rounds: int) -> list[Series]:
    """Seconds from the spawning of the process, on an empty state, until the API answers and until it is ready."""
    answered, ready = [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="bench-") as folder, Program(Path(folder), *options) as program:
            began = time.perf_counter()
            program.start(ready=False)
            eventually(lambda: _accepts(program), every=LOOK_EVERY)  # called in this round
            program.api.List(pb.ListRequest())
            answered.append(time.perf_counter() - began)
            eventually(program.is_ready, every=LOOK_EVERY)
            ready.append(time.perf_counter() - began)
            program.stop()
    return [Series(f"{title}: gRPC answers", answered), Series(f"{title}: readyz is 200", ready)]


def _accepts(program: Program) -> bool:
    """Whether the API's socket takes connections: a gRPC channel would wait long before it tries again."""
    program.is_ready()  # fails when the program has ended
    with socket.socket(socket.AF_UNIX) as connection:
        return connection.connect_ex(str(program.socket)) == 0


def resident(program: Program) -> float:
    """Bytes of memory that the process holds."""
    for line in Path(f"/proc/{program.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise ValueError("the kernel does not say how much memory the process holds")


def fill(program: Program, services: int) -> None:
    """Declares so many services of one replica, and returns when all are ready."""
    declared = [
        pb.Service(metadata=pb.Metadata(name=f"memory-{number}"), spec=pb.ServiceSpec(image="memory:1", replicas=1))
        for number in range(services)
    ]
    program.api.ApplySet(pb.ApplySetRequest(services=declared))
    eventually(lambda: _ready(program) == services, PATIENCE, every=0.2)


def _ready(program: Program) -> int:
    found = program.api.List(pb.ListRequest()).services
    return sum(it.metadata.name.startswith("memory-") and it.status.ready_replicas == 1 for it in found)
