"""The safe on a disk that is really full: told to the caller, nothing half-written, well again when there is room."""

from pathlib import Path

import grpc
import pytest

from controller.errors import SafeFull, StartError
from controller.store import Safe
from proto.dockrunner import v1 as pb
from tests.faults.conftest import fill
from tests.system.program import Program, refused


async def test_a_content_that_has_no_room_is_refused_and_leaves_nothing(disk: Path) -> None:
    safe = Safe(disk / "secrets")
    await safe.open()
    before = {path.name for path in (disk / "secrets").iterdir()}
    ballast = fill(disk)
    version = safe.version_of(b"x" * 10_000)
    with pytest.raises(SafeFull, match="the disk is full"):
        await safe.keep({version: b"x" * 10_000})
    assert version not in safe
    assert {path.name for path in (disk / "secrets").iterdir()} == before
    ballast.unlink()
    await safe.keep({version: b"x" * 10_000})
    assert await safe.read(version) == b"x" * 10_000


async def test_a_safe_is_not_begun_on_a_full_disk(disk: Path) -> None:
    (disk / "secrets").mkdir()
    fill(disk)
    with pytest.raises(StartError, match="no space left"):
        await Safe(disk / "secrets").open()


def test_a_declaration_whose_secret_has_no_room_is_refused_and_the_next_one_goes(disk: Path) -> None:
    (disk.parent / "state").symlink_to(disk, target_is_directory=True)
    service = pb.Service(metadata=pb.Metadata(name="web"), spec=pb.ServiceSpec(image="web:1"))
    service.spec.secrets.add(source="key", content=b"x" * 100_000)
    with Program(disk.parent, "--engine", "memory") as program:
        program.start()
        ballast = fill(disk)
        with refused(grpc.StatusCode.RESOURCE_EXHAUSTED):
            program.api.Apply(pb.ApplyRequest(service=service))
        assert program.service_or_none("web") is None
        ballast.unlink()
        program.api.Apply(pb.ApplyRequest(service=service))
        program.until_converged(web=1)
