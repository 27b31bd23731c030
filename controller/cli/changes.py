"""One call for each of several services: the failure of one does not keep the others from theirs."""

from collections.abc import Callable, Iterable
from typing import TypeVar

import click
import grpc

from proto.dockrunner import v1 as pb

from .client import Refused, not_found
from .documents import echo_json, fields

T = TypeVar("T")


def each(
    items: Iterable[T], name: Callable[[T], str], change: Callable[[T], pb.Service]
) -> tuple[list[pb.Service], bool]:
    """What the calls answered, and whether all went well; errors were said.

    Raises:
        Refused: the server cannot be reached, so that there is no point in the rest.
    """
    done = []
    well = True
    for item in items:
        try:
            done.append(change(item))
        except Refused as error:
            if error.code is grpc.StatusCode.UNAVAILABLE:
                raise
            well = False
            missing = error.code is grpc.StatusCode.NOT_FOUND
            click.echo(f"error: {not_found('service', name(item)) if missing else error}", err=True)
    return done, well


def report(services: Iterable[pb.Service], verb: str, output: str) -> None:
    """``service/web deleted``, or as ``-o`` says."""
    if output == "json":
        echo_json({"items": [fields(service) for service in services]})
        return
    for service in services:
        name = f"service/{service.metadata.name}"
        click.echo(name if output == "name" else f"{name} {verb}")
