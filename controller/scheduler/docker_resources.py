"""Limits in our words and in Docker's JSON.

Docker changes limits in place and takes none away: it ignores a 0, and refuses -1 for memory (seen with 20.10). So a
limit that is taken away becomes one that nobody reaches, and such a one is read as none.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from proto.dockrunner import v1 as pb

Json = dict[str, Any]

_NANO = 10**9
_UNREACHABLE_MEMORY = 1 << 50  # bytes


@dataclass(frozen=True)
class Machine:
    """What the engine's machine has: ``cpus``, and ``memory`` in bytes."""

    cpus: int
    memory: int

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> "Machine":
        """Out of Docker's own account of itself."""
        return cls(int(info["NCPU"]), int(info["MemTotal"]))

    def effective(self, resources: pb.Resources) -> pb.Resources:
        """What limits come to here: one beyond what there is, is none. Docker refuses more CPUs than there are."""
        return pb.Resources(
            cpus=resources.cpus if 0 < resources.cpus < self.cpus else 0,
            mem_limit=resources.mem_limit if 0 < resources.mem_limit < self.memory else 0,
            pids_limit=max(0, resources.pids_limit),
        )

    def changed(self, resources: pb.Resources) -> Json:
        """The body of an update call; what is not limited any more is limited beyond reach."""
        left = self.effective(resources)
        memory = left.mem_limit or _UNREACHABLE_MEMORY
        return {
            "NanoCpus": round((left.cpus or self.cpus) * _NANO),
            "Memory": memory,
            "MemorySwap": 2 * memory,  # what Docker gives to a container that is made with a limit
            "PidsLimit": left.pids_limit or -1,
        }


def limits_json(resources: pb.Resources) -> Json:
    """The limits in the body of a create call; ``resources`` are effective ones."""
    json: Json = {}
    if resources.cpus:
        json["NanoCpus"] = round(resources.cpus * _NANO)
    if resources.mem_limit:
        json["Memory"] = resources.mem_limit
    if resources.pids_limit:
        json["PidsLimit"] = resources.pids_limit
    return json


def limits(data: Mapping[str, Any]) -> pb.Resources:
    """The limits that an inspection shows, as they are written down there."""
    host = data["HostConfig"]
    return pb.Resources(
        cpus=host.get("NanoCpus", 0) / _NANO,
        mem_limit=host.get("Memory", 0),
        pids_limit=max(0, host.get("PidsLimit") or 0),
    )
