"""The webhook is told of a crash loop once, and of its end."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.testing import Harness

from .webhook import Webhook, serving

MINUTE = 60.0


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    """A webhook that the example is configured with."""
    with serving() as made:
        monkeypatch.setenv("CRASH_LOOP_WEBHOOK", made.url)
        yield made


@pytest.fixture
def example(examples: Path, webhook: Webhook) -> Path:
    return examples / "crash_loop_webhook.py"


async def crash(dock: Harness, times: int, pause: float = 10.0, slot: int = 1) -> None:
    for _ in range(times):
        dock.engine.crash("web", slot)
        await dock.advance(pause)


async def test_a_crash_loop_is_told_of_once(example: Path, webhook: Webhook) -> None:
    async with Harness(example) as dock:
        await dock.apply("web", image="web:1", replicas=2)
        await crash(dock, 2)
        assert webhook.told == []
        await crash(dock, 5)
        assert webhook.told == [
            {
                "service": "web", "event": "crash-looping", "restarts": 3,
                "text": "web: 3 restarts within 5 minutes",
            }
        ]  # fmt: skip


async def test_its_end_is_told_of_and_the_next_one_again(example: Path, webhook: Webhook) -> None:
    async with Harness(example) as dock:
        await dock.apply("web", image="web:1")
        await crash(dock, 3)
        await dock.advance(4 * MINUTE)
        assert webhook.events() == ["web crash-looping"]
        await dock.advance(1 * MINUTE)
        assert webhook.events() == ["web crash-looping", "web recovered"]
        await crash(dock, 3)
        assert webhook.events() == ["web crash-looping", "web recovered", "web crash-looping"]


async def test_a_crash_now_and_then_is_none(example: Path, webhook: Webhook) -> None:
    async with Harness(example) as dock:
        await dock.apply("web", image="web:1")
        await crash(dock, 10, pause=3 * MINUTE)
        assert webhook.told == []


async def test_a_loop_that_an_update_mends_has_an_end_as_well(example: Path, webhook: Webhook) -> None:
    async with Harness(example) as dock:
        await dock.apply("web", image="web:1")
        await crash(dock, 3)
        await dock.apply("web", image="web:2")
        await dock.advance(6 * MINUTE)
        assert webhook.events() == ["web crash-looping", "web recovered"]


async def test_a_webhook_that_fails_is_tried_again(example: Path, webhook: Webhook) -> None:
    webhook.status = 503
    async with Harness(example) as dock:
        await dock.apply("web", image="web:1")
        await crash(dock, 3, pause=1)
        assert any("the webhook failed: HTTP Error 503" in line for line in dock.log)
        webhook.status = 204
        await dock.advance(30)
        assert webhook.events() == ["web crash-looping"]
        await dock.advance(10 * MINUTE)
        assert webhook.events() == ["web crash-looping", "web recovered"]


async def test_what_a_crash_loop_is_can_be_set(
    example: Path, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRASH_LOOP_RESTARTS", "2")
    monkeypatch.setenv("CRASH_LOOP_MINUTES", "0.5")
    async with Harness(example) as dock:
        await dock.apply("web", image="web:1")
        await crash(dock, 3, pause=31)
        assert webhook.told == []
        await crash(dock, 2, pause=29)
        assert webhook.told[0]["text"] == "web: 2 restarts within 0.5 minutes"
