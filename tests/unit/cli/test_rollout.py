"""``rollout``: status, history, and what changes the course of an update."""

import json
import sys
from io import StringIO

import grpc
import pytest

from controller.cli import waiting
from controller.cli.rollout import _Lines
from proto.dockrunner import v1 as pb

from .conftest import Run
from .objects import revision, service
from .server import FakeControlPlane

State = pb.Rollout


def updating(
    state: pb.Rollout.State.ValueType = State.IN_PROGRESS, updated: int = 1, message: str = "", *, generation: int = 2
) -> pb.Service:
    """A service of three whose update to revision 1-new is somewhere."""
    found = service()
    found.metadata.generation = found.status.observed_generation = generation
    found.status.rollout.CopyFrom(pb.Rollout(state=state, updated=updated, revision="1-new", message=message))
    if state == State.ROLLED_BACK:
        found.status.rollout.revision, found.status.rollout.failed_revision = "1-old", "1-new"
    return found


def modified(found: pb.Service) -> pb.WatchResponse:
    return pb.WatchResponse(type=pb.MODIFIED, service=found)


def test_status_says_each_step_until_the_end(server: FakeControlPlane, run: Run) -> None:
    server.services = [updating()]
    server.changes = [
        modified(updating(message="web-2-abcde is not ready yet")),
        modified(updating(message="web-2-abcde is not ready yet")),
        modified(updating(updated=3)),
        modified(service()),
    ]
    result = run("rollout", "status", "service/web")
    assert (result.exit_code, result.stdout) == (
        0,
        "service/web: in progress, 1 of 3 updated to revision 1-new\n"
        "service/web: in progress, 1 of 3 updated to revision 1-new: web-2-abcde is not ready yet\n"
        "service/web: in progress, 3 of 3 updated to revision 1-new\n"
        "service/web rolled out, 3/3 ready\n",
    )
    assert server.requests[-1] == pb.WatchRequest(name="web", send_initial_events=True)


def test_status_of_what_is_at_its_end_is_one_line(server: FakeControlPlane, run: Run) -> None:
    server.services = [service()]
    assert run("rollout", "status", "web").stdout == "service/web rolled out, 3/3 ready\n"


def test_status_waits_for_the_declaration_of_now(server: FakeControlPlane, run: Run) -> None:
    newer = service()
    newer.metadata.generation = 2
    server.services, server.changes = [newer], [modified(updating()), modified(service())]
    assert run("rollout", "status", "web").stdout.splitlines() == [
        "service/web: the controller has not looked at the new declaration yet",
        "service/web: in progress, 1 of 3 updated to revision 1-new",
        "service/web rolled out, 3/3 ready",
    ]


def test_status_of_a_first_start_says_what_is_missing(server: FakeControlPlane, run: Run) -> None:
    server.services, server.changes = [service(ready=1)], [modified(service())]
    first, *_ = run("rollout", "status", "web").stdout.splitlines()
    assert first == "service/web: 1 of 3 ready: web-2-abcde: no such image"


@pytest.mark.parametrize(
    ("state", "error"),
    [
        (State.FAILED, "the rollout of revision 1-new failed: it is unhealthy"),
        (State.ROLLED_BACK, "rolled back from revision 1-new to 1-old: it is unhealthy"),
    ],
)
def test_status_of_what_has_failed_is_an_error(
    server: FakeControlPlane, run: Run, state: pb.Rollout.State.ValueType, error: str
) -> None:
    server.services = [updating(state, message="it is unhealthy")]
    for words in ((), ("--watch=false",)):
        result = run("rollout", "status", "web", *words)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == f"error: service/web: {error}\n"


@pytest.mark.parametrize(("state", "word"), [(State.PAUSED, "paused"), (State.ROLLING_BACK, "rolling back")])
def test_status_waits_while_it_is_held_or_on_its_way_back(
    server: FakeControlPlane, run: Run, state: pb.Rollout.State.ValueType, word: str
) -> None:
    server.services, server.changes = [updating(state, message=word)], [modified(service())]
    assert run("rollout", "status", "web").stdout.splitlines() == [
        f"service/web: {word}, 1 of 3 updated to revision 1-new",
        "service/web rolled out, 3/3 ready",
    ]


def test_status_ends_in_time(server: FakeControlPlane, run: Run) -> None:
    server.services, server.hang = [updating()], True
    result = run("rollout", "status", "web", "--timeout", "200ms")
    assert result.exit_code == 1
    assert result.stderr == (
        "error: not at its end after 0.2s: service/web: in progress, 1 of 3 updated to revision 1-new\n"
    )


def test_status_can_be_asked_for_once(server: FakeControlPlane, run: Run) -> None:
    server.services, server.hang = [updating()], True
    result = run("rollout", "status", "--watch=false", "web")
    assert (result.exit_code, result.stdout) == (0, "service/web: in progress, 1 of 3 updated to revision 1-new\n")


def test_status_of_what_goes_or_is_not_there_is_an_error(server: FakeControlPlane, run: Run) -> None:
    result = run("rollout", "status", "web")
    assert (result.exit_code, result.stderr) == (1, 'error: service "web" not found\n')
    server.services = [updating()]
    server.changes = [pb.WatchResponse(type=pb.DELETED, service=service())]
    assert run("rollout", "status", "web").stderr == "error: service/web was deleted meanwhile\n"
    server.services[0].metadata.delete_time.GetCurrentTime()
    assert run("rollout", "status", "web").stderr == "error: service/web is being deleted\n"


def test_status_goes_on_when_the_watch_breaks(server: FakeControlPlane, run: Run) -> None:
    server.services, server.breaks = [updating()], [grpc.StatusCode.UNAVAILABLE]
    server.changes = [modified(service())]
    assert run("rollout", "status", "web").exit_code == 0
    assert server.breaks == []


def test_status_gives_up_on_a_server_that_stays_away(
    server: FakeControlPlane, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "PATIENCE", 0.3)
    server.services = [updating()]
    server.refuse("Watch", grpc.StatusCode.UNAVAILABLE, "gone")
    result = run("rollout", "status", "web")
    assert result.exit_code == 1
    assert "cannot reach the server" in result.stderr


def test_on_a_terminal_one_line_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    lines = _Lines()
    lines.show("one")
    lines.show("two")
    lines.end()
    assert terminal.getvalue() == "\r\x1b[Kone\r\x1b[Ktwo\r\x1b[K"


def test_history_is_a_table_the_oldest_first_with_the_present_one_marked(server: FakeControlPlane, run: Run) -> None:
    server.services = [service()]
    server.revisions = [  # as the server has them
        revision(12, failure="web-1-abcde is unhealthy"),
        revision(3, hash_="1-abc", digest=f"sha256:{'0123456789' * 6}abcd", old=7200),
    ]
    assert run("rollout", "history", "svc/web").stdout == (
        "REVISION  HASH            IMAGE   AGE   DIGEST        NOTE\n"
        "3 *       1-abc           web:3   120m  012345678901\n"
        "12        1-00000000000c  web:12  5m    <none>        web-1-abcde is unhealthy\n"
    )


def test_history_for_programs(server: FakeControlPlane, run: Run) -> None:
    server.services, server.revisions = [service()], [revision(2), revision(1, hash_="1-abc")]
    items = json.loads(run("rollout", "history", "web", "-o", "json").stdout)["items"]
    assert [(it["number"], it["spec"]["image"], it["present"]) for it in items] == [
        ("1", "web:1", True), ("2", "web:2", False)
    ]  # fmt: skip


def test_history_of_nobody_is_an_error(server: FakeControlPlane, run: Run) -> None:
    assert run("rollout", "history", "nope").stderr == 'error: service "nope" not found\n'
    server.services = [service()]
    result = run("rollout", "history", "web")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "No revisions found.\n")


@pytest.mark.parametrize(("words", "wanted"), [([], ""), (["--to", "3"], "3"), (["--to-revision", "3"], "3")])
def test_undo_goes_to_the_one_before_or_to_a_number(
    server: FakeControlPlane, run: Run, words: list[str], wanted: str
) -> None:
    server.services = [service()]
    result = run("rollout", "undo", "web", *words)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "service/web rolled back\n", "")
    assert server.requests[-1] == pb.RollbackRequest(name="web", revision=wanted)


def test_undo_warns_of_a_file_that_says_otherwise(server: FakeControlPlane, run: Run) -> None:
    server.services = [service()]
    server.services[0].metadata.manager = "file"
    assert run("rollout", "undo", "web").stderr == (
        "warning: the server's file still declares what was before: change it there too, or it comes back\n"
    )


def test_undo_to_what_is_there_changes_nothing_and_says_so(
    server: FakeControlPlane, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.services = [service()]
    monkeypatch.setattr(server, "_amended", lambda call, request, context: server.services[0])
    assert run("rollout", "undo", "web", "--to", "1").stdout == "service/web unchanged\n"


def test_undo_to_what_is_not_kept_says_what_is(server: FakeControlPlane, run: Run) -> None:
    server.services = [service()]
    server.refuse("Rollback", grpc.StatusCode.NOT_FOUND, "no revision 9 of service 'web' is kept; there are 1 (1-abc)")
    result = run("rollout", "undo", "web", "--to", "9")
    assert result.exit_code == 1
    assert "no revision 9 of service 'web' is kept; there are 1 (1-abc)" in result.stderr
    assert run("rollout", "undo", "web", "--to", "0").exit_code == 2


@pytest.mark.parametrize(
    ("verb", "done", "request_"),
    [
        ("restart", "restarted", pb.RestartRequest(name="web")),
        ("pause", "paused", pb.SetPausedRequest(name="web", paused=True)),
        ("resume", "resumed", pb.SetPausedRequest(name="web", paused=False)),
    ],
)
def test_what_changes_an_update(
    server: FakeControlPlane, run: Run, verb: str, done: str, request_: pb.RestartRequest | pb.SetPausedRequest
) -> None:
    server.services = [service()]
    result = run("rollout", verb, "service/web")
    assert (result.exit_code, result.stdout) == (0, f"service/web {done}\n")
    assert server.requests == [request_]
    assert run("rollout", verb, "web", "-o", "name").stdout == "service/web\n"
    result = run("rollout", verb, "nope", "web")
    assert (result.exit_code, result.stdout) == (1, f"service/web {done}\n")
    assert result.stderr == 'error: service "nope" not found\n'


def test_an_unknown_course_is_wrong_usage(run: Run) -> None:
    assert run("rollout", "backwards", "web").exit_code == 2
    assert run("rollout", "undo").exit_code == 2
    assert run("rollout").exit_code == 2


def test_get_shows_where_an_update_is(server: FakeControlPlane, run: Run) -> None:
    held = updating(State.PAUSED)
    held.status.conditions[1].reason = "Paused"
    back = updating(State.ROLLED_BACK)
    back.metadata.name = "back"
    back.status.conditions[1].reason = "RolledBack"
    back.status.conditions[2].status, back.status.conditions[2].reason = "True", "RolledBack"
    going = updating()
    going.metadata.name = "going"
    going.status.conditions[1].status, going.status.conditions[1].reason = "True", "RollingOut"
    server.services = [held, back, going]
    shown = [line.split()[3] for line in run("get", "services").stdout.splitlines()[1:]]
    assert shown == ["Paused", "RolledBack", "RollingOut"]


def test_describe_shows_the_update_and_the_revisions(server: FakeControlPlane, run: Run) -> None:
    server.services, server.revisions = [updating(message="waits for web-2")], [revision(2), revision(1, hash_="1-abc")]
    server.services[0].status.rollout.order = "start-first"
    text = run("describe", "service", "web").stdout
    assert "Rollout:     in progress, 1 of 3 updated to revision 1-new: waits for web-2; start-first\n" in text
    assert "Status:      not as declared, 3/3 ready" in text
    assert (
        "Revisions:\n"
        "  REVISION  HASH            IMAGE  AGE  DIGEST  NOTE\n"
        "  1 *       1-abc           web:1  5m   <none>\n"
        "  2         1-000000000002  web:2  5m   <none>\n"
    ) in text
