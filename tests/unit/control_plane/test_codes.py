"""The status code of every error, and what a client learns of a defect: nothing."""

import logging

import grpc
import grpc.aio
import pytest

from controller import errors
from controller.control_plane.codes import CODES, code_of, status_of
from proto.dockrunner import v1 as pb
from tests.unit.control_plane.conftest import Api, refusal

Code = grpc.StatusCode
SERVICE = "dockrunner.v1.ControlPlane"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.Invalid([]), Code.INVALID_ARGUMENT),
        (errors.NotFound(), Code.NOT_FOUND),
        (errors.AlreadyExists(), Code.ALREADY_EXISTS),
        (errors.Conflict(), Code.ABORTED),
        (errors.BeingDeleted(), Code.FAILED_PRECONDITION),
        (errors.ManagedElsewhere(), Code.FAILED_PRECONDITION),
        (errors.Expired(), Code.OUT_OF_RANGE),
        (errors.SlowWatcher(), Code.RESOURCE_EXHAUSTED),
        (errors.SafeFull(), Code.RESOURCE_EXHAUSTED),
        (errors.SafeError(), Code.INTERNAL),
        (errors.EngineError(), Code.UNKNOWN),
    ],
)
def test_every_row_of_the_table(error: errors.DockRunnerError, code: Code) -> None:
    assert code_of(error) == code
    assert status_of(error)[0] == code


def test_every_error_of_the_store_and_of_admission_has_its_own_row() -> None:
    leaves = [*errors.StoreError.__subclasses__(), errors.Invalid, errors.ManagedElsewhere]
    assert [error for error in leaves if error not in CODES] == []


def test_a_long_message_is_shortened_at_a_whole_character() -> None:
    _, message, _ = status_of(errors.NotFound("ü" * 4000))
    assert 1000 < len(message.encode()) <= 1024
    assert message.endswith("ü…")


async def test_a_defect_is_an_internal_error_whose_traceback_stays_here(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    code, message = await refusal(api.apply("web", image="defect"))
    assert (code, message) == (Code.INTERNAL, "internal error")
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.name == "dock_runner.control_plane"
    assert record.exc_info is not None
    labels = {"grpc_type": "unary", "grpc_service": SERVICE, "grpc_method": "Apply", "grpc_code": "Internal"}
    await api.until("grpc_server_handled_total", 1, **labels)


async def test_a_refusal_is_not_logged_as_a_defect(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    await refusal(api.stub.Get(pb.GetRequest(name="web")))
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_call_that_is_to_come_says_so(api: Api) -> None:
    code, message = await refusal(api.stub.Logs(pb.LogsRequest()).read())
    assert (code, message.startswith("Logs is part of the API")) == (Code.UNIMPLEMENTED, True)


async def test_answers_carry_the_version_of_the_program(api: Api) -> None:
    for call in (api.stub.List(pb.ListRequest()), api.stub.Watch(pb.WatchRequest())):
        metadata = dict(await call.initial_metadata())
        assert metadata["dock-runner-version"] == "0.1.0"
        call.cancel()


async def test_every_series_of_every_method_exists_from_the_start(api: Api) -> None:
    methods = pb.ListRequest.DESCRIPTOR.file.services_by_name["ControlPlane"].methods
    assert len(methods) == 18
    for method in methods:
        kind = {"Restore": "client_stream", "Backup": "server_stream", "Logs": "server_stream"}.get(
            method.name, "unary"
        )
        kind = "server_stream" if method.name.startswith("Watch") else kind
        labels = {"grpc_type": kind, "grpc_service": SERVICE, "grpc_method": method.name}
        for name in ("started", "msg_received", "msg_sent"):
            assert api.value(f"grpc_server_{name}_total", **labels) == 0
        for code in ("OK", "Canceled", "InvalidArgument", "Aborted", "OutOfRange", "FailedPrecondition", "Internal"):
            assert api.value("grpc_server_handled_total", **labels, grpc_code=code) == 0
        assert api.value("grpc_server_handling_seconds_count", **labels) == 0


async def test_calls_are_counted_by_code_and_streams_by_message(api: Api) -> None:
    await api.apply("a")
    await api.apply("b")
    await refusal(api.apply("c", image=""))
    labels = {"grpc_type": "unary", "grpc_service": SERVICE, "grpc_method": "Apply"}
    # The client may have its answer before the server has counted it.
    await api.until("grpc_server_handling_seconds_count", 3, **labels)
    assert api.value("grpc_server_started_total", **labels) == 3
    assert api.value("grpc_server_msg_received_total", **labels) == 3
    assert api.value("grpc_server_msg_sent_total", **labels) == 2
    assert api.value("grpc_server_handled_total", **labels, grpc_code="OK") == 2
    assert api.value("grpc_server_handled_total", **labels, grpc_code="InvalidArgument") == 1
    stream = {"grpc_type": "server_stream", "grpc_service": SERVICE, "grpc_method": "Watch"}
    call = api.stub.Watch(pb.WatchRequest())
    await call.read()
    await call.read()
    await api.until("grpc_server_msg_sent_total", 2, **stream)
    assert api.value("grpc_server_handled_total", **stream, grpc_code="OK") == 0
    call.cancel()
    await api.until("grpc_server_handled_total", 1, **stream, grpc_code="Canceled")


async def test_a_watch_that_the_clients_deadline_ends_counts_as_that(api: Api) -> None:
    call = api.stub.Watch(pb.WatchRequest(), timeout=0.2)
    assert (await refusal(call.read()))[0] == Code.DEADLINE_EXCEEDED
    labels = {"grpc_type": "server_stream", "grpc_service": SERVICE, "grpc_method": "Watch"}
    await api.until("grpc_server_handling_seconds_count", 1, **labels)
    await api.until("dock_runner_watchers", 0, kind="Service")


async def test_a_message_over_4_mib_is_refused_and_the_server_lives_on(api: Api) -> None:
    service = pb.Service(metadata=pb.Metadata(name="web", annotations={"a": "x" * (5 << 20)}))
    assert (await refusal(api.stub.Apply(pb.ApplyRequest(service=service))))[0] == Code.RESOURCE_EXHAUSTED
    await api.apply("web")
