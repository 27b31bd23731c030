"""The memory engine's images: each is here until it is removed, and each registry has what was published last."""

import hashlib
from collections import Counter

from controller.errors import PullError

from .engine import Image


class MemoryImages:
    """The images of the machine, and those of all registries."""

    def __init__(self) -> None:
        self._published: Counter[str] = Counter()  # how often another image was put under a reference
        self._images: dict[str, Image] = {}  # by id; those that were asked for
        self._names: dict[str, str] = {}  # ids by the references that they have here
        self._missing: set[str] = set()

    def publish(self, image: str) -> str:
        """A tag moves: its registry has another image from now on, whose digest is returned; here nothing changes."""
        self.find(image)
        self._published[image] += 1
        return self.digest_of(image)

    def lose(self, image: str) -> None:
        """The image is not here until it is pulled."""
        self._missing.add(image)
        self._names.pop(image, None)

    def find(self, reference: str) -> Image | None:
        """What is here under a reference; under the id of an image if it was asked for before."""
        if reference.startswith("sha256:"):
            return self._images.get(reference)
        if reference in self._missing:
            return None
        if reference not in self._names:
            self.pull(reference)
        return self._images[self._names[reference]]

    def digest_of(self, image: str) -> str:
        """What the registry has.

        Raises:
            PullError: the reference has a digest that is none.
        """
        name, at, digest = image.partition("@")
        if not at:
            return _hash(f"{image}#{self._published[image]}")
        if not digest.startswith("sha256:"):
            raise PullError(f"{digest!r} of {name} is no digest")
        return digest

    def pull(self, image: str) -> None:
        """The image is here as the registry has it; what had its name is still here, without one."""
        digest = self.digest_of(image)
        found = Image(_hash(digest), (f"{_repository(image)}@{digest}",))
        self._images[found.id] = found
        self._names[image] = found.id
        self._missing.discard(image)

    def remove(self, reference: str, used: set[str]) -> bool:
        """Takes a name away, and with the last one the image; false for one of ``used``, the ids that containers have,
        and for the id of an image with several names."""
        found = self.find(reference)
        if found is None:
            return False
        names = [name for name, image_id in self._names.items() if image_id == found.id]
        if len(names) > 1 and reference == found.id:
            return False
        if len(names) <= 1:
            if found.id in used:
                return False
            del self._images[found.id]
        for name in names if reference == found.id else [reference]:
            self.lose(name)
        return True


def _repository(image: str) -> str:
    name = image.partition("@")[0]
    head, colon, tag = name.rpartition(":")
    return head if colon and "/" not in tag else name


def _hash(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()
