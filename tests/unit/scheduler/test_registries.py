"""When an image and its registry may be asked again."""

from random import Random

import pytest

from controller.errors import PullError
from controller.scheduler.registries import Registries, registry_of
from tests.clock import ManualClock

SHOP, BLOG, ELSEWHERE = "r.acme.org/shop:1", "r.acme.org/blog:1", "web:1"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def registries(clock: ManualClock) -> Registries:
    return Registries(clock)


@pytest.mark.parametrize(
    ("image", "registry"),
    [
        ("web", "docker.io"),
        ("web:1", "docker.io"),
        ("acme/web", "docker.io"),
        ("docker.io/acme/web", "docker.io"),
        ("index.docker.io/acme/web", "docker.io"),
        ("localhost/web", "localhost"),
        ("localhost:5000/web:1", "localhost:5000"),
        ("127.0.0.1:5000/team/web@sha256:00", "127.0.0.1:5000"),
        ("[::1]:5000/web", "[::1]:5000"),
        ("ghcr.io/acme/web", "ghcr.io"),
        ("Acme/web", "Acme"),
        ("registry.ok.evil.com/x", "registry.ok.evil.com"),
        ("web:5000", "docker.io"),
    ],
)
def test_the_registry_of_an_image_is_found_as_docker_finds_it(image: str, registry: str) -> None:
    assert registry_of(image) == registry


def test_what_has_not_failed_may_be_asked_at_once(registries: Registries) -> None:
    assert registries.wait(SHOP) == 0


@pytest.mark.parametrize("reason", ["RateLimited", "RegistryUnreachable"])
async def test_a_registry_in_trouble_holds_up_all_of_its_images_and_no_others(
    registries: Registries, clock: ManualClock, reason: str
) -> None:
    registries.failed(SHOP, PullError("", reason))
    assert (registries.wait(SHOP), registries.wait(BLOG), registries.wait(ELSEWHERE)) == (1, 1, 0)
    await clock.advance(0.75)
    assert registries.wait(BLOG) == 0.25
    await clock.advance(0.25)
    assert registries.wait(BLOG) == 0


@pytest.mark.parametrize("reason", ["ImageNotFound", "ImageDenied", "DiskFull", "PullFailed"])
def test_what_is_wrong_with_one_image_holds_up_that_one(registries: Registries, reason: str) -> None:
    registries.failed(SHOP, PullError("", reason))
    assert (registries.wait(SHOP), registries.wait(BLOG)) == (5, 0)


@pytest.mark.parametrize(
    ("reason", "waits"),
    [
        ("RegistryUnreachable", [1, 2, 4, 8, 16, 32, 60, 60]),
        ("RateLimited", [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]),
        ("ImageNotFound", [5, 10, 20, 40, 60, 60]),
    ],
)
async def test_waits_double_up_to_five_minutes(
    registries: Registries, clock: ManualClock, reason: str, waits: list[float]
) -> None:
    seen = []
    for _ in waits:
        registries.failed(SHOP, PullError("", reason))
        seen.append(registries.wait(SHOP))
        await clock.advance(registries.wait(SHOP))
    assert seen == waits


async def test_pulls_that_fail_together_count_once(registries: Registries, clock: ManualClock) -> None:
    for image in (SHOP, BLOG, SHOP, BLOG):
        registries.failed(image, PullError("", "RegistryUnreachable"))
    assert registries.wait(SHOP) == 1


async def test_a_rate_limit_holds_at_least_as_long_as_the_registry_says(
    registries: Registries, clock: ManualClock
) -> None:
    registries.failed(SHOP, PullError("", "RateLimited", 1000))
    assert registries.wait(BLOG) == 1000
    registries.failed(SHOP, PullError("", "RateLimited", 20))
    assert registries.wait(BLOG) == 1000
    await clock.advance(1000)
    registries.failed(SHOP, PullError("", "RateLimited", 0.001))
    assert registries.wait(BLOG) == 2


def test_a_success_ends_the_waits_of_its_image_and_its_registry(registries: Registries) -> None:
    registries.failed(SHOP, PullError("", "ImageNotFound"))
    registries.failed(BLOG, PullError("", "RegistryUnreachable"))
    registries.succeeded(SHOP)
    assert (registries.wait(SHOP), registries.wait(BLOG)) == (0, 0)
    registries.failed(BLOG, PullError("", "RegistryUnreachable"))
    assert registries.wait(BLOG) == 1


def test_a_success_of_a_pull_from_before_does_not_end_the_wait_that_a_registry_asked_for(
    registries: Registries,
) -> None:
    registries.failed(SHOP, PullError("", "RateLimited", 60))
    registries.succeeded(BLOG)
    assert registries.wait(SHOP) == 60


@pytest.mark.parametrize(("reason", "wait"), [("ImageNotFound", 0), ("ImageDenied", 0), ("DiskFull", 1)])
def test_a_registry_that_answers_about_an_image_is_there(registries: Registries, reason: str, wait: float) -> None:
    registries.failed(BLOG, PullError("", "RegistryUnreachable"))
    registries.failed(SHOP, PullError("", reason))
    assert registries.wait(BLOG) == wait


async def test_what_failed_long_ago_counts_no_more(registries: Registries, clock: ManualClock) -> None:
    for _ in range(3):
        registries.failed(SHOP, PullError("", "ImageNotFound"))
        await clock.advance(registries.wait(SHOP))
    await clock.advance(601)
    registries.failed(SHOP, PullError("", "ImageNotFound"))
    assert registries.wait(SHOP) == 5


def test_chance_adds_up_to_a_tenth_and_the_same_chance_the_same(clock: ManualClock) -> None:
    waits = []
    for _ in range(2):
        registries = Registries(clock, Random(7))  # noqa: S311  # chance that can be repeated
        registries.failed(SHOP, PullError("", "ImageNotFound"))
        waits.append(registries.wait(SHOP))
    assert waits[0] == waits[1]
    assert 5 < waits[0] < 5.5
