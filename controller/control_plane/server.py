"""Serves the API, its health and its reflection on unix sockets and TCP addresses."""

from collections.abc import Sequence
from pathlib import Path

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from controller.clock import Clock
from controller.errors import StartError
from controller.metrics import Metrics
from proto.dockrunner.v1 import control_plane_pb2
from proto.dockrunner.v1.control_plane_pb2_grpc import add_ControlPlaneServicer_to_server

from . import unix_socket
from .interceptor import CallInterceptor
from .servicer import ControlPlane

Address = Path | tuple[str, int]
"""A unix socket, or host and port."""

SERVICE = control_plane_pb2.DESCRIPTOR.services_by_name["ControlPlane"]

_MAX_CALLS = 2000
_OPTIONS = (
    ("grpc.so_reuseport", 0),  # else a second server shares the port, and each gets some of the calls
    ("grpc.max_receive_message_length", 4 << 20),
    ("grpc.max_send_message_length", 4 << 20),
    ("grpc.max_metadata_size", 16 << 10),
    ("grpc.absolute_max_metadata_size", 16 << 10),
    ("grpc.max_concurrent_streams", _MAX_CALLS),
    # A client that vanished without a word is noticed; one that pings more than every 10 s is sent away.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
)


class Server:
    """Serves one :class:`ControlPlane` on every address.

    The unix socket is 0660 in a folder that is made 0750; who holds the instance lock may take the place of a dead
    one. Health answers for the whole server and for the service; it is SERVING from ``start`` to ``stop`` unless
    ``set_serving`` says otherwise.
    """

    def __init__(self, addresses: Sequence[Address], servicer: ControlPlane, metrics: Metrics, clock: Clock) -> None:
        self.bound: list[Address] = []
        """Where it serves; a port that was given as 0 is the chosen one."""
        self._addresses = addresses
        self._servicer = servicer
        self._interceptor = CallInterceptor(SERVICE, metrics, clock)
        self._server: grpc.aio.Server | None = None
        self._health = health.aio.HealthServicer()
        self._sockets: list[tuple[Path, int]] = []

    async def start(self) -> None:
        """Binds every address, and answers.

        Raises:
            StartError: an address cannot be bound; none is then.
        """
        self._server = server = grpc.aio.server(
            interceptors=[self._interceptor], options=_OPTIONS, maximum_concurrent_rpcs=_MAX_CALLS
        )
        add_ControlPlaneServicer_to_server(self._servicer, server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection((SERVICE.full_name, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
        try:
            for address in self._addresses:
                self.bound.append(await self._bind(server, address))
            await server.start()
        except BaseException:
            await self.stop(0)
            raise
        await self.set_serving(True)

    async def set_serving(self, serving: bool) -> None:
        """What health answers from now on."""
        status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ("", SERVICE.full_name):
            await self._health.set(name, status)

    async def stop(self, grace: float) -> None:
        """Takes no more calls, ends every watch, and gives the other calls ``grace`` seconds; harmless when repeated.

        Health says NOT_SERVING meanwhile. The unix sockets are gone afterwards.
        """
        server, self._server = self._server, None
        if server is None:
            return
        await self._health.enter_graceful_shutdown()
        self._servicer.close()
        await server.stop(grace)
        for path, inode in self._sockets:
            unix_socket.remove(path, inode)
        self._sockets.clear()
        self.bound.clear()

    async def _bind(self, server: grpc.aio.Server, address: Address) -> Address:
        if isinstance(address, Path):
            await unix_socket.prepare(address)
            with unix_socket.permissions():
                _listen(server, f"unix:{address}")
            self._sockets.append((address, unix_socket.inode(address)))
            return address
        host, port = address
        literal = f"[{host}]" if ":" in host else host
        return host, _listen(server, f"{literal}:{port}")


def _listen(server: grpc.aio.Server, address: str) -> int:
    try:
        return server.add_insecure_port(address)
    except RuntimeError as error:
        # The library logs the reason, and raises without it.
        raise StartError(
            f"cannot listen on {address}: it is in use, not an address of this machine, or not allowed"
        ) from error
