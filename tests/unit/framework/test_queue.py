"""The work queue, as controller-runtime's."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from controller.framework.queue import BACKOFF_MAX, ShutDown, WorkQueue, backoff
from controller.metrics import Metrics
from tests.clock import ManualClock

R = TypeVar("R")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def metrics() -> Metrics:
    metrics = Metrics()
    metrics.for_controller("test", 1)
    return metrics


@pytest.fixture
def queue(clock: ManualClock, metrics: Metrics) -> WorkQueue:
    return WorkQueue("test", clock, metrics)


async def taken(queue: WorkQueue) -> str:
    key, _ = await asyncio.wait_for(queue.get(), 1)
    return key


async def test_a_key_that_waits_is_not_queued_twice(queue: WorkQueue) -> None:
    queue.add("a")
    queue.add("a")
    assert len(queue) == 1
    assert await taken(queue) == "a"
    assert len(queue) == 0


async def test_keys_come_in_the_order_of_their_arrival(queue: WorkQueue) -> None:
    for key in "abc":
        queue.add(key)
    assert [await taken(queue) for _ in range(3)] == ["a", "b", "c"]


async def test_a_higher_priority_comes_first(queue: WorkQueue) -> None:
    queue.add("low", priority=-100)
    queue.add("normal")
    assert [await taken(queue), await taken(queue)] == ["normal", "low"]


async def test_adding_again_raises_the_priority_and_never_lowers_it(queue: WorkQueue) -> None:
    queue.add("a", priority=-100)
    queue.add("b", priority=-50)
    queue.add("a", priority=0)
    queue.add("a", priority=-100)
    assert [await taken(queue), await taken(queue)] == ["a", "b"]


async def test_a_delayed_key_waits_for_its_time(queue: WorkQueue, clock: ManualClock) -> None:
    queue.add("later", after=5)
    getter = asyncio.create_task(queue.get())
    await clock.advance(4.9)
    assert not getter.done()
    await clock.advance(0.1)
    assert getter.done()
    assert getter.result()[0] == "later"


async def test_the_earliest_time_wins(queue: WorkQueue, clock: ManualClock) -> None:
    queue.add("a", after=60)
    queue.add("a", after=1)
    queue.add("a", after=30)
    getter = asyncio.create_task(queue.get())
    await clock.advance(1)
    assert getter.done()
    assert len(queue) == 0


async def test_a_key_in_work_is_not_handed_out_but_queued_again_when_done(queue: WorkQueue) -> None:
    queue.add("a")
    await taken(queue)
    queue.add("a")
    getter = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    assert not getter.done()
    queue.done("a")
    assert (await asyncio.wait_for(getter, 1))[0] == "a"


async def test_a_delay_asked_for_during_work_counts_from_the_asking(queue: WorkQueue, clock: ManualClock) -> None:
    queue.add("a")
    await taken(queue)
    queue.add("a", after=10)
    await clock.advance(4)
    queue.done("a")
    getter = asyncio.create_task(queue.get())
    await clock.advance(5.9)
    assert not getter.done()
    await clock.advance(0.1)
    assert getter.done()


def test_the_backoff_doubles_from_5_ms_to_1000_s() -> None:
    assert [backoff(n) for n in (1, 2, 3)] == [0.005, 0.01, 0.02]
    assert backoff(18) == 655.36
    assert backoff(19) == backoff(10_000) == BACKOFF_MAX == 1000


async def test_forget_ends_the_backoff_of_its_key_alone(queue: WorkQueue) -> None:
    for _ in range(3):
        queue.add_rate_limited("a")
        queue.add_rate_limited("b")
    queue.forget("a")
    assert (queue.add_rate_limited("a"), queue.add_rate_limited("b")) == (0.005, 0.04)


async def test_draining_waits_for_the_work_and_ends_the_workers(queue: WorkQueue) -> None:
    queue.add("a")
    await taken(queue)
    waiting = asyncio.create_task(queue.get())
    draining = asyncio.create_task(queue.drain())
    with pytest.raises(ShutDown):
        await asyncio.wait_for(waiting, 1)
    assert not draining.done()
    queue.done("a")
    await asyncio.wait_for(draining, 1)
    queue.add("b")
    with pytest.raises(ShutDown):
        await queue.get()


async def test_a_cancelled_getter_leaves_its_key_to_another(queue: WorkQueue) -> None:
    first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add("a")
    first.cancel()
    assert (await asyncio.wait_for(second, 1))[0] == "a"


async def test_metrics_count_effective_adds_and_waiting_keys(
    queue: WorkQueue, metrics: Metrics, clock: ManualClock
) -> None:
    def value(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(name, {"name": "test", "controller": "test", **labels})

    queue.add("a")
    queue.add("a")
    queue.add("b", priority=-100)
    assert value("workqueue_adds_total") == 2
    assert value("workqueue_depth", priority="0") == 1
    assert value("workqueue_depth", priority="-100") == 1
    await taken(queue)
    await clock.advance(3)
    assert value("workqueue_depth", priority="0") == 0
    assert value("workqueue_unfinished_work_seconds") == 3
    assert value("workqueue_longest_running_processor_seconds") == 3
    queue.done("a")
    assert value("workqueue_unfinished_work_seconds") == 0
    assert value("workqueue_work_duration_seconds_sum") == 3


class QueueMachine(RuleBasedStateMachine):
    """The queue against a model: a dictionary of what waits, with priorities and times."""

    keys = st.sampled_from("abcdef")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = ManualClock()
        self.queue = self.within(self._make())
        self.waiting: dict[str, tuple[int, float]] = {}
        self.working: dict[str, tuple[int, float] | None] = {}
        self.failed: dict[str, int] = {}

    async def _make(self) -> WorkQueue:
        metrics = Metrics()
        metrics.for_controller("test", 1)
        return WorkQueue("test", self.clock, metrics)

    def within(self, awaitable: Coroutine[Any, Any, R]) -> R:
        return self.loop.run_until_complete(awaitable)

    async def _call(self, function: Callable[..., R], *arguments: Any, **named: Any) -> R:
        """The queue may only be touched while its loop runs."""
        return function(*arguments, **named)

    @rule(key=keys, after=st.sampled_from([0.0, 1.0, 5.0]), priority=st.sampled_from([-100, 0, 10]))
    def add(self, key: str, after: float, priority: int) -> None:
        self.within(self._call(self.queue.add, key, after=after, priority=priority))
        due = self.clock.monotonic() + after
        if key in self.working:
            known = self.working[key]
            self.working[key] = (max(priority, known[0]), min(due, known[1])) if known else (priority, due)
        else:
            known = self.waiting.get(key)
            self.waiting[key] = (max(priority, known[0]), min(due, known[1])) if known else (priority, due)

    @rule(key=keys)
    def add_rate_limited(self, key: str) -> None:
        delay = self.within(self._call(self.queue.add_rate_limited, key))
        self.failed[key] = self.failed.get(key, 0) + 1
        assert delay == backoff(self.failed[key])
        due = self.clock.monotonic() + delay
        entries: Any = self.working if key in self.working else self.waiting
        known = entries.get(key)
        entries[key] = (max(0, known[0]), min(due, known[1])) if known else (0, due)

    @rule(key=keys)
    def forget(self, key: str) -> None:
        self.within(self._call(self.queue.forget, key))
        self.failed.pop(key, None)
        assert self.queue.failures(key) == 0

    @rule(seconds=st.sampled_from([0.5, 1.0, 6.0]))
    def pass_time(self, seconds: float) -> None:
        self.within(self.clock.advance(seconds))

    def ready(self) -> dict[str, tuple[int, float]]:
        return {key: entry for key, entry in self.waiting.items() if entry[1] <= self.clock.monotonic()}

    @precondition(lambda self: self.ready())
    @rule()
    def get(self) -> None:
        key, priority = self.within(asyncio.wait_for(self.queue.get(), 1))
        ready = self.ready()
        assert key in ready, "handed out before its time"
        assert key not in self.working, "handed out twice at once"
        assert priority == ready[key][0] == max(entry[0] for entry in ready.values())
        del self.waiting[key]
        self.working[key] = None

    @precondition(lambda self: self.working)
    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.working)))
        self.within(self._call(self.queue.done, key))
        again = self.working.pop(key)
        if again is not None:
            self.waiting[key] = again

    @invariant()
    def knows_what_waits(self) -> None:
        assert len(self.queue) == len(self.waiting)

    def teardown(self) -> None:
        for key in list(self.working):
            self.within(self._call(self.queue.done, key))
        self.within(self.queue.drain())
        self.within(self.clock.settle())
        self.loop.close()


TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
