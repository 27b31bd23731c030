"""Thousands of services: all converge, a restart reads them back soon, and then next to nothing is done."""

import logging
import os
import time

import pytest

from proto.dockrunner import v1 as pb

from .program import Program, eventually

# SERVICES=10000 is the long way.
SERVICES = int(os.environ.get("SERVICES", "1000"))
SET = 500  # services in one declaration
TICK = os.sysconf("SC_CLK_TCK")

logger = logging.getLogger(__name__)


@pytest.fixture
def crowd(simulated: Program) -> Program:
    return simulated.start("--log-level", "warning")


def declare(program: Program) -> None:
    for first in range(0, SERVICES, SET):
        services = [
            pb.Service(metadata=pb.Metadata(name=f"s{number:05}"), spec=pb.ServiceSpec(image="web:1", replicas=1))
            for number in range(first, min(first + SET, SERVICES))
        ]
        program.api.ApplySet(pb.ApplySetRequest(services=services))


def everything_runs(program: Program) -> bool:
    metrics = program.metrics()
    conditions = (("Ready", "True"), ("Progressing", "False"))
    counts = [
        sum(
            value
            for (name, labels), value in metrics.items()
            if name == "dock_runner_service_condition" and {("condition", type_), ("status", status)} <= set(labels)
        )
        for type_, status in conditions
    ]
    return counts == [SERVICES, SERVICES]


def memory(program: Program) -> float:
    """Resident, in MB."""
    with open(f"/proc/{program.pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def cpu(program: Program) -> float:
    """Seconds of both kinds."""
    with open(f"/proc/{program.pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def test_all_converge_a_restart_reads_them_back_and_then_it_is_quiet(crowd: Program) -> None:
    empty, began = memory(crowd), time.monotonic()
    declare(crowd)
    eventually(lambda: everything_runs(crowd), seconds=120 + SERVICES / 50, every=1)
    converged = time.monotonic() - began
    each = (memory(crowd) - empty) * 1000 / SERVICES
    crowd.kill()
    began = time.monotonic()
    crowd.start("--log-level", "warning")
    ready = time.monotonic() - began
    assert len(crowd.api.ListRevisions(pb.ListRevisionsRequest(name="s00000")).revisions) == 1
    assert crowd.metric("dock_runner_store_objects", kind="Service") == SERVICES
    eventually(lambda: everything_runs(crowd), seconds=120 + SERVICES / 50, every=1)
    time.sleep(5)  # what is behind is written, and what was allocated is given back
    used, began = cpu(crowd), time.monotonic()
    time.sleep(32)  # nothing is waited for: a time in which nothing happens is what is measured
    idle = (cpu(crowd) - used) / (time.monotonic() - began)
    logger.info(
        "%d services: converged after %.1f s, %.0f kB each; ready %.2f s after a kill; idle at %.2f %% of a core",
        SERVICES, converged, each, ready, idle * 100,
    )  # fmt: skip
    assert ready < 5
    assert idle < 0.02
