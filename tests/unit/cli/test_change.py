"""``delete`` and ``scale``: each service by itself."""

import json
from pathlib import Path

import grpc
import pytest

from proto.dockrunner import v1 as pb

from .conftest import Run
from .objects import service
from .server import FakeControlPlane


def test_delete_names_each_service(server: FakeControlPlane, run: Run) -> None:
    server.services = [service(), service("api")]
    result = run("delete", "web", "service/api", "web", "--force")
    assert (result.exit_code, result.stdout) == (0, "service/web deleted\nservice/api deleted\n")
    assert server.requests == [pb.DeleteRequest(name=name, manager="api", force=True) for name in ("web", "api")]


def test_delete_with_volumes(server: FakeControlPlane, run: Run) -> None:
    server.services = [service()]
    assert run("delete", "web", "--volumes").exit_code == 0
    assert server.requests == [pb.DeleteRequest(name="web", manager="api", volumes=True)]


def test_delete_what_a_file_declares(server: FakeControlPlane, run: Run, tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text('[services.web]\nimage = "x"\n')
    server.services = [service(), service("api")]
    assert run("delete", "-f", str(file), "-o", "name").stdout == "service/web\n"


def test_one_that_is_missing_does_not_keep_the_others(server: FakeControlPlane, run: Run) -> None:
    server.services = [service()]
    result = run("delete", "nope", "web")
    assert (result.exit_code, result.stdout) == (1, "service/web deleted\n")
    assert result.stderr == 'error: service "nope" not found\n'


@pytest.mark.parametrize("words", [[], ["web", "-f", "x.toml"]])
def test_delete_wants_names_or_files(run: Run, words: list[str]) -> None:
    assert run("delete", *words).exit_code == 2


def test_delete_waits_until_that_very_service_is_gone(server: FakeControlPlane, run: Run) -> None:
    server.services, server.hang = [service()], True
    server.changes = [pb.WatchResponse(type=pb.DELETED, service=service())]
    assert run("delete", "web", "--wait").exit_code == 0
    recreated = service()
    recreated.metadata.uid = "another"
    server.changes = [pb.WatchResponse(type=pb.MODIFIED, service=recreated)]
    assert run("delete", "web", "--wait").exit_code == 0
    server.changes = []
    result = run("delete", "web", "--wait", "--timeout", "200ms")
    assert (result.exit_code, result.stderr) == (1, "error: still there after 0.2s: service/web\n")


def test_scale(server: FakeControlPlane, run: Run) -> None:
    server.services = [service(), service("api")]
    result = run("scale", "web=0", "svc/api=12", "--force")
    assert (result.exit_code, result.stdout) == (0, "service/web scaled\nservice/api scaled\n")
    assert server.requests == [
        pb.ScaleRequest(name="web", replicas=0, force=True), pb.ScaleRequest(name="api", replicas=12, force=True)
    ]  # fmt: skip
    assert json.loads(run("scale", "web=1", "-o", "json").stdout)["items"][0]["metadata"]["name"] == "web"


@pytest.mark.parametrize("target", ["web", "web=", "=3", "web=-1", "web=x", "web=1.5", "web=3=4", "web=9999999999"])
def test_scale_checks_all_before_it_begins(server: FakeControlPlane, run: Run, target: str) -> None:
    server.services = [service()]
    assert run("scale", "web=1", target).exit_code == 2
    assert server.requests == []


def test_scale_says_what_is_wrong_with_the_number(server: FakeControlPlane, run: Run) -> None:
    server.refuse(
        "Scale", grpc.StatusCode.INVALID_ARGUMENT, "x", ("replicas", "too many"), ("replicas", "the range is smaller")
    )
    result = run("scale", "web=5000")
    assert (result.exit_code, result.stderr) == (
        1, "error: 2 things are wrong:\n  replicas: too many\n  replicas: the range is smaller\n",
    )  # fmt: skip


@pytest.mark.parametrize("words", [["scale", "a=1", "b=2"], ["delete", "a", "b"]])
def test_no_server_is_said_once(run: Run, words: list[str]) -> None:
    result = run(*words)
    assert (result.exit_code, result.stderr.count("cannot reach the server")) == (1, 1)
