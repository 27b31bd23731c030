"""Services that depend on others, or share their network: they wait, they go along, and they come back."""

import json
import os
import time
from collections.abc import Iterator

import docker as sdk
import pytest

from tests.private_engine import IMAGE

from .declared import SLEEP, Declared, Service, shared_program
from .program import eventually


@pytest.fixture(scope="module")
def declared(engine_host: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Declared]:
    with shared_program(tmp_path_factory.mktemp("neighbours"), engine_host) as declared:
        yield declared


@pytest.fixture(autouse=True)
def _forgotten(declared: Declared) -> Iterator[None]:
    yield
    declared.forget()
    declared.until_gone()


def shell(command: str = SLEEP) -> str:
    return f'image = "{IMAGE}"\ncommand = ["sh", "-c", {json.dumps(command)}]'


def waits_for(service: Service, text: str) -> None:
    """Until it is said to wait for something, and that nothing of it is there."""
    eventually(lambda: service.condition("Ready").message == f"waits for {text}")
    assert service.condition("Ready").reason == "Waiting"
    assert not service.in_docker()


# depends_on.


def test_a_service_waits_for_a_migration_to_complete_and_tells_when_it_failed(declared: Declared) -> None:
    began = time.time()
    depends = '\ndepends_on = { migrate = { condition = "service_completed_successfully" } }'
    web = declared.declare("web", shell() + depends)
    waits_for(web, "service migrate, which is not declared")
    migrate = declared.declare("migrate", shell("exit 5") + '\nrestart = "no"')
    waits_for(web, "service migrate, which failed")
    migrate.until_degraded("Failed", "exited with 5")
    declared.declare("migrate", shell("sleep 1; echo migrated") + '\nrestart = "no"')
    web.until_converged()
    eventually(lambda: migrate.condition("Ready").reason == "Completed")
    completed = max(moment for moment, action, _ in migrate.lives(began) if action == "die")
    assert completed < min(moment for moment, action, _ in web.lives(began) if action == "start")
    starts = [id_ for _, action, id_ in migrate.lives(began) if action == "start"]
    assert len(starts) == 2, "each migration ran once"


def test_a_service_waits_for_another_to_be_healthy_and_goes_on_when_that_fails_later(declared: Declared) -> None:
    check = '[services.base.healthcheck]\ntest = ["CMD", "stat", "/tmp/ok"]\ninterval = "200ms"\nstart_period = "1m"\n'
    base = declared.declare("base", shell(), tables=check)
    web = declared.declare("web", shell() + '\ndepends_on = { base = { condition = "service_healthy" } }')
    waits_for(web, "service base to be healthy")
    (container,) = base.in_docker()
    exec_ = declared.docker.exec_create(container, ["touch", "/tmp/ok"])["Id"]  # noqa: S108  # of the container
    declared.docker.exec_start(exec_)
    web.until_converged()
    before = web.ids
    declared.docker.remove_container(container, force=True)
    eventually(lambda: base.ready == 0)
    assert web.ids == before


def test_a_service_waits_for_another_to_be_started(declared: Declared) -> None:
    web = declared.declare("web", shell() + '\ndepends_on = ["base"]')
    waits_for(web, "service base, which is not declared")
    base = declared.declare("base", shell())
    web.until_converged()
    base.until_converged()


def test_a_migration_that_changes_runs_again_before_the_services_new_revision(declared: Declared) -> None:
    began = time.time()
    depends = '\ndepends_on = { migrate = { condition = "service_completed_successfully" } }'
    migrate = declared.declare("migrate", shell("echo 1") + '\nrestart = "no"')
    web = declared.declare("web", shell() + depends)
    web.until_converged()
    declared.declare("migrate", shell("sleep 1; echo 2") + '\nrestart = "no"')
    eventually(lambda: len([1 for _, action, _ in migrate.lives(began) if action == "start"]) == 2)
    declared.declare("web", shell(f"echo 2; {SLEEP}") + depends)
    eventually(lambda: len([1 for _, action, _ in web.lives(began) if action == "start"]) == 2)
    web.until_converged()
    completed = max(moment for moment, action, _ in migrate.lives(began) if action == "die")
    assert completed < max(moment for moment, action, _ in web.lives(began) if action == "start")


# network_mode = "service:NAME".


def network_of(docker: sdk.APIClient, service: Service) -> str:
    """Whose network its container is in; empty while it is not ready."""
    ids = list(service.ids.values())
    return str(docker.inspect_container(ids[0])["HostConfig"]["NetworkMode"]) if len(ids) == 1 else ""


def test_what_shares_a_network_goes_along_when_that_is_replaced(declared: Declared, docker: sdk.APIClient) -> None:
    inside = declared.declare("inside", shell() + '\nnetwork_mode = "service:vpn"')
    vpn = declared.declare("vpn", shell())
    vpn.until_converged()
    inside.until_converged()
    assert network_of(docker, inside) == f"container:{vpn.ids[1]}"

    def is_joined_again(old: str) -> bool:
        now = vpn.ids.get(1)
        return now not in (None, old) and network_of(docker, inside) == f"container:{now}"

    old = vpn.ids[1]
    declared.declare("vpn", shell(f"echo 2; {SLEEP}"))
    eventually(lambda: is_joined_again(old))
    vpn.until_converged()
    inside.until_converged()
    old = vpn.ids[1]
    docker.remove_container(old, force=True)
    eventually(lambda: is_joined_again(old))
    inside.until_converged()
    assert len(vpn.in_docker()) == len(inside.in_docker()) == 1
    assert any("whose network it shares" in it.message for it in inside.events())


def test_what_shares_a_network_goes_along_when_that_is_restarted_in_place(
    declared: Declared, docker: sdk.APIClient
) -> None:
    vpn = declared.declare("vpn", shell())
    inside = declared.declare("inside", shell() + '\nnetwork_mode = "service:vpn"')
    inside.until_converged()
    before, namespace = vpn.ids[1], network_namespace(docker, vpn.ids[1])
    docker.restart(before, timeout=1)
    eventually(lambda: vpn.ids.get(1) and network_namespace(docker, vpn.ids[1]) not in ("", namespace))
    eventually(
        lambda: inside.ids.get(1) and network_namespace(docker, inside.ids[1]) == network_namespace(docker, vpn.ids[1])
    )
    inside.until_converged()


def network_namespace(docker: sdk.APIClient, container: str) -> str:
    """Which network its process is in; empty while there is none."""
    pid = docker.inspect_container(container)["State"]["Pid"]
    try:
        return os.readlink(f"/proc/{pid}/ns/net") if pid else ""
    except FileNotFoundError:
        return ""
