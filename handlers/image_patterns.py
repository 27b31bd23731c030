"""Patterns of images, compared by registry and repository as Docker reads them: never as text."""

import re
from fnmatch import fnmatchcase

DOCKER_HUB = "docker.io"
_OFFICIAL = "library"
_HUBS = ("docker.io", "index.docker.io")
_PART = re.compile(r"[a-z0-9*?._-]+")
_REGISTRY = re.compile(r"[A-Za-z0-9*?.-]+(?::[0-9]+)?|\[[0-9a-fA-F:]+\](?::[0-9]+)?")


class ImagePattern:
    """``[REGISTRY/]REPOSITORY``, where `*` and `?` stand for characters of one part; all below it is matched as well.

    ``registry.ok`` alone is all of a registry, ``nginx`` alone the official image, ``acme/*`` all of ``acme`` on Docker
    Hub. Tags and digests are not looked at.
    """

    def __init__(self, text: str) -> None:
        """Raises ValueError when it is no such pattern."""
        first, slash, rest = text.partition("/")
        if not slash and _is_registry(first):
            registry, repository = first.lower(), ""
        else:
            registry, repository = split(text)
        parts = repository.split("/") if repository else []
        has_tag = "@" in text or ":" in (rest if _is_registry(first) else text)
        if has_tag or not _REGISTRY.fullmatch(registry) or not all(map(_PART.fullmatch, parts)) or (slash and not rest):
            raise ValueError(f"has {text!r}, which is not of the form [REGISTRY/]REPOSITORY, without a tag")
        self._registry, self._parts = registry, parts

    def matches(self, image: str) -> bool:
        """Whether an image reference is within the pattern."""
        registry, repository = split(image)
        parts = repository.split("/")
        return (
            fnmatchcase(registry, self._registry.replace("[", "[[]"))
            and len(parts) >= len(self._parts)
            and all(map(fnmatchcase, parts, self._parts))
        )


def split(image: str) -> tuple[str, str]:
    """The registry and the repository of a reference, both spelled out: ``nginx:1`` is docker.io's library/nginx."""
    name = image.partition("@")[0]
    first, slash, rest = name.partition("/")
    registry, repository = (first.lower(), rest) if slash and _is_registry(first) else (DOCKER_HUB, name)
    head, separator, last = repository.rpartition("/")
    repository = f"{head}{separator}{last.partition(':')[0]}"
    if registry in _HUBS:
        return DOCKER_HUB, repository if "/" in repository else f"{_OFFICIAL}/{repository}"
    return registry, repository


def _is_registry(first: str) -> bool:
    """The first part of a name is a registry by its look alone, as in distribution/reference."""
    return "." in first or ":" in first or first == "localhost" or first != first.lower()
