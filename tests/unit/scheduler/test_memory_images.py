"""The memory engine's images."""

import pytest

from controller.errors import EngineUnavailable, ImageMissing, PullError
from controller.scheduler.engine import CreateRequest, Image
from controller.scheduler.memory import MemoryEngine
from proto.dockrunner import v1 as pb
from tests.clock import ManualClock

WEB = "r.acme.org:5000/web:1"


@pytest.fixture
def engine() -> MemoryEngine:
    return MemoryEngine(ManualClock())


async def found(engine: MemoryEngine, reference: str) -> Image:
    image = await engine.image(reference)
    assert image is not None
    return image


def request_for(image: str) -> CreateRequest:
    return CreateRequest("web-1", "uid", pb.ServiceSpec(image=image), "no", {}, {})


async def test_every_image_is_here_as_its_registry_has_it(engine: MemoryEngine) -> None:
    image = await found(engine, WEB)
    assert image.digests == (f"r.acme.org:5000/web@{await engine.digest_of(WEB)}",)
    assert await engine.image(image.id) == image
    assert await engine.image(image.digests[0]) == image


async def test_a_tag_that_moves_is_followed_by_a_pull(engine: MemoryEngine) -> None:
    before = await found(engine, WEB)
    digest = engine.publish(WEB)
    assert await engine.digest_of(WEB) == digest
    assert await engine.image(WEB) == before
    await engine.pull(WEB, lambda text: None)
    after = await found(engine, WEB)
    assert after.digests == (f"r.acme.org:5000/web@{digest}",)
    assert await engine.image(before.id) == before != after


async def test_a_container_has_the_id_of_its_image(engine: MemoryEngine) -> None:
    container = await engine.create(request_for(WEB))
    assert (await engine.inspect(container)).status.image_id == (await found(engine, WEB)).id


async def test_an_image_is_removed_unless_it_is_in_use(engine: MemoryEngine) -> None:
    container = await engine.create(request_for(WEB))
    image = await found(engine, WEB)
    assert not await engine.remove_image(WEB)
    assert not await engine.remove_image(image.id)
    await engine.remove(container)
    assert await engine.remove_image(image.id)
    assert await engine.image(WEB) is None
    assert not await engine.remove_image(image.id)
    with pytest.raises(ImageMissing):
        await engine.create(request_for(WEB))
    await engine.pull(WEB, lambda text: None)
    assert await engine.image(WEB) == image


async def test_an_image_that_a_moved_tag_left_is_removed_by_its_id(engine: MemoryEngine) -> None:
    before = await found(engine, WEB)
    engine.publish(WEB)
    await engine.pull(WEB, lambda text: None)
    assert await engine.remove_image(before.id)
    assert await engine.image(before.id) is None
    assert await engine.image(WEB) is not None


async def test_an_image_with_two_names_loses_one_and_is_not_removed_by_its_id(engine: MemoryEngine) -> None:
    image = await found(engine, WEB)
    await engine.pull(image.digests[0], lambda text: None)
    assert not await engine.remove_image(image.id)
    await engine.create(request_for(WEB))
    assert await engine.remove_image(image.digests[0])
    assert await engine.image(WEB) == image


async def test_no_registry_has_a_digest_that_is_none(engine: MemoryEngine) -> None:
    with pytest.raises(PullError, match="is no digest"):
        await engine.digest_of("web@1")


async def test_an_engine_that_is_away_knows_of_no_image(engine: MemoryEngine) -> None:
    engine.go_away()
    for ask in (engine.image(WEB), engine.digest_of(WEB), engine.remove_image(WEB)):
        with pytest.raises(EngineUnavailable):
            await ask
