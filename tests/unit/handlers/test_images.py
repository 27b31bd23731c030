"""One image for all containers of a revision: which it is, when a registry is asked, and when not yet."""

import asyncio
from datetime import timedelta

import pytest

from controller.errors import EngineError, PullError
from controller.scheduler.engine import Image, Progress
from controller.scheduler.registries import Registries
from controller.store import CONTAINER, EVENT, REVISION, SERVICE, Recorder, Store
from handlers.images import Found, Images, digest_of, pinned, without_tag
from handlers.in_flight import InFlight
from handlers.revision import template_of
from handlers.trouble import Wait
from proto.dockrunner import v1 as pb
from tests.clock import ManualClock
from tests.cluster import Cluster, CountingEngine

from .world import State

WEB = "r.acme.org:5000/shop/web:1"
REPOSITORY = "r.acme.org:5000/shop/web"


class Here:
    """A machine with an engine, and one service ``web`` whose containers want images."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.engine = CountingEngine(self.clock)
        self.store = Store(self.clock)
        self.heard = asyncio.Event()
        self.in_flight = InFlight(lambda name: self.heard.set())
        recorder = Recorder(self.store, self.clock)
        self.images = Images(self.engine, self.store, recorder, self.in_flight, Registries(self.clock))
        self.store.create(SERVICE, pb.Service(metadata=pb.Metadata(name="web"), spec=pb.ServiceSpec(image=WEB)))
        self.policy("missing")

    def policy(self, policy: str) -> None:
        self.store.update(SERVICE, "web", lambda it: setattr(it.spec, "pull_policy", policy))

    def container(self, name: str, revision: str = "r1", image: str = WEB, digest: str = "") -> str:
        """One more container object of a revision, which is kept."""
        if self.store.find(REVISION, f"web.{revision}") is None:
            kept = pb.ServiceRevision(metadata=pb.Metadata(name=f"web.{revision}"), service="web", revision=revision)
            self.store.create(REVISION, kept)
        template = template_of(pb.ServiceSpec(image=image, image_digest=digest))
        spec = pb.ContainerSpec(service="web", revision=revision, slot=1, template=template)
        self.store.create(CONTAINER, pb.Container(metadata=pb.Metadata(name=name), spec=spec))
        return name

    async def once(self, name: str) -> Found | None:
        return await self.images.find(self.store.get(CONTAINER, name))

    async def find(self, name: str) -> Found:
        """What a container is made from, when it has been fetched."""
        while (found := await self.once(name)) is None:
            await self.heard.wait()
            self.heard.clear()
        return found

    def kept(self, revision: str = "r1") -> pb.ServiceRevision:
        return self.store.get(REVISION, f"web.{revision}")

    async def present(self, reference: str = WEB) -> Image:
        image = await self.engine.image(reference)
        assert image is not None
        return image

    async def tag_moves_here(self) -> None:
        """The tag means another image on this machine as well."""
        self.engine.publish(WEB)
        await self.engine.pull(WEB, lambda _: None)
        self.engine.calls.clear()


@pytest.fixture
def here() -> Here:
    return Here()


# One image for a revision.


async def test_the_first_container_settles_the_image_of_its_revision(here: Here) -> None:
    found = await here.find(here.container("a"))
    assert (found.name, found.image) == (WEB, await here.present())
    assert here.kept().image_id == found.image.id
    assert [f"{REPOSITORY}@{here.kept().image_digest}"] == list(found.image.digests)


async def test_every_further_container_gets_it_though_the_tag_means_another_one_by_then(here: Here) -> None:
    first = await here.find(here.container("a"))
    await here.tag_moves_here()
    second = await here.find(here.container("b"))
    assert (second.image.id, second.name) == (first.image.id, first.image.id)
    assert here.kept().image_id == first.image.id


async def test_it_has_its_own_name_as_long_as_that_means_it(here: Here) -> None:
    await here.find(here.container("a"))
    assert (await here.find(here.container("b"))).name == WEB


async def test_another_revision_takes_what_the_tag_means_by_then(here: Here) -> None:
    first = await here.find(here.container("a"))
    await here.tag_moves_here()
    second = await here.find(here.container("b", "r2"))
    assert second.image.id != first.image.id
    assert (here.kept("r1").image_id, here.kept("r2").image_id) == (first.image.id, second.image.id)


@pytest.mark.parametrize("policy", ["missing", "always", "digest"])
async def test_an_image_that_is_gone_is_fetched_again_by_its_digest(here: Here, policy: str) -> None:
    here.policy(policy)
    first = await here.find(here.container("a"))
    here.engine.publish(WEB)
    digest = f"{REPOSITORY}@{here.kept().image_digest}"
    await here.engine.remove_image(first.image.id)
    here.engine.lose_image(digest)
    here.engine.calls.clear()
    second = await here.find(here.container("b"))
    assert second.image.id == first.image.id == here.kept().image_id
    assert here.engine.calls["pull"] == 1
    assert [it.message for it in here.store.list(EVENT) if it.reason == "Pulling"][-1] == digest


async def test_an_image_that_is_gone_and_came_from_no_registry_is_what_its_tag_means_by_then(here: Here) -> None:
    first = await here.find(here.container("a"))
    here.store.update_status(REVISION, "web.r1", lambda it: it.ClearField("image_digest"))
    await here.tag_moves_here()
    await here.engine.remove_image(first.image.id)
    second = await here.find(here.container("b"))
    assert second.image.id != first.image.id
    assert here.kept().image_id == second.image.id


async def test_a_digest_that_the_service_has_is_what_is_run_whatever_its_tag_means(here: Here) -> None:
    digest = here.engine.publish(WEB)
    await here.engine.pull(WEB, lambda _: None)
    wanted = await here.present()
    await here.tag_moves_here()
    found = await here.find(here.container("a", digest=digest))
    assert (found.name, found.image.id) == (f"{REPOSITORY}@{digest}", wanted.id)
    assert here.kept().image_digest == digest


async def test_whether_an_image_was_fetched_for_a_revision_is_remembered(here: Here) -> None:
    await here.find(here.container("a"))
    assert not here.kept().image_pulled, "it was here before"
    here.engine.lose_image("r.acme.org:5000/shop/other:1")
    await here.find(here.container("b", "r2", "r.acme.org:5000/shop/other:1"))
    assert here.kept("r2").image_pulled


# When a registry is asked.


@pytest.mark.parametrize(
    ("policy", "is_here", "pulls"),
    [("missing", True, 0), ("missing", False, 1), ("always", True, 1), ("always", False, 1), ("digest", True, 1),
     ("digest", False, 1), ("never", True, 0)],
)  # fmt: skip
async def test_a_registry_is_asked_as_the_pull_policy_says(here: Here, policy: str, is_here: bool, pulls: int) -> None:
    here.policy(policy)
    if not is_here:
        here.engine.lose_image(WEB)
    await here.find(here.container("a"))
    assert here.engine.calls["pull"] == pulls
    await here.find(here.container("b"))
    assert here.engine.calls["pull"] == pulls, "once for a revision"


async def test_what_may_not_be_fetched_and_is_not_here_is_not_found(here: Here) -> None:
    here.policy("never")
    here.engine.lose_image(WEB)
    with pytest.raises(PullError, match=r"there is no image .*web:1 here, and pull_policy is never") as raised:
        await here.find(here.container("a"))
    assert (raised.value.reason, here.engine.calls["pull"]) == ("ImageNotFound", 0)


async def test_always_follows_a_tag_that_moved_with_the_next_revision(here: Here) -> None:
    here.policy("always")
    first = await here.find(here.container("a"))
    here.engine.publish(WEB)
    assert (await here.find(here.container("b"))).image.id == first.image.id
    assert (await here.find(here.container("c", "r2"))).image.id != first.image.id


async def test_a_pull_policy_that_changed_counts_for_what_is_yet_to_be_made(here: Here) -> None:
    here.engine.lose_image(WEB)
    here.policy("never")
    here.container("a")
    with pytest.raises(PullError):
        await here.find("a")
    here.policy("missing")
    assert (await here.find("a")).name == WEB


async def test_one_pull_serves_all_who_wait_for_it(here: Here) -> None:
    here.engine.lose_image(WEB)
    go = here.engine.hold("pull")
    here.container("a")
    here.container("b")
    assert (await here.once("a"), await here.once("b")) == (None, None)
    go.set()
    assert (await here.find("a")).image == (await here.find("b")).image
    assert here.engine.calls["pull"] == 1


async def test_a_pull_is_shown_in_the_status_with_its_progress(here: Here) -> None:
    here.engine.lose_image(WEB)
    halfway, go = asyncio.Event(), asyncio.Event()
    real = here.engine.pull

    async def pull(image: str, progress: Progress) -> None:
        progress("half of it")
        halfway.set()
        await go.wait()
        await real(image, lambda _: None)

    here.engine.pull = pull  # type: ignore[method-assign]  # one that takes its time
    assert await here.once(here.container("a")) is None
    status = here.store.get(CONTAINER, "a").status
    assert (status.state, status.message) == (State.PULLING, f"pulling {WEB}")
    await halfway.wait()
    assert here.store.get(CONTAINER, "a").status.message == f"pulling {WEB}: half of it"
    go.set()
    await here.find("a")
    assert [it.reason for it in here.store.list(EVENT)] == ["Pulling", "Pulled"]


async def test_an_image_that_is_not_there_after_its_pull_is_an_error(here: Here) -> None:
    here.engine.lose_image(WEB)

    async def pull(image: str, progress: Progress) -> None:
        """Nothing comes."""

    here.engine.pull = pull  # type: ignore[method-assign]  # an engine that lies
    with pytest.raises(EngineError, match=r"was pulled .* and is not there all the same"):
        await here.find(here.container("a"))


# When a registry is left alone.


def limited() -> PullError:
    return PullError("toomanyrequests", "RateLimited", 90)


async def test_a_registry_that_refuses_is_not_asked_again_before_its_time(here: Here) -> None:
    here.engine.lose_image(WEB)
    here.engine.refuse("pull", limited)
    with pytest.raises(PullError, match="toomanyrequests"):
        await here.find(here.container("a"))
    with pytest.raises(Wait, match=r"toomanyrequests \(asked again in 90 s\)") as raised:
        await here.find("a")
    assert (raised.value.reason, raised.value.seconds, here.engine.calls["pull"]) == ("RateLimited", 90, 1)
    here.engine.refusals.clear()
    await here.clock.advance(90)
    assert (await here.find("a")).name == WEB
    assert here.engine.calls["pull"] == 2


async def test_what_a_registry_refuses_to_one_image_its_others_wait_for_as_well_and_other_registries_do_not(
    here: Here,
) -> None:
    other, elsewhere = "r.acme.org:5000/shop/other:1", "elsewhere.org/web:1"
    for image in (WEB, other, elsewhere):
        here.engine.lose_image(image)
    here.engine.refuse("pull", limited)
    with pytest.raises(PullError):
        await here.find(here.container("a"))
    here.engine.refusals.clear()
    with pytest.raises(Wait, match="its registry could not be asked for another image") as raised:
        await here.find(here.container("b", "r2", other))
    assert raised.value.reason == "RegistryUnreachable"
    assert (await here.find(here.container("c", "r3", elsewhere))).name == elsewhere


async def test_what_is_here_is_not_waited_for(here: Here) -> None:
    here.engine.lose_image("r.acme.org:5000/shop/other:1")
    here.engine.refuse("pull", limited)
    with pytest.raises(PullError):
        await here.find(here.container("a", image="r.acme.org:5000/shop/other:1"))
    assert (await here.find(here.container("b", "r2"))).name == WEB


async def test_who_joins_a_pull_that_fails_hears_of_it_once(here: Here) -> None:
    here.engine.lose_image(WEB)
    go = here.engine.hold("pull")
    here.container("a")
    here.container("b")
    await here.once("a")
    await here.once("b")
    here.engine.refuse("pull", lambda: PullError("manifest unknown", "ImageNotFound"))
    go.set()
    for name in ("a", "b"):
        with pytest.raises(PullError, match="manifest unknown") as raised:
            await here.find(name)
        assert not isinstance(raised.value, Wait)
    with pytest.raises(Wait) as waiting:
        await here.find("a")
    assert waiting.value.reason == "ImageNotFound"


async def test_a_container_that_has_to_wait_says_why_and_is_tried_again_by_itself(world: Cluster) -> None:
    world.engine.lose_image("web:1")
    world.engine.refuse("pull", limited)
    world.declare("web")
    await world.settle(5)
    (it,) = world.containers()
    assert (it.status.state, it.status.reason) == (State.PENDING, "RateLimited")
    assert "asked again in" in it.status.message
    world.engine.refusals.clear()
    await world.settle(timedelta(minutes=2).total_seconds())
    assert len(world.running()) == 1


# Names.


@pytest.mark.parametrize(
    ("image", "repository"),
    [
        ("web", "web"),
        ("web:1", "web"),
        ("host:5000/web", "host:5000/web"),
        ("host:5000/a/web:1", "host:5000/a/web"),
        ("web@sha256:abc", "web"),
        ("host:5000/web:1@sha256:abc", "host:5000/web"),
    ],
)
def test_a_digest_takes_the_place_of_the_tag(image: str, repository: str) -> None:
    assert without_tag(image) == repository
    assert pinned(image, "sha256:def") == f"{repository}@sha256:def"
    assert pinned(image, "") == image


@pytest.mark.parametrize(
    ("image", "digests", "digest"),
    [
        ("web:1", ["web@sha256:a"], "sha256:a"),
        ("web:1", ["docker.io/library/web@sha256:a"], "sha256:a"),
        ("acme/web", ["docker.io/acme/web@sha256:a"], "sha256:a"),
        ("r:5000/web:1", ["web@sha256:a", "r:5000/web@sha256:b"], "sha256:b"),
        ("r:5000/web:1", ["web@sha256:a"], ""),
        ("web", [], ""),
    ],
)
def test_a_digest_is_that_of_its_own_repository(image: str, digests: list[str], digest: str) -> None:
    assert digest_of(image, Image("sha256:id", digests)) == digest


async def test_of_two_that_settle_the_image_at_once_the_first_counts_for_both() -> None:
    here = Here()
    here.container("a")
    other = await here.present("registry.local/other:1")
    look = here.engine.image

    async def slow(reference: str) -> Image | None:
        found = await look(reference)
        if not here.kept().image_id:  # another container settles it meanwhile
            here.store.update_status(REVISION, "web.r1", lambda it: setattr(it, "image_id", other.id))
        return found

    here.engine.image = slow  # type: ignore[method-assign]  # an engine that takes its time
    found = await here.find("a")
    assert (found.name, found.image.id) == (other.id, other.id)
    assert here.kept().image_id == other.id
