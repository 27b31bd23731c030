"""Images by way of a server that gives the answers a daemon gives about them."""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from controller.errors import EngineUnavailable, PullError
from controller.metrics import Metrics
from controller.scheduler.docker import DockerEngine
from controller.scheduler.docker_threads import Turns

Answers = Mapping[str, tuple[int, bytes]]
Answering = Callable[[Answers], contextlib.AbstractAsyncContextManager[DockerEngine]]

NAME = "r.acme.org/web"


def stream(*statuses: str) -> bytes:
    return b"".join(json.dumps({"status": status}).encode() + b"\r\n" for status in statuses)


def image(digest: str) -> tuple[int, bytes]:
    return 200, json.dumps({"Id": "sha256:11", "RepoDigests": [f"{NAME}@{digest}"]}).encode()


def refusal(status: int, message: str) -> tuple[int, bytes]:
    return status, json.dumps({"message": message}).encode()


@pytest.fixture
def answering(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Answering:
    """Serves the answer whose key is in the path of the request."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))

    @contextlib.asynccontextmanager
    async def serve(answers: Answers) -> AsyncIterator[DockerEngine]:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while request := await reader.readline():
                while (await reader.readline()).strip():
                    pass
                known = {b"_ping": (200, b""), **{key.encode(): value for key, value in answers.items()}}
                status, body = next(value for key, value in known.items() if re.search(key, request))
                head = f"HTTP/1.1 {status} X\r\nApi-Version: 1.41\r\nTransfer-Encoding: chunked\r\n\r\n"
                chunk = f"{len(body):x}\r\n".encode() + body + b"\r\n" if body else b""
                writer.write(head.encode() + chunk + b"0\r\n\r\n")
            writer.close()
            await writer.wait_closed()

        path = tmp_path / "docker.sock"
        async with await asyncio.start_unix_server(answer, path):
            engine = DockerEngine(f"unix://{path}", "default", Metrics())
            yield engine
            await engine.close()
            await asyncio.sleep(0.01)  # the server's handlers see the end of their connections

    return serve


async def pull(engine: DockerEngine) -> None:
    await engine.pull(f"{NAME}:1", lambda text: None)


async def test_an_image_that_is_not_the_one_that_was_pulled_is_not_taken_for_it(answering: Answering) -> None:
    said = stream("Digest: sha256:22", "Status: Downloaded newer image for r.acme.org/web:1")
    async with answering({"images/create": (200, said), "images/.*json": image("sha256:33")}) as engine:
        with pytest.raises(PullError, match="pulled as sha256:22, and is no longer there as that"):
            await pull(engine)
    async with answering({"images/create": (200, said), "images/.*json": image("sha256:22")}) as engine:
        await pull(engine)


async def test_an_image_that_is_gone_after_its_pull_was_not_pulled(answering: Answering) -> None:
    said = stream("Status: Downloaded newer image for r.acme.org/web:1")
    gone = refusal(404, "No such image: r.acme.org/web:1")
    async with answering({"images/create": (200, said), "images/.*json": gone}) as engine:
        with pytest.raises(PullError, match="no longer there"):
            await pull(engine)


async def test_a_stream_that_breaks_off_is_no_pull_though_an_older_image_is_there(answering: Answering) -> None:
    said = stream("Pulling from web", "Digest: sha256:22")
    async with answering({"images/create": (200, said), "images/.*json": image("sha256:22")}) as engine:
        with pytest.raises(PullError, match="broke off") as caught:
            await pull(engine)
        assert caught.value.reason == "RegistryUnreachable"


@pytest.mark.parametrize("status", [404, 500, 503])
async def test_what_a_registry_says_is_told_apart_whatever_dockers_status(answering: Answering, status: int) -> None:
    said = refusal(status, 'Get "https://r.acme.org/v2/": EOF')
    async with answering({"images/create": said, "distribution": said}) as engine:
        for ask in (pull(engine), engine.digest_of(f"{NAME}:1")):
            with pytest.raises(PullError) as caught:
                await ask
            assert caught.value.reason == "RegistryUnreachable"


async def test_an_engine_that_is_unavailable_is_no_registry_that_is(answering: Answering) -> None:
    said = refusal(503, "starting up")
    async with answering({"images/create": said, "distribution": said}) as engine:
        for ask in (pull(engine), engine.digest_of(f"{NAME}:1")):
            with pytest.raises(EngineUnavailable, match="starting up"):
                await ask


@pytest.mark.parametrize("body", [b"null", b"<html>", b"[]"])
async def test_what_is_no_answer_is_no_missing_image(answering: Answering, body: bytes) -> None:
    async with answering({"images/.*json": (200, body), "distribution": (200, body)}) as engine:
        with pytest.raises(EngineUnavailable):
            await engine.image("web:1")
        with pytest.raises(EngineUnavailable):
            await engine.digest_of("web:1")


async def test_an_image_without_names_in_registries_has_no_digests(answering: Answering) -> None:
    async with answering({"images/.*json": (200, b'{"Id": "sha256:11", "RepoDigests": null}')}) as engine:
        found = await engine.image("web:1")
        assert found is not None
        assert (found.id, found.digests) == ("sha256:11", ())


@pytest.mark.parametrize(("status", "removed"), [(200, True), (404, False), (409, False)])
async def test_an_image_is_removed_or_is_not(answering: Answering, status: int, removed: bool) -> None:
    body: Any = [{"Untagged": "web:1"}] if removed else {"message": "conflict: unable to remove"}
    async with answering({"DELETE": (status, json.dumps(body).encode())}) as engine:
        assert await engine.remove_image("web:1") is removed


async def test_each_name_has_its_turns() -> None:
    turns, order = Turns(2), list[str]()
    gate = asyncio.Event()

    async def take(name: str, number: int) -> None:
        async with turns.of(name):
            order.append(f"{name}{number}")
            await gate.wait()

    tasks = [asyncio.create_task(take(name, number)) for name in "ab" for number in range(3)]
    await asyncio.sleep(0)
    assert order == ["a0", "a1", "b0", "b1"]
    gate.set()
    await asyncio.gather(*tasks)
    assert order[4:] == ["a2", "b2"]
