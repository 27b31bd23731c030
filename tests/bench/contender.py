"""What is compared: ways to bring containers up on one daemon, and to bring a killed one back."""

import threading
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

import docker

PATIENCE = 180.0
"""Seconds after which a measurement is given up as an error."""

LABELS = ("instance", "service", "slot", "uid", "revision", "manager")
"""As many labels as Dock Runner gives its containers."""


class TooSlow(Exception):
    """What was waited for did not come."""


@dataclass(frozen=True)
class Repair:
    """Seconds since the kill was sent: until Docker says that the container has died, until it says that the process
    of the replacement runs, and until the contender itself calls the replacement ready."""

    died: float
    started: float
    ready: float


class Contender(AbstractContextManager["Contender"], Protocol):
    """One way. Entering and leaving, ``stand`` and ``clear`` are not measured."""

    name: str

    def scale(self, count: int) -> float:
        """Seconds until so many containers run, where none did."""

    def stand(self) -> None:
        """Has one container run that is to be repaired."""

    def repair(self) -> Repair:
        """Kills that container; how long it took until another one had taken its place."""

    def clear(self) -> None:
        """Removes all containers, and returns when they are gone."""


class Moments:
    """When each container was started, and when it first died, by Docker's own events."""

    def __init__(self, host: str) -> None:
        self._api = docker.APIClient(host, version="auto", timeout=int(PATIENCE))
        # Docker answers before the subscription stands; from a moment ago on nothing is missed.
        self._stream: Any = self._api.events(
            decode=True, since=int(time.time()) - 1, filters={"type": "container", "event": ["start", "die"]}
        )
        self._times: dict[tuple[str, str], int] = {}
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()
        self._thread.join()
        self._api.close()

    def of(self, action: str, container_id: str) -> float:
        """The time of its `start` or `die` in seconds since 1970."""
        key = action, container_id
        with self._changed:
            if not self._changed.wait_for(lambda: key in self._times, PATIENCE):
                raise TooSlow(f"no event {action} of {container_id:.12}")
            return self._times[key] / 1e9

    def repair(self, gone: str, replacement: str, sent: float, ready: float) -> Repair:
        """The repair whose kill was sent at ``sent`` seconds since 1970, and which took ``ready`` seconds."""
        return Repair(self.of("die", gone) - sent, self.of("start", replacement) - sent, ready)

    def _read(self) -> None:
        for event in self._stream:
            with self._changed:
                self._times.setdefault((event["Action"], event["Actor"]["ID"]), event["timeNano"])
                self._changed.notify_all()


def remove_all(api: docker.APIClient, label: str) -> None:
    """Removes the containers with that label, whatever state they are in."""
    for container in api.containers(all=True, filters={"label": label}):
        api.remove_container(container["Id"], v=True, force=True)
