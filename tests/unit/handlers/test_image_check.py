"""A tag that moves is rolled out, once, and what nobody needs any more is removed."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from controller.errors import PullError
from controller.store import REVISION, SERVICE
from proto.dockrunner import v1 as pb
from tests.clock import ManualClock
from tests.cluster import Cluster, CountingEngine, cluster

IMAGE = "registry.local/web:1"


@pytest.fixture
async def world() -> AsyncIterator[Cluster]:
    clock = ManualClock()
    async with cluster(CountingEngine(clock), clock) as made:
        made.engine.publish(IMAGE)
        made.engine.lose_image(IMAGE)
        yield made


def declare(world: Cluster, image: str = IMAGE) -> None:
    check = pb.ServiceSpec()
    check.image_check.FromTimedelta(timedelta(minutes=1))
    world.declare("web", image, replicas=2, image_check=check.image_check)


def spec(world: Cluster) -> pb.ServiceSpec:
    return world.store.get(SERVICE, "web").spec


def images_that_run(world: Cluster) -> set[str]:
    return {it.status.image_id for it in world.containers() if it.status.ready}


async def test_a_tag_that_moved_is_rolled_out_within_the_time_of_the_check(world: Cluster) -> None:
    declare(world)
    await world.settle(5)
    before = images_that_run(world)
    world.engine.publish(IMAGE)
    await world.settle(80)
    assert spec(world).image_digest == await world.engine.digest_of(IMAGE)
    assert len(images_that_run(world)) == 1
    assert not before & images_that_run(world)
    assert "ImageMoved" in world.reasons()


async def test_a_tag_that_stays_changes_nothing(world: Cluster) -> None:
    declare(world)
    await world.settle(5)
    version = world.store.version
    await world.settle(300)
    assert world.store.version == version


async def test_what_was_rolled_out_and_taken_back_is_not_rolled_out_again(world: Cluster) -> None:
    declare(world)
    await world.settle(5)
    first = images_that_run(world)
    world.engine.publish(IMAGE)
    await world.settle(80)
    kept = sorted(world.store.list(REVISION), key=lambda it: it.number)
    world.store.update_status(REVISION, kept[-1].metadata.name, lambda it: setattr(it, "failure", "taken back"))
    world.store.update(SERVICE, "web", lambda it: it.spec.ClearField("image_digest"))
    await world.settle(10)
    assert images_that_run(world) == first
    await world.settle(300)
    assert images_that_run(world) == first
    assert "ImageSkipped" in world.reasons()


async def test_a_paused_service_is_left_alone(world: Cluster) -> None:
    declare(world)
    await world.settle(5)
    world.store.update(SERVICE, "web", lambda it: setattr(it.spec, "paused", True))
    world.engine.publish(IMAGE)
    await world.settle(300)
    assert spec(world).image_digest == ""


async def test_a_registry_that_does_not_answer_is_asked_again_later(world: Cluster) -> None:
    declare(world)
    await world.settle(5)
    world.engine.publish(IMAGE)
    real = world.engine.digest_of

    async def refuse(image: str) -> str:
        raise PullError("no route to host", "RegistryUnreachable")

    world.engine.digest_of = refuse  # type: ignore[method-assign]  # a registry that is away
    await world.settle(200)
    assert spec(world).image_digest == ""
    assert "RegistryUnreachable" in world.reasons()
    world.engine.digest_of = real  # type: ignore[method-assign]  # and is back
    await world.settle(200)
    assert spec(world).image_digest != ""


async def test_an_image_goes_with_the_last_revision_that_has_it(world: Cluster) -> None:
    declare(world)
    await world.settle(5)
    (used,) = images_that_run(world)
    world.store.delete(SERVICE, "web")
    await world.settle(20)
    assert world.store.find(SERVICE, "web") is None
    assert await world.engine.image(used) is None


async def test_an_image_that_was_here_before_stays(world: Cluster) -> None:
    await world.engine.pull(IMAGE, lambda _: None)
    declare(world)
    await world.settle(5)
    (used,) = images_that_run(world)
    world.store.delete(SERVICE, "web")
    await world.settle(20)
    assert await world.engine.image(used) is not None


async def test_an_image_that_another_service_runs_stays(world: Cluster) -> None:
    declare(world)
    await world.settle(5)
    (used,) = images_that_run(world)
    world.declare("other", IMAGE)
    await world.settle(5)
    world.store.delete(SERVICE, "web")
    await world.settle(20)
    assert await world.engine.image(used) is not None
