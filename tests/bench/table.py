"""Figures and the Markdown that shows them."""

import math
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import docker

Cells = Sequence[str]


@dataclass(frozen=True)
class Series:
    """What was measured of one thing, once per round."""

    name: str
    values: Sequence[float]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def percentile(self, percent: float) -> float:
        """The smallest value that so many per cent of all do not exceed."""
        return sorted(self.values)[max(0, math.ceil(len(self.values) * percent / 100) - 1)]


def table(header: Cells, rows: Sequence[Cells]) -> str:
    """A Markdown table; its first column is text, the others are figures."""
    lines = [header, ["---", *("---:" for _ in header[1:])], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def compared(baselines: Sequence[Series], others: Sequence[Series]) -> str:
    """Medians in seconds, each with its ratio to that of every baseline."""
    rows = [
        [
            series.name, seconds(series.median), f"{seconds(min(series.values))} … {seconds(max(series.values))}",
            str(len(series.values)), *(f"{series.median / baseline.median:.2f}" for baseline in baselines),
        ]
        for series in (*baselines, *others)
    ]  # fmt: skip
    return table(["", "median", "range", "rounds", *(f"× {baseline.name}" for baseline in baselines)], rows)


def latencies(all_series: Sequence[Series]) -> str:
    """Percentiles in milliseconds."""
    rows = [
        [it.name, *(f"{it.percentile(percent) * 1000:.2f} ms" for percent in (50, 99)), str(len(it.values))]
        for it in all_series
    ]
    return table(["", "p50", "p99", "calls"], rows)


def seconds(value: float) -> str:
    """With as many digits as a reader can use."""
    return f"{value:.2f} s" if value >= 1 else f"{value * 1000:.0f} ms"


def host_facts(api: docker.APIClient) -> str:
    """What the figures depend on."""
    version: dict[str, Any] = api.version()
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    return table(
        ["Host", ""],
        [
            ["processors", str(len(os.sched_getaffinity(0)))],
            ["memory", f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.1f} GiB"],
            ["load at the start (1, 5, 15 min)", load],
            ["system", f"{platform.system()} {platform.release()}, {platform.machine()}"],
            ["Docker Engine", f"{version['Version']}, API {version['ApiVersion']}"],
            ["Docker SDK", docker.__version__],
            ["Python", platform.python_version()],
        ],
    )
