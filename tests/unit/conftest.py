"""Fixtures of tests of the whole loop in moved time."""

from collections.abc import AsyncIterator

import pytest

from tests.clock import ManualClock
from tests.cluster import Cluster, CountingEngine, cluster


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def engine(clock: ManualClock) -> CountingEngine:
    return CountingEngine(clock)


@pytest.fixture
async def world(engine: CountingEngine, clock: ManualClock) -> AsyncIterator[Cluster]:
    async with cluster(engine, clock) as made:
        yield made
