"""Secrets on their way in: kept apart, never shown again, and gone when nothing refers to them."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message

from controller.errors import Invalid, NotFound, SafeError, Violation
from controller.framework import on
from controller.store import CONTAINER, EVENT, KINDS
from controller.testing.loading import registry_of
from handlers.revision import describe_difference, revision_of, template_of
from proto.dockrunner import v1 as pb
from tests.unit.handlers.secret_world import seen, world

CANARY = b"hunter2-\x00-canary"
TEXT = b"canary"
State = pb.ContainerStatus


def secret(content: bytes = b"", name: str = "key", **more: Any) -> pb.Secret:
    return pb.Secret(source=name, content=content, **more)


async def refused(call: Any) -> dict[str, str]:
    """What was wrong with it, by field; nothing of what is in secrets."""
    with pytest.raises(Invalid) as caught:
        await call
    assert TEXT not in str(caught.value).encode()
    return {violation.field: violation.description for violation in caught.value.violations}


async def test_an_apply_answers_with_a_version_in_place_of_the_content(tmp_path: Path) -> None:
    async with world(tmp_path) as machine:
        (shown,) = (await machine.apply(secrets=[secret(CANARY)])).spec.secrets
        assert (shown.content, len(shown.version)) == (b"", 32)
        assert machine.versions() == {shown.version}
        assert (machine.disk / "secrets" / shown.version).read_bytes() == CANARY


async def test_nothing_that_the_program_shows_or_keeps_has_the_content(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with world(tmp_path) as machine:
        answers: list[Message] = [
            await machine.apply(secrets=[secret(CANARY)]),
            await machine.apply(secrets=[secret(CANARY + b"2")], dry_run=True),
            await machine.apply(secrets=[secret(CANARY + b"3")]),
        ]
        bad = pb.Service(metadata=pb.Metadata(name="web"))
        bad.spec.secrets.add(source="no name\n", target="..", content=CANARY)
        for request in (pb.ApplyRequest(service=bad), pb.ApplyRequest(service=bad, dry_run=True)):
            await refused(machine.api.Apply(request, None))
        await refused(machine.api.ApplySet(pb.ApplySetRequest(services=[bad, bad]), None))
        good = pb.Service(metadata=pb.Metadata(name="api"), spec=pb.ServiceSpec(image="api:1"))
        good.spec.secrets.add(source="key", content=CANARY)
        answers += [
            await machine.api.ApplySet(pb.ApplySetRequest(services=[good]), None),
            await machine.api.Scale(pb.ScaleRequest(name="web", replicas=2), None),
            await machine.api.SetPaused(pb.SetPausedRequest(name="web", paused=False), None),
            await machine.api.Restart(pb.RestartRequest(name="web"), None),
            await machine.api.Rollback(pb.RollbackRequest(name="web"), None),
            await machine.api.Get(pb.GetRequest(name="web"), None),
            await machine.api.List(pb.ListRequest(), None),
            await machine.api.ListContainers(pb.ListContainersRequest(), None),
            await machine.api.ListRevisions(pb.ListRevisionsRequest(name="web"), None),
            await machine.api.ListEvents(pb.ListEventsRequest(), None),
            await machine.api.Delete(pb.DeleteRequest(name="api"), None),
        ]
        await machine.settle()
        assert TEXT not in b"".join(answer.SerializeToString() for answer in answers)
        for kind in KINDS:  # what watches tell
            assert TEXT not in b"".join(obj.SerializeToString() for obj in machine.program.store.list(kind))
        assert TEXT not in b"".join(record.data or b"" for record in machine.journal.read())
        assert TEXT.decode() not in caplog.text


async def test_the_same_content_again_changes_nothing_and_another_one_is_a_new_revision(tmp_path: Path) -> None:
    async with world(tmp_path) as machine:
        first = await machine.apply(secrets=[secret(b"one")])
        again = await machine.apply(secrets=[secret(b"one")])
        assert again.metadata.generation == first.metadata.generation
        assert seen(machine.engine) == {"/run/secrets/key": b"one"}
        rotated = await machine.apply(secrets=[secret(b"two")])
        assert revision_of(rotated.spec) != revision_of(first.spec)
        assert seen(machine.engine) == {"/run/secrets/key": b"two"}
        messages = [it.message for it in machine.program.store.list(EVENT) if it.reason == "Deleting"]
        assert any("secret key changed" in message for message in messages)


async def test_a_secret_without_content_keeps_its_present_version(tmp_path: Path) -> None:
    async with world(tmp_path) as machine:
        before = await machine.apply(secrets=[secret(b"one")])
        after = await machine.apply(image="web:2", secrets=[secret(target="elsewhere")])
        assert after.spec.secrets[0].version == before.spec.secrets[0].version
        assert seen(machine.engine) == {"/run/secrets/elsewhere": b"one"}


async def test_one_content_serves_all_mounts_of_its_secret(tmp_path: Path) -> None:
    async with world(tmp_path) as machine:
        await machine.apply(secrets=[secret(b"one"), secret(target="/etc/copy")])
        assert seen(machine.engine) == {"/run/secrets/key": b"one", "/etc/copy": b"one"}


async def test_a_secret_that_never_had_a_content_is_refused_with_the_way_out(tmp_path: Path) -> None:
    async with world(tmp_path) as machine:
        found = await refused(machine.apply(secrets=[secret(name="db")]))
        text = "secret db has no content; give `file` or `environment` in [secrets.db]"
        assert found == {"service.spec.secrets[0].content": text}


async def test_a_version_that_is_not_in_the_safe_is_refused_and_not_repeated(tmp_path: Path) -> None:
    async with world(tmp_path) as machine:
        found = await refused(machine.apply(secrets=[secret(version="../../canary")]))
        assert list(found) == ["service.spec.secrets[0].version"]
        version = (await machine.apply("other", secrets=[secret(b"one")])).spec.secrets[0].version
        await machine.apply(secrets=[secret(version=version)])
        assert all(files == {"/run/secrets/key": b"one"} for _, files in machine.engine.files())


async def test_a_content_that_is_too_large_is_refused(tmp_path: Path) -> None:
    async with world(tmp_path) as machine:
        found = await refused(machine.apply(secrets=[secret(b"x" * (500 * 1024 + 1))]))
        assert found == {"service.spec.secrets[0].content": "has 500 KiB; at most 500 are kept"}
        assert machine.versions() == set()


async def test_a_dry_run_says_the_version_and_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(tmp_path) as machine:
        with monkeypatch.context() as patched:
            patched.setattr(machine.program._safe, "keep", None)  # it is not even asked
            told = (await machine.apply(secrets=[secret(b"one")], dry_run=True)).spec.secrets[0].version
        assert machine.versions() == set()
        assert (await machine.apply(secrets=[secret(b"one")])).spec.secrets[0].version == told


async def test_what_a_refused_declaration_would_have_had_is_not_kept(tmp_path: Path) -> None:
    async with world(tmp_path) as machine:
        await machine.apply(secrets=[secret(b"one")])
        before = machine.versions()
        service = pb.Service(metadata=pb.Metadata(name="web", uid="another"))
        service.spec.MergeFrom(pb.ServiceSpec(image="web:1", secrets=[secret(b"two")]))
        with pytest.raises(Exception, match="another one now"):  # found out when all was admitted
            await machine.api.Apply(pb.ApplyRequest(service=service), None)
        await machine.settle()
        assert machine.versions() == before


async def test_when_it_cannot_be_kept_nothing_is_declared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(tmp_path) as machine:

        async def full(contents: object) -> None:
            raise SafeError("the disk is full")

        monkeypatch.setattr(machine.program._safe, "keep", full)
        with pytest.raises(SafeError):
            await machine.apply(secrets=[secret(b"one")])
        with pytest.raises(NotFound):
            machine.service()


async def test_handlers_of_the_users_never_see_a_content_and_what_they_put_in_is_kept_apart_too(
    tmp_path: Path,
) -> None:
    registry = registry_of([])
    shown: list[bytes] = []

    @on.mutate("Service", registry=registry)
    async def add(body: pb.Service, patch: Any) -> None:
        shown.append(body.SerializeToString())
        patch.spec.secrets.add(source="added", content=CANARY + b"2")

    @on.validate("Service", registry=registry)
    async def look(body: pb.Service) -> list[Violation]:
        shown.append(body.SerializeToString())
        return []

    async with world(tmp_path, registry) as machine:
        await machine.apply(secrets=[secret(CANARY)])
        assert shown
        assert TEXT not in b"".join(shown)
        assert TEXT not in machine.service().SerializeToString()
        assert seen(machine.engine) == {"/run/secrets/key": CANARY, "/run/secrets/added": CANARY + b"2"}


async def test_a_content_is_on_the_disk_before_its_declaration_is_and_stays_while_that_is_on_its_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path) as machine:
        commit, go_on = machine.journal.commit, asyncio.Event()
        before: list[set[str]] = []

        async def held(records: Any) -> None:
            before.append(machine.versions())
            await go_on.wait()
            await commit(records)

        monkeypatch.setattr(machine.journal, "commit", held)
        declaring = asyncio.create_task(machine.apply(secrets=[secret(b"one")]))
        await machine.settle()
        machine.program.secrets._stale.set()  # something else has gone meanwhile
        await machine.settle()
        assert len(before[0]) == 1
        assert machine.versions() == before[0]
        go_on.set()
        await declaring
        assert seen(machine.engine) == {"/run/secrets/key": b"one"}


async def test_a_handler_cannot_patch_a_content_into_a_service(tmp_path: Path) -> None:
    registry = registry_of([])

    @on.create("Service", registry=registry, retries=1)
    async def add(patch: Any) -> None:
        patch.spec.secrets.add(source="added", content=CANARY)

    async with world(tmp_path, registry) as machine:
        await machine.apply()
        assert len(machine.service().spec.secrets) == 0
        assert TEXT not in b"".join(record.data or b"" for record in machine.journal.read())
        messages = [event.message for event in machine.program.store.list(EVENT)]
        assert any("gives a secret its content while it is declared" in message for message in messages)


async def test_undo_brings_the_old_content_back(tmp_path: Path) -> None:
    async with world(tmp_path) as machine:
        for content in (b"one", b"two", b"three"):
            await machine.apply(secrets=[secret(content)])
        await machine.api.Rollback(pb.RollbackRequest(name="web", revision="1"), None)
        await machine.settle()
        assert seen(machine.engine) == {"/run/secrets/key": b"one"}


async def test_a_content_is_in_the_safe_for_as_long_as_something_refers_to_it(tmp_path: Path) -> None:
    async with world(tmp_path) as machine:
        for number in range(14):
            await machine.apply(secrets=[secret(b"%d" % number)])
        assert len(machine.versions()) == 10  # as many as revisions are kept
        assert machine.versions() == machine.referred_to()
        await machine.api.Delete(pb.DeleteRequest(name="web"), None)
        await machine.settle()
        assert (machine.versions(), machine.folders()) == (set(), [])


async def test_what_an_earlier_run_left_over_is_removed_at_the_start(tmp_path: Path) -> None:
    async with world(tmp_path) as machine:
        await machine.apply(secrets=[secret(b"one")])
        kept = machine.versions()
        await machine.stop()
        (machine.disk / "secrets" / ("0" * 32)).write_bytes(b"left over")
        await machine.start()
        assert machine.versions() == kept


async def test_a_backup_of_another_machine_is_refused_as_it_has_no_secrets(tmp_path: Path) -> None:
    async with world(tmp_path) as machine:
        service = pb.Service(metadata=pb.Metadata(name="web", manager="api"))
        service.spec.MergeFrom(pb.ServiceSpec(image="web:1", secrets=[secret(version="f" * 32)]))
        found = await refused(machine.api._declarations.restore([service], dry_run=False))
        text = "the content of secret key is not kept here, and no backup has it: declare it again"
        assert found == {"services[web].spec.secrets[0].version": text}


async def test_a_content_that_was_lost_is_told_at_the_start_and_mended_by_declaring_it_again(tmp_path: Path) -> None:
    async with world(tmp_path) as machine:
        before = await machine.apply(secrets=[secret(b"one")])
        await machine.stop()
        (machine.disk / "secrets" / before.spec.secrets[0].version).unlink()
        machine.lose_files()
        machine.engine.kill_all()
        await machine.start()
        assert "SecretsMissing" in [event.reason for event in machine.program.store.list(EVENT)]
        (waiting,) = [it for it in machine.program.store.list(CONTAINER) if it.status.state != State.EXITED]
        assert waiting.status.reason == "FilesMissing"
        assert "secret key: its content is not there any more; declare it again" in waiting.status.message
        await machine.apply(secrets=[secret(b"one")])  # within a minute it is tried again
        assert seen(machine.engine) == {"/run/secrets/key": b"one"}
        assert machine.service().status.ready_replicas == 1


async def test_a_revision_is_of_the_version_and_never_of_the_content() -> None:
    one, other = (pb.ServiceSpec(image="i", secrets=[secret(it, version="v")]) for it in (b"one", b"other"))
    assert revision_of(one) == revision_of(other)
    assert template_of(one).secrets[0].content == b""
    other.secrets[0].version = "w"
    assert revision_of(one) != revision_of(other)


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ({"secrets": [secret(version="v1")]}, {"secrets": [secret(version="v2")]}, "secret key changed"),
        (
            {"configs": [pb.Config(source="nginx.conf", content=b"a"), pb.Config(source="same")]},
            {"configs": [pb.Config(source="nginx.conf", content=b"b"), pb.Config(source="same")]},
            "config nginx.conf changed",
        ),
        (
            {"secrets": [secret(version="v1")]},
            {"configs": [pb.Config(source="c")]},
            "secret key removed, config c added",
        ),
    ],
)
def test_what_differs_is_said_by_name_alone(old: Any, new: Any, text: str) -> None:
    assert describe_difference(pb.ServiceSpec(**old), pb.ServiceSpec(**new)) == text
