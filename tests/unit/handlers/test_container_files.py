"""Secrets and configs as files: owner, mode, place; there as long as their container, and again when they were lost."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from controller.errors import FilesRefused, Invalid
from controller.store import CONTAINER, EVENT
from handlers import container_files
from handlers.container_files import ContainerFiles
from handlers.private_folder import NotOurs, make_private, on_tmpfs, write_file
from proto.dockrunner import v1 as pb
from tests.unit.handlers.secret_world import MEMORY, World, in_memory, seen, world


def secret(content: bytes = b"x", **more: Any) -> pb.Secret:
    return pb.Secret(**{"source": "key", "content": content, **more})


def config(content: bytes = b"x", **more: Any) -> pb.Config:
    return pb.Config(**{"source": "app.conf", "content": content, **more})


def stats(machine: World) -> dict[str, tuple[int, int, int]]:
    """Owner, group and mode of each file of the only container, by where it is to be seen."""
    (container,) = machine.engine._containers.values()
    found = {mount.target: os.stat(mount.source) for mount in container.request.files}
    return {target: (it.st_uid, it.st_gid, it.st_mode & 0o7777) for target, it in found.items()}


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


@needs_root
@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({"secrets": [secret()]}, {"/run/secrets/key": (0, 0, 0o400)}),
        ({"secrets": [secret()], "user": "1000:1001"}, {"/run/secrets/key": (1000, 1001, 0o400)}),
        ({"secrets": [secret()], "user": "1000"}, {"/run/secrets/key": (1000, 0, 0o400)}),
        ({"secrets": [secret()], "user": "app:staff"}, {"/run/secrets/key": (0, 0, 0o400)}),
        (
            {"secrets": [secret(target="sub/k", uid="7", gid="8", mode=0o440)], "user": "1000"},
            {"/run/secrets/sub/k": (7, 8, 0o440)},
        ),
        ({"secrets": [secret(target="/etc/k")]}, {"/etc/k": (0, 0, 0o400)}),
        ({"configs": [config()], "user": "1000"}, {"/app.conf": (0, 0, 0o444)}),
        ({"configs": [config(target="/etc/a", uid="7", mode=0o600)]}, {"/etc/a": (7, 0, 0o600)}),
    ],
)
async def test_each_file_has_its_place_its_owner_and_its_mode(
    tmp_path: Path, spec: dict[str, Any], wanted: dict[str, tuple[int, int, int]]
) -> None:
    async with world(tmp_path) as machine:
        await machine.apply(**spec)
        assert stats(machine) == wanted


async def test_nobody_but_us_gets_into_the_folders(tmp_path: Path) -> None:
    async with world(tmp_path) as machine:
        await machine.apply(secrets=[secret()])
        (folder,) = machine.folders()
        assert [path.stat().st_mode & 0o777 for path in (folder, *folder.parents[:2])] == [0o700] * 3


async def test_the_template_of_a_container_says_nothing_of_its_files(tmp_path: Path) -> None:
    async with world(tmp_path) as machine:
        await machine.apply(secrets=[secret()], configs=[config()])
        (container,) = machine.program.store.list(CONTAINER)
        assert len(container.spec.template.volumes) == 0
        assert len(container.spec.template.secrets) == 1


async def test_the_folder_goes_with_the_container(tmp_path: Path) -> None:
    async with world(tmp_path) as machine:
        await machine.apply(replicas=3, secrets=[secret()])
        assert len(machine.folders()) == 3
        await machine.apply(replicas=1, secrets=[secret()])
        (left,) = machine.program.store.list(CONTAINER)
        assert [folder.name for folder in machine.folders()] == [left.metadata.uid]


async def test_folders_of_containers_that_went_while_the_program_was_down_are_removed(tmp_path: Path) -> None:
    async with world(tmp_path) as machine:
        await machine.apply(replicas=2, secrets=[secret()])
        await machine.stop()
        machine.engine.discard(next(iter(machine.engine._containers)))
        (machine.memory / "default" / "files" / "left-over").mkdir()
        await machine.start()
        assert len(machine.engine.files()) == len(machine.folders()) == 2
        assert {it.name for it in machine.folders()} == {
            it.metadata.uid for it in machine.program.store.list(CONTAINER)
        }


async def test_files_of_a_running_container_that_were_lost_are_written_again_at_the_start(tmp_path: Path) -> None:
    async with world(tmp_path) as machine:
        await machine.apply(secrets=[secret(b"one")], configs=[config(b"two")])
        before = list(machine.engine._containers)
        await machine.stop()
        machine.lose_files()
        await machine.start()
        assert list(machine.engine._containers) == before
        assert seen(machine.engine) == {"/run/secrets/key": b"one", "/app.conf": b"two"}
        assert "FilesRestored" in [event.reason for event in machine.program.store.list(EVENT)]


async def test_an_outdated_container_gets_the_files_of_its_own_revision_again(tmp_path: Path) -> None:
    async with world(tmp_path) as machine:
        await machine.apply(secrets=[secret(b"old")])
        await machine.api.SetPaused(pb.SetPausedRequest(name="web", paused=True), None)
        await machine.apply(secrets=[secret(b"new")])
        await machine.stop()
        machine.lose_files()
        await machine.start()
        assert seen(machine.engine) == {"/run/secrets/key": b"old"}


async def test_secrets_are_refused_where_a_disk_would_have_them_and_configs_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container_files, "on_tmpfs", lambda path: False)
    async with world(tmp_path) as machine:
        await machine.apply(configs=[config()])
        assert machine.service().status.ready_replicas == 1
        await machine.apply("db", secrets=[secret()])
        (waiting,) = machine.program.store.list(CONTAINER, index="service", value="db")
        assert "secrets need a tmpfs" in waiting.status.message
        assert waiting.status.reason == "CreateFailed"
        assert [file.name for folder in machine.folders() for file in folder.iterdir()] == ["config-0-app.conf"]


async def test_a_service_with_files_needs_the_engine_on_this_machine(tmp_path: Path) -> None:
    async with world(tmp_path) as machine:
        machine.engine.is_local = False
        with pytest.raises(Invalid, match="need the Engine on this machine"):
            await machine.apply(secrets=[secret()])
        await machine.apply()
        assert machine.service().status.ready_replicas == 1


async def test_a_container_that_cannot_be_given_to_its_user_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_root(descriptor: int, uid: int, gid: int) -> None:
        raise PermissionError(1, "not permitted")

    monkeypatch.setattr(os, "fchown", not_root)
    async with world(tmp_path) as machine:
        await machine.apply(secrets=[secret()], user="12345")
        (event,) = [it for it in machine.program.store.list(EVENT) if it.reason == "FilesNotOwned"]
        assert "/run/secrets/key cannot be given to another user" in event.message
        assert machine.service().status.ready_replicas == 1


async def test_a_uid_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    async with world(tmp_path) as machine:
        made = pb.Container(metadata=pb.Metadata(name="n", uid="../x"))
        made.spec.template.configs.add(source="c", content=b"x")
        with pytest.raises(FilesRefused, match="none of ours"):
            await machine.program.files.make(made)


async def test_a_number_that_no_user_has_is_refused_in_words(tmp_path: Path) -> None:
    async with world(tmp_path) as machine:
        made = pb.Container(metadata=pb.Metadata(name="n", uid="u1"))
        made.spec.template.configs.add(source="c", content=b"x", uid="9999999999")
        with pytest.raises(FilesRefused, match="so high a number"):
            await machine.program.files.make(made)


async def test_without_a_folder_nothing_is_written(tmp_path: Path) -> None:
    async with world(tmp_path) as machine:
        program = machine.program
        files = ContainerFiles(None, program._safe, program.store, program.recorder, machine.engine)
        made = pb.Container(metadata=pb.Metadata(name="n", uid="u1"))
        made.spec.template.configs.add(source="c", content=b"x")
        assert await files.make(made) == ()


def test_a_folder_of_somebody_else_and_a_link_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(NotOurs):
        make_private(tmp_path / "link")
    (tmp_path / "theirs").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: 4321)
    with pytest.raises(NotOurs):
        make_private(tmp_path / "theirs")


def test_a_folder_that_others_could_enter_is_closed(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    make_private(tmp_path / "open")
    assert (tmp_path / "open").stat().st_mode & 0o777 == 0o700


def test_a_tmpfs_is_told_from_a_disk(tmp_path: Path) -> None:
    with in_memory() as memory:
        assert on_tmpfs(memory)
    assert not on_tmpfs(Path("/proc"))
    with pytest.raises(OSError, match="No such file"):
        on_tmpfs(Path(MEMORY, "not-there"))


def test_what_is_too_large_for_what_is_left_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, mode: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fchmod", full)
    with pytest.raises(OSError, match="No space"):
        write_file(tmp_path / "f", b"x", os.geteuid(), os.getegid(), 0o400)
    assert list(tmp_path.iterdir()) == []
    shutil.rmtree(tmp_path)
