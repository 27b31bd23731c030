"""``python -m tests.bench``: Dock Runner beside the bare SDK and Swarm, on one private daemon, in one run."""

import argparse
import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import docker

from tests.private_engine import IMAGE, PrivateEngine, Unavailable, load_image
from tests.system.program import Program

from .bare import BareLoop
from .contender import Contender, Moments, Repair
from .dock_runner import DockRunner
from .footprint import fill, resident, start_up
from .latency import api_latencies
from .swarm import RESTART_DELAY, Swarm
from .table import Series, compared, host_facts, latencies, seconds, table

CONCURRENCY = 4


def main() -> int:
    """Measures, prints the table and writes it to a file; the exit status."""
    options = _options()
    sections: list[str] = []
    try:
        with PrivateEngine() as engine:
            load_image(engine.host)
            for section in _measure(engine.host, options):
                sections.append(section)
                sys.stdout.write(f"{section}\n\n")
                sys.stdout.flush()
    except Unavailable as error:
        sys.stderr.write(f"{error}\n")
        return 1
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text("\n\n".join(sections) + "\n")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("build/bench.md"), help="default: %(default)s")
    parser.add_argument("--replicas", type=int, default=50, help="containers of one service; default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3, help="of bringing these up; default: %(default)s")
    parser.add_argument("--repairs", type=int, default=15, help="rounds of repairs; default: %(default)s")
    parser.add_argument("--calls", type=int, default=500, help="for the API's latencies; default: %(default)s")
    parser.add_argument("--starts", type=int, default=5, help="of the program, per engine; default: %(default)s")
    return parser.parse_args()


def _measure(host: str, options: argparse.Namespace) -> Iterator[str]:
    yield "# Dock Runner, measured"
    with contextlib.closing(docker.APIClient(host, version="auto")) as api:
        yield host_facts(api)
    with contextlib.ExitStack() as stack:
        moments = stack.enter_context(Moments(host))
        bare = stack.enter_context(BareLoop(host, IMAGE, CONCURRENCY, moments))
        runner = stack.enter_context(DockRunner(host, IMAGE, CONCURRENCY, moments))
        swarm = stack.enter_context(Swarm(host, IMAGE, moments))
        yield _scaling([bare, runner, swarm], options.replicas, options.rounds)
        yield _repairs(bare, runner, swarm, options.repairs)
    yield from _program(host, options)


def _scaling(contenders: list[Contender], replicas: int, rounds: int) -> str:
    """All take their turn in each round, so that a drift of the machine meets all of them."""
    took: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for number in range(rounds):
        for contender in _turned(contenders, number):
            took[contender.name].append(contender.scale(replicas))
            contender.clear()
    bare, *others = (Series(name, values) for name, values in took.items())
    return (
        f"## From nothing to {replicas} containers running, {CONCURRENCY} calls at once\n\n"
        f"Dock Runner: from Apply until the API says that the service has converged. Swarm, which chooses its own "
        f"concurrency: from the creation of the service until all tasks are `running`.\n\n"
        f"{compared([bare], others)}"
    )


def _repairs(bare: BareLoop, runner: Contender, swarm: Contender, rounds: int) -> str:
    contenders: list[Contender] = [bare, runner, swarm]
    plain: list[float] = []
    repairs: dict[str, list[Repair]] = {contender.name: [] for contender in contenders}
    for contender in contenders:
        contender.stand()
    for number in range(rounds):
        plain.append(bare.create_and_start())
        for contender in _turned(contenders, number):
            repairs[contender.name].append(contender.repair())
    for contender in contenders:
        contender.clear()
    baselines = [
        Series("bare create and start", plain),
        Series("bare kill, create and start", [it.ready for it in repairs.pop(bare.name)]),
    ]
    others: list[Series] = []
    for name, measured in repairs.items():
        others.append(Series(f"{name}: Docker says that the killed one died", [it.died for it in measured]))
        others.append(Series(f"{name}: the replacement's process runs", [it.started for it in measured]))
        others.append(Series(f"{name}: it is reported ready", [it.ready for it in measured]))
        others.append(Series(f"{name}: from death to ready alone", [it.ready - it.died for it in measured]))
    return (
        "## From `docker kill` to a ready replacement\n\n"
        f"Counted from the sending of the kill. The second baseline does by hand what a repair does. Swarm waits "
        f"{RESTART_DELAY:g} s before it restarts, its default.\n\n"
        f"{compared(baselines, others)}"
    )


def _turned(contenders: list[Contender], number: int) -> list[Contender]:
    """Another one begins in each round, so that nobody always comes after the same other."""
    first = number % len(contenders)
    return contenders[first:] + contenders[:first]


def _program(host: str, options: argparse.Namespace) -> Iterator[str]:
    """What concerns the program alone."""
    simulated = ("--engine", "memory")
    real = ("--docker-host", host, "--instance", "bench-start")
    held: list[list[str]] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, Program(Path(folder), *real) as program:
        held.append(["Docker engine, no services", _megabytes(resident(program.start()))])
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, Program(Path(folder), *simulated) as program:
        held.append(["memory engine, no services", _megabytes(resident(program.start()))])
        for services in (100, 1000):
            fill(program, services)
            held.append([f"memory engine, {services} services of 1 replica", _megabytes(resident(program))])
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, Program(Path(folder), *simulated) as program:
        program.start()
        yield f"## The API's latency\n\n{latencies(api_latencies(program, options.calls))}"
    starts = [
        *start_up("Docker engine", real, options.starts), *start_up("memory engine", simulated, options.starts)
    ]  # fmt: skip
    rows = [[it.name, seconds(it.median), seconds(max(it.values)), str(len(it.values))] for it in starts]
    yield f"## From the start of the process, on an empty state\n\n{table(['', 'median', 'longest', 'rounds'], rows)}"
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    yield f"## Memory held (resident)\n\n{table(['', ''], held)}\n\nLoad at the end (1, 5, 15 min): {load}"


def _megabytes(size: float) -> str:
    return f"{size / 1e6:.0f} MB"


if __name__ == "__main__":
    sys.exit(main())
