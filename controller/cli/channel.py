"""The gRPC channel of the verbs: an interrupt cancels the call that runs, and is never raised within gRPC."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import grpc

from .interrupts import HeldInterrupt, held_interrupt

_OPTIONS = (("grpc.enable_http_proxy", 0), ("grpc.max_receive_message_length", 64 << 20))


class InterruptibleChannel:
    """As much of a ``grpc.Channel`` as a stub needs. Its calls take a request, or several, and a timeout in seconds.

    An interrupt is raised as KeyboardInterrupt out of a call or between its responses, when the call has ended.
    """

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel

    def unary_unary(self, *method: Any, **options: Any) -> Callable[..., Any]:
        """A method that takes one request and answers once."""
        return _answering_once(self._channel.unary_unary(*method, **options))

    def stream_unary(self, *method: Any, **options: Any) -> Callable[..., Any]:
        """A method that takes requests, which gRPC reads in a thread of its own, and answers once."""
        return _answering_once(self._channel.stream_unary(*method, **options))

    def unary_stream(self, *method: Any, **options: Any) -> Callable[..., Iterator[Any]]:
        """A method that takes one request and answers by a stream, which begins when it is first read from."""
        return _streaming(self._channel.unary_stream(*method, **options))


@contextmanager
def open_channel(target: str) -> Iterator[grpc.Channel]:
    """An InterruptibleChannel, as long as the context lasts; what still runs on it then is cancelled."""
    with held_interrupt():
        channel = grpc.insecure_channel(target, options=_OPTIONS)
    try:
        yield cast(grpc.Channel, InterruptibleChannel(channel))
    finally:
        with held_interrupt():
            channel.close()


class CallFailed(grpc.RpcError):
    """What a call ended with, without the call: that takes a lock when it is freed, whenever that may be."""

    def __init__(self, error: Any) -> None:
        super().__init__(error.details())
        self._code = error.code()
        self._details = error.details()
        self._trailing_metadata = error.trailing_metadata()

    def code(self) -> grpc.StatusCode:
        """The status code."""
        return cast(grpc.StatusCode, self._code)

    def details(self) -> str | None:
        """The server's message."""
        return cast(str | None, self._details)

    def trailing_metadata(self) -> Any:
        """What the server sent with the status."""
        return self._trailing_metadata


def _answering_once(method: Any) -> Callable[..., Any]:
    def call(request: Any, timeout: float | None = None) -> Any:
        with held_interrupt() as held:
            return _result(held, method, request, timeout)

    return call


def _result(held: HeldInterrupt, method: Any, request: Any, timeout: float | None) -> Any:
    call = method.future(request, timeout=timeout)
    held.cancels(call.cancel)
    try:
        return call.result()
    except grpc.RpcError as error:
        failed = CallFailed(error.with_traceback(None))
    finally:
        del call
    raise failed


def _streaming(method: Any) -> Callable[..., Iterator[Any]]:
    def call(request: Any, timeout: float | None = None) -> Iterator[Any]:
        with held_interrupt():
            stream = method(request, timeout=timeout)
        try:
            while (response := _next(stream)) is not None:
                yield response
        finally:
            with held_interrupt():
                stream.cancel()
                del stream

    return call


def _next(stream: Any) -> Any:
    """The next response, or None when there are no more."""
    with held_interrupt() as held:
        held.cancels(stream.cancel)
        try:
            return next(stream, None)
        except grpc.RpcError as error:
            failed = CallFailed(error.with_traceback(None))
        finally:
            del stream
    raise failed
