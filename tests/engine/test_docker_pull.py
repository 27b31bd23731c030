"""Images come from a real registry."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import docker as sdk
import pytest

from controller.errors import ImageMissing, PullError
from controller.scheduler.docker import DockerEngine
from tests.private_engine import IMAGE, PrivateEngine

from .conftest import Requests

REGISTRY = "127.0.0.1:5000"
CONFIG = """
version: 0.1
log: {{level: warn}}
storage: {{filesystem: {{rootdirectory: {folder}}}, delete: {{enabled: true}}}}
http: {{addr: "{address}"}}
"""


@pytest.fixture
def registry(shared_engine: PrivateEngine | str, tmp_path: Path) -> Iterator[str]:
    """A registry on the loopback address of the private daemon's network."""
    if isinstance(shared_engine, str) or shutil.which("docker-registry") is None:
        pytest.skip("a registry needs a private Docker daemon and docker-registry")
    config = tmp_path / "registry.yml"
    config.write_text(CONFIG.format(folder=tmp_path / "images", address=REGISTRY))
    process = subprocess.Popen(
        [*shared_engine.enter(), "docker-registry", "serve", str(config)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until_it_answers(shared_engine)
        yield REGISTRY
    finally:
        process.terminate()
        process.wait(10)


def until_it_answers(engine: PrivateEngine) -> None:
    """Asks the registry from inside the daemon's network."""
    end = time.monotonic() + 20
    ask = [*engine.enter(), "busybox", "wget", "-q", "-O", "/dev/null", f"http://{REGISTRY}/v2/"]
    while subprocess.run(ask, stderr=subprocess.DEVNULL).returncode:
        assert time.monotonic() < end, "the registry does not answer"
        time.sleep(0.05)


@pytest.fixture
def pushed(registry: str, docker: sdk.APIClient) -> Iterator[str]:
    """An image that only the registry has."""
    name = f"{registry}/team/web"
    docker.tag(IMAGE, name, "1")
    for line in docker.push(name, "1", stream=True, decode=True):
        assert "error" not in line, line
    docker.remove_image(f"{name}:1")
    yield f"{name}:1"
    for image in docker.images(name=name):
        for tag in image["RepoTags"]:
            docker.remove_image(tag, force=True)


async def test_a_missing_image_is_pulled_and_then_runs(
    engine: DockerEngine, request_for: Requests, pushed: str, docker: sdk.APIClient
) -> None:
    with pytest.raises(ImageMissing):
        await engine.create(request_for(image=pushed))
    await engine.pull(pushed, lambda _: None)
    container = await engine.create(request_for(image=pushed))
    await engine.start(container)
    assert docker.inspect_container(container)["Config"]["Image"] == pushed


async def test_a_tag_that_the_registry_does_not_have_is_told_as_the_registry_says_it(
    engine: DockerEngine, pushed: str
) -> None:
    with pytest.raises(PullError, match=r"manifest unknown|not found"):
        await engine.pull(f"{pushed}-nobody-has", lambda _: None)
