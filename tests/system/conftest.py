"""Fixtures of the tests of the whole program."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import docker as sdk
import pytest

from controller.scheduler.engine import LABEL_INSTANCE, LABEL_SERVICE
from tests.private_engine import IMAGE

from .program import Program

_numbers = itertools.count(1)


@pytest.fixture
def program(tmp_path: Path, engine_host: str, instance: str) -> Iterator[Program]:
    """The program on the tests' engine, not started yet."""
    with Program(tmp_path, "--docker-host", engine_host, "--instance", instance) as program:
        yield program


@pytest.fixture
def simulated(tmp_path: Path) -> Iterator[Program]:
    """The program on the memory engine, not started yet."""
    with Program(tmp_path, "--engine", "memory") as program:
        yield program


@pytest.fixture
def second_image(docker: sdk.APIClient) -> Iterator[str]:
    """The test image under another name of its own."""
    name = f"dock-runner-test:other-{next(_numbers)}"
    repository, _, tag = name.rpartition(":")
    docker.tag(IMAGE, repository, tag)
    yield name
    docker.remove_image(name, force=True)


@pytest.fixture
def in_docker(docker: sdk.APIClient, instance: str) -> Callable[..., dict[str, str]]:
    """What Docker itself has of the instance: names by id, of one service or all."""

    def look(service: str = "") -> dict[str, str]:
        labels = [f"{LABEL_INSTANCE}={instance}"] + ([f"{LABEL_SERVICE}={service}"] if service else [])
        return {found["Id"]: found["Names"][0] for found in docker.containers(all=True, filters={"label": labels})}

    return look
