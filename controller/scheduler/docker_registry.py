"""Docker's words about images: what is asked for, what it has, and why a registry did not give it.

Docker has one status for nearly all that a registry may answer, and tells it by text. The texts are those of Docker
20.10 to 28, with both of its image stores.
"""

import re
from collections.abc import Mapping
from typing import Any

from controller.errors import EngineError, PullError
from controller.scheduler.docker_auth import Credentials
from controller.scheduler.engine import Image
from controller.scheduler.registries import DOCKER_HUB, split_registry

_MAX_TEXT = 600  # characters
_REFERENCE = re.compile(r"[\w\[][\w.:/@+\[\]-]{0,1000}", re.ASCII)

_STATUSES = {401: "ImageDenied", 403: "ImageDenied", 404: "ImageNotFound", 429: "RateLimited"}
# The HTTP status of the registry in Docker's text: `error parsing HTTP 403 response body`, `received unexpected HTTP
# status: 503 Service Unavailable`, `unexpected status from GET request to https://…: 401 Unauthorized`.
_HTTP = re.compile(r"(?:http|http status:|status code \S+:|(?:status|request)[^:]{0,60}:) ([1-5]\d\d)\b")
# Tried in this order: Docker Hub says of a limit how to log in, and of what it denies that it may not exist.
_WORDS = (
    ("DiskFull", r"no space left on device|disk quota exceeded|not enough space"),
    ("RateLimited", r"toomanyrequests|too many requests|rate limit|rate exceeded"),
    ("RegistryUnreachable", r"proxy authentication required"),
    ("ImageDenied", r"unauthorized|denied|no basic auth credentials|authentication required|authorization failed|"
                    r"insufficient_scope|forbidden"),
    ("ImageNotFound", r"manifest unknown|name unknown|blob unknown|not found|no matching manifest|does not exist"),
    ("RegistryUnreachable", r"no such host|connection refused|connection reset|timed? ?out|deadline exceeded|\beof\b|"
                            r"x509:|tls:|certificate|no route to host|network is unreachable|broken pipe|"
                            r"request canceled|server misbehaving|name resolution|service not known|proxyconnect|"
                            r"http response to https|use of closed network|unavailable|bad gateway|"
                            r"internal server error|stream error|http2:|byte range request"),
)  # fmt: skip
_SECONDS = {"ms": 0.001, "µs": 1e-6, "μs": 1e-6, "us": 1e-6, "ns": 1e-9, "h": 3600.0, "m": 60.0, "s": 1.0}
_WAIT = re.compile(r"(?:retry[- ]after|(?:try|retry) again (?:in|after))\W{0,3}((?:[\d.]+ ?[a-zµμ]*)+)")
_PART = re.compile(r"([\d.]*\d) ?([a-zµμ]*)")


def image_of(data: Mapping[str, Any]) -> Image:
    """The image in Docker's JSON."""
    return Image(str(data["Id"]), tuple(data.get("RepoDigests") or ()))


def checked(reference: str) -> str:
    """The reference or id as it is: it becomes part of the API's path, and must not lead elsewhere there.

    Raises:
        EngineError: it is neither.
    """
    if not _REFERENCE.fullmatch(reference) or {"", ".", ".."} & set(reference.split("/")):
        raise EngineError(f"{reference!r} is not the name of an image")
    return reference


def requested(image: str) -> str:
    """An image's name as the API's path takes it, with `latest` where it says neither tag nor digest.

    Raises:
        PullError: it is no name of an image in a registry.
    """
    try:
        checked(image)
    except EngineError as error:
        raise PullError(str(error)) from error
    if re.fullmatch(r"sha256:[0-9a-f]*", image):
        raise PullError(f"{image} is the id of an image on a machine; no registry has it by that name")
    if "@" in image:
        # Docker looks at the digest alone, and its API takes only one of the two.
        name, _, digest = image.rpartition("@")
        return f"{_without_tag(name)}@{digest}"
    return image if _without_tag(image) != image else f"{image}:latest"


def _without_tag(image: str) -> str:
    name, colon, tag = image.rpartition(":")
    return name if colon and "/" not in tag else image


def pull_error(image: str, text: str, credentials: Credentials, status: int | None = None) -> PullError:
    """Why an image could not be got, from Docker's text, else from the ``status`` of its answer; with what to do."""
    words = _plain(text)
    registry, rest = split_registry(image)
    name = _without_tag(rest.partition("@")[0])
    if name not in words:
        words = f"{image}: {words}"
    bare = _without_names(words, registry, name)
    reason = _reason(bare, status)
    wait = _named_wait(bare) if reason == "RateLimited" else None
    advice = _advice(reason, bare, registry, credentials)
    return PullError(_cut(words, _MAX_TEXT) + (f"; {advice}" if advice else ""), reason, wait)


def silent(image: str, seconds: float) -> PullError:
    """A registry that said nothing for so long."""
    registry, _ = split_registry(image)
    return PullError(f"{registry} gave no answer about {image} for {seconds:g} s", "RegistryUnreachable")


def _plain(text: str) -> str:
    """On one line, and without what differs from try to try or may let others in: one trouble is one message."""
    text = re.sub(r"(https?://[^\s\"?]+)\?[^\s\"]*", r"\1", text)  # signed addresses of layers
    text = re.sub(r"\S+:\d+->", "", text)  # this try's own end of the connection
    return " ".join(text.split())


def _without_names(text: str, registry: str, name: str) -> str:
    """What is left to tell the reason by: an image may be named `denied`."""
    text = re.sub(r"https?://[^\s\"]*[^\s\":,.]", "URL", text)
    # Without its registry the name may be any word, and is one only where Docker names an image.
    before = rf"(?:\b{re.escape(registry)}/(?:library/)?|(?<=for )|(?<=repository )|(?<=^))"
    text = re.sub(rf"{before}{re.escape(name)}(?:[:@][\w.:-]*\w)?(?![\w/-])", "NAME", text)
    return text.replace(registry, "HOST").lower()


def _reason(text: str, status: int | None) -> str:
    code = int(found[1]) if (found := _HTTP.search(text)) else 0
    for reason, pattern in _WORDS:
        if re.search(pattern, text) or (reason == _STATUSES.get(code)):
            return reason
    if code >= 500:
        return "RegistryUnreachable"
    return _STATUSES.get(status or 0, "PullFailed")


def _named_wait(text: str) -> float | None:
    """The seconds that a registry asks to wait for: `retry-after: 1m30s`, `try again in 5 minutes`."""
    found = _WAIT.search(text)
    if found is None:
        return None
    parts = _PART.findall(found[1])
    try:
        return sum(float(number) * (_SECONDS.get(unit) or _SECONDS.get(unit[:1], 1.0)) for number, unit in parts)
    except ValueError:
        return None


def _advice(reason: str, text: str, registry: str, credentials: Credentials) -> str:
    login = "docker login" if registry == DOCKER_HUB else f"docker login {registry}"
    if reason == "ImageDenied":
        if credentials.auth:
            return f"the credentials for {registry} are from {credentials.source}: `{login}` with ones that may read it"
        return f"there are no credentials for {registry} in {credentials.source}: `{login}`"
    if reason == "RateLimited" and not credentials.auth:
        return f"the limit is often higher after `{login}`"
    if reason == "DiskFull":
        return "make room: `docker system df` shows what takes it, `docker image prune` removes images without a name"
    if "http response to https" in text:
        return f'a registry without TLS must be in "insecure-registries" of /etc/docker/daemon.json: "{registry}"'
    if "unknown authority" in text:
        return f"put its authority's certificate into /etc/docker/certs.d/{registry}/ca.crt"
    return ""


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
