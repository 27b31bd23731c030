"""The agent between real files and a real gRPC server."""

import asyncio
import logging
import os
import time
from pathlib import Path

import grpc
import pytest
from google.protobuf.any_pb2 import Any
from google.rpc.code_pb2 import INVALID_ARGUMENT  # type: ignore[import-untyped]  # brings no marker for its stubs
from google.rpc.error_details_pb2 import BadRequest  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from grpc_status import rpc_status

from controller.clock import SystemClock
from controller.config_agent.watch import LOOK_EVERY
from proto.dockrunner import v1 as pb

from .conftest import DB, WEB, Answer, Api, Follow, accept, names, remove, until, write


class RecordingClock(SystemClock):
    """Keeps how long was slept; a fast one does not sleep, but for the regular look at the file, which never comes."""

    def __init__(self, *, fast: bool = False) -> None:
        self.slept: list[float] = []
        self._fast = fast

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if not self._fast:
            await asyncio.sleep(seconds)
        elif seconds == LOOK_EVERY:
            await asyncio.Event().wait()


def refuse(code: grpc.StatusCode, details: str) -> Answer:
    async def answer(
        request: pb.ApplySetRequest, context: "grpc.aio.ServicerContext[pb.ApplySetRequest, pb.ApplySetResponse]"
    ) -> pb.ApplySetResponse:
        await context.abort(code, details)
        raise AssertionError

    return answer


def invalid(*violations: tuple[str, str]) -> Answer:
    async def answer(
        request: pb.ApplySetRequest, context: "grpc.aio.ServicerContext[pb.ApplySetRequest, pb.ApplySetResponse]"
    ) -> pb.ApplySetResponse:
        found = BadRequest(
            field_violations=[BadRequest.FieldViolation(field=field, description=text) for field, text in violations]
        )
        detail = Any()
        detail.Pack(found)
        await context.abort_with_status(
            rpc_status.to_status(Status(code=INVALID_ARGUMENT, message="invalid", details=[detail]))
        )
        raise AssertionError

    return answer


async def test_the_file_is_applied_at_start_as_a_whole(api: Api, follow: Follow, file: Path) -> None:
    running = follow(file)
    request = await api.next()
    assert request == pb.ApplySetRequest(
        services=[pb.Service(metadata=pb.Metadata(name="web"), spec=pb.ServiceSpec(image="web"))],
        manager="file",
        prune=True,
    )
    await asyncio.wait_for(running.agent.first_applied.wait(), 10)
    assert await running.report() == ("Normal", "ConfigApplied", f"{file} applied: 1 created")
    assert running.agent.last_error == ""
    assert running.value("successful") == 1
    assert time.time() - 10 < (running.value("success_timestamp_seconds") or 0) <= time.time()


async def test_an_edit_in_place_is_applied_at_once(api: Api, follow: Follow, file: Path) -> None:
    follow(file)
    await api.next()
    start = time.monotonic()
    write(file, WEB + DB)
    assert names(await api.next()) == ["web", "db"]
    assert time.monotonic() - start < 4, "later than an event would say, if not than a look every 5 s"


async def test_a_file_renamed_over_is_applied_each_time(api: Api, follow: Follow, file: Path) -> None:
    follow(file)
    await api.next()
    for image in ("a", "b", "c"):
        new = file.with_name("new~")
        new.write_text(f'[services.web]\nimage = "{image}"\n')
        new.replace(file)
        assert (await api.next()).services[0].spec.image == image


async def test_a_config_map_swapped_at_its_link_is_applied_each_time(api: Api, follow: Follow, tmp_path: Path) -> None:
    mount = tmp_path / "mount"

    def publish(version: str) -> None:
        folder = mount / f"..{version}"
        folder.mkdir(parents=True)
        (folder / "services.toml").write_text(f'[services.web]\nimage = "{version}"\n')
        (mount / "..data_tmp").symlink_to(folder.name)
        (mount / "..data_tmp").replace(mount / "..data")

    publish("1")
    (mount / "services.toml").symlink_to("..data/services.toml")
    follow(mount / "services.toml")
    assert (await api.next()).services[0].spec.image == "1"
    for version in ("2", "3"):
        publish(version)
        assert (await api.next()).services[0].spec.image == version


async def test_a_link_to_a_file_elsewhere_is_followed(api: Api, follow: Follow, file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.toml"
    link.symlink_to(file)
    follow(link)
    await api.next()
    write(file, DB)
    assert names(await api.next()) == ["db"]
    other = tmp_path / "other.toml"
    other.write_text(WEB + DB)
    (tmp_path / "tmp").symlink_to(other)
    (tmp_path / "tmp").replace(link)
    assert names(await api.next()) == ["web", "db"]


async def test_a_file_that_comes_later_is_applied_then(api: Api, follow: Follow, tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "services.toml"
    running = follow(path)
    assert (await running.report())[1] == "ConfigUnreadable"
    assert not running.agent.first_applied.is_set()
    path.parent.mkdir(parents=True)
    path.write_text(WEB)
    assert names(await api.next()) == ["web"]


async def test_a_folder_is_followed_file_by_file(api: Api, follow: Follow, file: Path) -> None:
    follow(file.parent)
    assert names(await api.next()) == ["web"]
    (file.parent / "a.toml").write_text(DB)
    assert names(await api.next()) == ["db", "web"]
    remove(file)
    assert names(await api.next()) == ["db"]


@pytest.mark.parametrize("allow_empty", [False, True])
async def test_a_deleted_file_deletes_nothing(api: Api, follow: Follow, file: Path, allow_empty: bool) -> None:
    running = follow(file, allow_empty=allow_empty)
    await api.next()
    await running.report()
    remove(file)
    type_, reason, message = await running.report()
    assert (type_, reason) == ("Warning", "ConfigUnreadable")
    assert message == f"nothing is changed or deleted: {file}: cannot be read: No such file or directory"
    assert running.value("successful") == 0
    write(file, WEB)
    await running.in_force()
    assert running.value("successful") == 1
    assert api.requests.empty(), "what is in force already is not applied again"


@pytest.mark.parametrize("text", ["", "# nothing\n", "[services]\n"])
async def test_a_file_without_services_deletes_nothing(api: Api, follow: Follow, file: Path, text: str) -> None:
    running = follow(file)
    await api.next()
    await running.report()
    write(file, text)
    message = f"{file} declares no service: nothing is deleted unless --allow-empty is given"
    assert await running.report() == ("Warning", "ConfigEmpty", message)
    assert running.value("successful") == 0
    assert api.requests.empty()


async def test_a_file_without_services_deletes_all_when_that_is_allowed(api: Api, follow: Follow, file: Path) -> None:
    follow(file, allow_empty=True)
    await api.next()
    write(file, "")
    assert await api.next() == pb.ApplySetRequest(manager="file", prune=True, allow_empty=True)


async def test_an_empty_file_at_start_is_no_reason_to_be_unready(api: Api, follow: Follow, file: Path) -> None:
    write(file, "")
    running = follow(file)
    await asyncio.wait_for(running.agent.first_applied.wait(), 10)
    assert api.requests.empty()


async def test_a_broken_file_changes_nothing_until_it_is_fixed(
    api: Api, follow: Follow, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    running = follow(file)
    await api.next()
    await running.report()
    write(file, WEB + "replica = 1\nuser = false\n")
    text = (
        f"{file}:3:1: services.web.replica: unknown key `replica`; did you mean `replicas`?\n"
        f"{file}:4:1: services.web.user: expected a string, got true or false"
    )
    assert await running.report() == ("Warning", "ConfigInvalid", text)
    assert running.agent.last_error == text
    assert [(record.levelno, record.message) for record in caplog.records if record.levelno >= logging.ERROR] == [
        (logging.ERROR, line) for line in text.splitlines()
    ]
    assert running.value("successful") == 0
    assert api.requests.empty()
    write(file, WEB + "replicas = 1\n")
    assert (await api.next()).services[0].spec.replicas == 1
    await running.in_force()
    assert running.value("successful") == 1


async def test_what_the_api_refuses_is_said_at_its_place_in_the_file(api: Api, follow: Follow, file: Path) -> None:
    write(file, WEB + 'ports = ["80",\n  "81"]\n')
    api.answer = invalid(("services[0].spec.ports[1].target", "taken"), ("manager", "odd"), ("services[0].spec", "bad"))
    running = follow(file)
    assert await running.report() == (
        "Warning", "ConfigInvalid",
        f"{file}: manager: odd\n{file}:1:11: services.web: bad\n{file}:4:3: services.web.ports[1].target: taken",
    )  # fmt: skip
    assert not running.agent.first_applied.is_set()
    api.answer = accept
    assert (await running.report())[1] == "ConfigApplied"


async def test_another_managers_service_is_named_and_tried_again(api: Api, follow: Follow, file: Path) -> None:
    api.answer = refuse(grpc.StatusCode.FAILED_PRECONDITION, "web is managed by api")
    running = follow(file)
    assert await running.report() == (
        "Warning", "ConfigRefused", f"{file} is refused for now: web is managed by api"
    )  # fmt: skip
    for _ in range(3):
        await api.next()
    assert running.reports.empty(), "the same cause is said once"
    api.answer = accept
    assert (await running.report())[1] == "ConfigApplied"


async def test_what_the_file_says_last_is_applied_when_the_api_is_back(api: Api, follow: Follow, file: Path) -> None:
    clock = RecordingClock()
    await api.stop()
    running = follow(file, clock=clock)
    type_, reason, message = await running.report()
    assert (type_, reason) == ("Warning", "ConfigWaiting")
    assert message.startswith(f"{file} waits for the API (UNAVAILABLE): ")
    write(file, WEB + DB)
    write(file, DB)
    await until(lambda: clock.slept.count(0.8) == 1)  # some more attempts fail
    assert running.reports.empty(), "the same cause is said once"
    await api.start()
    assert names(await api.next()) == ["db"]
    await running.in_force()
    assert running.agent.first_applied.is_set()
    assert api.requests.empty()


async def test_a_server_that_goes_and_comes_back_is_found_again(api: Api, follow: Follow, file: Path) -> None:
    running = follow(file)
    await api.next()
    await running.report()
    await api.stop()
    write(file, DB)
    assert (await running.report())[1] == "ConfigWaiting"
    await api.start()
    assert names(await api.next()) == ["db"]


async def test_what_may_have_been_applied_is_not_taken_for_what_is(api: Api, follow: Follow, file: Path) -> None:
    running = follow(file)
    await api.next()
    await running.report()
    api.answer = refuse(grpc.StatusCode.DEADLINE_EXCEEDED, "it may have happened")
    write(file, DB)
    assert (await running.report())[1] == "ConfigWaiting"
    write(file, WEB)
    async with asyncio.timeout(10):
        while names(await api.next()) != ["web"]:
            pass


async def test_the_same_services_are_not_applied_again_unless_asked(api: Api, follow: Follow, file: Path) -> None:
    running = follow(file)
    await api.next()
    await running.report()
    await until(lambda: running.agent.first_applied.is_set())
    before = running.value("success_timestamp_seconds")
    write(file, "# a comment\n" + WEB)
    await until(lambda: running.value("success_timestamp_seconds") != before)
    assert api.requests.empty()
    assert await running.agent.reload()
    assert names(await api.next()) == ["web"]
    running.agent.request_reload()
    assert names(await api.next()) == ["web"]


async def test_reload_says_whether_the_file_is_in_force(api: Api, follow: Follow, file: Path) -> None:
    running = follow(file)
    await api.next()
    await running.report()
    write(file, "x")
    assert not await running.agent.reload()
    assert running.agent.last_error == f"{file}:1:2: x: expected `=`"
    assert (await running.report())[1] == "ConfigInvalid"
    assert not await running.agent.reload()
    assert (await running.report())[1] == "ConfigInvalid", "who asks is told again"


async def test_a_reload_that_the_api_refuses_is_tried_again(api: Api, follow: Follow, file: Path) -> None:
    running = follow(file)
    await api.next()
    api.answer = refuse(grpc.StatusCode.UNAVAILABLE, "no")
    assert not await running.agent.reload()
    api.answer = accept
    await running.in_force()


async def test_stopping_takes_no_time_and_leaves_nothing(api: Api, follow: Follow, file: Path) -> None:
    running = follow(file)
    await api.next()
    before = time.monotonic()
    running.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running.task
    assert time.monotonic() - before < 1


async def test_waits_between_attempts_double_up_to_a_limit(api: Api, follow: Follow, file: Path) -> None:
    os.utime(file, (0, 0))
    clock = RecordingClock(fast=True)
    api.answer = refuse(grpc.StatusCode.RESOURCE_EXHAUSTED, "full")
    follow(file, clock=clock)
    for _ in range(10):
        await api.next()
    assert [seconds for seconds in clock.slept if seconds != LOOK_EVERY][:9] == [
        0.1,
        0.2,
        0.4,
        0.8,
        1.6,
        3.2,
        6.4,
        10.0,
        10.0,
    ]
