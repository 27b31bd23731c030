"""When an image may be asked for again: what a registry refuses to one image it will refuse to the others as well."""

from dataclasses import dataclass
from random import Random

from controller.clock import Clock
from controller.errors import PullError

DOCKER_HUB = "docker.io"

FIRST_REGISTRY = 1.0  # seconds that a registry is left alone after its first failure; doubled by each further one
FIRST_IMAGE = 5.0  # the same for one image
LONGEST = 60.0  # seconds: what is mended heals within a minute
LONGEST_LIMITED = 300.0  # seconds that a registry is left alone which limits its requests
JITTER = 0.1  # the share of a wait that chance may add, so that not all machines ask again at once
FORGOTTEN = 2 * LONGEST_LIMITED  # seconds without a further failure, after which the next one counts as the first

_OF_REGISTRY = ("RateLimited", "RegistryUnreachable")


def split_registry(image: str) -> tuple[str, str]:
    """The registry of an image and the rest of its name, as in distribution/reference: ``web`` is on docker.io, and
    ``localhost:5000/web`` is not."""
    first, slash, rest = image.partition("/")
    if not slash or not (set(".:") & set(first) or first == "localhost" or first != first.lower()):
        return DOCKER_HUB, image
    return (DOCKER_HUB if first == "index.docker.io" else first), rest


def registry_of(image: str) -> str:
    """The host that an image comes from, with its port if it names one."""
    return split_registry(image)[0]


@dataclass
class _Hold:
    """Until when, on the monotonic clock, nothing is asked; ``named`` is the part that the registry itself asks for."""

    failures: int = 0
    until: float = 0.0
    named: float = 0.0


class Registries:
    """From when on each registry, and each image, may be asked again.

    A registry that can't be reached or limits its requests holds up all of its images; what only concerns one image
    holds up that one. Waits are exponential, from 1 s for a registry and 5 s for an image to a minute; a rate limit
    holds up to 5 min, and at least as long as the registry says. Without ``random`` there is no jitter.
    """

    def __init__(self, clock: Clock, random: Random | None = None) -> None:
        self._clock = clock
        self._random = random
        self._registries: dict[str, _Hold] = {}
        self._images: dict[str, _Hold] = {}

    def wait(self, image: str) -> float:
        """Seconds until the image may be asked for; 0 when it may be now."""
        holds = (self._registries.get(registry_of(image)), self._images.get(image))
        return max(0.0, max(hold.until if hold else 0.0 for hold in holds) - self._clock.monotonic())

    def failed(self, image: str, error: PullError) -> None:
        """Counts a failure, of the registry or of this image alone, and holds it up."""
        self._forget_old()
        if error.reason in _OF_REGISTRY:
            longest = LONGEST_LIMITED if error.reason == "RateLimited" else LONGEST
            self._hold(self._registries.setdefault(registry_of(image), _Hold()), FIRST_REGISTRY, longest, error.wait)
            return
        if error.reason in ("ImageNotFound", "ImageDenied"):
            self._answered(image)
        self._hold(self._images.setdefault(image, _Hold()), FIRST_IMAGE, LONGEST, None)

    def succeeded(self, image: str) -> None:
        """The image was got: neither it nor its registry is held up, but for a wait that the registry named."""
        self._images.pop(image, None)
        self._answered(image)

    def _answered(self, image: str) -> None:
        """The registry is there. What it asked for itself stays: an answer may be to an earlier question."""
        hold = self._registries.get(registry_of(image))
        if hold is None:
            return
        if hold.named <= self._clock.monotonic():
            del self._registries[registry_of(image)]
        else:
            hold.failures, hold.until = 0, hold.named

    def _hold(self, hold: _Hold, first: float, longest: float, named: float | None) -> None:
        now = self._clock.monotonic()
        if named is not None:
            hold.named = max(hold.named, now + named)
        # Several pulls under way fail by one trouble at once: it counts once.
        if hold.until <= now or not hold.failures:
            pause = min(longest, first * 2.0 ** min(hold.failures, 30))
            hold.failures += 1
            hold.until = now + pause * (1 + JITTER * (self._random.random() if self._random else 0))
        hold.until = max(hold.until, hold.named)

    def _forget_old(self) -> None:
        """Images come and go with the services that name them."""
        past = self._clock.monotonic() - FORGOTTEN
        for holds in (self._registries, self._images):
            for name in [name for name, hold in holds.items() if hold.until < past]:
                del holds[name]
