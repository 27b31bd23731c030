"""Waiting until everything is as declared: ``--once``."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import click

from controller.store import CONTAINER, SERVICE, Store

# Whether the declaration has arrived is not a change of the store, so it is looked at so often, in seconds.
_POLL = 0.05


# Reasons of Degraded with which an update has come to an end that is not the one declared.
_ENDED_BADLY = ("RolloutFailed", "RolledBack")


def ended_badly(store: Store) -> list[str]:
    """A line for each service whose update will not get to its end by itself, with the reason."""
    return [
        f"{service.metadata.name}: {condition.message}"
        for service in store.list(SERVICE)
        for condition in service.status.conditions
        if condition.reason in _ENDED_BADLY and service.status.observed_generation == service.metadata.generation
    ]


def unconverged(store: Store) -> list[str]:
    """A line for each service or container that is not as declared, with the reason."""
    lines = []
    for service in store.list(SERVICE):
        conditions = {condition.type: condition for condition in service.status.conditions}
        ready, progressing = conditions.get("Ready"), conditions.get("Progressing")
        if ready is None or progressing is None or service.status.observed_generation != service.metadata.generation:
            lines.append(f"{service.metadata.name}: not looked at yet")
        elif ready.status != "True":
            lines.append(f"{service.metadata.name}: {ready.message}")
        elif progressing.status != "False":
            lines.append(f"{service.metadata.name}: {progressing.message}")
    lines += [f"{c.metadata.name}: on its way out" for c in store.list(CONTAINER) if c.metadata.HasField("delete_time")]
    return lines


async def report_convergence(store: Store, declared: Callable[[], bool], within: float | None) -> int:
    """Waits until all is converged and prints the outcome; 0, or 1 when ``within`` seconds passed before, or nothing is
    left to wait for but updates that ended badly."""
    changed = asyncio.Event()
    store.subscribe(SERVICE, lambda _: changed.set())
    store.subscribe(CONTAINER, lambda _: changed.set())
    try:
        async with asyncio.timeout(within):
            while not declared() or unconverged(store):
                changed.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), _POLL)
    except TimeoutError:
        return _report(unconverged(store) or ["nothing was declared yet"])
    if failed := ended_badly(store):
        return _report(failed)
    for service in store.list(SERVICE):
        click.echo(f"service/{service.metadata.name} converged: {service.status.ready_replicas} ready")
    return 0


def _report(lines: list[str]) -> int:
    for line in lines:
        click.echo(f"not converged: {line}")
    return 1
