"""When nothing changes, nothing is done."""

import threading

from proto.dockrunner import v1 as pb
from tests.private_engine import IMAGE

from .program import Program

A_MINUTE = 60.0


def test_a_converged_minute_lists_the_engine_and_does_nothing_else(program: Program) -> None:
    program.declare(f'[services.web]\nimage = "{IMAGE}"\nreplicas = 3\n\n[services.api]\nimage = "{IMAGE}"\n')
    program.start("--resync", "5s")
    program.until_converged(web=3, api=1)
    threading.Event().wait(3)  # what is looked at after a start with patience
    before, version = calls(program), program.api.List(pb.ListRequest()).resource_version
    cpu = program.metric("process_cpu_seconds_total")
    threading.Event().wait(A_MINUTE)  # the promise is about this time itself
    after = calls(program)
    done = {operation: after[operation] - before.get(operation, 0) for operation in after}
    assert 11 <= done.pop("list") <= 13
    assert not any(done.values()), done
    assert program.api.List(pb.ListRequest()).resource_version == version
    assert program.metric("process_cpu_seconds_total") - cpu < 0.02 * A_MINUTE


def calls(program: Program) -> dict[str, float]:
    """How often the engine was called, by operation."""
    totals: dict[str, float] = {}
    for (name, labels), value in program.metrics().items():
        if name == "dock_runner_engine_request_duration_seconds_count":
            operation = dict(labels)["operation"]
            totals[operation] = totals.get(operation, 0) + value
    return totals
