"""Bad input gets the contract's code or a clear line, and changes nothing."""

import grpc
import pytest
from google.rpc import error_details_pb2  # type: ignore[import-untyped]  # it has no stubs
from grpc_status import rpc_status

from proto.dockrunner import v1 as pb

from .program import Program, eventually, refused


@pytest.fixture
def program(simulated: Program) -> Program:
    return simulated.start()


def service(name: str = "web", image: str = "web:1", **spec: object) -> pb.Service:
    made = pb.Service(metadata=pb.Metadata(name=name), spec=pb.ServiceSpec(image=image))
    made.spec.MergeFrom(pb.ServiceSpec(**spec))  # type: ignore[arg-type]  # fields by name
    return made


def violated(error: grpc.RpcError) -> dict[str, str]:
    """The field violations of an INVALID_ARGUMENT, by field."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type]  # a call is an error here
    assert status is not None
    details = error_details_pb2.BadRequest()
    assert status.details[0].Unpack(details)
    texts: dict[str, str] = {}
    for violation in details.field_violations:
        texts[violation.field] = f"{texts.get(violation.field, '')} {violation.description}"
    return texts


@pytest.mark.parametrize(
    ("bad", "field", "says"),
    [
        (service(image=""), "service.spec.image", "required"),
        (service(image="not an image"), "service.spec.image", "not an image reference"),
        (service(name="Web_1"), "service.metadata.name", "lower-case"),
        (service(name="x" * 43), "service.metadata.name", "42"),
        (service(replicas=-1), "service.spec.replicas", "not within 0 and 1000"),
        (service(replicas=1001), "service.spec.replicas", "not within 0 and 1000"),
        (service(restart="sometimes"), "service.spec.restart", "not one of always"),
        (service(stop_signal="SIGNOPE"), "service.spec.stop_signal", "no signal"),
        (service(pull_policy="daily"), "service.spec.pull_policy", "not one of missing"),
        (service(working_dir="relative"), "service.spec.working_dir", "absolute"),
        (service(labels={"dock-runner.uid": "x"}), "service.spec.labels.dock-runner.uid", "Dock Runner's own"),
        (service(environment={"A=B": "x"}), "service.spec.environment.A=B", "no '='"),
        (service(ports=[pb.Port(target=0)]), "service.spec.ports[0].target", "not within 1 and 65535"),
        (service(ports=[pb.Port(target=80, published="x")]), "service.spec.ports[0].published", "neither a port"),
        (
            service(replicas=3, ports=[pb.Port(target=80, published="8080-8081")]),
            "service.spec.ports[0].published",
            "2 ports for 3 replicas",
        ),
        (service(ports=[pb.Port(target=80, host_ip="here")]), "service.spec.ports[0].host_ip", "not an IP address"),
        (service(volumes=[pb.Mount(target="data")]), "service.spec.volumes[0].target", "absolute path"),
        (
            service(volumes=[pb.Mount(type="bind", source="/var/run/docker.sock", target="/s")]),
            "service.spec.volumes[0].source",
            "allow_docker_socket",
        ),
        (
            service(volumes=[pb.Mount(type="bind", source="/etc", target="/s")]),
            "service.spec.volumes[0].source",
            "allowed_host_paths",
        ),
        (
            service(volumes=[pb.Mount(type="bind", source="/srv/link/../../etc", target="/s")]),
            "service.spec.volumes[0].source",
            "without '..'",
        ),
        (service(restart="on-failure:0"), "service.spec.restart", "not one of always"),
        (service(networks={"b@d": pb.NetworkAttachment()}), "service.spec.networks.b@d", "not"),
    ],
)
def test_a_violation_is_named_by_its_field_and_nothing_is_stored(
    program: Program, bad: pb.Service, field: str, says: str
) -> None:
    with refused(grpc.StatusCode.INVALID_ARGUMENT) as caught:
        program.api.Apply(pb.ApplyRequest(service=bad))
    assert says in violated(caught.value)[field]
    assert not program.api.List(pb.ListRequest()).services


def test_all_violations_are_told_at_once(program: Program) -> None:
    with refused(grpc.StatusCode.INVALID_ARGUMENT) as caught:
        program.api.ApplySet(
            pb.ApplySetRequest(services=[service(image=""), service("api", replicas=-1, restart="never")])
        )
    assert set(violated(caught.value)) == {
        "services[0].spec.image", "services[1].spec.replicas", "services[1].spec.restart",
    }  # fmt: skip


def test_one_host_port_cannot_be_claimed_by_two_services(program: Program) -> None:
    program.api.Apply(pb.ApplyRequest(service=service("web", ports=[pb.Port(target=80, published="8080-8089")])))
    with refused(grpc.StatusCode.INVALID_ARGUMENT) as caught:
        program.api.Apply(pb.ApplyRequest(service=service("api", ports=[pb.Port(target=80, published="8085")])))
    assert "claimed by service web" in violated(caught.value)["service.spec.ports[0].published"]


def test_the_file_gets_a_line_for_each_error_with_its_place_and_the_nearest_name(program: Program) -> None:
    program.stop()
    program.declare(
        "[services.web]\n"
        'image = "web:1"\n'
        "replicaz = 3\n"
        'ports = ["8080:80"]\n'
        "[services.api]\n"
        "image = 7\n"
        'ports = ["8080:80"]\n'
        '[servicez.x]\nimage = "x"\n'
    )
    program.start(ready=False)
    eventually(lambda: "services.toml:8" in program.log)
    for place, says in {"3:1": "replicas", "6:1": "string", "8:2": "services"}.items():
        line = next(line for line in program.log.splitlines() if f"services.toml:{place}:" in line)
        assert says in line
    assert not program.api.List(pb.ListRequest()).services


def test_what_the_server_refuses_of_the_file_has_its_place_as_well(program: Program) -> None:
    program.stop()
    program.declare(
        '[services.web]\nimage = "web:1"\nports = ["8080:80"]\n\n'
        '[services.zeb]\nimage = "web:1"\nreplicas = -2\nports = [\n  "8080:80",\n]\n'
    )
    program.start(ready=False)
    eventually(lambda: "services.toml:7:" in program.log)
    assert any("services.toml:9:3" in line and "claimed by service web" in line for line in program.log.splitlines())
    assert program.http("/readyz")[0] == 503
    assert "services.toml:7:" in program.http("/readyz?verbose")[1]


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (lambda api: api.Get(pb.GetRequest(name="nobody")), grpc.StatusCode.NOT_FOUND),
        (lambda api: api.Delete(pb.DeleteRequest(name="nobody")), grpc.StatusCode.NOT_FOUND),
        (lambda api: api.Scale(pb.ScaleRequest(name="nobody", replicas=1)), grpc.StatusCode.NOT_FOUND),
        (lambda api: api.List(pb.ListRequest(label_selector="a in (")), grpc.StatusCode.INVALID_ARGUMENT),
        (lambda api: api.List(pb.ListRequest(page_token="x")), grpc.StatusCode.OUT_OF_RANGE),  # noqa: S106  # no secret
        (lambda api: api.Rollback(pb.RollbackRequest(name="x")), grpc.StatusCode.NOT_FOUND),
        (lambda api: list(api.Logs(pb.LogsRequest(service="x"))), grpc.StatusCode.UNIMPLEMENTED),
        (lambda api: list(api.Watch(pb.WatchRequest(resource_version="1"))), grpc.StatusCode.OUT_OF_RANGE),
        (lambda api: list(api.Watch(pb.WatchRequest(resource_version="9" * 30))), grpc.StatusCode.OUT_OF_RANGE),
    ],
)
def test_a_call_that_makes_no_sense_gets_its_code(program: Program, request_, code: grpc.StatusCode) -> None:  # type: ignore[no-untyped-def]  # a call on the stub
    with refused(code):
        request_(program.api)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--listen", "0.0.0.0:1234"], "root on this machine"),
        (["--listen", "127.0.0.1:1234"], "--insecure"),
        (["--engine", "podman"], "--engine"),
        (["--resync", "soon"], "not a duration"),
        (["--confg", "x"], "--config"),
        (["--token-file", "x"], "not available yet"),
    ],
)
def test_wrong_usage_ends_with_2_and_a_clear_line(simulated: Program, options: list[str], says: str) -> None:
    simulated.start(*options, ready=False)
    assert simulated.wait() == 2
    assert says in simulated.log
