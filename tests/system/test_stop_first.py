"""Where two containers can't run at once, the old one goes first; and nothing is ever stuck for that."""

import json
import time
from collections.abc import Iterator

import pytest

from proto.dockrunner import v1 as pb
from tests.private_engine import IMAGE, PrivateEngine
from tests.registry import listen

from .declared import SLEEP, Declared, Service, shared_program
from .program import eventually


@pytest.fixture(scope="module")
def private(shared_engine: PrivateEngine | str) -> PrivateEngine:
    """The tests' own engine, whose network can be entered."""
    if isinstance(shared_engine, str):
        pytest.skip(shared_engine)
    return shared_engine


@pytest.fixture(scope="module")
def declared(private: PrivateEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Declared]:
    with shared_program(tmp_path_factory.mktemp("stop_first"), private.host) as declared:
        yield declared


@pytest.fixture(autouse=True)
def _forgotten(declared: Declared) -> Iterator[None]:
    yield
    declared.forget()


@pytest.fixture
def port(private: PrivateEngine) -> int:
    """A port that is free in the network of the tests' engine."""
    with listen(private) as listening:
        found: int = listening.getsockname()[1]
        return found


def body(level: int, more: str, command: str = SLEEP, image: str = IMAGE) -> str:
    return f"""
image = "{image}"
command = ["sh", "-c", {json.dumps(command)}]
environment = {{ LEVEL = "{level}" }}
{more}
"""


def levels(service: Service) -> list[str]:
    return service.environment("LEVEL")


# One fixed host port.


def test_an_update_of_what_has_one_fixed_host_port_comes_to_its_end(declared: Declared, port: int) -> None:
    ports = f'ports = ["127.0.0.1:{port}:80"]\nupdate = {{ order = "start-first" }}'
    web = declared.declare("fixed", body(1, ports))
    web.until_converged()
    for level in (2, 3):
        declared.declare("fixed", body(level, ports))
        web.until_converged(seconds=10)
        assert levels(web) == [str(level)]
    told = web.events("Creating")
    assert sum(it.count for it in told if "stop-first: its host ports leave no room" in it.message) == 2
    assert len(web.in_docker()) == 1


def test_a_bad_update_of_what_has_one_fixed_host_port_is_taken_back(declared: Declared, port: int) -> None:
    more = f'ports = ["127.0.0.1:{port}:80"]\nupdate = {{ failure_action = "rollback" }}'
    web = declared.declare("bad", body(1, more))
    web.until_converged()
    declared.declare("bad", body(2, more, "exit 3"))
    eventually(lambda: web.rollout.state == pb.Rollout.ROLLED_BACK)
    eventually(lambda: web.ready == 1)
    assert levels(web) == ["1"]
    assert "exited with 3" in web.condition("Degraded").message
    eventually(lambda: len(web.in_docker()) == 1)


def test_what_has_one_fixed_host_port_is_not_stopped_for_an_image_that_is_not_there(
    declared: Declared, port: int
) -> None:
    more = f'ports = ["127.0.0.1:{port}:80"]\nupdate = {{ deadline = "2s" }}'
    web = declared.declare("kept", body(1, more))
    web.until_converged()
    before = web.ids
    declared.declare("kept", body(2, more, image="127.0.0.1:9/not/there:1"))
    eventually(lambda: web.rollout.state == pb.Rollout.FAILED)
    assert "127.0.0.1:9" in web.condition("Degraded").message
    assert web.ids == before


def test_replicas_that_fill_their_range_of_host_ports_are_updated_one_after_the_other(
    declared: Declared, port: int
) -> None:
    more = f'replicas = 2\nports = ["127.0.0.1:{port}-{port + 1}:80"]'
    web = declared.declare("range", body(1, more))
    web.until_converged(2)
    declared.declare("range", body(2, more))

    def done() -> bool:
        assert len(web.in_docker("running")) <= 2
        assert web.ready >= 1
        return levels(web) == ["2", "2"]

    eventually(done)
    web.until_converged(2)


# One named volume.


def test_two_containers_never_have_the_volume_of_a_lone_replica_at_once(declared: Declared) -> None:
    volume = 'volumes = ["data:/data"]'
    began = time.time()
    # It takes a moment to stop, in which a second one would be seen.
    slow = "trap 'sleep 0.5; exit 0' TERM; while :; do sleep 1000 & wait $!; done"
    web = declared.declare("lone", body(1, volume, slow), tables="[volumes.data]")
    web.until_converged()
    declared.declare("lone", body(2, volume, slow), tables="[volumes.data]")
    web.until_converged()
    declared.docker.kill(web.ids[1])
    eventually(lambda: web.ready == 0)
    web.until_converged()
    declared.program.api.Restart(pb.RestartRequest(name="lone"))
    eventually(lambda: len({id_ for _, action, id_ in web.lives(began) if action == "start"}) == 4)
    web.until_converged()
    assert levels(web) == ["2"]
    assert web.most_at_once(began) == 1


def test_of_what_is_to_stop_first_two_never_run_in_one_slot(declared: Declared) -> None:
    began = time.time()
    more = 'replicas = 2\nupdate = { order = "stop-first" }'
    web = declared.declare("first", body(1, more))
    web.until_converged(2)
    declared.declare("first", body(2, more))
    eventually(lambda: levels(web) == ["2", "2"])
    web.until_converged(2)
    assert web.most_at_once(began) == 2
