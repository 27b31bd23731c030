"""Registries that want credentials, limit, refuse, hang, break off; and a disk that is full."""

import asyncio
import base64
import contextlib
import hashlib
import json
import os
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import docker as sdk
import pytest

from controller.errors import PullError
from controller.metrics import Metrics
from controller.scheduler import docker_images
from controller.scheduler.docker import DockerEngine
from tests.private_engine import PrivateEngine, Unavailable, load_image
from tests.registry import PASSWORD, USER, Answer, forget, lying_registry, push, real_registry, reply

from .conftest import eventually

Configure = Callable[..., None]
Lying = Callable[[Answer], str]

SCHEMA2 = "application/vnd.docker.distribution.manifest.v2+json"
LAYER = os.urandom(1 << 20)


def ignore(text: str) -> None:
    """Progress that nobody looks at."""


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


async def failure(engine: DockerEngine, image: str) -> PullError:
    """The error of a pull; that of the question for its digest has the same reason."""
    with pytest.raises(PullError) as pulled:
        await engine.pull(image, ignore)
    with pytest.raises(PullError) as asked:
        await engine.digest_of(image)
    assert asked.value.reason == pulled.value.reason
    assert asked.value.wait == pulled.value.wait
    assert str(pulled.value).splitlines() == [str(pulled.value)]
    return pulled.value


@pytest.fixture
def private(shared_engine: PrivateEngine | str) -> PrivateEngine:
    if isinstance(shared_engine, str):
        pytest.skip(f"a registry needs a private Docker daemon: {shared_engine}")
    return shared_engine


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Configure:
    """Writes Docker's configuration, which is empty before."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "config"))
    (tmp_path / "config").mkdir()

    def write(**config: object) -> None:
        (tmp_path / "config/config.json").write_text(json.dumps(config))

    return write


@pytest.fixture
def closed(private: PrivateEngine, docker: sdk.APIClient, tmp_path: Path, configure: Configure) -> Iterator[str]:
    """A registry that wants credentials; it has `team/web:1`."""
    try:
        with real_registry(private, tmp_path / "closed", auth=True) as address:
            push(docker, f"{address}/team/web:1", auth=True)
            yield address
            forget(docker, address)
    except Unavailable as error:
        pytest.skip(str(error))


@pytest.fixture
def lying(private: PrivateEngine, configure: Configure) -> Iterator[Lying]:
    """Makes registries that answer what they are told to."""
    with contextlib.ExitStack() as stack:
        yield lambda answer: stack.enter_context(lying_registry(private, answer))


def login(user: str = USER, password: str = PASSWORD) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


# Credentials.


async def test_who_is_logged_in_may_pull_and_ask(
    engine: DockerEngine, closed: str, configure: Configure, docker: sdk.APIClient
) -> None:
    configure(auths={closed: login()})
    asked = await engine.digest_of(f"{closed}/team/web:1")
    await engine.pull(f"{closed}/team/web:1", ignore)
    image = await engine.image(f"{closed}/team/web:1")
    assert image is not None
    assert image.digests == (f"{closed}/team/web@{asked}",)


async def test_without_credentials_the_login_is_told_and_takes_effect_at_once(
    engine: DockerEngine, closed: str, configure: Configure, tmp_path: Path
) -> None:
    error = await failure(engine, f"{closed}/team/web:1")
    assert error.reason == "ImageDenied"
    assert f"no credentials for {closed} in {tmp_path}/config/config.json: `docker login {closed}`" in str(error)
    configure(auths={closed: login()})
    await engine.pull(f"{closed}/team/web:1", ignore)


async def test_a_wrong_password_is_told_with_where_it_is_from(
    engine: DockerEngine, closed: str, configure: Configure, tmp_path: Path
) -> None:
    configure(auths={closed: login(password="secret")})  # noqa: S106
    error = await failure(engine, f"{closed}/team/web:1")
    assert error.reason == "ImageDenied"
    assert f"the credentials for {closed} are from {tmp_path}/config/config.json" in str(error)
    assert "secret" not in str(error)


async def test_a_credential_helper_is_asked(
    engine: DockerEngine, closed: str, configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper = tmp_path / "docker-credential-test"
    helper.write_text(f"#!/bin/sh\necho '{json.dumps({'ServerURL': closed, 'Username': USER, 'Secret': PASSWORD})}'\n")
    helper.chmod(0o755)
    configure(credHelpers={closed: "test"})
    error = await failure(engine, f"{closed}/team/web:1")
    assert "docker-credential-test" in str(error)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    await engine.pull(f"{closed}/team/web:1", ignore)


async def test_a_broken_configuration_fails_pulls_and_nothing_else(
    engine: DockerEngine, closed: str, configure: Configure
) -> None:
    configure(auths={closed: {"auth": "%"}, "other": "?"}, HttpHeaders="?", proxies="?")
    await engine.ping()
    await engine.list()
    assert "is not understood: docker login" in str(await failure(engine, f"{closed}/team/web:1"))


# Registries in trouble.


@pytest.mark.parametrize(
    ("status", "reason"),
    [(401, "ImageDenied"), (403, "ImageDenied"), (404, "ImageNotFound"), (429, "RateLimited"),
     (500, "RegistryUnreachable"), (503, "RegistryUnreachable")],
)  # fmt: skip
async def test_what_a_registry_refuses_with_is_told_apart(
    engine: DockerEngine, lying: Lying, status: int, reason: str
) -> None:
    address = lying(lambda request: reply(request, 200 if request.path == "/v2/" else status, b"<html>"))
    assert (await failure(engine, f"{address}/team/web:1")).reason == reason


async def test_a_limit_is_told_with_the_wait_that_the_registry_asks_for(engine: DockerEngine, lying: Lying) -> None:
    body = json.dumps({"errors": [{"code": "TOOMANYREQUESTS", "message": "retry-after: 1m30s, allowed: 44000/minute"}]})

    def answer(request: BaseHTTPRequestHandler) -> None:
        reply(request, 200 if request.path == "/v2/" else 429, body.encode(), Content_Type="application/json")

    error = await failure(engine, f"{lying(answer)}/team/web:1")
    assert (error.reason, error.wait) == ("RateLimited", 90)


async def test_a_registry_that_hangs_up_is_unreachable(engine: DockerEngine, lying: Lying) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.close_connection = True

    assert (await failure(engine, f"{lying(answer)}/team/web:1")).reason == "RegistryUnreachable"


async def test_a_registry_that_says_nothing_is_unreachable_after_a_while(
    engine: DockerEngine, lying: Lying, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker_images, "PULL_IDLE", 0.3)
    monkeypatch.setattr(docker_images, "DIGEST", 0.3)
    asked, end = threading.Event(), threading.Event()

    def answer(request: BaseHTTPRequestHandler) -> None:
        if request.path == "/v2/":
            return reply(request, 200)
        asked.set()
        end.wait(20)
        request.close_connection = True
        return None

    address = lying(answer)
    error = await failure(engine, f"{address}/team/web:1")
    end.set()
    assert asked.is_set()
    assert error.reason == "RegistryUnreachable"
    assert str(error) == f"{address} gave no answer about {address}/team/web:1 for 0.3 s"


async def test_registries_that_hang_hold_up_no_other(
    engine: DockerEngine, lying: Lying, closed: str, configure: Configure
) -> None:
    configure(auths={closed: login()})
    waiting, end = threading.Semaphore(0), threading.Event()

    def answer(request: BaseHTTPRequestHandler) -> None:
        waiting.release()
        end.wait(20)
        request.close_connection = True

    address = lying(answer)
    stuck = [asyncio.create_task(engine.pull(f"{address}/team/web:{n}", ignore)) for n in range(20)]
    stuck += [asyncio.create_task(engine.digest_of(f"{address}/team/web:{n}")) for n in range(20)]  # type: ignore[arg-type]

    async def all_wait() -> bool:
        return waiting.acquire(blocking=False)

    await eventually(all_wait)
    async with asyncio.timeout(10):
        await engine.digest_of(f"{closed}/team/web:1")
        await engine.pull(f"{closed}/team/web:1", ignore)
    assert not any(task.done() for task in stuck)
    for task in stuck:
        task.cancel()
    end.set()
    await asyncio.gather(*stuck, return_exceptions=True)


# A daemon that tries once, on a small disk.


@pytest.fixture(scope="module")
def small() -> Iterator[PrivateEngine]:
    """A daemon that tries to download a layer once, with 24 MB for its data."""
    try:
        private = PrivateEngine("--max-download-attempts", "1")
    except Unavailable as error:
        pytest.skip(str(error))
    (private.folder / "data").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", f"{private.folder}/data"], check=True)
    with private:
        load_image(private.host)
        yield private


@pytest.fixture
async def small_engine(small: PrivateEngine, configure: Configure) -> AsyncIterator[DockerEngine]:
    engine = DockerEngine(small.host, "small", Metrics())
    yield engine
    await engine.close()


def one_layer(size: int, send: Callable[[BaseHTTPRequestHandler, bytes], None]) -> Answer:
    """A registry with one image of one layer of that size, which ``send`` answers with."""
    layer = (LAYER * (size // len(LAYER) + 1))[:size]
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [digest(layer)]},
        }
    ).encode()
    manifest = json.dumps({
        "schemaVersion": 2,
        "mediaType": SCHEMA2,
        "config": {
            "mediaType": "application/vnd.docker.container.image.v1+json", "size": len(config), "digest": digest(config)
        },
        "layers": [{
            "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "size": size, "digest": digest(layer)
        }],
    }).encode()  # fmt: skip

    def answer(request: BaseHTTPRequestHandler) -> None:
        if "/manifests/" in request.path:
            reply(request, 200, manifest, Content_Type=SCHEMA2, Docker_Content_Digest=digest(manifest))
        elif request.path.endswith(digest(config)):
            reply(request, 200, config)
        elif request.path.endswith(digest(layer)):
            send(request, layer)
        else:
            reply(request, 200)

    return answer


async def test_a_layer_that_breaks_off_in_the_middle_fails_the_pull(
    small_engine: DockerEngine, small: PrivateEngine
) -> None:
    def half(request: BaseHTTPRequestHandler, layer: bytes) -> None:
        # Docker goes on from where it broke off.
        start = int(request.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
        request.send_response(206 if start else 200)
        request.send_header("Content-Range", f"bytes {start}-{len(layer) - 1}/{len(layer)}")
        request.send_header("Content-Length", str(len(layer) - start))
        request.end_headers()
        request.wfile.write(layer[start : (start + len(layer)) // 2])
        request.close_connection = True

    with lying_registry(small, one_layer(1 << 20, half)) as address:
        with pytest.raises(PullError, match="unexpected EOF") as caught:
            await small_engine.pull(f"{address}/team/web:1", ignore)
        assert caught.value.reason == "RegistryUnreachable"
        assert await small_engine.image(f"{address}/team/web:1") is None


async def test_a_layer_of_which_no_more_comes_fails_the_pull_after_a_while(
    small_engine: DockerEngine, small: PrivateEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker_images, "PULL_IDLE", 0.5)
    end = threading.Event()

    def half(request: BaseHTTPRequestHandler, layer: bytes) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(layer)))
        request.end_headers()
        request.wfile.write(layer[: len(layer) // 2])
        request.wfile.flush()
        end.wait(20)
        request.close_connection = True

    told: list[str] = []
    with lying_registry(small, one_layer(1 << 20, half)) as address:
        with pytest.raises(PullError, match="gave no answer") as caught:
            await small_engine.pull(f"{address}/team/web:1", told.append)
        end.set()
    assert caught.value.reason == "RegistryUnreachable"


async def test_a_full_disk_is_told_with_what_makes_room(small_engine: DockerEngine, small: PrivateEngine) -> None:
    with lying_registry(small, one_layer(32 << 20, lambda request, layer: reply(request, 200, layer))) as address:
        with pytest.raises(PullError, match=r"no space left on device.*docker image prune") as caught:
            await small_engine.pull(f"{address}/team/web:1", ignore)
        assert caught.value.reason == "DiskFull"
