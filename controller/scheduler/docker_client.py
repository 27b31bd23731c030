"""The Docker SDK's client as engines here use it: each request measured, each error one of ours.

The only file that imports the SDK. The low-level API alone is used: the high-level one inspects containers one by one
and fails when one of them goes meanwhile.
"""

import contextlib
import math
import os
import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import docker
import requests
import urllib3
from docker.constants import DEFAULT_DOCKER_API_VERSION
from docker.errors import APIError, DockerException, StreamParseError
from docker.tls import TLSConfig
from docker.utils import kwargs_from_env, version_lt

from controller.errors import ContainerGone, EngineError, EngineUnavailable, ImageMissing

T = TypeVar("T")

Observe = Callable[[str, str, float], None]
"""Is told of each request: the operation, the HTTP status or ``unavailable``, and how long it took, in seconds."""

_CONNECT = 5.0  # seconds
_MAX_TEXT = 600  # characters of an error's text
_MAX_LINE = 200  # characters of a line of output
_PROXY_ERRORS = (502, 503, 504)  # something stands before the engine, and the engine itself did not answer


class NameTaken(EngineError):
    """Another container, ``holder``, has the name."""

    def __init__(self, message: str, holder: str) -> None:
        super().__init__(message)
        self.holder = holder


class NetworkMissing(EngineError):
    """There is no such network; ``network`` is the name or id that was asked for."""

    def __init__(self, message: str, network: str) -> None:
        super().__init__(message)
        self.network = network


class RemovalInProgress(EngineError):
    """The container is being removed already."""


class Address:
    """Where the engine is: ``host`` as in ``DOCKER_HOST``, None for that variable or else the local socket.

    Raises:
        EngineError: the certificates that DOCKER_TLS_VERIFY and DOCKER_CERT_PATH name are not there.
    """

    def __init__(self, host: str | None) -> None:
        environment = {**os.environ, "DOCKER_HOST": host} if host else dict(os.environ)
        try:
            found = kwargs_from_env(environment)
        except DockerException as error:
            raise EngineError(_line(str(error))) from error
        self.url: str | None = found.get("base_url")
        self.tls: TLSConfig | bool = found.get("tls", False)

    @property
    def is_local(self) -> bool:
        """Whether it is a socket of this machine; what is behind a network address nobody knows."""
        return self.url is None or self.url.startswith(("unix:", "http+unix:"))


class Client(docker.APIClient):
    """A client for one thread. Set ``operation`` and ``timeout`` (seconds) before each call."""

    def __init__(self, address: Address, version: str | None, observe: Observe) -> None:
        # With the version given, the SDK does not connect yet.
        super().__init__(base_url=address.url, tls=address.tls, version=version or DEFAULT_DOCKER_API_VERSION)
        self.operation = ""
        self._observe = observe

    @property
    def _general_configs(self) -> dict[str, Any]:
        """What the SDK takes from `~/.docker/config.json` for every client."""
        return self._configs

    @_general_configs.setter
    def _general_configs(self, found: object) -> None:
        # It fails where it does not understand the credentials there, and a ping must not: those are `docker_auth`'s.
        # One entry is always left, as the SDK would read the file again for none.
        headers = found.get("HttpHeaders") if isinstance(found, dict) else None
        self._configs = {"HttpHeaders": headers if isinstance(headers, dict) else {}}

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Where every request of the SDK passes."""
        began, code = time.monotonic(), "unavailable"
        try:
            response = super().send(request, **kwargs)
            code = str(response.status_code)
            return response
        finally:
            if self.operation:
                self._observe(self.operation, code, time.monotonic() - began)

    def ask_version(self) -> str:
        """The newest version of the API that the engine speaks."""
        response = self.get(f"{self.base_url}/_ping", timeout=self.timeout)
        response.raise_for_status()
        return response.headers.get("Api-Version", DEFAULT_DOCKER_API_VERSION)

    def make_container(self, body: dict[str, Any], name: str, platform: str = "") -> str:
        """Creates a container from the API's own JSON and returns its id.

        Raises:
            EngineError: a platform is asked for, and the engine knows none: before 20.10.
        """
        if platform and version_lt(self.api_version, "1.41"):
            raise EngineError(f"platform {platform} cannot be asked for: the engine is too old, it needs API 1.41")
        answer = self.create_container_from_config(body, name, platform)  # type: ignore[no-untyped-call]  # not in the stubs
        return str(expect(dict, answer)["Id"])

    def look_at(self, container_id: str) -> dict[str, Any]:
        """What an inspection shows."""
        return expect(dict, self.inspect_container(container_id))

    def change_container(self, container_id: str, body: dict[str, Any]) -> None:
        """Changes a container in place by the API's own JSON: the SDK leaves out a zero and knows no NanoCpus here."""
        url = self._url("/containers/{0}/update", container_id)  # type: ignore[attr-defined]  # not in the stubs
        self._result(self._post_json(url, data=body), json=True)  # type: ignore[attr-defined]  # not in the stubs

    def last_lines(self, container_id: str, count: int) -> list[str]:
        """The last lines of its output, each cut to a readable length."""
        output = expect(bytes, self.logs(container_id, tail=3 * count))  # empty lines are left out
        lines = output.decode(errors="replace").splitlines()
        return [line.rstrip()[:_MAX_LINE] for line in lines if line.strip()][-count:]


class StreamClient(Client):
    """A client for one long answer. The SDK would wait for its beginning for ever, and for each further piece too:
    here at most ``answer`` and ``idle`` seconds; None for ``idle`` is for ever."""

    def __init__(self, address: Address, version: str, observe: Observe, *, answer: float, idle: float | None) -> None:
        super().__init__(address, version, observe)
        self._answer = answer
        self._idle = idle
        self._socket: socket.socket | None = None
        self._response: requests.Response | None = None
        self._hung_up = False

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Sends with our time limits in place of none."""
        kwargs["timeout"] = (_CONNECT, self._answer)
        response = self._response = super().send(request, **kwargs)
        connection = response.raw.connection  # None once the answer has been read, as an error's is
        if connection is not None and connection.sock is not None:
            self._socket = connection.sock
            connection.sock.settimeout(self._idle)
        if self._hung_up:
            self.hang_up()
        return response

    def hang_up(self) -> None:
        """Ends the answer, from any thread and at any time."""
        self._hung_up = True
        if self._socket is not None:
            with contextlib.suppress(OSError):  # it is closed already
                self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Closes the connection, also in the middle of an answer."""
        if self._response is not None:
            self._response.close()
        super().close()

    def subscribe(self, filters: Mapping[str, Sequence[str]]) -> "Events":
        """Opens the event stream.

        Docker answers before it has registered the subscription. Asking for events from a moment ago on closes that
        gap, as history and registration are one step; it makes for repeated events.
        """
        self.operation = "events"
        stream = self.events(decode=True, since=math.floor(time.time()) - 1, filters=dict(filters))
        return Events(self, stream)


class Events:
    """An open event stream."""

    def __init__(self, client: StreamClient, stream: Iterator[dict[str, Any]]) -> None:
        self._client = client
        self._stream = stream

    def __iter__(self) -> Iterator[dict[str, Any]]:
        with contextlib.closing(self._client):
            yield from self._stream

    def hang_up(self) -> None:
        """Ends the stream, from any thread and at any time."""
        self._client.hang_up()


def expect(kind: type[T], answer: object) -> T:
    """The answer, which must be of that kind: an engine in trouble may say ``null``, which is never an empty list."""
    if not isinstance(answer, kind):
        raise EngineUnavailable(f"the engine's answer is no answer: {answer!r:.100}")
    return answer


def translated(translate: Callable[[Any], T], data: object) -> T:
    """``translate(data)``, with an error of ours when the engine's answer lacks what it needs."""
    try:
        return translate(data)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise EngineError(f"the engine's answer is not understood: {error!r}") from error


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Turns the errors of the SDK and of what is below it into ours."""
    try:
        yield
    except (requests.RequestException, DockerException, urllib3.exceptions.HTTPError, StreamParseError, OSError) as e:
        raise explain(e) from e


def refusal_of(error: EngineError) -> tuple[int, str] | None:
    """The HTTP status and all the words with which the engine refused, if it is for that that the error was raised."""
    cause = error.__cause__
    return (cause.status_code or 0, str(cause.explanation or cause)) if isinstance(cause, APIError) else None


def timed_out(error: EngineError) -> bool:
    """Whether the engine accepted the call and then said nothing."""
    return isinstance(error.__cause__, requests.ReadTimeout | urllib3.exceptions.ReadTimeoutError)


def explain(error: Exception) -> Exception:
    """Our error for one of the SDK's; any other is returned as it is."""
    if isinstance(error, APIError):
        return _refusal(error)
    if isinstance(error, requests.RequestException | DockerException | urllib3.exceptions.HTTPError | OSError):
        return EngineUnavailable(_line(f"the engine does not answer: {_cause(error)}"))
    if isinstance(error, StreamParseError):
        return EngineUnavailable(_line(f"the engine's answer is no JSON: {error}"))
    return error


def _refusal(error: APIError) -> EngineError:
    """Docker tells apart by text what it has one status for."""
    # The id of the endpoint of this very try would make one trouble look like a new one each time.
    text = _line(re.sub(r" \([0-9a-f]{64}\)", "", str(error.explanation or error)))
    status, lower = error.status_code, text.lower()
    if status in _PROXY_ERRORS:
        return EngineUnavailable(text)
    if status == 404 and "no such container" in lower:
        return ContainerGone(text)
    if status == 404 and "no such image" in lower:
        return ImageMissing(text)
    if status == 404 and (network := re.search(r"network (\S+) not found", text)):
        return NetworkMissing(text, network[1])
    if status == 409 and "removal of container" in lower and "in progress" in lower:
        return RemovalInProgress(text)
    if status == 409 and (holder := re.search(r'in use by container "?([0-9a-f]{64})', text)):
        return NameTaken(text, holder[1])
    return EngineError(text)


def _cause(error: BaseException) -> str:
    """What is at the bottom of it: ``No such file or directory`` rather than three libraries' wrappings."""
    seen: BaseException = error
    while (below := seen.__cause__ or seen.__context__) is not None:
        seen = below
    text = seen.strerror if isinstance(seen, OSError) and seen.strerror else str(seen)
    return text or type(seen).__name__


def _line(text: str) -> str:
    """On one line, and not endless."""
    line = " ".join(text.split())
    return line if len(line) <= _MAX_TEXT else f"{line[: _MAX_TEXT - 1]}…"
