"""How handlers are tested: the harness, step by step."""

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from controller import Invalid, PermanentError, Result, TemporaryError, on
from controller.errors import HandlersBroken, ManagedElsewhere, NotFound, StartError
from controller.framework import Registry
from controller.testing import Harness
from handlers.policy import Policy
from proto.dockrunner import v1 as pb

from .conftest import Write

State = pb.ContainerStatus


async def test_an_applied_service_runs_before_any_time_has_passed() -> None:
    async with Harness() as dock:
        await dock.apply("web", image="nginx:1.27", replicas=2)
        assert dock.service("web").status.ready_replicas == 2
        assert [it.status.state for it in dock.containers("web")] == [State.RUNNING, State.RUNNING]
        assert dock.condition("web", "Ready").status == "True"


async def test_a_service_is_admitted_as_by_the_api() -> None:
    async with Harness(policy=Policy(max_replicas=3)) as dock:
        applied = await dock.apply("web", image="nginx:1.27")
        assert (applied.spec.replicas, applied.spec.restart) == (1, "always")
        with pytest.raises(Invalid, match="not an image reference"):
            await dock.apply("web", image="No Image")
        with pytest.raises(Invalid, match="the policy allows 3"):
            await dock.apply("web", image="nginx:1.27", replicas=4)
        await dock.apply("db", image="postgres:17", manager="file")
        with pytest.raises(ManagedElsewhere):
            await dock.apply("db", image="postgres:18")
        assert dock.services() == ["db", "web"]


async def test_a_whole_service_may_be_applied(registry: Registry) -> None:
    async with Harness() as dock:
        labels = {"tier": "front"}
        await dock.apply(
            pb.Service(metadata=pb.Metadata(name="web", labels=labels), spec=pb.ServiceSpec(image="web:1"))
        )
        assert dict(dock.service("web").metadata.labels) == labels


async def test_a_handler_of_a_file_is_called_and_its_words_are_in_the_log(write: Write) -> None:
    greet = write("""
        from controller import on

        @on.create("Service")
        async def greet(name, logger):
            logger.info("hello")
    """)
    async with Harness(greet) as dock:
        await dock.apply("web", image="web:1")
        assert "INFO web: hello" in dock.log


async def test_a_handler_of_the_test_itself_is_declared_into_a_registry(registry: Registry) -> None:
    @on.mutate("Service", registry=registry)
    async def name_the_team(patch: Any) -> None:
        patch.annotations["team"] = "nobody"

    async with Harness(registry) as dock:
        await dock.apply("web", image="web:1")
        assert dock.service("web").metadata.annotations["team"] == "nobody"


async def test_time_passes_only_when_it_is_told_to(registry: Registry) -> None:
    told: list[datetime] = []
    begin = datetime(2026, 3, 1, 2, 55, tzinfo=UTC)

    @on.timer("Service", interval=60, registry=registry)
    async def tick(now: datetime) -> None:
        told.append(now)

    async with Harness(registry, now=begin) as dock:
        await dock.apply("web", image="web:1")
        await dock.advance(59)
        assert told == []
        await dock.advance(61)
        assert told == [begin + timedelta(minutes=1), begin + timedelta(minutes=2)]


async def test_a_plain_function_runs_in_a_thread_and_is_waited_for(registry: Registry) -> None:
    threads: list[str] = []

    @on.create("Service", registry=registry)
    def plain() -> None:
        threads.append(threading.current_thread().name)

    @on.create("Service", registry=registry)
    async def handing_over() -> None:
        await asyncio.to_thread(plain)

    async with Harness(registry) as dock:
        await dock.apply("web", image="web:1")
        assert len(threads) == 2
        assert threading.current_thread().name not in threads


async def test_what_follows_from_a_plain_function_is_waited_for_as_well(registry: Registry) -> None:
    @on.create("Service", registry=registry)
    def ask_for_three(patch: Any) -> None:
        patch.spec.replicas = 3

    async with Harness(registry) as dock:
        await dock.apply("web", image="web:1", replicas=1)
        assert dock.service("web").status.ready_replicas == 3


async def test_a_plain_function_that_does_not_end_fails_the_test(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controller.testing.clock.PATIENCE", 0.05)
    ended = threading.Event()
    on.create("Service", id="stuck", registry=registry)(lambda **_: ended.wait())
    async with Harness(registry) as dock:
        with pytest.raises(TimeoutError, match="1 calls of plain functions"):
            await dock.apply("web", image="web:1")
        ended.set()
        await dock.advance(0)


async def test_a_handler_that_is_called_again_in_no_time_fails_the_test(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controller.testing.clock._MOST_TURNS", 100)
    calm: list[bool] = []
    on.reconcile("Service", id="restless", registry=registry)(restless(calm))
    async with Harness(registry) as dock:
        with pytest.raises(RuntimeError, match="in no time"):
            await dock.apply("web", image="web:1")
        calm.append(True)


def restless(calm: list[bool]) -> Any:
    async def handler(**_: Any) -> Result:
        return Result() if calm else Result(requeue_after=0)

    return handler


async def test_retries_and_their_pauses_are_seen_in_moved_time(registry: Registry) -> None:
    calls: list[int] = []

    @on.create("Service", registry=registry)
    async def not_yet(retry: int) -> None:
        calls.append(retry)
        if retry < 2:
            raise TemporaryError("not yet", delay=30)

    async with Harness(registry) as dock:
        await dock.apply("web", image="web:1")
        await dock.advance(59)
        assert calls == [0, 1]
        await dock.advance(1)
        assert calls == [0, 1, 2]


async def test_what_failed_is_in_the_events_of_the_service(registry: Registry) -> None:
    @on.create("Service", registry=registry)
    async def never() -> None:
        raise PermanentError("out of paper")

    async with Harness(registry) as dock:
        await dock.apply("web", image="web:1")
        await dock.apply("db", image="db:1")
        assert [event.message for event in dock.events("web") if event.reason == "HandlerFailed"] == [
            f"test: {never.__qualname__}: out of paper"
        ]
        assert len(dock.events()) > len(dock.events("web"))


async def test_a_refused_declaration_changes_nothing(registry: Registry) -> None:
    @on.validate("Service", field="spec.image", registry=registry)
    async def no_latest(value: str = "", new: str = "") -> None:
        if new.endswith(":latest"):
            raise PermanentError("name a version")

    async with Harness(registry) as dock:
        with pytest.raises(Invalid, match="name a version"):
            await dock.apply("web", image="web:latest")
        assert dock.services() == []


@pytest.mark.parametrize("harm", ["kill", "discard"])
async def test_a_container_that_is_taken_away_is_replaced(harm: str) -> None:
    async with Harness() as dock:
        await dock.apply("web", image="web:1", replicas=2)
        first, second = (it.metadata.name for it in dock.containers("web"))
        getattr(dock.engine, harm)("web", slot=2)
        await dock.advance(10)
        names = [it.metadata.name for it in dock.containers("web")]
        assert first in names
        assert second not in names
        assert len(names) == 2


async def test_a_crash_is_counted_and_the_container_comes_back() -> None:
    async with Harness() as dock:
        await dock.apply("web", image="web:1")
        dock.engine.crash("web", exit_code=3)
        await dock.advance(0)
        (container,) = dock.containers("web")
        assert (container.status.restart_count, container.status.state) == (1, State.RUNNING)


async def test_a_container_that_is_not_there_cannot_crash() -> None:
    async with Harness() as dock:
        with pytest.raises(NotFound, match="slot 1 of service 'web'"):
            dock.engine.crash("web")


async def test_an_engine_that_is_away_changes_nothing_until_it_is_back() -> None:
    async with Harness() as dock:
        await dock.apply("web", image="web:1")
        dock.engine.go_away()
        await dock.advance(60)
        await dock.apply("web", image="web:1", replicas=2)
        assert len(await _engine_list(dock)) == 1
        dock.engine.come_back()
        await dock.advance(10)
        assert dock.service("web").status.ready_replicas == 2


async def _engine_list(dock: Harness) -> list[str]:
    return [it.status.docker_id for it in dock.containers("web") if it.status.docker_id]


async def test_an_image_that_is_not_there_is_pulled() -> None:
    async with Harness() as dock:
        dock.engine.lose_image("far/away:1")
        await dock.apply("web", image="far/away:1")
        assert "Pulled" in [event.reason for event in dock.events("web")]


async def test_containers_have_addresses_of_their_own_while_they_run() -> None:
    async with Harness() as dock:
        await dock.apply("web", image="web:1", replicas=2, restart="no")
        addresses = [dict(it.status.addresses) for it in dock.containers("web")]
        assert all(list(it) == ["dock-runner-default"] for it in addresses)
        assert len({address for it in addresses for address in it.values()}) == 2
        dock.engine.crash("web", slot=1, exit_code=0)
        await dock.advance(0)
        assert not dock.containers("web")[0].status.addresses


async def test_a_deleted_service_goes_with_its_containers() -> None:
    async with Harness() as dock:
        await dock.apply("web", image="web:1", replicas=3)
        await dock.delete("web")
        assert dock.services() == []
        assert dock.containers("web") == []
        with pytest.raises(NotFound):
            dock.service("web")


async def test_a_deletion_waits_for_its_handlers_unless_it_is_forced(registry: Registry) -> None:
    @on.delete("Service", registry=registry)
    async def never() -> None:
        raise PermanentError("the archive is full")

    async with Harness(registry) as dock:
        await dock.apply("web", image="web:1")
        await dock.delete("web")
        assert dock.condition("web", "DeletionBlocked").status == "True"
        await dock.delete("web", force=True)
        assert dock.services() == []


async def test_the_program_is_started_again_with_what_it_kept(registry: Registry) -> None:
    told: list[str] = []
    for decorator in (on.create, on.resume):
        decorator("Service", id="tell", registry=registry)(lambda name, reason: told.append(f"{reason} {name}"))
    async with Harness(registry) as dock:
        await dock.apply("web", image="web:1", replicas=2)
        before = [it.metadata.name for it in dock.containers("web")]
        await dock.restart()
        assert [it.metadata.name for it in dock.containers("web")] == before
        assert dock.service("web").status.ready_replicas == 2
    assert told == ["create web", "resume web"]


async def test_what_is_deleted_stays_deleted_over_a_restart() -> None:
    async with Harness() as dock:
        await dock.apply("web", image="web:1")
        await dock.delete("web")
        await dock.restart()
        assert dock.services() == []


async def test_containers_go_on_while_the_program_is_down() -> None:
    async with Harness() as dock:
        await dock.apply("web", image="web:1")
        began = dock.clock.now()
        await dock.restart(downtime=3600)
        assert dock.clock.now() >= began + timedelta(hours=1)
        assert dock.containers("web")[0].status.started_at.ToDatetime(UTC) == began


async def test_a_daemon_is_told_to_stop_and_given_its_time(registry: Registry) -> None:
    told: list[str] = []

    @on.daemon("Service", cancellation_backoff=3, registry=registry)
    async def watch(stopped: Any) -> None:
        await stopped.wait()
        told.append("stopped")

    async with Harness(registry) as dock:
        await dock.apply("web", image="web:1")
    assert told == ["stopped"]


async def test_handlers_that_are_not_there_or_broken_fail_the_test(write: Write) -> None:
    with pytest.raises(StartError, match="no such file"):
        await Harness("nowhere.py").__aenter__()
    with pytest.raises(HandlersBroken, match="division by zero"):
        await Harness(write("1 / 0")).__aenter__()


async def test_a_startup_handler_that_fails_fails_the_test(registry: Registry) -> None:
    @on.startup(registry=registry)
    async def check() -> None:
        raise RuntimeError("no token")

    with pytest.raises(StartError, match="no token"):
        await Harness(registry).__aenter__()
