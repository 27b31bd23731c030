"""``describe``, ``watch`` and ``version``."""

import json

import grpc
import pytest

from proto.dockrunner import v1 as pb

from .conftest import Run, lines_of_json
from .objects import NOW, container, event, service
from .server import FakeControlPlane


@pytest.mark.parametrize("words", [["web"], ["service", "web"], ["svc/web"]])
def test_describe_begins_with_why_it_is_not_ready(server: FakeControlPlane, run: Run, words: list[str]) -> None:
    server.services = [service(ready=1)]
    server.containers, server.events = [container()], [event(count=5)]
    for condition in server.services[0].status.conditions:
        condition.last_transition_time.CopyFrom(server.services[0].metadata.create_time)
    result = run("describe", *words)
    assert result.exit_code == 0
    assert result.stdout == (
        "Name:        web\n"
        "Status:      not as declared, 1/3 ready: 1 of 3 ready: web-2-abcde: no such image\n"
        "Manager:     api\n"
        "Replicas:    3 wanted, 3 there, 1 updated\n"
        "Restarts:    0\n"
        "Revision:    1-abc\n"
        "Generation:  1 (observed 1)\n"
        "Age:         5m\n"
        "Labels:      <none>\n"
        "Conditions:\n"
        "  TYPE         STATUS  REASON            SINCE  MESSAGE\n"
        "  Ready        False   ReplicasNotReady  5m     1 of 3 ready: web-2-abcde: no such image\n"
        "  Progressing  True    Reconciling       5m\n"
        "  Degraded     False   AsExpected        5m\n"
        "Containers:\n"
        "  NAME         SERVICE  SLOT  STATE    READY  RESTARTS  AGE  DOCKER-ID     REVISION  PORTS         IMAGE"
        "  MESSAGE\n"
        "  web-1-abcde  web      1     Running  yes    3         90s  0123456789ab  1-abc     8080->80/tcp  web:1\n"
        "Revisions: <none>\n"
        "Spec:\n"
        "  [services.web]\n"
        '  image = "web:1"\n'
        "  replicas = 3\n"
        "Events:\n"
        "  LAST-SEEN  TYPE    REASON  OBJECT       MESSAGE\n"
        "  5s         Normal  Began   service/web  it began (x5)\n"
    )
    assert [getattr(request, "service", "") for request in server.requests] == ["", "web", "", "web"]


def test_describe_says_that_all_is_well_what_rolls_out_and_what_goes(server: FakeControlPlane, run: Run) -> None:
    server.services = [service()]
    assert "Status:      as declared, 3/3 ready\n" in run("describe", "web").stdout
    server.services[0].status.rollout.CopyFrom(pb.Rollout(order="stop-first", reason="fixed port", start_time=None))
    server.services[0].status.rollout.start_time.FromDatetime(NOW)
    assert "Rollout:     stop-first, fixed port, since 0s\n" in run("describe", "web").stdout
    server.services[0].metadata.delete_time.FromDatetime(NOW)
    server.services[0].metadata.finalizers.append("a/b")
    found = run("describe", "web").stdout
    assert "Deleting:    since 0s, waits for a/b\n" in found
    assert "not as declared, 3/3 ready: it is being deleted" in found
    assert "Containers: <none>\n" in found


def test_describe_of_nobody(server: FakeControlPlane, run: Run) -> None:
    result = run("describe", "nope")
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", 'error: service "nope" not found\n')
    assert run("describe", "container", "web").exit_code == 2
    assert run("describe").exit_code == 2


def test_watch_for_programs_has_every_change_as_it_is(server: FakeControlPlane, run: Run) -> None:
    server.services = [service()]
    server.changes = [pb.WatchResponse(type=pb.DELETED, service=service(), resource_version="71")]
    result = run("watch", "-o", "json")
    lines = lines_of_json(result)
    assert [(line["type"], line["resource_version"]) for line in lines] == [
        ("ADDED", "69"), ("BOOKMARK", "70"), ("DELETED", "71")
    ]  # fmt: skip
    assert lines[0]["service"]["status"]["ready_replicas"] == 3
    assert "service" not in lines[1]
    assert (result.exit_code, result.stderr) == (1, "error: the server ended the watch; go on with --since 71\n")


def test_watch_for_people_is_one_line_each(server: FakeControlPlane, run: Run) -> None:
    server.services = [service()]
    assert run("watch").stdout == (
        "TYPE   NAME  READY  UPDATED  STATUS         RESOURCE-VERSION\n"
        "ADDED  web   3/3    3        ReplicasReady  69\n"
        "BOOKMARK                                       70\n"
    )


def test_watch_of_one_since_a_version(server: FakeControlPlane, run: Run) -> None:
    run("watch", "service/web", "--since", "12")
    assert server.requests == [pb.WatchRequest(name="web", resource_version="12")]
    server.refuse("Watch", grpc.StatusCode.OUT_OF_RANGE, "list again")
    assert run("watch", "--since", "1").stderr == "error: out of range: list again\n"


def test_version_asks_the_server(server: FakeControlPlane, run: Run) -> None:
    found = json.loads(run("version", "-o", "json").stdout)
    assert found["server"] == "9.8.7"
    assert run("version").stdout == f"Client version: {found['client']}\nServer version: 9.8.7\n"
    assert set(json.loads(run("version", "--client", "-o", "json").stdout)) == {"client"}


def test_version_does_without_a_server(run: Run) -> None:
    result = run("version")
    assert (result.exit_code, result.stdout.count("\n"), result.stderr) == (0, 1, "")
    assert run("version", "--server", "127.0.0.1:1").exit_code == 0
