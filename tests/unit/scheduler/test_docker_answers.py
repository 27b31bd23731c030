"""The Docker engine against a server that gives the answers a daemon in trouble gives."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from controller.errors import EngineError, EngineUnavailable
from controller.metrics import Metrics
from controller.scheduler.docker import DockerEngine
from controller.scheduler.docker_events import Seen, event_of
from controller.scheduler.docker_threads import Threads

Answering = Callable[[int, bytes], contextlib.AbstractAsyncContextManager[DockerEngine]]


@pytest.fixture
def answering(tmp_path: Path) -> Answering:
    @contextlib.asynccontextmanager
    async def serve(status: int, body: bytes) -> AsyncIterator[DockerEngine]:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while request := await reader.readline():
                while (await reader.readline()).strip():
                    pass
                code = 200 if b"_ping" in request else status
                head = f"HTTP/1.1 {code} X\r\nApi-Version: 1.41\r\nContent-Length: {len(body)}\r\n\r\n"
                writer.write(head.encode() + body)
            writer.close()
            await writer.wait_closed()

        path = tmp_path / "docker.sock"
        async with await asyncio.start_unix_server(answer, path):
            engine = DockerEngine(f"unix://{path}", "default", Metrics())
            yield engine
            await engine.close()
            await asyncio.sleep(0.01)  # the server's handlers see the end of their connections

    return serve


@pytest.mark.parametrize("body", [b"null", b"", b"<html>", b"{}", b'[{"Id"'])
async def test_what_is_no_list_is_never_an_empty_list(answering: Answering, body: bytes) -> None:
    async with answering(200, body) as engine:
        with pytest.raises(EngineUnavailable):
            await engine.list()


async def test_an_empty_list_is_an_empty_list(answering: Answering) -> None:
    async with answering(200, b"[]") as engine:
        assert await engine.list() == []


async def test_an_answer_that_lacks_what_it_must_have_is_an_error(answering: Answering) -> None:
    async with answering(200, b'[{"Id": "1"}]') as engine:
        with pytest.raises(EngineError, match="not understood") as caught:
            await engine.list()
        assert not isinstance(caught.value, EngineUnavailable)


@pytest.mark.parametrize(("status", "kind"), [(500, EngineError), (502, EngineUnavailable), (503, EngineUnavailable)])
async def test_a_refusal_is_told_in_dockers_words_on_one_line(
    answering: Answering, status: int, kind: type[EngineError]
) -> None:
    async with answering(status, json.dumps({"message": "layer\n  does not exist\n"}).encode()) as engine:
        with pytest.raises(EngineError, match=r"^layer does not exist$") as caught:
            await engine.list()
        assert type(caught.value) is kind


@pytest.mark.parametrize("action", ["exec_create: sh -c secret", "exec_start: sh", "exec_die", "top", "attach", ""])
def test_events_that_change_no_status_are_dropped(action: str) -> None:
    assert event_of({"Action": action, "Actor": {"ID": "1", "Attributes": {}}, "timeNano": 1}) is None


def test_an_event_has_our_labels_alone_and_health_without_its_detail() -> None:
    attributes = {"dock-runner.uid": "u", "image": "web", "exitCode": "1", "user.label": "x"}
    found = event_of(
        {"Action": "health_status: healthy", "Actor": {"ID": "1", "Attributes": attributes}, "timeNano": 1}
    )
    assert found is not None
    assert (found[1].action, found[1].labels) == ("health_status", {"dock-runner.uid": "u"})


def test_what_was_seen_is_remembered_up_to_a_limit() -> None:
    seen = Seen(size=2)
    keys = [(number, "1", "die") for number in range(3)]
    assert [seen.is_new(key) for key in (*keys, keys[2], keys[1], keys[0])] == [True, True, True, False, False, True]


async def test_threads_are_made_when_needed_and_no_more_than_allowed() -> None:
    threads = Threads("t", 2)
    loop, gate = asyncio.get_running_loop(), asyncio.Event()
    running = 0

    def begin() -> None:
        nonlocal running
        running += 1

    def call() -> None:
        loop.call_soon_threadsafe(begin)
        asyncio.run_coroutine_threadsafe(gate.wait(), loop).result(10)

    first = asyncio.create_task(threads.run(call))
    await asyncio.sleep(0.02)
    first.cancel()  # its thread goes on, and must not be counted as free
    others = [asyncio.create_task(threads.run(call)) for _ in range(3)]
    await asyncio.sleep(0.05)
    assert running == 2
    gate.set()
    await asyncio.gather(*others)
    assert running == 4
    await threads.close(lambda: EngineUnavailable("closed"))
    with pytest.raises(EngineUnavailable, match="closed"):
        await threads.run(call)
