"""What a service leaves behind in Docker when it goes: its volumes, unless asked, and no networks."""

from collections.abc import Callable

import docker as sdk
import pytest

from proto.dockrunner import v1 as pb
from tests.private_engine import IMAGE

from .program import Program, eventually

Leftovers = Callable[[], tuple[list[str], list[str]]]


def declare(program: Program, name: str, *volumes: str, replicas: int = 2) -> None:
    mounts = [pb.Mount(type="volume", source=volume, target=f"/{volume}") for volume in volumes]
    spec = pb.ServiceSpec(image=IMAGE, replicas=replicas, pull_policy="never", volumes=mounts)
    program.api.Apply(pb.ApplyRequest(service=pb.Service(metadata=pb.Metadata(name=name), spec=spec)))


@pytest.fixture
def leftovers(docker: sdk.APIClient, instance: str) -> Leftovers:
    """The networks and volumes of the instance."""

    def look() -> tuple[list[str], list[str]]:
        ours = {"label": [f"dock-runner.instance={instance}"]}
        networks = sorted(network["Name"] for network in docker.networks(filters=ours))
        return networks, sorted(volume["Name"] for volume in docker.volumes(filters=ours)["Volumes"] or ())

    return look


def test_networks_go_with_the_last_service_and_volumes_stay(
    program: Program, leftovers: Leftovers, instance: str
) -> None:
    program.start()
    for name in ("web", "api"):
        declare(program, name, "data")
    program.until_converged(web=2, api=2)
    assert program.run("delete", "web", "--wait").returncode == 0
    assert leftovers() == ([f"dock-runner-{instance}"], [f"{instance}-data"])
    assert program.run("delete", "api", "--wait").returncode == 0
    assert leftovers() == ([], [f"{instance}-data"])


def test_volumes_that_nobody_else_names_go_when_that_is_asked_for(
    program: Program, leftovers: Leftovers, instance: str
) -> None:
    program.start()
    declare(program, "web", "data", "shared")
    declare(program, "api", "shared")
    program.until_converged(web=2, api=2)
    assert program.run("delete", "web", "--volumes", "--wait").returncode == 0
    assert leftovers()[1] == [f"{instance}-shared"]


def test_a_deletion_with_volumes_goes_on_after_a_kill(program: Program, leftovers: Leftovers) -> None:
    program.start()
    declare(program, "web", "data")
    program.until_converged(web=2)
    program.api.Delete(pb.DeleteRequest(name="web", volumes=True))
    program.kill()
    assert len(leftovers()[1]) == 1
    program.start()
    eventually(lambda: program.service_or_none("web") is None and leftovers() == ([], []))
