"""Files of this machine in a container: read-only, whatever else is mounted around them."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker as sdk
import pytest

from controller.errors import EngineError
from controller.scheduler.docker import DockerEngine
from controller.scheduler.engine import FileMount
from tests.engine.conftest import Requests


@pytest.mark.parametrize(
    "spec",
    [{}, {"read_only": True}, {"tmpfs": ["/run:mode=755"]}, {"read_only": True, "tmpfs": ["/run"], "user": "1000"}],
    ids=["plain", "read-only root", "tmpfs above it", "all of it, for a user"],
)
async def test_a_file_is_read_and_cannot_be_written(
    engine: DockerEngine, request_for: Requests, docker: sdk.APIClient, tmp_path: Path, spec: dict[str, Any]
) -> None:
    source = tmp_path / "file"
    source.write_bytes(b"from the host")
    source.chmod(0o444)
    script = "cat /run/secrets/key && ! echo x 2>/dev/null >/run/secrets/key && ! rm /run/secrets/key 2>/dev/null"
    request = replace(
        request_for(command=["sh", "-c", script], **spec), files=[FileMount(str(source), "/run/secrets/key")]
    )
    made = await engine.create(request)
    await engine.start(made)
    assert (await asyncio.to_thread(docker.wait, made, 20))["StatusCode"] == 0, docker.logs(made)
    assert docker.logs(made) == b"from the host"
    assert source.read_bytes() == b"from the host"


async def test_a_file_that_is_missing_fails_the_creation_with_dockers_words(
    engine: DockerEngine, request_for: Requests, tmp_path: Path
) -> None:
    request = replace(request_for(), files=[FileMount(str(tmp_path / "none"), "/f")])
    with pytest.raises(EngineError, match="bind source path does not exist"):
        await engine.create(request)
    assert not (tmp_path / "none").exists()


async def test_a_container_whose_file_went_starts_again_once_it_is_back(
    engine: DockerEngine, request_for: Requests, docker: sdk.APIClient, tmp_path: Path
) -> None:
    source = tmp_path / "file"
    source.write_bytes(b"one")
    made = await engine.create(replace(request_for(), files=[FileMount(str(source), "/f")]))
    source.unlink()
    with pytest.raises(EngineError, match=r"no such file|does not exist"):
        await engine.start(made)
    source.write_bytes(b"again")
    await engine.start(made)
    assert docker.exec_start(docker.exec_create(made, ["cat", "/f"])["Id"]) == b"again"
