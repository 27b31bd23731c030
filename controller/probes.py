"""The HTTP side: ``/metrics`` for Prometheus, ``/healthz`` and ``/readyz`` for whoever supervises the process."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from prometheus_client.exposition import choose_encoder

from controller.errors import StartError
from controller.metrics import Metrics

if TYPE_CHECKING:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

Check = Callable[[], str | None]
"""None while all is well, else the reason why not."""
Ask = Callable[[], Awaitable[Mapping[str, tuple[bool, str]]]]
"""Further checks by name, which take their time: whether all is well, and something to say of it."""


async def _nobody() -> Mapping[str, tuple[bool, str]]:
    return {}


_GRACE = 1  # seconds that a request in progress gets at the end


class Probes:
    """Serves in the loop of the program, so ``/healthz`` answers as long as that runs.

    ``/readyz`` is 200 while every check is well, else 503; ``?verbose`` lists the checks as Kubernetes does.
    """

    def __init__(
        self, address: tuple[str, int], metrics: Metrics, checks: Mapping[str, Check], ask: Ask = _nobody
    ) -> None:
        self.address = address
        """Host and port; once started, a port that was given as 0 is the chosen one."""
        self._metrics = metrics
        self._checks = checks
        self._ask = ask
        self._server: uvicorn.Server | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Binds the address, and answers.

        Raises:
            StartError: the address cannot be bound.
        """
        listener = _listener(self.address)
        self.address = (self.address[0], listener.getsockname()[1])
        self._server = _server(self._app())
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]), name="probes")
        while not self._server.started and not self._task.done():  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0)
        if self._task.done():
            await self._task

    async def stop(self) -> None:
        """Stops answering; harmless when repeated."""
        if self._server is not None and self._task is not None:
            self._server.should_exit = True
            await self._task
            self._server = self._task = None

    def _app(self) -> "Starlette":
        from starlette.applications import Starlette
        from starlette.responses import PlainTextResponse, Response
        from starlette.routing import Route

        async def metrics(request: "Request") -> Response:
            encode, content_type = choose_encoder(request.headers.get("accept", ""))
            return Response(encode(self._metrics.registry), headers={"content-type": content_type})

        async def healthz(_: "Request") -> Response:
            return PlainTextResponse("ok\n")

        async def readyz(request: "Request") -> Response:
            return await self._ready("verbose" in request.query_params)

        return Starlette(routes=[Route("/metrics", metrics), Route("/healthz", healthz), Route("/readyz", readyz)])

    async def _ready(self, verbose: bool) -> "Response":
        from starlette.responses import PlainTextResponse

        results = {name: (not (reason := check()), reason or "") for name, check in self._checks.items()}
        results.update(await self._ask())
        ready = all(well for well, _ in results.values())
        lines = [
            f"[+]{name} ok" + (f": {words}" if words else "") if well else f"[-]{name} failed: {words}"
            for name, (well, words) in results.items()
        ]
        lines.append("readyz check passed" if ready else "readyz check failed")
        text = "ok\n" if ready and not verbose else "\n".join(lines) + "\n"
        return PlainTextResponse(text, status_code=200 if ready else 503)


def _server(app: "Starlette") -> "uvicorn.Server":
    # Imported here, as the two take longer to import than all else that an idle start needs of HTTP.
    import uvicorn

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield  # signals are the program's own business

    return Server(
        uvicorn.Config(
            app,
            http="h11",
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=_GRACE,
        )
    )


def _listener(address: tuple[str, int]) -> socket.socket:
    host, port = address
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno and error.errno > 0 else str(error)
        raise StartError(f"cannot serve metrics on {host}:{port}: {reason}") from error
