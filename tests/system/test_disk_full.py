"""The engine's disk is full: what runs goes on, what is new says why not, and comes when there is room."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.private_engine import IMAGE, PrivateEngine, Unavailable, load_image

from .declared import Declared, shared_program


@pytest.fixture(scope="module")
def small() -> Iterator[PrivateEngine]:
    """An engine with 32 MB for its data."""
    try:
        private = PrivateEngine()
    except Unavailable as error:
        pytest.skip(str(error))
    data = private.folder / "data"
    data.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(data)], check=True)
    with private:
        load_image(private.host)
        yield private


def fill(folder: Path) -> Path:
    """Takes the last byte of room; the file that has it."""
    filler = folder / "filler"
    filler.unlink(missing_ok=True)
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    return filler


@pytest.fixture
def declared(small: PrivateEngine, tmp_path: Path) -> Iterator[Declared]:
    with shared_program(tmp_path, small.host) as declared:
        yield declared


def body(level: int, replicas: int = 1) -> str:
    return f'image = "{IMAGE}"\nenvironment = {{ LEVEL = "{level}" }}\nreplicas = {replicas}'


def test_a_full_disk_is_told_harms_nothing_that_runs_and_heals_when_there_is_room(
    small: PrivateEngine, declared: Declared
) -> None:
    web = declared.declare("web", body(1))
    web.until_converged()
    before = web.ids
    filler = fill(small.folder / "data")
    declared.declare("web", body(1, replicas=2))
    web.until_degraded("ContainerFailing", "no space left on device")
    assert "DiskFull" in {it.status.reason for it in web.containers}
    assert any("no space left on device" in it.message for it in web.events() if it.type == "Warning")
    assert web.ids == before
    assert len(web.in_docker()) <= 2
    filler.unlink()
    web.until_converged(2)
    assert web.ids[1] == before[1]
    assert len(web.in_docker()) == 2


def test_an_update_on_a_full_disk_makes_its_own_room(small: PrivateEngine, declared: Declared) -> None:
    web = declared.declare("web", body(1))
    web.until_converged()
    fill(small.folder / "data")
    declared.declare("web", body(2))
    web.until_converged()
    assert web.environment("LEVEL") == ["2"]
    assert len(web.in_docker()) == 1
    assert any("(stop-first: the disk is full)" in it.message for it in web.events("Deleting"))
