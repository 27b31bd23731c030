"""Named volumes on a real daemon: made as they are declared, looked up, and removed when nothing uses them."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import docker as sdk
import pytest

from controller.errors import EngineError
from controller.scheduler.docker import DockerEngine
from controller.scheduler.engine import LABEL_INSTANCE, LABEL_SERVICE
from proto.dockrunner import v1 as pb
from tests.engine.conftest import Requests

EXTERNAL = pb.VolumeDefinition(external=True)


def mounted(name: str, definition: pb.VolumeDefinition | None = None, *, nocopy: bool = False) -> list[pb.Mount]:
    return [
        pb.Mount(source=name, target="/data", definition=definition, volume=pb.VolumeOptions(nocopy=nocopy) or None)
    ]


def bound(folder: Path) -> pb.VolumeDefinition:
    """A volume that is a folder of the host."""
    return pb.VolumeDefinition(driver_opts={"type": "none", "o": "bind", "device": str(folder)})


@pytest.fixture
def foreign(docker: sdk.APIClient, instance: str) -> Iterator[Callable[[str], str]]:
    """Makes volumes of somebody else's, whose names begin with the instance's."""
    made: list[str] = []

    def make(name: str) -> str:
        made.append(f"{instance}-{name}")
        docker.create_volume(made[-1])
        return made[-1]

    yield make
    for container in docker.containers(all=True, filters={"volume": made}):
        docker.remove_container(container["Id"], force=True)
    for volume in made:
        with contextlib.suppress(sdk.errors.NotFound):
            docker.remove_volume(volume)


async def test_a_volume_is_what_it_is_declared_as(
    engine: DockerEngine, request_for: Requests, docker: sdk.APIClient, instance: str, tmp_path: Path
) -> None:
    definition = bound(tmp_path)
    definition.driver = "local"
    definition.labels.update({"tier": "db", LABEL_INSTANCE: "forged"})
    made = await engine.create(
        request_for(volumes=mounted(f"{instance}-defined", definition), command=["touch", "/data/file"])
    )
    volume = docker.inspect_volume(f"{instance}-defined")
    assert volume["Labels"] == {"tier": "db", LABEL_INSTANCE: instance, LABEL_SERVICE: "web"}
    assert (volume["Driver"], volume["Options"]) == ("local", dict(definition.driver_opts))
    await engine.start(made)
    assert (await asyncio.to_thread(docker.wait, made, 20))["StatusCode"] == 0
    assert (tmp_path / "file").exists()


@pytest.mark.parametrize("nocopy", [False, True])
async def test_a_new_volume_begins_with_what_the_image_has_unless_that_is_not_wanted(
    engine: DockerEngine, request_for: Requests, docker: sdk.APIClient, instance: str, nocopy: bool
) -> None:
    mount = pb.Mount(source=f"{instance}-copied", target="/www", volume=pb.VolumeOptions(nocopy=nocopy))
    made = await engine.create(request_for(volumes=[mount], command=["cat", "/www/index.html"]))
    await engine.start(made)
    assert (await asyncio.to_thread(docker.wait, made, 20))["StatusCode"] == (1 if nocopy else 0)


async def test_an_external_volume_is_used_and_left_as_it_is(
    engine: DockerEngine, request_for: Requests, docker: sdk.APIClient, foreign: Callable[[str], str]
) -> None:
    name = foreign("outside")
    made = await engine.create(request_for(volumes=mounted(name, EXTERNAL)))
    assert docker.inspect_container(made)["Mounts"][0]["Name"] == name
    await engine.remove(made)
    assert await engine.volumes() == {}
    await engine.remove_volume(name)
    assert not docker.inspect_volume(name)["Labels"]


async def test_an_external_volume_has_to_be_there(
    engine: DockerEngine, request_for: Requests, docker: sdk.APIClient, instance: str, foreign: Callable[[str], str]
) -> None:
    foreign("missing-but-longer")
    with pytest.raises(EngineError, match=f"volume {instance}-missing is declared as external, and is not there"):
        await engine.create(request_for(volumes=mounted(f"{instance}-missing", EXTERNAL)))
    with pytest.raises(sdk.errors.NotFound):
        docker.inspect_volume(f"{instance}-missing")


async def test_a_volume_that_is_there_otherwise_than_declared_is_a_clear_error(
    engine: DockerEngine, request_for: Requests, instance: str, tmp_path: Path
) -> None:
    name = f"{instance}-changed"
    for slot in (1, 2):  # the same definition again is no change
        await engine.create(request_for(slot, volumes=mounted(name, bound(tmp_path))))
    with pytest.raises(EngineError, match=f"volume {name} is there with another driver or other driver_opts"):
        await engine.create(request_for(3, volumes=mounted(name, bound(tmp_path / "other"))))


async def test_a_volume_is_removed_when_no_container_has_it(
    engine: DockerEngine, request_for: Requests, docker: sdk.APIClient, instance: str
) -> None:
    name = f"{instance}-data"
    made = await engine.create(request_for(volumes=mounted(name)))
    for step in (engine.start(made), engine.stop(made, 5)):
        assert not await engine.remove_volume(name)
        await step
    assert not await engine.remove_volume(name)
    await engine.remove(made)
    assert await engine.volumes() == {name: {LABEL_INSTANCE: instance, LABEL_SERVICE: "web"}}
    assert await engine.remove_volume(name)
    assert await engine.volumes() == {}
    assert await engine.remove_volume(name)  # its first answer may have been lost


async def test_a_volume_of_somebody_else_is_not_removed(
    engine: DockerEngine, docker: sdk.APIClient, foreign: Callable[[str], str]
) -> None:
    name = foreign("kept")
    await engine.remove_volume(name)
    found: Mapping[str, object] = docker.inspect_volume(name)
    assert found["Name"] == name
