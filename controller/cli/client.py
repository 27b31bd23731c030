"""The connection to a controller, and its refusals in words."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import grpc

from controller.errors import DockRunnerError, Violation
from controller.settings import PREFIX, Address
from proto.dockrunner import v1 as pb
from proto.dockrunner.v1.control_plane_pb2_grpc import ControlPlaneStub

from .channel import open_channel

MANAGER = "api"
"""Who declares, when a person does."""

DEADLINE = 10.0  # seconds for a call that answers once
_PAGE = 500  # objects: an answer stays well below the 4 MiB that gRPC allows

Request = TypeVar("Request", contravariant=True)
Response = TypeVar("Response", covariant=True)


class Method(Protocol[Request, Response]):
    """A call of the API that answers once."""

    def __call__(self, request: Request, timeout: float | None = None) -> Response: ...


class Refused(DockRunnerError):
    """The server's answer was an error; the message is for people, the rest for who knows more about the request."""

    def __init__(self, message: str, code: grpc.StatusCode, violations: Sequence[Violation] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.violations = tuple(violations)


@dataclass(frozen=True)
class Client:
    """A connection to one server. ``stub`` is for streams, ``call`` for everything else."""

    stub: ControlPlaneStub
    address: Address

    def call(self, method: Method[Request, Response], request: Request) -> Response:
        """Calls once, within the deadline.

        Raises:
            Refused: the server said no, or nothing.
        """
        try:
            return method(request, timeout=DEADLINE)
        except grpc.RpcError as error:
            raise refusal(error, self.address) from error

    def pages(self, method: Callable[..., Any], request: Any) -> Iterator[Any]:
        """Each page of a list; all of them show the same moment."""
        request.page_size = _PAGE
        while True:
            page = self.call(method, request)
            yield page
            request.page_token = page.next_page_token
            if not request.page_token:
                return


def get_service(client: Client, name: str) -> pb.Service:
    """One service.

    Raises:
        DockRunnerError: there is none of that name.
    """
    try:
        return client.call(client.stub.Get, pb.GetRequest(name=name))
    except Refused as error:
        if error.code is grpc.StatusCode.NOT_FOUND:
            raise DockRunnerError(not_found("service", name)) from error
        raise


@contextmanager
def connect(address: Address) -> Iterator[Client]:
    """A client, as long as the context lasts.

    Raises:
        Refused: for any gRPC error within.
    """
    with open_channel(address.target) as channel:
        try:
            yield Client(ControlPlaneStub(channel), address)
        except grpc.RpcError as error:
            raise refusal(error, address) from error


def refusal(error: grpc.RpcError, address: Address) -> Refused:
    """A gRPC error as what people can act on."""
    code, details = error.code(), error.details() or ""
    match code:
        case grpc.StatusCode.UNAVAILABLE if "Permission denied" in details:
            message = f"no permission for the socket {address}: be root, or of the group that it belongs to"
        case grpc.StatusCode.UNAVAILABLE:
            message = f"cannot reach the server at {address}: is dock-runner running? (--server, {PREFIX}_SERVER)"
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            message = f"the server at {address} did not answer within {DEADLINE:g} s: try again, or look at its log"
        case grpc.StatusCode.INVALID_ARGUMENT:
            found = _violations(error)
            return Refused(_listed(found) or f"invalid argument: {details}", code, found)
        case grpc.StatusCode.UNIMPLEMENTED:
            message = f"the server at {address} is of another version: {details}"
        case _:
            message = f"{code.name.lower().replace('_', ' ')}: {details}"
    return Refused(message, code)


def _violations(error: grpc.RpcError) -> list[Violation]:
    # Needed for errors alone.
    from google.rpc.error_details_pb2 import BadRequest  # type: ignore[import-untyped]  # ships without types
    from grpc_status import rpc_status

    try:
        status: Any = rpc_status.from_call(error)  # type: ignore[arg-type]  # what a call raises is also a Call
    except ValueError:  # code or message in the details are others: not what our servers send
        status = None
    violations = []
    for detail in status.details if status is not None else ():
        request = BadRequest()
        if detail.Unpack(request):
            violations += [Violation(item.field, item.description) for item in request.field_violations]
    return violations


def _listed(violations: Sequence[Violation]) -> str:
    if len(violations) < 2:
        return "".join(map(str, violations))
    return f"{len(violations)} things are wrong:" + "".join(f"\n  {violation}" for violation in violations)


def not_found(kind: str, name: str) -> str:
    """What is said of an object that is not there."""
    return f'{kind} "{name}" not found'
