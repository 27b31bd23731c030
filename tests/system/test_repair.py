"""What people and accidents do to containers is made good."""

import os
import signal
import statistics
import time
from collections.abc import Callable
from typing import Any

import docker as sdk
import pytest

from proto.dockrunner import v1 as pb
from tests.private_engine import IMAGE

from .program import Program, eventually

WEB = f"""
[services.web]
image = "{IMAGE}"
replicas = 2
"""

# Each is done so often; the medians are compared, as one start on a busy machine says little.
ROUNDS = 7
READY_WITHIN = 2.0
OF_A_BARE_START = 1.5

Harm = Callable[[sdk.APIClient, str], None]


def remove(docker: sdk.APIClient, container: str) -> None:
    docker.remove_container(container, force=True)


def kill(docker: sdk.APIClient, container: str) -> None:
    docker.kill(container)


def stop(docker: sdk.APIClient, container: str) -> None:
    docker.stop(container, timeout=1)


def bare_create_and_start(docker: sdk.APIClient, network: str) -> float:
    """Seconds for one container like those of the service, made with the SDK alone."""
    began = time.monotonic()
    endpoint: Any = {network: docker.create_endpoint_config(aliases=["web"])}
    made = docker.create_container(
        IMAGE,
        host_config=docker.create_host_config(restart_policy={"Name": "always"}, network_mode=network),
        networking_config=docker.create_networking_config(endpoint),
    )["Id"]
    docker.start(made)
    took = time.monotonic() - began
    docker.remove_container(made, force=True)
    return took


def until_replaced(program: Program, container: str) -> None:
    """Until another container is ready in slot 1."""
    eventually(lambda: program.ids("web").get(1) not in (None, container), every=0.005)


@pytest.mark.parametrize("harm", [remove, kill, stop])
def test_a_container_that_is_taken_away_is_back_in_time(
    program: Program, docker: sdk.APIClient, instance: str, harm: Harm
) -> None:
    program.declare(WEB)
    program.start()
    program.until_converged(web=2)
    bare, repaired = [], []
    for _ in range(ROUNDS):
        bare.append(bare_create_and_start(docker, f"dock-runner-{instance}"))
        before = program.ids("web")
        harm(docker, before[1])
        lost = time.monotonic()
        until_replaced(program, before[1])
        repaired.append(time.monotonic() - lost)
        program.until_converged(web=2)
        assert program.ids("web")[2] == before[2], "the other replica was left alone"
    assert max(repaired) < READY_WITHIN, repaired
    assert statistics.median(repaired) <= OF_A_BARE_START * statistics.median(bare), (repaired, bare)
    assert program.metric("dock_runner_repair_seconds_count") >= ROUNDS


def test_a_killed_process_is_back_in_place_by_dockers_policy_and_counted(
    program: Program, docker: sdk.APIClient
) -> None:
    program.declare(WEB)
    program.start()
    program.until_converged(web=2)
    before = program.ids("web")
    os.kill(docker.inspect_container(before[1])["State"]["Pid"], signal.SIGKILL)
    eventually(lambda: program.service("web").status.restarts == 1)
    program.until_converged(web=2)
    assert program.ids("web") == before
    assert {it.spec.slot: it.status.restart_count for it in program.containers("web")} == {1: 1, 2: 0}
    assert program.metric("dock_runner_service_restarts_total", service="web") == 1


def test_an_image_that_does_not_exist_is_told_and_others_go_on(program: Program, docker: sdk.APIClient) -> None:
    program.declare(f'{WEB}\n[services.bad]\nimage = "127.0.0.1:9/nobody/nothing:1"\nreplicas = 2\n')
    program.start()
    program.until_converged(web=2)
    eventually(lambda: _condition(program, "bad", "Degraded").status == "True")
    assert "127.0.0.1:9" in _condition(program, "bad", "Ready").message
    docker.kill(program.ids("web")[1])
    program.until_converged(web=2)
    assert _condition(program, "bad", "Ready").status == "False"


def test_a_command_that_does_not_exist_is_told_and_leaves_one_container_per_slot(
    program: Program, in_docker: Callable[..., dict[str, str]]
) -> None:
    program.declare(f'[services.bad]\nimage = "{IMAGE}"\ncommand = ["/no/such/program"]\nreplicas = 2\n')
    program.start()
    eventually(lambda: "/no/such/program" in _condition(program, "bad", "Ready").message)
    eventually(lambda: program.metric("workqueue_retries_total", name="container", controller="container") > 10)
    assert len(in_docker("bad")) == 2


def _condition(program: Program, name: str, type_: str) -> pb.Condition:
    return next(it for it in program.service(name).status.conditions if it.type == type_)
