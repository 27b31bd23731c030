"""The program itself is stopped, killed and started again."""

import signal
from collections.abc import Callable

import docker as sdk
import pytest

from tests.private_engine import IMAGE

from .program import Program, eventually

FILE = f"""
[services.web]
image = "{IMAGE}"
replicas = 3

[services.api]
image = "{IMAGE}"
"""

InDocker = Callable[..., dict[str, str]]


def started_at(docker: sdk.APIClient, ids: dict[int, str]) -> dict[int, tuple[str, str]]:
    """When each container was started last."""
    return {slot: (it, docker.inspect_container(it)["State"]["StartedAt"]) for slot, it in ids.items()}


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_neither_its_end_nor_its_start_touches_a_container(
    program: Program, docker: sdk.APIClient, in_docker: InDocker, end: signal.Signals
) -> None:
    program.declare(FILE)
    program.start()
    program.until_converged(web=3, api=1)
    before = started_at(docker, program.ids("web"))
    status = program.signal(end)
    assert status == (-signal.SIGKILL if end is signal.SIGKILL else 0)
    assert len(docker.containers(filters={"id": [it for it, _ in before.values()]})) == 3
    program.start()
    program.until_converged(web=3, api=1)
    assert started_at(docker, program.ids("web")) == before
    assert len(in_docker()) == 4
    assert not program.events("Creating")


def test_changes_made_to_the_file_meanwhile_are_carried_out(program: Program, in_docker: InDocker) -> None:
    program.declare(FILE)
    program.start()
    program.until_converged(web=3, api=1)
    before = program.ids("web")
    program.kill()
    program.declare(FILE.replace("replicas = 3", "replicas = 2").split("[services.api]")[0])
    program.start()
    program.until_converged(web=2)
    eventually(lambda: not in_docker("api") and len(in_docker("web")) == 2)
    assert program.ids("web") == {slot: it for slot, it in before.items() if slot < 3}


def test_a_container_that_was_lost_meanwhile_is_made_good(program: Program, docker: sdk.APIClient) -> None:
    program.declare(FILE)
    program.start()
    program.until_converged(web=3, api=1)
    before = program.ids("web")
    program.kill()
    docker.remove_container(before[2], force=True)
    docker.kill(before[3])
    program.start()
    program.until_converged(web=3)
    after = program.ids("web")
    assert after[1] == before[1]
    assert {after[2], after[3]}.isdisjoint(before.values())


def test_a_second_program_of_the_same_instance_is_refused_and_told_who_has_it(program: Program) -> None:
    program.declare(FILE)
    program.start()
    second = Program(program.folder, *program._options)
    second.metrics_port = program.metrics_port + 1
    second.start(ready=False)
    assert second.wait() == 1
    assert str(program.pid) in program.log
    program.until_converged(web=3, api=1)


def test_once_ends_when_all_is_converged(program: Program, in_docker: InDocker) -> None:
    program.declare(FILE)
    program.start("--once", "--timeout", "30s", ready=False)
    assert program.wait() == 0
    assert "service/web converged" in program.log
    assert len(in_docker()) == 4


def test_once_ends_with_1_and_the_reason_when_the_time_is_over(program: Program) -> None:
    program.declare(f'[services.bad]\nimage = "{IMAGE}"\ncommand = ["/no/such/program"]\n')
    program.start("--once", "--timeout", "3s", ready=False)
    assert program.wait() == 1
    assert "not converged: bad: 0 of 1 ready" in program.log
