"""Images come from a real registry, and what the machine has is known by their digests."""

from collections.abc import Iterator
from pathlib import Path

import docker as sdk
import pytest

from controller.errors import EngineError, ImageMissing, PullError
from controller.scheduler.docker import DockerEngine
from tests.private_engine import IMAGE, PrivateEngine, Unavailable
from tests.registry import forget, push, real_registry

from .conftest import Requests


def ignore(text: str) -> None:
    """Progress that nobody looks at."""


@pytest.fixture
def registry(
    shared_engine: PrivateEngine | str, docker: sdk.APIClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """An empty registry; Docker's configuration is empty as well."""
    if isinstance(shared_engine, str):
        pytest.skip(f"a registry needs a private Docker daemon: {shared_engine}")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    try:
        with real_registry(shared_engine, tmp_path / "registry") as address:
            yield address
            forget(docker, address)
    except Unavailable as error:
        pytest.skip(str(error))


async def test_a_missing_image_is_pulled_and_then_runs(
    engine: DockerEngine, request_for: Requests, registry: str, docker: sdk.APIClient
) -> None:
    push(docker, f"{registry}/team/web:1")
    with pytest.raises(ImageMissing):
        await engine.create(request_for(image=f"{registry}/team/web:1"))
    await engine.pull(f"{registry}/team/web:1", ignore)
    container = await engine.create(request_for(image=f"{registry}/team/web:1"))
    await engine.start(container)
    assert docker.inspect_container(container)["Config"]["Image"] == f"{registry}/team/web:1"


async def test_what_is_pulled_has_the_digest_that_the_registry_gave(
    engine: DockerEngine, registry: str, docker: sdk.APIClient
) -> None:
    digest = push(docker, f"{registry}/team/web:1")
    assert await engine.image(f"{registry}/team/web:1") is None
    await engine.pull(f"{registry}/team/web:1", ignore)
    image = await engine.image(f"{registry}/team/web:1")
    assert image is not None
    assert image.digests == (f"{registry}/team/web@{digest}",)
    assert [found["Id"] for found in docker.images(f"{registry}/team/web")] == [image.id]
    assert await engine.image(image.id) == image
    assert await engine.image(image.digests[0]) == image


async def test_an_image_that_came_from_no_registry_has_no_digest(engine: DockerEngine) -> None:
    image = await engine.image(IMAGE)
    assert image is not None
    assert image.digests == ()


async def test_a_pull_tells_how_far_it_is(engine: DockerEngine, registry: str, docker: sdk.APIClient) -> None:
    push(docker, f"{registry}/team/web:1")
    told: list[str] = []
    await engine.pull(f"{registry}/team/web:1", told.append)
    assert told[-1].endswith("1 of 1 layers")
    await engine.pull(f"{registry}/team/web:1", told.append)
    assert told[-1] == "up to date"


async def test_a_tag_that_moves_is_seen_without_a_pull_and_taken_by_one(
    engine: DockerEngine, registry: str, docker: sdk.APIClient
) -> None:
    name = f"{registry}/team/web:1"
    first = push(docker, name)
    await engine.pull(name, ignore)
    assert await engine.digest_of(name) == first
    before = await engine.image(name)
    second = push(docker, name, forgotten=False)
    docker.tag(before.id if before else "", f"{registry}/team/web", "1", force=True)
    assert await engine.digest_of(name) == second != first
    assert await engine.image(name) == before
    await engine.pull(name, ignore)
    after = await engine.image(name)
    assert after is not None
    assert after != before
    assert f"{registry}/team/web@{second}" in after.digests


@pytest.mark.parametrize("tag", ["", ":1"])
async def test_a_digest_names_one_image_even_when_its_tag_has_moved(
    engine: DockerEngine, registry: str, docker: sdk.APIClient, tag: str
) -> None:
    first = push(docker, f"{registry}/team/web:1")
    push(docker, f"{registry}/team/web:1")
    reference = f"{registry}/team/web{tag}@{first}"
    assert await engine.digest_of(reference) == first
    await engine.pull(reference, ignore)
    image = await engine.image(reference)
    assert image is not None
    assert image.digests == (f"{registry}/team/web@{first}",)


async def test_without_tag_or_digest_it_is_the_latest(
    engine: DockerEngine, registry: str, docker: sdk.APIClient
) -> None:
    digest = push(docker, f"{registry}/team/web:latest")
    assert await engine.digest_of(f"{registry}/team/web") == digest
    await engine.pull(f"{registry}/team/web", ignore)
    assert await engine.image(f"{registry}/team/web") == await engine.image(f"{registry}/team/web:latest")


@pytest.mark.parametrize("missing", ["team/web:2", "team/none:1", f"team/web@sha256:{'0' * 64}"])
async def test_what_the_registry_does_not_have_is_not_found(
    engine: DockerEngine, registry: str, docker: sdk.APIClient, missing: str
) -> None:
    push(docker, f"{registry}/team/web:1")
    for ask in (engine.pull(f"{registry}/{missing}", ignore), engine.digest_of(f"{registry}/{missing}")):
        with pytest.raises(PullError, match=f"{registry}/{missing}.*manifest unknown") as caught:
            await ask
        assert caught.value.reason == "ImageNotFound"


async def test_no_registry_is_asked_for_what_is_no_image(engine: DockerEngine) -> None:
    for image in ("http://r.acme.org/web", "../containers/web", "UPPER:1"):
        for ask in (engine.pull(image, ignore), engine.digest_of(image)):
            with pytest.raises(PullError) as caught:
                await ask
            assert caught.value.reason == "PullFailed"


async def test_an_image_that_nobody_uses_is_removed_once(
    engine: DockerEngine, registry: str, docker: sdk.APIClient
) -> None:
    push(docker, f"{registry}/team/web:1")
    await engine.pull(f"{registry}/team/web:1", ignore)
    image = await engine.image(f"{registry}/team/web:1")
    assert image is not None
    assert await engine.remove_image(image.id)
    assert await engine.image(image.id) is None
    assert not await engine.remove_image(image.id)
    assert not await engine.remove_image(f"{registry}/team/web:1")


async def test_an_image_that_a_container_uses_is_not_removed(
    engine: DockerEngine, request_for: Requests, registry: str, docker: sdk.APIClient
) -> None:
    name = f"{registry}/team/web:1"
    push(docker, name)
    await engine.pull(name, ignore)
    container = await engine.create(request_for(image=name))
    image = await engine.image(name)
    assert image is not None
    for reference in (name, image.id):
        assert not await engine.remove_image(reference)
    assert await engine.image(name) == image
    await engine.remove(container)
    assert await engine.remove_image(name)


async def test_a_name_is_taken_from_an_image_that_has_another(
    engine: DockerEngine, registry: str, docker: sdk.APIClient
) -> None:
    push(docker, f"{registry}/team/web:1")
    await engine.pull(f"{registry}/team/web:1", ignore)
    image = await engine.image(f"{registry}/team/web:1")
    assert image is not None
    docker.tag(image.id, f"{registry}/team/other", "1")
    assert not await engine.remove_image(image.id)
    assert await engine.remove_image(f"{registry}/team/other:1")
    assert await engine.image(f"{registry}/team/web:1") == image


async def test_an_image_that_another_is_made_of_is_not_removed(
    engine: DockerEngine, registry: str, docker: sdk.APIClient
) -> None:
    push(docker, f"{registry}/team/web:1")
    await engine.pull(f"{registry}/team/web:1", ignore)
    image = await engine.image(f"{registry}/team/web:1")
    assert image is not None
    made = docker.create_container(image.id, ["true"])["Id"]
    child = docker.commit(made)["Id"]
    docker.remove_container(made)
    assert not await engine.remove_image(image.id)
    docker.remove_image(child)
    assert await engine.remove_image(image.id)


async def test_only_images_are_asked_for(engine: DockerEngine) -> None:
    for ask in (engine.image("../containers/json"), engine.remove_image("../containers/web")):
        with pytest.raises(EngineError, match="is not the name of an image"):
            await ask
