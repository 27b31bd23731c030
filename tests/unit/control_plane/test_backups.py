"""Backup and Restore: a copy of what is declared, and back again."""

from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import grpc
import pytest

from controller.metrics import Metrics
from controller.store import SERVICE, Journal, NoJournal, SqliteJournal, read_backup
from proto.dockrunner import v1 as pb
from tests.unit.control_plane.conftest import Api, refusal, violations


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    journal = SqliteJournal(tmp_path / "journal", Metrics())
    journal.open()
    yield journal
    await journal.close()


async def backup(api: Api) -> bytes:
    return b"".join([answer.data async for answer in api.stub.Backup(pb.BackupRequest())])


async def restore(api: Api, data: bytes, *, dry_run: bool = False) -> pb.RestoreResponse:
    pieces: Iterable[pb.RestoreRequest] = [
        pb.RestoreRequest(data=data[at : at + 1000], dry_run=dry_run) for at in range(0, len(data), 1000)
    ]
    return await api.stub.Restore(iter(pieces))


def images(api: Api) -> dict[str, str]:
    return {service.metadata.name: service.spec.image for service in api.store.list(SERVICE)}


async def test_a_backup_is_a_journal_with_what_is_declared(api: Api, tmp_path: Path) -> None:
    await api.apply("web")
    path = tmp_path / "copy"
    path.write_bytes(await backup(api))
    assert [(record.kind, record.name) for record in read_backup(path)] == [("Service", "web")]


async def test_restore_makes_changes_and_deletes_until_all_is_as_it_was(api: Api) -> None:
    await api.apply("changed", image="before")
    await api.apply("deleted")
    data = await backup(api)
    await api.apply("changed", image="after")
    await api.apply("new")
    await api.stub.Delete(pb.DeleteRequest(name="deleted"))
    done = await restore(api, data)
    assert (list(done.restored), list(done.deleted)) == (["changed", "deleted"], ["new"])
    assert images(api) == {"changed": "before", "deleted": "busybox"}


async def test_what_is_as_the_backup_has_it_is_left_alone(api: Api) -> None:
    await api.apply("web")
    version = api.store.version
    assert await restore(api, await backup(api)) == pb.RestoreResponse()
    assert api.store.version == version


async def test_a_dry_run_says_all_and_changes_nothing(api: Api) -> None:
    await api.apply("base")
    data = await backup(api)
    await api.apply("web")
    assert list((await restore(api, data, dry_run=True)).deleted) == ["web"]
    assert images(api) == {"base": "busybox", "web": "busybox"}


async def test_a_backup_that_declares_nothing_deletes_nothing(api: Api) -> None:
    data = await backup(api)
    await api.apply("web")
    assert "declares nothing" in (await violations(restore(api, data)))["data"]
    assert images(api) == {"web": "busybox"}


async def test_each_service_keeps_its_own_manager(api: Api) -> None:
    await api.apply("web", manager="ci", replicas=3)
    data = await backup(api)
    await api.stub.Delete(pb.DeleteRequest(name="web", manager="ci"))
    await restore(api, data)
    metadata = api.store.get(SERVICE, "web").metadata
    assert (metadata.manager, metadata.replicas_manager) == ("ci", "ci")


async def test_what_the_file_declares_is_left_to_the_file(api: Api) -> None:
    await api.apply("was", manager="file")
    data = await backup(api)
    await api.stub.Delete(pb.DeleteRequest(name="was", manager="file"))
    await api.apply("now", manager="file")
    assert await restore(api, data) == pb.RestoreResponse()
    assert images(api) == {"now": "busybox"}


async def test_what_is_no_backup_changes_nothing(api: Api) -> None:
    await api.apply("web")
    assert await violations(restore(api, b"[services.web]" * 1000)) == {
        "data": "cannot read the backup: it is not an SQLite database"
    }
    assert images(api) == {"web": "busybox"}


async def test_what_may_not_be_declared_any_more_changes_nothing(api: Api) -> None:
    await api.apply("web", ports=[pb.Port(target=80, published="80")])
    data = await backup(api)
    await api.stub.Delete(pb.DeleteRequest(name="web"))
    await api.apply("other", manager="file", ports=[pb.Port(target=80, published="80")])
    assert await violations(restore(api, data)) == {"services[web].spec.ports[0].published": "is taken"}
    assert images(api) == {"other": "busybox"}


class TestWithoutAJournal:
    @pytest.fixture
    def journal(self) -> Journal:
        return NoJournal()

    async def test_there_is_nothing_to_back_up(self, api: Api) -> None:
        code, message = await refusal(api.stub.Backup(pb.BackupRequest()).read())
        assert code is grpc.StatusCode.INTERNAL
        assert "--state-dir none" in message
