"""``version``: of this program, and of the server where one answers."""

import json
from importlib import metadata
from typing import Any

import click

from controller.cli import VERBS
from controller.settings import Address

from .options import output_option, server_option

KEY = "dock-runner-version"
"""Initial metadata in which a server says its version."""

_PATIENCE = 2.0  # seconds


@click.command(help=VERBS["version"][1])
@click.option("--client", "client_only", is_flag=True, help="Do not ask a server.")
@output_option("table", "json")
@server_option
def version(client_only: bool, output: str, server: Address) -> None:
    versions = {"client": metadata.version("dock-runner")}
    if not client_only and (found := _server_version(server)):
        versions["server"] = found
    if output == "json":
        click.echo(json.dumps(versions, indent=2))
        return
    for who, what in versions.items():
        click.echo(f"{who.capitalize()} version: {what}")


def _server_version(server: Address) -> str | None:
    """None when it cannot be reached, or does not say."""
    if server.path is not None and not server.path.exists():
        return None  # and the libraries need not be loaded
    import grpc

    from proto.dockrunner import v1 as pb
    from proto.dockrunner.v1.control_plane_pb2_grpc import ControlPlaneStub

    from .interrupts import HeldInterrupt, held_interrupt

    def ask(held: HeldInterrupt, channel: grpc.Channel) -> str | None:
        stub: Any = ControlPlaneStub(channel)
        call = stub.List.future(pb.ListRequest(page_size=1), timeout=_PATIENCE)
        held.cancels(call.cancel)
        try:
            call.result()
        except grpc.RpcError:
            return None
        return next((str(value) for key, value in call.initial_metadata() if key == KEY), None)

    with held_interrupt() as held, grpc.insecure_channel(server.target) as channel:
        return ask(held, channel)
