"""What a server answers to a set of services, in terms of the file that they came from."""

from pathlib import Path as FilePath

import grpc
from google.rpc.error_details_pb2 import BadRequest  # type: ignore[import-untyped]  # the package brings no marker for its stubs
from grpc_status import rpc_status

from .config import Config
from .problem import ConfigError, Problem


def refusal(error: grpc.aio.AioRpcError, config: Config, path: FilePath) -> ConfigError:
    """Every field violation at its place in the file; without any, the server's own words about the file."""
    problems = [
        _problem(violation, config, path) for details in _details(error) for violation in details.field_violations
    ]
    return ConfigError(problems or [Problem(str(path), 0, 0, "", error.details() or error.code().name)])


def _problem(violation: BadRequest.FieldViolation, config: Config, path: FilePath) -> Problem:
    position = config.position(violation.field)
    if position is None:
        return Problem(str(path), 0, 0, violation.field, violation.description)
    return Problem.at(position, violation.description)


def _details(error: grpc.aio.AioRpcError) -> list[BadRequest]:
    try:
        status = rpc_status.from_call(error)  # type: ignore[arg-type]  # its stubs leave out asyncio's calls
    except ValueError:  # details that contradict the call's own status
        status = None
    found = []
    for detail in status.details if status is not None else ():
        request = BadRequest()
        if detail.Unpack(request):
            found.append(request)
    return found
