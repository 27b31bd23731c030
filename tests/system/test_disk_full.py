"""The engine's disk is full: what runs goes on, what is new says why not, and comes when there is room."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import docker as sdk
import pytest

from tests.private_engine import IMAGE, PrivateEngine, Unavailable, load_image

from .program import Program, eventually


@pytest.fixture
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
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    return filler


def declaration(replicas: int) -> str:
    return f'[services.web]\nimage = "{IMAGE}"\nreplicas = {replicas}\n'


def test_a_full_disk_is_told_harms_nothing_that_runs_and_heals_when_there_is_room(
    small: PrivateEngine, tmp_path: Path
) -> None:
    with (
        contextlib.closing(sdk.APIClient(small.host, version="auto")) as docker,
        Program(tmp_path, "--docker-host", small.host) as program,
    ):
        program.declare(declaration(1))
        program.start("--config", str(program.config))
        program.until_converged(web=1)
        before = program.ids("web")
        filler = fill(small.folder / "data")
        program.declare(declaration(2))
        eventually(lambda: {it.status.reason for it in program.containers("web")} == {"", "DiskFull"})
        (condition,) = [it for it in program.service("web").status.conditions if it.type == "Degraded"]
        assert condition.status == "True"
        assert "no space left on device" in condition.message
        assert any("no space left on device" in it.message for it in program.events("HandlerFailed"))
        assert program.ids("web") == before
        assert len(docker.containers(all=True)) <= 2
        filler.unlink()
        program.until_converged(web=2)
        assert program.ids("web")[1] == before[1]
        assert len(docker.containers(all=True)) == 2
