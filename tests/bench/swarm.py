"""A Swarm of one node on the same daemon."""

import contextlib
import time
from types import TracebackType
from typing import Any, Self

import docker
from docker.types import ContainerSpec, NetworkAttachmentConfig, RestartPolicy, ServiceMode, TaskTemplate

from tests.system.program import eventually

from .contender import LABELS, PATIENCE, Moments, Repair

SERVICE = "bench"
NETWORK = "bench-swarm"
LABEL = "com.docker.swarm.service.name"

RESTART_DELAY = 5.0
"""Seconds: Swarm's default."""

LOOK_EVERY = 0.02
"""Seconds between two looks, as there are no events of tasks."""


class Swarm:
    """A replicated service. Its network is a bridge as the others have one, which Swarm manages: an overlay is for
    several machines. The image is named by its id, or each task would look for it in a registry first."""

    name = "Swarm"

    def __init__(self, host: str, image: str, moments: Moments) -> None:
        self._api: Any = docker.APIClient(host, version="auto", timeout=int(PATIENCE))  # Swarm's calls have no types
        self._image = image
        self._moments = moments

    def __enter__(self) -> Self:
        self._api.init_swarm(advertise_addr="127.0.0.1", listen_addr="127.0.0.1:2377")
        self._api.create_network(NETWORK, driver="bridge", scope="swarm")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._api.leave_swarm(force=True)
        self._api.close()

    def scale(self, count: int) -> float:
        began = time.perf_counter()
        self._create(count)
        return time.perf_counter() - began

    def stand(self) -> None:
        self._create(1)

    def repair(self) -> Repair:
        (gone,) = self._running()
        began, sent = time.perf_counter(), time.time()
        self._api.kill(gone)
        eventually(lambda: self._running() - {gone}, PATIENCE, LOOK_EVERY)
        ready = time.perf_counter() - began
        (replacement,) = self._running() - {gone}
        return self._moments.repair(gone, replacement, sent, ready)

    def clear(self) -> None:
        with contextlib.suppress(docker.errors.NotFound):
            self._api.remove_service(SERVICE)
        eventually(lambda: not self._api.containers(all=True, filters={"label": f"{LABEL}={SERVICE}"}), PATIENCE)

    def _create(self, count: int) -> None:
        labels = {f"bench.{label}": SERVICE for label in LABELS}
        network: Any = NetworkAttachmentConfig(NETWORK, aliases=[SERVICE])
        task = TaskTemplate(
            ContainerSpec(self._api.inspect_image(self._image)["Id"], labels=labels),
            restart_policy=RestartPolicy("any", delay=int(RESTART_DELAY * 1e9)),
            networks=[network],
        )
        self._api.create_service(task, name=SERVICE, mode=ServiceMode("replicated", count))
        eventually(lambda: len(self._running()) == count, PATIENCE, LOOK_EVERY)

    def _running(self) -> set[str]:
        """Docker's ids of the containers whose tasks are in the state `running`."""
        tasks = self._api.tasks(filters={"service": SERVICE, "desired-state": "running"})
        return {
            task["Status"]["ContainerStatus"]["ContainerID"] for task in tasks if task["Status"]["State"] == "running"
        }
