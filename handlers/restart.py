"""Restart policies: what ``ServiceSpec.restart`` says about a container that has ended."""

import re
from dataclasses import dataclass

from proto.dockrunner import v1 as pb

POLICIES = ("always", "unless-stopped", "on-failure", "no", "replace")
_POLICY = re.compile(r"(?P<name>always|unless-stopped|no|replace|on-failure)(?::(?P<limit>[1-9][0-9]{0,8}))?")


@dataclass(frozen=True)
class RestartPolicy:
    """``limit``: how often Docker restarts a failing process; 0: without end."""

    name: str
    limit: int = 0

    def completes(self, status: pb.ContainerStatus) -> bool:
        """Whether a container that ended with ``status`` has done its work and is not to be replaced.

        One that is gone from Docker without having ended was taken away by hand, and is to be replaced always.
        """
        if not status.HasField("exit_code"):
            return False
        if self.name == "no":
            return True
        if self.name != "on-failure":
            return False
        return status.exit_code == 0 or 0 < self.limit <= status.restart_count

    def restarts(self, status: pb.ContainerStatus) -> bool:
        """Whether Docker would have started a container again that ended by itself with ``status``: ended all the same,
        it was ended by hand."""
        if self.name in ("always", "unless-stopped"):
            return True
        return self.name == "on-failure" and status.exit_code != 0 and not 0 < self.limit <= status.restart_count


def parse_restart(text: str) -> RestartPolicy:
    """The policy that a text such as ``on-failure:3`` names.

    Raises:
        ValueError: it names none; the message says which there are.
    """
    match = _POLICY.fullmatch(text)
    if match is None or (match["limit"] and match["name"] != "on-failure"):
        raise ValueError(f"{text!r} is not one of always, unless-stopped, on-failure, on-failure:N, no, replace")
    return RestartPolicy(match["name"], int(match["limit"] or 0))


def docker_policy(text: str) -> str:
    """Docker's own policy for it: a container that is to be replaced is not started again."""
    return "no" if text == "replace" else text
