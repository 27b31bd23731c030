"""A service is restarted once a night, at its own time."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from controller import Invalid
from controller.testing import Harness

HOUR = 3600.0
NIGHTLY = {"nightly-restart": "03:00"}
EVENING = datetime(2026, 6, 1, 20, 0, tzinfo=UTC)


@pytest.fixture
def example(examples: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("TZ", raising=False)
    return examples / "nightly_restart.py"


def started(dock: Harness) -> list[datetime]:
    """When the containers of the service were started, to the minute."""
    times = [it.status.started_at.ToDatetime(UTC) for it in dock.containers("web")]
    return [moment.replace(second=0, microsecond=0) for moment in times]


async def test_every_container_is_replaced_at_the_time(example: Path) -> None:
    async with Harness(example, now=EVENING) as dock:
        await dock.apply("web", image="web:1", replicas=2, annotations=NIGHTLY)
        before = [it.metadata.name for it in dock.containers("web")]
        await dock.advance(7 * HOUR - 1)
        assert [it.metadata.name for it in dock.containers("web")] == before
        await dock.advance(120)
        assert not {it.metadata.name for it in dock.containers("web")} & set(before)
        assert dock.service("web").status.ready_replicas == 2


async def test_it_happens_once_in_each_night(example: Path) -> None:
    async with Harness(example, now=EVENING) as dock:
        await dock.apply("web", image="web:1", annotations=NIGHTLY)
        await dock.advance(2 * 24 * HOUR)
        assert len([line for line in dock.log if "restarting" in line]) == 2


async def test_a_restart_of_the_program_makes_for_no_second_one(example: Path) -> None:
    async with Harness(example, now=EVENING) as dock:
        await dock.apply("web", image="web:1", annotations=NIGHTLY)
        await dock.advance(7 * HOUR + 300)
        (first,) = started(dock)
        await dock.restart()
        await dock.advance(3 * HOUR)
        assert started(dock) == [first]


async def test_a_night_that_was_nearly_missed_is_made_up_for(example: Path) -> None:
    async with Harness(example, now=EVENING) as dock:
        await dock.apply("web", image="web:1", annotations=NIGHTLY)
        await dock.restart(downtime=7.5 * HOUR)
        await dock.advance(120)
        assert started(dock)[0] > EVENING + timedelta(hours=7.5)


async def test_a_night_that_was_missed_is_left_out(example: Path) -> None:
    async with Harness(example, now=EVENING) as dock:
        await dock.apply("web", image="web:1", annotations=NIGHTLY)
        await dock.restart(downtime=12 * HOUR)
        await dock.advance(HOUR)
        assert started(dock) == [EVENING]


async def test_a_service_that_was_just_made_is_fresh_enough(example: Path) -> None:
    begin = datetime(2026, 6, 1, 3, 10, tzinfo=UTC)
    async with Harness(example, now=begin) as dock:
        await dock.apply("web", image="web:1", annotations=NIGHTLY)
        await dock.advance(HOUR)
        assert started(dock) == [begin]


@pytest.mark.parametrize("by", ["annotation", "environment"])
async def test_the_time_is_that_of_a_zone(example: Path, by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    zone = {"nightly-restart-zone": "Europe/Berlin"}
    if by == "environment":
        monkeypatch.setenv("TZ", "Europe/Berlin")
        zone = {}
    async with Harness(example, now=EVENING) as dock:
        await dock.apply("web", image="web:1", annotations={**NIGHTLY, **zone})
        await dock.advance(5 * HOUR + 120)
        assert started(dock)[0] >= datetime(2026, 6, 2, 1, 0, tzinfo=UTC)


@pytest.mark.parametrize("begin", [datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 10, 24, 12, tzinfo=UTC)])
async def test_a_time_that_the_change_of_the_clocks_skips_or_repeats_comes_once(example: Path, begin: datetime) -> None:
    async with Harness(example, now=begin) as dock:
        at = {"nightly-restart": "02:30", "nightly-restart-zone": "Europe/Berlin"}
        await dock.apply("web", image="web:1", annotations=at)
        await dock.advance(24 * HOUR)
        assert len([line for line in dock.log if "restarting" in line]) == 1


async def test_services_without_the_annotation_are_left_alone(example: Path) -> None:
    async with Harness(example, now=EVENING) as dock:
        await dock.apply("web", image="web:1")
        await dock.advance(24 * HOUR)
        assert started(dock) == [EVENING]


@pytest.mark.parametrize(
    "annotations", [{"nightly-restart": "at night"}, {"nightly-restart": "03:00", "nightly-restart-zone": "Mars/North"}]
)
async def test_what_is_no_time_or_no_zone_is_refused(example: Path, annotations: dict[str, str]) -> None:
    async with Harness(example, now=EVENING) as dock:
        with pytest.raises(Invalid, match="must be a time such as 03:00"):
            await dock.apply("web", image="web:1", annotations=annotations)
