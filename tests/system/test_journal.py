"""What was declared over the API outlives the program; a journal that is not as it was left keeps it from starting."""

import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path

import docker as sdk
import pytest

from proto.dockrunner import v1 as pb
from tests.private_engine import IMAGE

from .program import Program, eventually

InDocker = Callable[..., dict[str, str]]


def declare(program: Program, name: str = "web", replicas: int = 2, image: str = IMAGE) -> None:
    spec = pb.ServiceSpec(image=image, replicas=replicas, pull_policy="never")
    program.api.Apply(pb.ApplyRequest(service=pb.Service(metadata=pb.Metadata(name=name), spec=spec)))


def condition(program: Program, type_: str, name: str = "web") -> pb.Condition:
    found = [it for it in program.service(name).status.conditions if it.type == type_]
    return found[0] if found else pb.Condition()


def journal_of(program: Program) -> Path:
    (path,) = (program.folder / "state").glob("*.journal")
    return path


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_what_the_api_declared_is_there_again_with_the_same_containers(
    program: Program, in_docker: InDocker, end: signal.Signals
) -> None:
    program.start()
    declare(program)
    program.until_converged(web=2)
    before, service = program.ids("web"), program.service("web")
    program.signal(end)
    program.start()
    program.until_converged(web=2)
    assert program.ids("web") == before
    again = program.service("web")
    assert (again.metadata.uid, again.metadata.generation) == (service.metadata.uid, service.metadata.generation)
    assert again.metadata.create_time == service.metadata.create_time
    assert int(again.metadata.resource_version) > int(service.metadata.resource_version)
    assert set(in_docker("web")) == set(before.values())
    assert not program.events("Orphan")


def test_a_deletion_that_was_asked_for_goes_on_after_a_kill(program: Program, in_docker: InDocker) -> None:
    program.start()
    declare(program)
    program.until_converged(web=2)
    program.api.Delete(pb.DeleteRequest(name="web"))
    program.kill()
    program.start()
    eventually(lambda: program.service_or_none("web") is None and not in_docker())


def test_revisions_are_kept(program: Program, second_image: str) -> None:
    program.start()
    declare(program)
    declare(program, image=second_image)
    program.until_converged(web=2)
    program.kill()
    program.start()
    revisions = program.api.ListRevisions(pb.ListRevisionsRequest(name="web")).revisions
    assert [(revision.number, revision.spec.image) for revision in revisions] == [(2, second_image), (1, IMAGE)]


def test_a_damaged_journal_keeps_it_from_starting_and_no_container_is_touched(
    program: Program, docker: sdk.APIClient, in_docker: InDocker
) -> None:
    program.start()
    declare(program)
    program.until_converged(web=2)
    ids = set(program.ids("web").values())
    assert program.stop() == 0
    path = journal_of(program)
    damaged = path.read_bytes()[: path.stat().st_size // 2]
    path.write_bytes(damaged)
    program.start(ready=False)
    assert program.wait() == 1
    last = program.log.splitlines()[-1]
    assert last.startswith(f"error: the journal {path} is damaged")
    assert "put a backup in its place" in last
    assert path.read_bytes() == damaged
    assert set(in_docker("web")) == ids
    assert all(docker.inspect_container(it)["State"]["Running"] for it in ids)


def test_a_journal_of_a_newer_release_is_refused_and_left_alone(simulated: Program) -> None:
    simulated.start()
    simulated.stop()
    path = journal_of(simulated)
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    before = path.read_bytes()
    simulated.start(ready=False)
    assert simulated.wait() == 1
    assert "99" in simulated.log.splitlines()[-1]
    assert path.read_bytes() == before


def test_a_backup_brings_back_what_was_deleted_and_takes_a_lost_journals_place(
    program: Program, in_docker: InDocker, tmp_path: Path
) -> None:
    program.start()
    declare(program)
    program.until_converged(web=2)
    saved = program.run("backup", "saved.db")
    assert saved.returncode == 0, saved.stderr
    program.api.Delete(pb.DeleteRequest(name="web"))
    eventually(lambda: program.service_or_none("web") is None and not in_docker())
    restored = program.run("restore", "saved.db")
    assert (restored.returncode, restored.stdout) == (0, "service/web restored\n")
    program.until_converged(web=2)
    ids = program.ids("web")
    program.stop()
    path = journal_of(program)
    path.write_bytes((tmp_path / "saved.db").read_bytes())
    program.start()
    program.until_converged(web=2)
    assert program.ids("web") == ids


def test_without_a_state_folder_it_works_and_forgets(program: Program, in_docker: InDocker) -> None:
    program.start("--state-dir", "none")
    declare(program)
    program.until_converged(web=2)
    program.kill()
    program.start("--state-dir", "none")
    assert program.service_or_none("web") is None
    assert len(in_docker("web")) == 2, "as an orphan, until it is declared again"
    declare(program)
    program.until_converged(web=2)
    assert len(in_docker("web")) == 2


def test_what_the_policy_allows_no_longer_is_kept_and_said_and_never_made(simulated: Program) -> None:
    folder = simulated.folder / "data"
    folder.mkdir()
    policy = simulated.folder / "policy.toml"
    policy.write_text(f'allowed_host_paths = ["{folder}"]\n')
    simulated.start("--policy", str(policy))
    mount = pb.Mount(type="bind", source=str(folder), target="/data")
    spec = pb.ServiceSpec(image="web:1", replicas=1, volumes=[mount])
    simulated.api.Apply(pb.ApplyRequest(service=pb.Service(metadata=pb.Metadata(name="web"), spec=spec)))
    simulated.until_converged(web=1)
    simulated.stop()
    simulated.start()  # the built-in policy opens nothing
    (event,) = simulated.events("NoLongerAllowed")
    assert "allowed_host_paths" in event.message
    eventually(lambda: condition(simulated, "Degraded").reason == "NoLongerAllowed")
    assert simulated.service("web").status.ready_replicas == 0
    assert not simulated.containers()
