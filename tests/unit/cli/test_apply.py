"""``apply``: what is sent, what is said, and how it waits."""

import json
from pathlib import Path

import grpc
import pytest

from controller.cli import waiting
from proto.dockrunner import v1 as pb

from .conftest import Run
from .objects import NOW, service
from .server import FakeControlPlane

Step = pb.PlanStep

WEB = '[services.web]\nimage = "web:1"\nreplicas = 3\n'


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "s.toml"
    path.write_text(WEB)
    return str(path)


def test_it_declares_all_files_as_one_set(server: FakeControlPlane, run: Run, file: str, tmp_path: Path) -> None:
    other = tmp_path / "o.toml"
    other.write_text('[services.api]\nimage = "api:1"\n[services.db]\nimage = "db:1"\n')
    server.pruned = ["old"]
    result = run("apply", "-f", file, "-f", str(other), "--prune", "--force")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == ("service/web created\nservice/api created\nservice/db created\nservice/old pruned\n")
    (request,) = server.requests
    assert [sent.metadata.name for sent in request.services] == ["web", "api", "db"]
    assert (request.manager, request.prune, request.force, request.dry_run) == ("api", True, True, False)
    assert not request.allow_empty


@pytest.mark.parametrize("outcome", [pb.CREATED, pb.CONFIGURED, pb.UNCHANGED])
def test_it_says_what_came_of_it(server: FakeControlPlane, run: Run, file: str, outcome: pb.Outcome.ValueType) -> None:
    server.outcome = outcome
    assert run("apply", "-f", file).stdout == f"service/web {pb.Outcome.Name(outcome).lower()}\n"


def test_dry_run_shows_the_plan(server: FakeControlPlane, run: Run, file: str) -> None:
    server.pruned = ["old"]
    server.plan = [
        Step(action=Step.CREATE, service="web", slot=1, cause="scale up to 3"),
        Step(action=Step.CREATE, service="web", slot=2, cause="image web:0 → web:1"),
        Step(action=Step.DELETE, service="web", slot=2, container="web-2-abcde", cause="out of date"),
        Step(action=Step.UPDATE, service="web", slot=3, container="web-3-fghij", cause="restart policy\n\x1b[2J"),
        Step(action=Step.DELETE, service="old", slot=1, container="old-1-klmno", cause="the service is deleted"),
    ]
    assert run("apply", "-f", file, "--dry-run", "--wait").stdout == (
        "service/web created (dry run)\n"
        "service/old pruned (dry run)\n"
        "  create web-1: scale up to 3\n"
        "  replace web-2-abcde: image web:0 → web:1\n"
        "  update web-3-fghij: restart policy \\x1b[2J\n"
        "  delete old-1-klmno: the service is deleted\n"
    )
    assert [type(request) for request in server.requests] == [pb.ApplySetRequest]
    assert server.requests[0].dry_run


def test_output_for_programs(server: FakeControlPlane, run: Run, file: str) -> None:
    server.pruned = ["old"]
    assert run("apply", "-f", file, "-o", "name").stdout == "service/web\nservice/old\n"
    answer = json.loads(run("apply", "-f", file, "-o", "json").stdout)
    assert (answer["results"][0]["outcome"], answer["pruned"], answer["plan"]) == ("CREATED", ["old"], [])


def test_standard_input(server: FakeControlPlane, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    text = WEB + 'volumes = ["./site:/srv", "/etc/hosts:/hosts", "data:/data"]\n'
    assert run("apply", "-f", "-", input=text).exit_code == 0
    sources = [mount.source for mount in server.requests[0].services[0].spec.volumes]
    assert sources == [str(tmp_path / "site"), "/etc/hosts", "data"]


def test_files_that_standard_input_names_start_from_the_working_folder(
    server: FakeControlPlane, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.env").write_text("A=1\n")
    (tmp_path / "key").write_text("hush")
    text = f"{WEB}env_file = 'a.env'\nsecrets = ['key']\n[secrets.key]\nfile = './key'\n"
    result = run("apply", "-f", "-", "-o", "json", input=text)
    sent = server.requests[0].services[0].spec
    assert (sent.environment["A"], sent.secrets[0].content) == ("1", b"hush")
    assert "aHVzaA" not in result.stdout, "nor is it shown when a server sends it back"
    (tmp_path / "a.env").unlink()
    assert run("apply", "-f", "-", input=text).stderr.startswith("<stdin>:4:1: services.web.env_file: ")


def test_problems_of_all_files_are_told_at_once_and_nothing_is_sent(
    server: FakeControlPlane, run: Run, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text('[services.web]\nimage = 3\nimagee = "x"\n')
    result = run("apply", "-f", str(bad), "-f", "-", "-f", str(tmp_path / "gone.toml"), input="x = 1\n")
    assert (result.exit_code, result.stdout) == (1, "")
    lines = result.stderr.splitlines()
    assert lines[0].startswith(f"{bad}:2:1: services.web.image: expected a string")
    assert "did you mean `image`?" in lines[1]
    assert lines[2].startswith("<stdin>:1:1: x: unknown key")
    assert lines[3].startswith(f"{tmp_path}/gone.toml: cannot be read")
    assert server.requests == []


def test_what_the_server_has_against_a_field_is_said_where_it_is_written(
    server: FakeControlPlane, run: Run, file: str, tmp_path: Path
) -> None:
    other = tmp_path / "o.toml"
    other.write_text('[services.api]\nimage = "api:1"\nports = ["80:80"]\n')
    server.refuse(
        "ApplySet", grpc.StatusCode.INVALID_ARGUMENT, "invalid",
        ("services[0].spec.replicas", "too many"), ("services[1].spec.ports[0].published", "is taken"),
        ("services[7].spec.image", "of nobody"), ("", "the policy allows 1"),
    )  # fmt: skip
    result = run("apply", "-f", file, "-f", str(other))
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        f"{file}:3:1: services.web.replicas: too many\n"
        f"{other}:3:10: services.api.ports[0].published: is taken\n"
        "services[7].spec.image: of nobody\n"
        "the policy allows 1\n"
    )


def test_another_manager_is_one_line(server: FakeControlPlane, run: Run, file: str) -> None:
    server.refuse("ApplySet", grpc.StatusCode.FAILED_PRECONDITION, "service 'web' is declared by manager 'file'")
    result = run("apply", "-f", file)
    assert (result.exit_code, result.stderr) == (
        1, "error: failed precondition: service 'web' is declared by manager 'file'\n",
    )  # fmt: skip


def test_nothing_is_not_applied(server: FakeControlPlane, run: Run, tmp_path: Path) -> None:
    empty = tmp_path / "e.toml"
    empty.touch()
    assert run("apply", "-f", str(empty)).stderr == f"error: no service in {empty}: nothing to apply\n"
    assert server.requests == []
    assert run("apply", "-f", str(empty), "--prune", "--allow-empty").exit_code == 0
    assert (server.requests[0].prune, server.requests[0].allow_empty) == (True, True)


@pytest.mark.parametrize("words", [[], ["web"], ["-f"], ["-f", "x", "--timeout", "soon"], ["-f", "x", "-o", "toml"]])
def test_wrong_usage(run: Run, words: list[str]) -> None:
    assert run("apply", *words).exit_code == 2


def test_wait_returns_when_all_of_it_is_as_declared(server: FakeControlPlane, run: Run, file: str) -> None:
    behind = service()
    behind.status.observed_generation = 0
    busy = service()
    busy.status.conditions[1].status = "True"
    server.services, server.hang = [service(ready=1), service("foreign", ready=0)], True
    server.changes = [pb.WatchResponse(type=pb.MODIFIED, service=state) for state in (behind, busy, service())]
    assert run("apply", "-f", file, "--wait").exit_code == 0
    server.changes.pop()
    assert run("apply", "-f", file, "--wait", "--timeout", "200ms").exit_code == 1


def test_wait_looks_at_nothing_before_it_has_seen_all(
    server: FakeControlPlane, run: Run, file: str, tmp_path: Path
) -> None:
    other = tmp_path / "o.toml"
    other.write_text('[services.api]\nimage = "api:1"\n')
    server.services, server.hang = [service(), service("api")], True
    assert run("apply", "-f", file, "-f", str(other), "--wait").exit_code == 0


def test_wait_says_why_it_gave_up(server: FakeControlPlane, run: Run, file: str) -> None:
    server.services, server.hang = [service(ready=1)], True
    result = run("apply", "-f", file, "--wait", "--timeout", "300ms")
    assert (result.exit_code, result.stdout) == (1, "service/web created\n")
    assert result.stderr == ("error: not ready after 0.3s:\n  service/web: 1 of 3 ready: web-2-abcde: no such image\n")


def test_wait_does_not_take_the_status_of_an_older_declaration(server: FakeControlPlane, run: Run, file: str) -> None:
    server.services, server.hang = [service()], True
    server.services[0].status.observed_generation = 0
    result = run("apply", "-f", file, "--wait", "--timeout", "200ms")
    assert result.exit_code == 1
    assert "service/web: the controller has not looked at the new declaration yet" in result.stderr


def test_wait_ends_when_the_service_is_deleted(server: FakeControlPlane, run: Run, file: str) -> None:
    server.services, server.hang = [service(ready=1)], True
    server.services[0].metadata.delete_time.FromDatetime(NOW)
    assert run("apply", "-f", file, "--wait").stderr == "error: service/web was deleted meanwhile\n"


@pytest.mark.parametrize("state", [pb.Rollout.FAILED, pb.Rollout.ROLLED_BACK])
def test_wait_ends_when_the_update_has_failed(
    server: FakeControlPlane, run: Run, file: str, state: pb.Rollout.State.ValueType
) -> None:
    server.services, server.hang = [service()], True
    server.services[0].status.rollout.CopyFrom(pb.Rollout(state=state, revision="1-abc", message="it is unhealthy"))
    result = run("apply", "-f", file, "--wait")
    assert result.exit_code == 1
    assert "service/web: " in result.stderr
    assert result.stderr.endswith(": it is unhealthy\n")


def test_wait_does_not_take_an_update_that_is_held_for_its_end(server: FakeControlPlane, run: Run, file: str) -> None:
    server.services, server.hang = [service()], True
    server.services[0].status.rollout.CopyFrom(pb.Rollout(state=pb.Rollout.PAUSED, revision="1-abc"))
    server.services[0].status.conditions[1].reason = "Paused"
    server.services[0].status.conditions[1].message = "0 of 3 updated"
    result = run("apply", "-f", file, "--wait", "--timeout", "200ms")
    assert (result.exit_code, result.stderr) == (1, "error: not ready after 0.2s:\n  service/web: 0 of 3 updated\n")


def test_wait_begins_again_when_the_watch_breaks(
    server: FakeControlPlane, run: Run, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "_RETRY", 0.0)
    server.services, server.hang = [service(ready=1)], True
    server.breaks = [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED]
    server.changes = [pb.WatchResponse(type=pb.MODIFIED, service=service())]
    assert (run("apply", "-f", file, "--wait").exit_code, server.breaks) == (0, [])
    server.breaks = [grpc.StatusCode.PERMISSION_DENIED]
    assert run("apply", "-f", file, "--wait").stderr == "error: permission denied: broken\n"
