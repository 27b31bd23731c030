"""What a container uses, out of Docker's statistics."""

from collections.abc import Mapping
from datetime import UTC
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from controller.errors import EngineError
from controller.scheduler.docker_client import Client, expect, translated
from controller.scheduler.engine import Usage

_NANO = 10**9
# From here on Docker gives one sample at once; before, it takes two, a second apart.
_ONE_SHOT = (1, 41)


def usage(client: Client, container_id: str) -> Usage:
    """One sample of a container.

    Raises:
        EngineError: it does not run.
    """
    version = tuple(int(part) for part in client.api_version.split("."))
    one_shot = True if version >= _ONE_SHOT else None
    return translated(usage_of, expect(dict, client.stats(container_id, stream=False, one_shot=one_shot)))


def usage_of(data: Mapping[str, Any]) -> Usage:
    """A sample out of Docker's JSON.

    Raises:
        EngineError: the container did not run: then there are zeros, at no time.
    """
    moment = Timestamp()
    moment.FromJsonString(data["read"])
    sampled = moment.ToDatetime(UTC)
    if sampled.year == 1:
        raise EngineError("it does not run, so it uses nothing")
    return Usage(int(data["cpu_stats"]["cpu_usage"]["total_usage"]) / _NANO, sampled, _memory(data["memory_stats"]))


def _memory(stats: Mapping[str, Any]) -> int:
    """As ``docker stats`` counts it: without the inactive part of the page cache, under its name in either version of
    control groups."""
    used = int(stats.get("usage", 0))
    details = stats.get("stats") or {}
    for name in ("total_inactive_file", "inactive_file"):
        if name in details:
            inactive = int(details[name])
            return used - inactive if inactive < used else used
    return used
