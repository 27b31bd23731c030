"""What happens around every call: it is counted and timed, and its errors become statuses."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import Any

import grpc
import grpc.aio
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from controller.clock import Clock
from controller.errors import DockRunnerError
from controller.metrics import Metrics

from .codes import Code, status_of
from .encoded import serialiser
from .servicer import VERSION_METADATA, Context

logger = logging.getLogger("dock_runner.control_plane")

_TYPES = {
    (False, False): "unary",
    (True, False): "client_stream",
    (False, True): "server_stream",
    (True, True): "bidi_stream",
}


def _go_name(code: Code) -> str:
    """The code as grpc-go writes it, which is what dashboards filter by."""
    special = {Code.OK: "OK", Code.CANCELLED: "Canceled"}
    return special.get(code) or code.name.title().replace("_", "")


class _Meter:
    """The metrics of one method: go-grpc-prometheus' names, labels and moments."""

    def __init__(self, metrics: Metrics, clock: Clock, method: MethodDescriptor) -> None:
        kind = _TYPES[method.client_streaming, method.server_streaming]
        labels = (kind, method.containing_service.full_name, method.name)
        self._clock = clock
        self._started = metrics.grpc_started.labels(*labels)
        self._handling = metrics.grpc_handling.labels(*labels)
        self._handled = {code: metrics.grpc_handled.labels(*labels, _go_name(code)) for code in Code}
        self.received = metrics.grpc_received.labels(*labels)
        self.sent = metrics.grpc_sent.labels(*labels)

    @contextmanager
    def call(self, context: Context) -> Iterator[None]:
        """Counts and times one call, under the code that it ends with."""
        began = self._clock.monotonic()
        self._started.inc()
        code = Code.UNKNOWN
        try:
            yield
            code = Code.OK
        except asyncio.CancelledError:
            left = context.time_remaining()
            code = Code.CANCELLED if left is None or left > 0 else Code.DEADLINE_EXCEEDED
            raise
        except grpc.aio.AbortError:
            code = _aborted_with(context)
            raise
        finally:
            self._handled[code].inc()
            self._handling.observe(self._clock.monotonic() - began)


def _aborted_with(context: Context) -> Code:
    given: Any = context.code()  # the library has the number or the member, by version
    return next((code for code in Code if given in (code, code.value[0])), Code.UNKNOWN)


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Wraps the methods of one service; every other is left as it is.

    An error of the program becomes the status of ``codes.CODES``; any other is a defect: it is logged with its
    traceback, and the client is told ``internal error``. All series exist from the start, at 0.
    """

    def __init__(self, service: ServiceDescriptor, metrics: Metrics, clock: Clock) -> None:
        self._meters = {
            f"/{service.full_name}/{method.name}": _Meter(metrics, clock, method) for method in service.methods
        }

    async def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "grpc.RpcMethodHandler[Any, Any] | None":
        handler: Any = await continuation(handler_call_details)
        method = handler_call_details.method
        meter = self._meters.get(method)
        if handler is None or meter is None:
            return handler  # type: ignore[no-any-return]  # as it came
        if handler.request_streaming:
            wrap, behaviour = grpc.stream_unary_rpc_method_handler, _gathering(handler.stream_unary, method, meter)
        elif handler.response_streaming:
            wrap, behaviour = grpc.unary_stream_rpc_method_handler, _stream(handler.unary_stream, method, meter)
        else:
            wrap, behaviour = grpc.unary_unary_rpc_method_handler, _unary(handler.unary_unary, method, meter)
        return wrap(behaviour, handler.request_deserializer, serialiser(handler.response_serializer))


def _unary(behaviour: Callable[[Any, Context], Awaitable[Any]], method: str, meter: _Meter) -> Any:
    async def answer(request: Any, context: Context) -> Any:
        with meter.call(context):
            meter.received.inc()
            async with _statuses(context, method):
                await context.send_initial_metadata(VERSION_METADATA)
                response = await behaviour(request, context)
            meter.sent.inc()
            return response

    return answer


def _gathering(behaviour: Callable[[Any, Context], Awaitable[Any]], method: str, meter: _Meter) -> Any:
    async def received(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for request in requests:
            meter.received.inc()
            yield request

    async def answer(requests: AsyncIterator[Any], context: Context) -> Any:
        with meter.call(context):
            async with _statuses(context, method):
                await context.send_initial_metadata(VERSION_METADATA)
                response = await behaviour(received(requests), context)
            meter.sent.inc()
            return response

    return answer


def _stream(behaviour: Callable[[Any, Context], AsyncIterator[Any]], method: str, meter: _Meter) -> Any:
    async def answer(request: Any, context: Context) -> None:
        # A coroutine that writes, and no generator: a call that is cancelled while the client does not read ends the
        # inner generator here and now, and not when somebody collects it.
        with meter.call(context):
            meter.received.inc()
            async with _statuses(context, method):
                responses: Any = behaviour(request, context)
                async with aclosing(responses):
                    async for response in responses:
                        await context.write(response)
                        meter.sent.inc()

    return answer


@asynccontextmanager
async def _statuses(context: Context, method: str) -> AsyncIterator[None]:
    """Ends the call with the status of whatever error is raised within."""
    try:
        yield
    except grpc.aio.AbortError:
        raise
    except DockRunnerError as error:
        await context.abort(*status_of(error))
    except Exception:
        logger.exception("unexpected error in %s", method)
        await context.abort(Code.INTERNAL, "internal error")
