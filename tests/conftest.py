"""Fixtures of the tests that need a real Docker engine, and how the tests are shared out among processes."""

import contextlib
import itertools
import os
import time
from collections.abc import Iterator
from pathlib import Path

import docker as sdk
import pytest

from controller.scheduler.engine import LABEL_INSTANCE
from tests import private_engine
from tests.private_engine import IMAGE, PrivateEngine

_numbers = itertools.count(1)

_WITH_AN_ENGINE = ("engine", "system")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is timed, and what shares an engine, runs one after the other in one process; all else beside it."""
    folder = Path(__file__).parent
    for item in items:
        if item.path.relative_to(folder).parts[0] in _WITH_AN_ENGINE:
            item.add_marker(pytest.mark.xdist_group("engine"))


@contextlib.contextmanager
def private_or_reason() -> Iterator[PrivateEngine | str]:
    """A started private daemon with the test image, or why there can't be one."""
    with contextlib.ExitStack() as stack:
        try:
            engine = stack.enter_context(PrivateEngine())
            private_engine.load_image(engine.host)
        except private_engine.Unavailable as error:
            yield str(error)
        else:
            yield engine


@pytest.fixture(scope="session")
def shared_engine() -> Iterator[PrivateEngine | str]:
    """The session's private daemon, which nobody may stop; or why there is none."""
    with private_or_reason() as engine:
        yield engine


@pytest.fixture(scope="session")
def engine_host(shared_engine: PrivateEngine | str) -> Iterator[str]:
    """A daemon for tests that leave it as it is, with the test image: a private one, else the user's own."""
    if isinstance(shared_engine, PrivateEngine):
        yield shared_engine.host
        return
    host = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
    try:
        api = sdk.APIClient(host, version="auto", timeout=10)
    except sdk.errors.DockerException as error:
        pytest.skip(f"{shared_engine}; and no other Docker daemon answers: {error}")
    with contextlib.closing(api):
        ours = not api.images(name=IMAGE)
        try:
            private_engine.load_image(host)
        except private_engine.Unavailable as error:
            pytest.skip(str(error))
        yield host
        if ours:
            api.remove_image(IMAGE, force=True)


@pytest.fixture
def own_engine() -> Iterator[PrivateEngine]:
    """A daemon of the test's own, which it may stop, kill and freeze."""
    with private_or_reason() as engine:
        if isinstance(engine, str):
            pytest.skip(engine)
        yield engine


@pytest.fixture
def docker(engine_host: str) -> Iterator[sdk.APIClient]:
    """The SDK's client for looking at the daemon from outside."""
    with contextlib.closing(sdk.APIClient(engine_host, version="auto", timeout=60)) as api:
        yield api


@pytest.fixture
def instance(docker: sdk.APIClient) -> Iterator[str]:
    """An instance name that no other test has; what carries it is gone afterwards."""
    name = f"t{os.getpid()}x{next(_numbers)}"
    yield name
    remove_instance(docker, name)


def remove_instance(api: sdk.APIClient, name: str) -> None:
    """Removes the containers, networks and volumes of an instance, whatever state they are in.

    What a program that was killed had asked for last may come about after its end: so it is looked until nothing
    is left.
    """
    ours = {"label": [f"{LABEL_INSTANCE}={name}"]}
    deadline = time.monotonic() + 10
    while left := [*api.containers(all=True, filters=ours), *api.networks(filters=ours)]:
        for container in api.containers(all=True, filters=ours):
            with contextlib.suppress(sdk.errors.APIError):
                api.remove_container(container["Id"], v=True, force=True)
        for network in api.networks(filters=ours):
            with contextlib.suppress(sdk.errors.APIError):
                api.remove_network(network["Id"])
        if time.monotonic() > deadline:
            # Docker 20.10 at times forgets the endpoint of a container that was killed while it started: such a
            # network, empty as it is, can't be removed before the daemon's end.
            if api.containers(all=True, filters=ours):
                raise RuntimeError(f"it cannot be removed: {left}")
            break
    for volume in api.volumes(filters=ours)["Volumes"] or ():
        with contextlib.suppress(sdk.errors.NotFound):
            api.remove_volume(volume["Name"])
