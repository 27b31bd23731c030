"""Images by way of a Docker daemon: what it is asked to fetch, and to ask registries for.

A registry that hangs keeps its callers waiting and nobody else: each registry has a few threads of many.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from controller.errors import EngineError, EngineUnavailable, ImageMissing, PullError
from controller.scheduler.docker_auth import Credentials, credentials_for
from controller.scheduler.docker_client import (
    Address,
    Client,
    Observe,
    StreamClient,
    expect,
    explained,
    refusal_of,
    timed_out,
    translated,
)
from controller.scheduler.docker_pull import PullBroken, follow_pull
from controller.scheduler.docker_registry import checked, image_of, pull_error, requested, silent
from controller.scheduler.docker_threads import Threads, Turns
from controller.scheduler.engine import Image, Progress
from controller.scheduler.registries import registry_of

T = TypeVar("T")

# Deadlines, in seconds.
PULL_IDLE = 120.0  # for how long a pull may say nothing
DIGEST = 30.0  # for how long a registry may take to tell a digest

PULLS, DIGESTS = 16, 8  # threads
PER_REGISTRY = 4  # of either


class Images:
    """Pulls and questions to registries, each in a thread with a client of its own.

    ``version`` is called in such a thread, and returns the version of the API to speak.
    """

    def __init__(self, address: Address, version: Callable[[], str], observe: Observe) -> None:
        self._address = address
        self._version = version
        self._observe = observe
        self._pulls, self._pulling = Threads("docker-pull", PULLS), Turns(PER_REGISTRY)
        self._digests, self._asking = Threads("docker-digest", DIGESTS), Turns(PER_REGISTRY)

    @property
    def pools(self) -> tuple[Threads, ...]:
        """All threads, to be closed at the end."""
        return (self._pulls, self._digests)

    async def pull(self, image: str, progress: Progress) -> None:
        """Fetches an image; see the port."""
        loop = asyncio.get_running_loop()

        def report(text: str) -> None:
            loop.call_soon_threadsafe(progress, text)

        async with self._pulling.of(registry_of(image)):
            await self._run(self._pulls, "pull", PULL_IDLE, lambda client: _pull(client, image, report))

    async def digest_of(self, image: str) -> str:
        """The digest that the registry has now; see the port."""
        async with self._asking.of(registry_of(image)):
            return await self._run(self._digests, "digest", DIGEST, lambda client: _ask_digest(client, image))

    async def _run(self, threads: Threads, operation: str, patience: float, ask: Callable[[StreamClient], T]) -> T:
        clients: list[StreamClient] = []

        def call() -> T:
            client = StreamClient(self._address, self._version(), self._observe, answer=patience, idle=patience)
            clients.append(client)
            with contextlib.closing(client):
                return ask(client)

        began, code = time.monotonic(), "error"
        try:
            answer = await threads.run(call)
            code = "200"
            return answer
        except EngineUnavailable:
            code = "unavailable"
            raise
        finally:
            # Whoever no longer waits does not want the image either: without a reader the engine gives up as well.
            for client in clients:
                client.hang_up()
            self._observe(operation, code, time.monotonic() - began)


# What follows runs in threads.


def find_image(client: Client, reference: str) -> Image | None:
    """What the engine has under a reference or an id."""
    try:
        with explained():
            found = client.inspect_image(checked(reference))  # type: ignore[no-untyped-call]  # not in the stubs
            return translated(image_of, expect(dict, found))
    except ImageMissing:
        return None


def discard_image(client: Client, reference: str) -> bool:
    """Removes an image or, where it has others, this name of it; False when it is in use or not there."""
    try:
        with explained():
            client.remove_image(checked(reference))
    except EngineError as error:
        refusal = refusal_of(error)
        if refusal is not None and refusal[0] in (404, 409):
            return False
        raise
    return True


def _pull(client: StreamClient, image: str, report: Callable[[str], None]) -> None:
    name, credentials = requested(image), credentials_for(registry_of(image))
    with _about(image, credentials, PULL_IDLE):
        lines = client.pull(name, stream=True, decode=True, auth_config=dict(credentials.auth))
        digest = follow_pull(lines, report)
        found = find_image(client, name)
    # Someone else may have pulled another meanwhile, or removed it.
    if found is None or (digest and digest not in {entry.rpartition("@")[2] for entry in found.digests}):
        raise PullError(f"{image} was pulled as {digest or 'it is'}, and is no longer there as that")


def _ask_digest(client: StreamClient, image: str) -> str:
    name, credentials = requested(image), credentials_for(registry_of(image))
    with _about(image, credentials, DIGEST):
        answer = client.inspect_distribution(name, dict(credentials.auth))  # type: ignore[no-untyped-call]  # as above
        return translated(lambda data: str(data["Descriptor"]["digest"]), expect(dict, answer))


@contextlib.contextmanager
def _about(image: str, credentials: Credentials, patience: float) -> Iterator[None]:
    """Turns what is wrong with an image or its registry into a PullError; ``patience`` is how long was waited at most.

    A daemon that can't be reached is EngineUnavailable here as well; one that took the question and gave no answer is
    taken to wait for its registry in vain.
    """
    try:
        with explained():
            yield
    except EngineError as error:
        if timed_out(error):
            raise silent(image, patience) from error
        if isinstance(error, PullBroken):
            raise pull_error(image, str(error), credentials) from error
        if (refusal := refusal_of(error)) is not None:
            refused = pull_error(image, refusal[1], credentials, refusal[0])
            # 503 is the registry's if the words are about one, else it is the engine's own.
            if not isinstance(error, EngineUnavailable) or refused.reason != "PullFailed":
                raise refused from error
        raise
