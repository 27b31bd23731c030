"""When a schedule ticks."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.timetable import NICKNAMES, Timetable, timetable_of
from proto.dockrunner import v1 as pb

BERLIN = ZoneInfo("Europe/Berlin")
# In 2026 the clock in Berlin goes from 2 to 3 on 29 March, at 1:00 UTC, and from 3 back to 2 on 25 October.
SPRING, AUTUMN = datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)


def ticks(schedule: str, day: datetime, hours: float) -> list[str]:
    """The ticks in Berlin from midnight UTC on, by its own clock."""
    table = Timetable(schedule, BERLIN)
    found = table.between(day - timedelta(seconds=1), day + timedelta(hours=hours), 1000)
    return [tick.astimezone(BERLIN).strftime("%d %H:%M %Z") for tick in found]


def test_a_time_of_day_that_the_clock_leaves_out_is_run_once_when_it_goes_forward() -> None:
    assert ticks("30 2 * * *", SPRING, 25) == ["29 03:00 CEST", "30 02:30 CEST"]


def test_a_time_of_day_that_the_clock_repeats_is_run_once() -> None:
    assert ticks("30 2 * * *", AUTUMN - timedelta(hours=1), 27) == ["25 02:30 CEST", "26 02:30 CET"]


def test_what_runs_each_hour_leaves_out_no_hour_and_repeats_the_one_that_the_clock_repeats() -> None:
    assert ticks("0 * * * *", SPRING, 2) == ["29 01:00 CET", "29 03:00 CEST", "29 04:00 CEST"]
    assert ticks("0 * * * *", AUTUMN, 2) == ["25 02:00 CEST", "25 02:00 CET", "25 03:00 CET"]


def test_the_first_tick_after_a_moment_in_the_repeated_hour_is_never_before_it() -> None:
    second_time = datetime(2026, 10, 25, 1, 10, tzinfo=UTC)
    assert second_time.astimezone(BERLIN).strftime("%H:%M %Z") == "02:10 CET"
    following = Timetable("30 2 * * *", BERLIN).after(second_time)
    assert following == datetime(2026, 10, 26, 1, 30, tzinfo=UTC)


def test_a_tick_is_not_after_itself() -> None:
    table, noon = Timetable("0 12 * * *"), datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert table.after(noon) == noon + timedelta(days=1)
    assert table.after(noon - timedelta(microseconds=1)) == noon
    assert table.newest(noon - timedelta(seconds=1), noon) == noon
    assert table.newest(noon, noon + timedelta(hours=1)) is None


def test_a_day_that_never_comes_again_has_no_tick() -> None:
    assert Timetable("0 0 29 2 *").after(datetime(2026, 1, 1, tzinfo=UTC)) is not None
    assert Timetable("* * */20 * 1L").after(datetime(2026, 1, 1, tzinfo=UTC)) is None


@pytest.mark.parametrize("name", NICKNAMES)
def test_the_nicknames_of_cron_are_known(name: str) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    assert Timetable(name).after(start) == Timetable(NICKNAMES[name]).after(start)


def test_without_a_time_zone_the_clock_hangs_in_utc() -> None:
    assert timetable_of(pb.ServiceSpec(schedule="0 3 * * *")).zone is UTC
    assert timetable_of(pb.ServiceSpec(schedule="0 3 * * *", time_zone="Europe/Berlin")).zone == BERLIN


def test_times_are_shown_by_the_schedules_clock() -> None:
    moment = datetime(2026, 7, 1, 12, tzinfo=UTC)
    assert Timetable("@daily").show(moment) == "2026-07-01T12:00:00Z"
    assert Timetable("@daily", BERLIN).show(moment) == "2026-07-01T14:00:00+02:00"


@given(
    st.sampled_from(["* * * * *", "*/7 * * * *", "30 2 * * *", "0,30 1-3 * * *", "15 * * * 0", "0 */5 * * *"]),
    st.sampled_from([UTC, BERLIN, ZoneInfo("America/Havana"), ZoneInfo("Australia/Lord_Howe")]),
    st.sampled_from([SPRING, AUTUMN, datetime(2026, 4, 5, tzinfo=UTC), datetime(2026, 3, 8, tzinfo=UTC)]),
    st.integers(-20_000, 20_000),
    st.integers(0, 40_000),
)
def test_the_newest_tick_found_by_halving_is_the_last_of_all(
    schedule: str, zone: ZoneInfo, day: datetime, begin: int, span: int
) -> None:
    table, after = Timetable(schedule, zone), day + timedelta(seconds=begin)
    until = after + timedelta(seconds=span)
    one_by_one = table.between(after, until, 100_000)
    assert one_by_one == sorted(set(one_by_one))
    assert table.newest(after, until) == (one_by_one[-1] if one_by_one else None)
