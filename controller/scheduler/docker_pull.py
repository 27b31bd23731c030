"""What Docker reports of a pull: told in a few words now and then, and judged at its end."""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from controller.errors import EngineError

_DONE = ("Pull complete", "Already exists")
_FETCHED = ("Verifying Checksum", "Download complete", "Extracting", *_DONE)
_INTERVAL = 1.0  # seconds from one report to the next
_MB = 1e6


class PullBroken(EngineError):
    """The pull did not come to its end: Docker's own words, or that it said nothing more."""


class _Layer:
    """One layer: how much of it is here, of how many bytes; ``total`` is 0 while Docker has not said."""

    def __init__(self) -> None:
        self.done = False
        self.current = 0
        self.total = 0

    def take(self, status: str, detail: Mapping[str, Any]) -> None:
        """Goes on by one line. What is said while it is unpacked is in other bytes than what is downloaded."""
        self.done = status in _DONE
        if status == "Downloading":
            self.current = int(detail.get("current") or 0)
            self.total = max(int(detail.get("total") or 0), self.current)
        elif status in _FETCHED:
            self.current = self.total


class _Progress:
    """The whole pull."""

    def __init__(self) -> None:
        self._layers: dict[str, _Layer] = {}

    def take(self, layer: str, status: str, detail: Mapping[str, Any]) -> None:
        self._layers.setdefault(layer, _Layer()).take(status, detail)

    def __str__(self) -> str:
        layers = self._layers.values()
        counted = f"{sum(layer.done for layer in layers)} of {len(layers)} layers" if layers else ""
        total = sum(layer.total for layer in layers)
        if not total:
            return counted
        return f"{sum(layer.current for layer in layers) / _MB:.1f} of {total / _MB:.1f} MB, {counted}"


def follow_pull(
    lines: Iterable[Mapping[str, Any]], report: Callable[[str], None], now: Callable[[], float] = time.monotonic
) -> str:
    """Reads a pull's progress to the end, and returns the digest that the registry gave; empty if Docker told none.

    ``report`` is told at most about once a second, by the clock ``now``, and at the end.

    Raises:
        PullBroken: Docker reported an error, or the stream broke off before it said that the image is there.
    """
    progress, digest, end = _Progress(), "", ""
    reported = now() - _INTERVAL
    for line in lines:
        if "error" in line or "errorDetail" in line:
            raise PullBroken(str(line.get("error") or (line["errorDetail"] or {}).get("message") or "no reason given"))
        status = str(line.get("status", ""))
        if status.startswith("Status: "):
            end = status
        elif status.startswith("Digest: "):
            digest = status.removeprefix("Digest: ").strip()
        elif line.get("id") and not status.startswith("Pulling from"):
            progress.take(str(line["id"]), status, line.get("progressDetail") or {})
            if now() - reported >= _INTERVAL:
                reported = now()
                report(str(progress))
    # `Status: Downloaded newer image for …` or `Status: Image is up to date for …`; without it, a stale local image
    # would be taken for the one that was asked for.
    if not end:
        raise PullBroken("the pull broke off: unexpected EOF")
    report("up to date" if "up to date" in end else str(progress) or "done")
    return digest
