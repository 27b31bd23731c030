"""Updates on real containers: each comes to an end, and that end is said."""

import json
import time
from collections.abc import Iterator

import pytest

from proto.dockrunner import v1 as pb
from tests.private_engine import IMAGE

from .declared import SLEEP, Declared, Service, shared_program
from .program import eventually

STATE = pb.Rollout


@pytest.fixture(scope="module")
def declared(engine_host: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Declared]:
    folder = tmp_path_factory.mktemp("rollouts")
    policy = folder / "policy.toml"
    policy.write_text(f'allowed_host_paths = ["{folder}"]\n')
    with shared_program(folder, engine_host, "--policy", str(policy)) as declared:
        yield declared


@pytest.fixture(autouse=True)
def _forgotten(declared: Declared) -> Iterator[None]:
    yield
    declared.forget()


def body(level: int, command: str = SLEEP, *, replicas: int = 2, update: str = 'monitor = "300ms"') -> str:
    """A service of which each ``level`` is another revision; an update takes a third of a second for each replica."""
    return f"""
image = "{IMAGE}"
replicas = {replicas}
command = ["sh", "-c", {json.dumps(command)}]
environment = {{ LEVEL = "{level}", SLOT = "{{slot}}" }}
update = {{ {update} }}
"""


def levels(service: Service) -> list[str]:
    return service.environment("LEVEL")


def state(service: Service) -> str:
    return STATE.State.Name(service.rollout.state)


def nothing_moves(service: Service, seconds: float) -> None:
    """Its containers stay as they are for some seconds."""
    before, end = sorted(service.in_docker()), time.monotonic() + seconds
    while time.monotonic() < end:
        assert sorted(service.in_docker()) == before
        time.sleep(0.1)  # nothing is waited for: that nothing happens in the time is what is looked at


# By hand.


def test_a_rollback_brings_back_what_the_revision_before_was(declared: Declared) -> None:
    web = declared.declare("back", body(1))
    web.until_converged(2)
    declared.declare("back", body(2))
    web.until_converged(2)
    assert levels(web) == ["2", "2"]
    declared.program.api.Rollback(pb.RollbackRequest(name="back"))
    web.until_converged(2)
    assert levels(web) == ["1", "1"]
    first = next(it for it in web.revisions if it.spec.environment["LEVEL"] == "2")
    declared.program.api.Rollback(pb.RollbackRequest(name="back", revision=first.revision))
    web.until_converged(2)
    assert levels(web) == ["2", "2"]


def test_a_restart_replaces_every_container_and_always_as_many_are_ready(declared: Declared) -> None:
    web = declared.declare("restarted", body(1))
    web.until_converged(2)
    before = set(web.ids.values())
    declared.program.api.Restart(pb.RestartRequest(name="restarted"))

    def done() -> bool:
        assert web.ready >= 2
        assert len(web.in_docker("running")) <= 3
        return not before & set(web.in_docker())

    eventually(done)
    web.until_converged(2)
    assert levels(web) == ["1", "1"]
    assert len(web.in_docker()) == 2


def test_an_update_that_is_paused_in_the_middle_stays_there_is_kept_alive_and_goes_on(declared: Declared) -> None:
    web = declared.declare("paused", body(1, replicas=3))
    web.until_converged(3)
    declared.declare("paused", body(2, replicas=3))
    eventually(lambda: web.rollout.updated)
    declared.program.api.SetPaused(pb.SetPausedRequest(name="paused", paused=True))
    eventually(lambda: state(web) == "PAUSED")
    condition = web.condition("Progressing")
    assert (condition.status, condition.reason) == ("False", "Paused")
    eventually(lambda: web.ready == 3 == len(web.in_docker()))
    half = levels(web)
    assert set(half) == {"1", "2"}
    nothing_moves(web, 0.5)
    lost = next(it for it in web.containers if it.spec.template.environment["LEVEL"] == "1")
    declared.docker.kill(lost.status.docker_id)
    eventually(lambda: lost.status.docker_id not in web.in_docker() and web.ready == 3)
    assert levels(web) == half, "a pause holds also by what is lost"
    declared.program.api.SetPaused(pb.SetPausedRequest(name="paused"))
    web.until_converged(3)
    assert levels(web) == ["2", "2", "2"]


def test_a_newer_change_takes_an_update_over_and_no_more_run_than_the_surge(declared: Declared) -> None:
    web = declared.declare("newer", body(1, replicas=3))
    web.until_converged(3)
    declared.declare("newer", body(2, replicas=3))
    eventually(lambda: web.rollout.updated)
    declared.declare("newer", body(3, replicas=3))

    def done() -> bool:
        assert len(web.in_docker("running")) <= 4
        assert web.ready >= 3
        return levels(web) == ["3", "3", "3"]

    eventually(done)
    web.until_converged(3)
    assert len(web.in_docker()) == 3
    assert sum(it.count for it in web.events("Creating")) <= 3 + 2 + 3, (
        "of the one in between no more was made than had been"
    )


# Updates that fail.

NEVER = '[services.{0}.healthcheck]\ntest = ["CMD", "false"]\ninterval = "500ms"\nstart_period = "5m"\n'
ALWAYS = '[services.{0}.healthcheck]\ntest = ["CMD", "true"]\ninterval = "200ms"\n'


def test_an_update_that_does_not_get_on_ends_at_its_deadline_and_says_so(declared: Declared) -> None:
    update = 'deadline = "2s"'
    web = declared.declare("late", body(1, update=update), tables=ALWAYS.format("late"))
    web.until_converged(2)
    before = web.ids
    declared.declare("late", body(2, update=update), tables=NEVER.format("late"))
    began = time.monotonic()
    eventually(lambda: state(web) == "FAILED")
    assert time.monotonic() - began < 6
    progressing, degraded = web.condition("Progressing"), web.condition("Degraded")
    assert (progressing.status, progressing.reason) == ("False", "RolloutFailed")
    assert (degraded.status, degraded.reason) == ("True", "RolloutFailed")
    assert "no progress for 2 s: " in degraded.message
    (event,) = web.events("RolloutFailed")
    assert "no progress for 2 s" in event.message
    assert web.condition("Ready").status == "True"
    assert web.ids == before, "what was there serves"
    nothing_moves(web, 0.5)
    declared.declare("late", body(3, update=update), tables=ALWAYS.format("late"))
    web.until_converged(2)
    assert web.condition("Degraded").status == "False"
    assert len(web.in_docker()) == 2


@pytest.mark.parametrize(
    ("name", "harm"),
    [
        ("crashing", body(2, "exit 3", update='failure_action = "rollback"')),
        ("refused", body(2, update='failure_action = "rollback"').replace('"sh"', '"/no/such/program"')),
    ],
)
def test_an_update_that_fails_is_taken_back_and_that_is_the_end(declared: Declared, name: str, harm: str) -> None:
    web = declared.declare(name, body(1))
    web.until_converged(2)
    before = web.ids
    declared.declare(name, harm)
    eventually(lambda: state(web) == "ROLLED_BACK")
    assert web.ids == before
    degraded = web.condition("Degraded")
    assert (degraded.status, degraded.reason) == ("True", "RolledBack")
    (event,) = web.events("RollingBack")
    assert event.message.endswith(f"back to {web.rollout.revision}")
    assert [bool(it.failure) for it in web.revisions] == [True, False]
    eventually(lambda: len(web.in_docker()) == 2)
    nothing_moves(web, 0.5)


# Works in all slots but one.
BUT_ONE = f"[ $SLOT = 3 ] && exit 3; {SLEEP}"


def test_what_was_updated_already_is_taken_back_too(declared: Declared) -> None:
    update = 'monitor = "300ms", failure_action = "rollback"'
    web = declared.declare("halfway", body(1, replicas=3, update=update))
    web.until_converged(3)
    declared.declare("halfway", body(2, BUT_ONE, replicas=3, update=update))
    eventually(lambda: state(web) == "ROLLING_BACK")
    eventually(lambda: state(web) == "ROLLED_BACK")
    assert web.ready == 3
    eventually(lambda: levels(web) == ["1", "1", "1"])
    assert "exited with 3" in web.condition("Degraded").message


def test_a_way_back_that_is_barred_ends_as_well_and_what_serves_goes_on(declared: Declared) -> None:
    folder = declared.program.folder / "way"
    folder.mkdir()
    (folder / "ok").touch()
    update = 'monitor = "300ms", failure_action = "rollback"'
    volumes = f'\nvolumes = ["{folder}:/data"]\nrestart = "replace"\n'
    first = body(1, f"[ -e /data/ok ] || exit 4; {SLEEP}", replicas=3, update=update) + volumes
    web = declared.declare("barred", first)
    web.until_converged(3)
    second = body(2, f"rm -f /data/ok; {BUT_ONE}", replicas=3, update=update) + volumes
    declared.declare("barred", second)
    eventually(lambda: "the rollback failed: " in web.condition("Degraded").message)
    assert state(web) == "FAILED"
    assert "exited with 4" in web.condition("Degraded").message
    assert web.condition("Progressing").status == "False"
    assert web.events("RolloutFailed")
    eventually(lambda: web.ready == 3)
    (folder / "ok").touch()
    declared.declare("barred", body(3, replicas=3, update=update))
    web.until_converged(3)


# The program dies.


def test_an_update_goes_on_where_it_was_when_the_program_was_killed(declared: Declared) -> None:
    web = declared.declare("killed", body(1, replicas=3))
    web.until_converged(3)
    declared.declare("killed", body(2, replicas=3))
    eventually(lambda: web.rollout.updated)
    new = {
        it.status.docker_id for it in web.containers if it.status.ready and it.spec.template.environment["LEVEL"] == "2"
    }
    assert new
    declared.program.kill()
    declared.program.start("--config", str(declared.program.config))
    web.until_converged(3)
    assert levels(web) == ["2", "2", "2"]
    assert len(web.in_docker()) == 3
    assert new <= set(web.in_docker()), "what was updated stayed"


@pytest.mark.parametrize("moment", ["ROLLING_BACK", "ROLLED_BACK"])
def test_a_way_back_goes_on_where_it_was_when_the_program_was_killed(declared: Declared, moment: str) -> None:
    update = 'monitor = "300ms", failure_action = "rollback"'
    name = moment.lower().replace("_", "-")
    web = declared.declare(name, body(1, replicas=3, update=update))
    web.until_converged(3)
    declared.declare(name, body(2, BUT_ONE, replicas=3, update=update))
    eventually(lambda: state(web) == moment)
    declared.program.kill()
    declared.program.start("--config", str(declared.program.config))
    eventually(lambda: state(web) == "ROLLED_BACK")
    eventually(lambda: web.ready == 3 == len(web.in_docker()))
    assert levels(web) == ["1", "1", "1"]
    assert web.condition("Degraded").reason == "RolledBack"
    assert "exited with 3" in web.condition("Degraded").message
    nothing_moves(web, 0.5)
