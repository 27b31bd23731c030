"""``get``: what people read, and what programs do."""

import json

import grpc
import pytest

from proto.dockrunner import v1 as pb

from .conftest import Run, lines_of_json
from .objects import NOW, State, container, event, service
from .server import FakeControlPlane


def test_services_as_a_table(server: FakeControlPlane, run: Run) -> None:
    server.services = [service(), service("a-longer-name", ready=1, old=90000)]
    result = run("get", "services")
    assert result.exit_code == 0
    assert result.stdout == (
        "NAME           READY  UPDATED  STATUS         RESTARTS  IMAGE            AGE\n"
        "web            3/3    3        ReplicasReady  0         web:1            5m\n"
        "a-longer-name  1/3    1        Reconciling    0         a-longer-name:1  25h\n"
    )


def test_a_scheduled_service_is_not_short_of_replicas_between_its_runs(server: FakeControlPlane, run: Run) -> None:
    nightly = service("nightly", replicas=1, ready=0)
    nightly.spec.schedule, nightly.status.replicas = "@daily", 0
    server.services = [nightly]
    assert run("get", "services").stdout.splitlines()[1].split()[:2] == ["nightly", "-"]


def test_services_wide(server: FakeControlPlane, run: Run) -> None:
    server.services = [service()]
    server.services[0].spec.ports.add(target=80, published="8080-8089", host_ip="::1", protocol="tcp")
    server.services[0].spec.ports.add(target=53, protocol="udp")
    assert run("get", "svc", "-o", "wide").stdout == (
        "NAME  READY  UPDATED  STATUS         RESTARTS  IMAGE  AGE  MANAGER  REVISION  PORTS\n"
        "web   3/3    3        ReplicasReady  0         web:1  5m   api      1-abc     [::1]:8080-8089->80/tcp,53/udp\n"
    )


def test_containers_as_a_table(server: FakeControlPlane, run: Run) -> None:
    server.containers = [container(), container("web-2-fghij", slot=2)]
    failed = server.containers[1].status
    failed.CopyFrom(pb.ContainerStatus(state=State.EXITED, exit_code=137, oom_killed=True, message="was\nkilled"))
    assert run("get", "c").stdout == (
        "NAME         SERVICE  SLOT  STATE            READY  RESTARTS  AGE\n"
        "web-1-abcde  web      1     Running          yes    3         90s\n"
        "web-2-fghij  web      2     Exited(137,oom)  no     1         90s\n"
    )
    assert run("get", "containers", "-o", "wide").stdout.splitlines()[1:] == [
        "web-1-abcde  web      1     Running          yes    3         90s  0123456789ab  1-abc     8080->80/tcp  "
        "web:1",
        "web-2-fghij  web      2     Exited(137,oom)  no     1         90s  <none>        1-abc     <none>        web:1"
        "  was killed",
    ]


def test_events_as_a_table(server: FakeControlPlane, run: Run) -> None:
    server.events = [event(), event("it failed", count=5, type_="Warning")]
    assert run("get", "ev").stdout == (
        "LAST-SEEN  TYPE     REASON  OBJECT       MESSAGE\n"
        "5s         Normal   Began   service/web  it began\n"
        "5s         Warning  Began   service/web  it failed (x5)\n"
    )


@pytest.mark.parametrize("words", [["service/web"], ["service", "web"], ["svc", "web"], ["services", "service/web"]])
def test_a_service_by_name(server: FakeControlPlane, run: Run, words: list[str]) -> None:
    server.services = [service(), service("api")]
    assert run("get", *words, "-o", "name").stdout == "service/web\n"


def test_names_of_a_service_find_its_containers_and_events(server: FakeControlPlane, run: Run) -> None:
    server.containers = [container(), container("api-1-abcde", of="api")]
    server.events = [event(), event(of="api")]
    assert run("get", "containers", "web", "-o", "name").stdout == "container/web-1-abcde\n"
    assert run("get", "containers", "api-1-abcde", "-o", "name").stdout == "container/api-1-abcde\n"
    assert run("get", "events", "api", "-o", "name").stdout == "event/api.1\n"


def test_what_is_missing_is_said_and_the_rest_is_shown(server: FakeControlPlane, run: Run) -> None:
    server.services = [service()]
    result = run("get", "services", "nope", "web", "nada")
    assert result.exit_code == 1
    assert result.stderr == 'error: service "nope" not found\nerror: service "nada" not found\n'
    assert "web   3/3" in result.stdout
    assert run("get", "services", "nope").stdout == ""


def test_nothing_at_all_is_no_error(server: FakeControlPlane, run: Run) -> None:
    result = run("get", "services")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "No services found.\n")
    assert run("get", "events", "nope").stderr == "No events found.\n"


def test_json_of_one_service_has_every_field(server: FakeControlPlane, run: Run) -> None:
    server.services = [service("web", replicas=0, ready=0)]
    found = json.loads(run("get", "service", "web", "-o", "json").stdout)
    assert found["metadata"]["resource_version"] == "42"
    assert (found["spec"]["replicas"], found["spec"]["ports"], found["status"]["ready_replicas"]) == (0, [], 0)


@pytest.mark.parametrize("kind", ["service", "container", "event"])
def test_json_of_a_list_has_items_and_version(server: FakeControlPlane, run: Run, kind: str) -> None:
    server.services, server.containers, server.events = [service(), service("api")], [container()], [event()]
    found = json.loads(run("get", kind, "-o", "json").stdout)
    assert found["resource_version"] == "70"
    assert [item["metadata"]["name"] for item in found["items"]] == {
        "service": ["web", "api"], "container": ["web-1-abcde"], "event": ["web.1"]
    }[kind]  # fmt: skip
    assert json.loads(run("get", kind, "web", "api", "-o", "json").stdout)["items"]


def test_a_list_of_many_comes_in_pages(server: FakeControlPlane, run: Run) -> None:
    server.services, server.page_size = [service(f"s{number}") for number in range(25)], 10
    assert len(run("get", "services", "-o", "name").stdout.splitlines()) == 25
    assert [request.page_token for request in server.requests] == ["", "10", "20"]


def test_the_selector_is_the_servers_business(server: FakeControlPlane, run: Run) -> None:
    run("get", "services", "-l", "a=b,!c")
    run("get", "containers", "-l", "d")
    assert [request.label_selector for request in server.requests] == ["a=b,!c", "d"]


@pytest.mark.parametrize(
    "words", [["pods"], ["events", "-l", "a"], ["containers", "-o", "toml"], ["services", "-w", "-o", "toml"], []]
)
def test_wrong_usage(run: Run, words: list[str]) -> None:
    assert run("get", *words).exit_code == 2


def test_watch_goes_on_where_the_list_ended_with_what_was_asked_for(server: FakeControlPlane, run: Run) -> None:
    server.services = [service(), service("api")]
    server.changes = [
        pb.WatchResponse(type=pb.MODIFIED, service=service(ready=2, old=7200)),
        pb.WatchResponse(type=pb.BOOKMARK, resource_version="71"),
        pb.WatchResponse(type=pb.ADDED, service=service("other")),
        pb.WatchResponse(type=pb.DELETED, service=service()),
    ]
    result = run("get", "services", "web", "-w")
    assert result.stdout == (
        "NAME  READY  UPDATED  STATUS         RESTARTS  IMAGE  AGE\n"
        "web   3/3    3        ReplicasReady  0         web:1  5m\n"
        "web   2/3    2        Reconciling    0         web:1  120m\n"
        "web   3/3    3        Deleted        0         web:1  5m\n"
    )
    assert (result.exit_code, result.stderr) == (1, "error: the server ended the watch\n")
    assert server.requests[-1].resource_version == "70"


def test_watch_for_programs_is_one_document_a_line(server: FakeControlPlane, run: Run) -> None:
    server.containers = [container()]
    server.changes = [pb.WatchContainersResponse(type=pb.DELETED, container=container(), resource_version="80")]
    lines = lines_of_json(run("get", "containers", "-w", "-o", "json"))
    assert [(line["type"], line["resource_version"]) for line in lines] == [("ADDED", "43"), ("DELETED", "80")]
    assert lines[1]["container"]["spec"]["slot"] == 1


def test_watch_of_events(server: FakeControlPlane, run: Run) -> None:
    server.changes = [pb.WatchEventsResponse(type=pb.ADDED, event=event())]
    assert run("get", "events", "-w").stdout.splitlines()[-1].endswith("it began")


def test_toml_is_the_format_of_the_file(server: FakeControlPlane, run: Run) -> None:
    server.services = [service()]
    assert run("get", "services", "-o", "toml").stdout == '[services.web]\nimage = "web:1"\nreplicas = 3\n'


def test_a_service_that_goes_says_so(server: FakeControlPlane, run: Run) -> None:
    server.services = [service()]
    server.services[0].metadata.delete_time.FromDatetime(NOW)
    assert "Deleting" in run("get", "services").stdout


def test_trouble_comes_before_progress(server: FakeControlPlane, run: Run) -> None:
    server.services = [service(ready=1)]
    server.services[0].status.conditions[2].status = "True"
    server.services[0].status.conditions[2].reason = "ContainerFailing"
    assert "ContainerFailing" in run("get", "services").stdout


def test_a_service_that_nobody_looked_at_is_pending(server: FakeControlPlane, run: Run) -> None:
    server.services = [service()]
    server.services[0].ClearField("status")
    assert "Pending" in run("get", "services").stdout


@pytest.mark.parametrize(
    ("code", "message", "said"),
    [
        (grpc.StatusCode.PERMISSION_DENIED, "no", "error: permission denied: no"),
        (grpc.StatusCode.UNIMPLEMENTED, "no List", "is of another version: no List"),
        (grpc.StatusCode.OUT_OF_RANGE, "list again", "error: out of range: list again"),
    ],
)
def test_what_the_server_refuses_is_one_line(
    server: FakeControlPlane, run: Run, code: grpc.StatusCode, message: str, said: str
) -> None:
    server.refuse("List", code, message)
    result = run("get", "services")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert said in result.stderr


def test_a_wrong_selector_is_said_with_its_field(server: FakeControlPlane, run: Run) -> None:
    server.refuse("List", grpc.StatusCode.INVALID_ARGUMENT, "x", ("label_selector", "cannot be read"))
    assert run("get", "services", "-l", "(").stderr == "error: label_selector: cannot be read\n"


def test_no_server_is_one_line_with_the_fix(run: Run, socket: object) -> None:
    result = run("get", "services")
    assert (result.exit_code, result.stderr) == (
        1,
        f"error: cannot reach the server at unix:{socket}: is dock-runner running? (--server, DOCK_RUNNER_SERVER)\n",
    )
