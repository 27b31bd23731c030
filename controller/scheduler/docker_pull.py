"""What Docker reports of a pull: told in a few words now and then, and judged at its end."""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from controller.errors import PullError

_DONE = ("Pull complete", "Already exists")
_INTERVAL = 1.0  # seconds from one report to the next


def follow_pull(image: str, lines: Iterable[Mapping[str, Any]], report: Callable[[str], None]) -> None:
    """Reads a pull's progress to the end.

    Raises:
        PullError: Docker reported an error, or the stream broke off before it said that the image is there.
    """
    layers: dict[str, bool] = {}
    finished = False
    reported = time.monotonic() - _INTERVAL
    for line in lines:
        if "error" in line:
            raise PullError(" ".join(str(line["error"]).split()))
        status = str(line.get("status", ""))
        # `Status: Downloaded newer image for …` or `Status: Image is up to date for …`; without it, a stale local
        # image would be taken for the one that was asked for.
        finished = finished or status.startswith("Status: ")
        if line.get("id") and not status.startswith("Pulling from"):
            layers[line["id"]] = status in _DONE
        if layers and time.monotonic() - reported >= _INTERVAL:
            reported = time.monotonic()
            report(f"{sum(layers.values())} of {len(layers)} layers")
    if not finished:
        raise PullError(f"the pull of {image} broke off")
