"""The engine stops, dies, hangs and comes back."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import docker as sdk
import pytest

from tests.private_engine import IMAGE, PrivateEngine

from .program import Program, eventually

FILE = f"""
[services.web]
image = "{IMAGE}"
replicas = 3

[services.kept]
image = "{IMAGE}"
restart = "unless-stopped"
"""

Outage = Callable[[PrivateEngine], None]


@pytest.fixture
def program(tmp_path: Path, own_engine: PrivateEngine) -> Iterator[Program]:
    with Program(tmp_path, "--docker-host", own_engine.host, "--resync", "2s") as program:
        yield program


def not_ready(program: Program) -> bool:
    return program.http("/readyz")[0] == 503


@pytest.mark.parametrize("end", [PrivateEngine.stop, PrivateEngine.kill])
def test_an_engine_that_is_gone_is_told_nothing_is_decided_and_all_heals(
    program: Program, own_engine: PrivateEngine, end: Outage
) -> None:
    program.declare(FILE)
    program.start()
    program.until_converged(web=3, kept=1)
    created = len(program.events("Creating"))
    end(own_engine)
    eventually(lambda: not_ready(program))
    assert "[-]engine" in program.http("/readyz?verbose")[1]
    assert program.metric("dock_runner_engine_up") == 0
    assert program.service("web").spec.replicas == 3, "the API goes on"
    assert len(program.events("Creating")) == created, "unknown is not gone"

    own_engine.start()
    eventually(program.is_ready)
    program.until_converged(web=3, kept=1)
    with_docker = {it["Names"][0] for it in own_engine_containers(own_engine)}
    assert len(with_docker) == 4, "nothing was doubled, nothing left behind"


def test_an_engine_that_hangs_is_told_and_taken_up_again(program: Program, own_engine: PrivateEngine) -> None:
    program.declare(FILE)
    program.start()
    program.until_converged(web=3, kept=1)
    before = program.ids("web")
    own_engine.freeze()
    try:
        eventually(lambda: not_ready(program))
        program.declare(FILE.replace("replicas = 3", "replicas = 4"))
        eventually(lambda: program.service("web").spec.replicas == 4)
    finally:
        own_engine.thaw()
    program.until_converged(web=4)
    assert {slot: it for slot, it in program.ids("web").items() if slot < 4} == before


def test_a_program_that_starts_without_an_engine_waits_for_it(program: Program, own_engine: PrivateEngine) -> None:
    own_engine.stop()
    program.declare(FILE)
    program.start(ready=False)
    eventually(lambda: not_ready(program))
    assert eventually(lambda: program.service_or_none("web")) is not None
    own_engine.start()
    program.until_converged(web=3, kept=1)


def own_engine_containers(engine: PrivateEngine) -> list[dict[str, list[str]]]:
    """What the daemon has, running or not."""
    with contextlib.closing(sdk.APIClient(engine.host, version="auto")) as api:
        found: list[dict[str, list[str]]] = api.containers(all=True)
        return found
