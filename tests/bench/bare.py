"""The bare loop: what the SDK takes when nobody watches over the containers."""

import itertools
import threading
import time
from multiprocessing.pool import ThreadPool
from types import TracebackType
from typing import Any, Self

import docker

from .contender import LABELS, Moments, Repair, remove_all

NETWORK = "bench-bare"
SERVICE = "bench"


class BareLoop:
    """Creates and starts with the low-level client, one client per thread."""

    name = "bare loop"

    def __init__(self, host: str, image: str, concurrency: int, moments: Moments) -> None:
        self._host = host
        self._image = image
        self._moments = moments
        self._api = docker.APIClient(host, version="auto")
        self._local = threading.local()
        self._pool = ThreadPool(concurrency, self._enter_thread)
        self._numbers = itertools.count(1)
        self._standing = ""

    def __enter__(self) -> Self:
        self._api.create_network(NETWORK, check_duplicate=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.terminate()
        self._pool.join()
        self._api.close()

    def scale(self, count: int) -> float:
        began = time.perf_counter()
        self._pool.map(lambda _: self._run(self._local.api), range(count), chunksize=1)
        return time.perf_counter() - began

    def create_and_start(self) -> float:
        """Seconds for one container more, which is removed again."""
        began = time.perf_counter()
        made = self._run(self._api)
        took = time.perf_counter() - began
        self._api.remove_container(made, v=True, force=True)
        return took

    def stand(self) -> None:
        self._standing = self._run(self._api)

    def repair(self) -> Repair:
        """Kill, create, start: what somebody does who knows beforehand that the container is about to end."""
        gone = self._standing
        began, sent = time.perf_counter(), time.time()
        self._api.kill(gone)
        self._standing = self._run(self._api)
        took = time.perf_counter() - began
        self._api.remove_container(gone, v=True, force=True)
        return self._moments.repair(gone, self._standing, sent, took)

    def clear(self) -> None:
        remove_all(self._api, f"bench.service={SERVICE}")

    def _enter_thread(self) -> None:
        self._local.api = docker.APIClient(self._host, version="auto")

    def _run(self, api: docker.APIClient) -> str:
        endpoint: Any = {NETWORK: api.create_endpoint_config(aliases=[SERVICE])}
        labels = {f"bench.{label}": SERVICE for label in LABELS}
        made = api.create_container(
            self._image, name=f"bare-{next(self._numbers)}", labels=labels,
            host_config=api.create_host_config(restart_policy={"Name": "always"}, network_mode=NETWORK),
            networking_config=api.create_networking_config(endpoint),
        )  # fmt: skip
        api.start(made["Id"])
        return str(made["Id"])
