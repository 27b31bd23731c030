"""How many replicas a load asks for: what the documentation of the HorizontalPodAutoscaler says, case by case."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.autoscale_decision import Recommendation, clamped, decided, desired, longest_window
from proto.dockrunner import v1 as pb

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)

loads = st.lists(st.floats(0, 1000), min_size=1, max_size=12)


def autoscale(least: int = 1, most: int = 1000, *, down: float | None = None, up: float | None = None) -> pb.Autoscale:
    scale = pb.Autoscale(min=least, max=most, cpu=70)
    if down is not None:
        scale.scale_down_window.FromTimedelta(timedelta(seconds=down))
    if up is not None:
        scale.scale_up_window.FromTimedelta(timedelta(seconds=up))
    return scale


def earlier(*recommended: tuple[float, int]) -> list[Recommendation]:
    """Recommendations of so many seconds ago."""
    return [Recommendation(NOW - timedelta(seconds=ago), replicas) for ago, replicas in recommended]


@pytest.mark.parametrize(
    ("current", "percents", "target", "replicas"),
    [
        (1, [200], 100, 2),  # "If the current metric value is 200m, and the desired value is 100m, … doubled"
        (2, [200, 200], 100, 4),
        (4, [50, 50, 50, 50], 100, 2),  # "If the current value is instead 50m, … halve the number of replicas"
        (3, [100, 100, 100], 70, 5),  # rounded up
        (10, [7] * 10, 70, 1),
        (10, [0] * 10, 70, 0),
        (3, [70, 70, 70], 70, 3),
    ],
)
def test_the_number_follows_the_ratio_of_what_is_used_to_what_is_wanted(
    current: int, percents: list[float], target: int, replicas: int
) -> None:
    assert desired(current, percents, target) == replicas


@pytest.mark.parametrize(
    ("percents", "replicas"),
    [
        ([77] * 10, 10),  # 1.1: within
        ([77.1] * 10, 12),
        ([63] * 10, 10),  # 0.9: within
        ([62.9] * 10, 9),
    ],
)
def test_a_tenth_more_or_less_changes_nothing(percents: list[float], replicas: int) -> None:
    assert desired(10, percents, 70) == replicas


@pytest.mark.parametrize(
    ("current", "percents", "replicas"),
    [
        (3, [100], 3),  # 100 % of one and nothing of two is a third of what is there: not up, and not down either
        (3, [210, 210], 6),  # 140 % on average: twice as many
        (2, [140], 2),  # 70 % on average: as wanted
        (2, [200], 3),  # 100 % on average of 70 %
    ],
)
def test_on_the_way_up_those_of_which_nothing_is_known_do_nothing(
    current: int, percents: list[float], replicas: int
) -> None:
    assert desired(current, percents, 70) == replicas


@pytest.mark.parametrize(
    ("current", "percents", "replicas"),
    [
        (2, [0], 1),  # 35 % on average
        (4, [35, 35], 3),  # 52.5 % on average, with two at 70 %
        (10, [35], 10),  # 66.5 % on average: near enough
    ],
)
def test_on_the_way_down_those_of_which_nothing_is_known_do_what_is_wanted(
    current: int, percents: list[float], replicas: int
) -> None:
    assert desired(current, percents, 70) == replicas


def test_a_load_of_which_nothing_is_known_changes_nothing() -> None:
    assert desired(3, [], 70) == 3


@given(st.integers(1, 12), loads, st.integers(1, 1000))
def test_what_is_not_known_never_turns_a_change_round(current: int, percents: list[float], target: int) -> None:
    percents = percents[:current]
    ratio = sum(percents) / len(percents) / target
    number = desired(current, percents, target)
    assert number >= current if ratio > 1 else number <= current


@given(st.integers(1, 30), st.floats(0.01, 30), st.integers(10, 100))
def test_a_constant_load_comes_to_rest(start: int, work: float, target: int) -> None:
    """``work``: processors that are kept busy, shared out evenly, of one processor each."""
    scale, current, seen = autoscale(1, 40, down=0), start, list[int]()
    for _ in range(40):
        percents = [min(100.0, 100 * work / current)] * current
        current = decided(current, desired(current, percents, target), [], scale, NOW)
        seen.append(current)
    assert len(set(seen[-20:])) == 1


@pytest.mark.parametrize(
    ("recommended", "wanted", "replicas"),
    [
        ([], 5, 5),
        ([(299, 10)], 5, 10),  # within five minutes
        ([(300, 10)], 5, 5),  # not any more
        ([(200, 7), (100, 9), (15, 6)], 5, 9),  # the highest of them
        ([(100, 12)], 5, 10),  # yet never up
    ],
)
def test_it_goes_down_to_the_highest_number_of_the_last_five_minutes(
    recommended: list[tuple[float, int]], wanted: int, replicas: int
) -> None:
    assert decided(10, wanted, earlier(*recommended), autoscale(), NOW) == replicas


def test_it_goes_up_at_once() -> None:
    assert decided(2, 4, earlier((15, 2), (30, 1)), autoscale(), NOW) == 4


@pytest.mark.parametrize(
    ("recommended", "replicas"), [([(30, 2)], 2), ([(30, 3), (15, 4)], 3), ([(60, 2), (30, 5)], 4)]
)
def test_with_a_window_it_goes_up_to_the_lowest_number_in_there(
    recommended: list[tuple[float, int]], replicas: int
) -> None:
    assert decided(2, 4, earlier(*recommended), autoscale(up=60), NOW) == replicas


def test_without_a_window_it_goes_down_at_once() -> None:
    assert decided(10, 1, earlier((1, 10)), autoscale(down=0), NOW) == 1


def test_a_turn_doubles_the_number_or_adds_four() -> None:
    numbers = [1]
    for _ in range(5):
        numbers.append(decided(numbers[-1], 1000, [], autoscale(), NOW))
    assert numbers == [1, 5, 10, 20, 40, 80]


@given(
    current=st.integers(1, 1000), wanted=st.integers(0, 5000), least=st.integers(1, 1000), more=st.integers(0, 1000),
    recommended=st.lists(st.tuples(st.floats(0, 1000), st.integers(0, 5000)), max_size=5),
)  # fmt: skip
def test_it_never_leaves_its_limits(
    current: int, wanted: int, least: int, more: int, recommended: list[tuple[float, int]]
) -> None:
    scale = autoscale(least, least + more)
    assert least <= decided(current, wanted, earlier(*recommended), scale, NOW) <= least + more


@pytest.mark.parametrize(("replicas", "within"), [(1, 2), (2, 2), (3, 3), (5, 4)])
def test_a_number_is_brought_within_the_limits(replicas: int, within: int) -> None:
    assert clamped(replicas, autoscale(2, 4)) == within


def test_what_was_recommended_counts_as_long_as_the_longest_window() -> None:
    assert longest_window(autoscale()) == timedelta(minutes=5)
    assert longest_window(autoscale(down=10, up=20)) == timedelta(seconds=20)
