"""The whole program on a disk that is really full."""

from pathlib import Path

import grpc
import pytest

from proto.dockrunner import v1 as pb
from tests.faults.conftest import fill
from tests.system.program import Program, eventually, refused


def apply(program: Program, name: str, text: str = "") -> None:
    spec = pb.ServiceSpec(image="web:1", replicas=1, environment={"TEXT": text})
    program.api.Apply(pb.ApplyRequest(service=pb.Service(metadata=pb.Metadata(name=name), spec=spec)))


@pytest.fixture
def folder(disk: Path) -> Path:
    """The folder of a program whose state lies on the small disk."""
    (disk.parent / "state").symlink_to(disk, target_is_directory=True)
    return disk.parent


def test_a_full_disk_refuses_what_cannot_be_kept_and_all_else_goes_on(folder: Path, disk: Path) -> None:
    with Program(folder, "--engine", "memory") as program:
        program.start()
        apply(program, "before")
        program.until_converged(before=1)
        ballast = fill(disk)
        with refused(grpc.StatusCode.RESOURCE_EXHAUSTED):
            for number in range(100):  # what is left within the file's pages is used up first
                apply(program, f"s{number}", "x" * 20_000)
        assert program.is_ready()
        assert program.service("before").status.ready_replicas == 1
        there = {service.metadata.name for service in program.api.List(pb.ListRequest()).services}
        ballast.unlink()
        apply(program, "after")
        program.until_converged(before=1, after=1)
        program.kill()
        program.start()
        program.until_converged(before=1, after=1)
        found = {service.metadata.name for service in program.api.List(pb.ListRequest()).services}
        assert found == there | {"after"}


def test_what_the_program_itself_wants_kept_is_kept_when_there_is_room_again(folder: Path, disk: Path) -> None:
    with Program(folder, "--engine", "memory") as program:
        program.start()
        apply(program, "web")
        program.until_converged(web=1)
        program.api.Delete(pb.DeleteRequest(name="web"))
        eventually(lambda: program.service_or_none("web") is None)
        ballast = fill(disk)
        ballast.unlink()
        program.kill()
        program.start()
        assert program.service_or_none("web") is None
