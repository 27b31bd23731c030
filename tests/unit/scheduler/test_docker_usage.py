"""What a container uses, as Docker's JSON says it."""

from datetime import UTC, datetime
from typing import Any

import pytest

from controller.errors import EngineError
from controller.scheduler.docker_usage import usage_of
from controller.scheduler.engine import Usage


def statistics(read: str = "2026-05-01T12:00:00.123456789Z", **memory: Any) -> dict[str, Any]:
    return {"read": read, "cpu_stats": {"cpu_usage": {"total_usage": 2_500_000_000}}, "memory_stats": memory}


def test_a_sample_has_the_processor_time_since_the_start_and_when_it_was_taken() -> None:
    assert usage_of(statistics()) == Usage(2.5, datetime(2026, 5, 1, 12, 0, 0, 123456, tzinfo=UTC), 0)


def test_a_sample_of_another_time_zone_is_of_the_same_moment() -> None:
    assert usage_of(statistics("2026-05-01T14:00:00+02:00")).sampled == datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("details", "memory"),
    [
        ({"total_inactive_file": 30, "inactive_file": 10}, 70),  # control groups of version 1
        ({"inactive_file": 40}, 60),  # of version 2
        ({"inactive_file": 100}, 100),  # never nothing
        ({}, 100),
        (None, 100),
    ],
)
def test_memory_is_counted_without_what_is_only_cached(details: dict[str, int] | None, memory: int) -> None:
    assert usage_of(statistics(usage=100, stats=details)).memory == memory


def test_what_does_not_run_has_no_sample() -> None:
    with pytest.raises(EngineError, match="does not run"):
        usage_of(statistics("0001-01-01T00:00:00Z"))
