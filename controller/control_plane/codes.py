"""Which status code each error becomes, and the details that go with it."""

from collections.abc import Mapping, Sequence

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.code_pb2 import INVALID_ARGUMENT  # type: ignore[import-untyped]  # ships without types
from google.rpc.error_details_pb2 import BadRequest  # type: ignore[import-untyped]  # ships without types
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # ships without types
from grpc_status import rpc_status

from controller.errors import (
    AdmissionFailed,
    AlreadyExists,
    BeingDeleted,
    Conflict,
    DockRunnerError,
    Expired,
    Invalid,
    JournalError,
    JournalFull,
    ManagedElsewhere,
    NotFound,
    SafeError,
    SafeFull,
    SlowWatcher,
    Violation,
)

Code = grpc.StatusCode

# The one table. An error takes the code of the nearest of its classes that is in here.
CODES: Mapping[type[DockRunnerError], Code] = {
    Invalid: Code.INVALID_ARGUMENT,
    NotFound: Code.NOT_FOUND,
    AlreadyExists: Code.ALREADY_EXISTS,
    Conflict: Code.ABORTED,
    BeingDeleted: Code.FAILED_PRECONDITION,
    ManagedElsewhere: Code.FAILED_PRECONDITION,
    Expired: Code.OUT_OF_RANGE,
    SlowWatcher: Code.RESOURCE_EXHAUSTED,
    JournalFull: Code.RESOURCE_EXHAUSTED,
    JournalError: Code.INTERNAL,
    SafeFull: Code.RESOURCE_EXHAUSTED,
    SafeError: Code.INTERNAL,
    AdmissionFailed: Code.INTERNAL,
    DockRunnerError: Code.UNKNOWN,
}

# A client accepts 8 KiB of trailing metadata by default, in which the details count 4/3 of their size.
_MESSAGE_LIMIT = 1024
_DETAILS_LIMIT = 4608

Trailers = tuple[tuple[str, str | bytes], ...]


class Refusal(DockRunnerError):
    """An answer that only the API gives, with its code: it is of no meaning to the rest of the program."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code


def code_of(error: DockRunnerError) -> Code:
    """The status code of an error."""
    if isinstance(error, Refusal):
        return error.code
    return next(CODES[cls] for cls in type(error).__mro__ if cls in CODES)


def status_of(error: DockRunnerError) -> tuple[Code, str, Trailers]:
    """Code, message and trailing metadata; violations go as ``google.rpc.BadRequest``."""
    message = _shortened(str(error), _MESSAGE_LIMIT)
    if not isinstance(error, Invalid):
        return code_of(error), message, ()
    details = AnyMessage()
    details.Pack(_bad_request(error.violations))
    status = rpc_status.to_status(Status(code=INVALID_ARGUMENT, message=message, details=[details]))
    return Code.INVALID_ARGUMENT, message, tuple(status.trailing_metadata)


def _bad_request(violations: Sequence[Violation]) -> BadRequest:
    """All violations; when they are too many to arrive, the first of them and how many more there are."""
    request = BadRequest()
    size = 0
    for index, violation in enumerate(violations):
        added = request.field_violations.add(
            field=_shortened(violation.field, 256), description=_shortened(violation.description, 512)
        )
        size += added.ByteSize() + 3
        if size > _DETAILS_LIMIT:
            del request.field_violations[index]
            request.field_violations.add(description=f"… and {len(violations) - index} more")
            break
    return request


def _shortened(text: str, limit: int) -> str:
    """The text in at most ``limit`` bytes of UTF-8."""
    data = text.encode(errors="replace")
    return text if len(data) <= limit else data[: limit - 3].decode(errors="ignore") + "…"
