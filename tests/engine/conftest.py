"""Fixtures of the tests of the Docker engine."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

import docker as sdk
import pytest

from controller.metrics import Metrics
from controller.scheduler.docker import DockerEngine
from controller.scheduler.engine import LABEL_INSTANCE, LABEL_SERVICE, LABEL_UID, CreateRequest
from proto.dockrunner import v1 as pb
from tests.private_engine import IMAGE

Attachments = Mapping[str, Sequence[str] | pb.NetworkAttachment]
"""How a container is attached to networks: their names, with aliases or more."""


class Requests(Protocol):
    """Makes create requests of one instance."""

    def __call__(
        self, slot: int = 1, *, restart: str = "no", networks: Attachments | None = None, network_mode: str = "",
        resources: pb.Resources | None = None, **spec: Any,
    ) -> CreateRequest:  # fmt: skip
        """A request for a container of the service ``web`` with the uid ``uid-SLOT``."""


def requests_of(instance: str) -> Requests:
    def make(
        slot: int = 1, *, restart: str = "no", networks: Attachments | None = None, network_mode: str = "",
        resources: pb.Resources | None = None, **spec: Any,
    ) -> CreateRequest:  # fmt: skip
        uid = f"uid-{slot}"
        template = pb.ServiceSpec(**{"image": IMAGE, **spec})
        labels = {**template.labels, LABEL_INSTANCE: instance, LABEL_SERVICE: "web", LABEL_UID: uid}
        attachments = {
            name: how if isinstance(how, pb.NetworkAttachment) else pb.NetworkAttachment(aliases=how)
            for name, how in (networks or {}).items()
        }
        return CreateRequest(
            f"{instance}-web-{slot}-abcde", uid, template, restart, labels, attachments, network_mode,
            resources or pb.Resources(),
        )  # fmt: skip

    return make


async def eventually(condition: Callable[[], Awaitable[bool]], seconds: float = 20) -> None:
    """Returns when a condition of the daemon holds, which is asked for again and again."""
    for _ in range(int(seconds / 0.05)):
        if await condition():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it did not come to be in time")


async def ready(docker: sdk.APIClient, container: str) -> None:
    """Returns when the test image's own command obeys SIGTERM; the first process of a container ignores it before."""

    async def has_said_so() -> bool:
        return b"ready" in docker.logs(container)

    await eventually(has_said_so)


@pytest.fixture
def request_for(instance: str) -> Requests:
    return requests_of(instance)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
async def engine(engine_host: str, instance: str, metrics: Metrics) -> AsyncIterator[DockerEngine]:
    engine = DockerEngine(engine_host, instance, metrics)
    yield engine
    await engine.close()


@pytest.fixture
def engine_requests(metrics: Metrics) -> Callable[[], dict[tuple[str, str], int]]:
    """How many requests there were, by operation and code."""

    def count() -> dict[tuple[str, str], int]:
        samples = [sample for metric in metrics.engine_request.collect() for sample in metric.samples]
        return {
            (sample.labels["operation"], sample.labels["code"]): int(sample.value)
            for sample in samples
            if sample.name.endswith("_count")
        }

    return count
