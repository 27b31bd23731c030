"""What a service waits for, whose networks it shares, and who is looked at again when those around it move."""

from pathlib import Path
from typing import Any

import pytest

from controller.metrics import Metrics
from controller.program import Program
from controller.store import CONTAINER, SERVICE, Journal, Store
from handlers.admission import fill_in
from handlers.planner import plan
from handlers.surroundings import Surroundings, host_of
from proto.dockrunner import v1 as pb
from tests.clock import ManualClock
from tests.cluster import Cluster, CountingEngine
from tests.unit.store.journals import opened

from .scripted_world import seconds
from .world import NOW, State, container, in_short

COMPLETED, HEALTHY, STARTED = "service_completed_successfully", "service_healthy", "service_started"


class Town:
    """A store with services that stand around each other; ``asked`` is who was to be looked at again."""

    def __init__(self) -> None:
        self.store = Store(ManualClock())
        self.asked: list[str] = []
        self.around = Surroundings(self.store, self.asked.append)

    def declare(self, name: str, **spec: Any) -> pb.Service:
        """Another specification of a service, or its first."""
        wanted = pb.ServiceSpec(image="web:1", **spec)
        fill_in(wanted)
        if self.store.find(SERVICE, name) is not None:
            return self.store.update(SERVICE, name, lambda it: it.spec.CopyFrom(wanted))
        return self.store.create(SERVICE, pb.Service(metadata=pb.Metadata(name=name), spec=wanted))

    def container(self, of: str, slot: int = 1, state: Any = State.RUNNING, **options: Any) -> pb.Container:
        """One more container of a service."""
        made = container(self.store.get(SERVICE, of), slot, state, **options)
        made.metadata.name, made.spec.service = made.metadata.name.replace("web", of), of
        if state == State.RUNNING:
            made.status.started_at.FromDatetime(NOW)
        return self.store.create(CONTAINER, made)

    def observed(self, name: str) -> None:
        """The controller has seen the present declaration."""
        generation = self.store.get(SERVICE, name).metadata.generation
        self.store.update_status(SERVICE, name, lambda it: setattr(it.status, "observed_generation", generation))

    def waits(self, condition: str = "", **dependency: Any) -> str:
        """What ``web`` waits for, that depends on ``db``."""
        web = self.declare("web", depends_on={"db": pb.Dependency(condition=condition, **dependency)})
        return self.around.waits_for(web)


@pytest.fixture
def town() -> Town:
    return Town()


# Conditions.


@pytest.mark.parametrize("condition", ["", STARTED])
def test_started_is_that_one_container_runs_whether_it_is_ready_or_not(town: Town, condition: str) -> None:
    town.declare("db", replicas=2)
    assert town.waits(condition) == "service db to be started"
    town.container("db", state=State.CREATED)
    assert town.waits(condition) == "service db to be started"
    town.container("db", state=State.RUNNING, ready=False)
    assert town.waits(condition) == ""


def test_healthy_is_that_one_container_is_ready(town: Town) -> None:
    town.declare("db")
    town.container("db", ready=False)
    assert town.waits(HEALTHY) == "service db to be healthy"
    town.container("db", ready=True)
    assert town.waits(HEALTHY) == ""


@pytest.mark.parametrize("condition", [STARTED, HEALTHY])
def test_what_is_on_its_way_out_is_neither_started_nor_healthy(town: Town, condition: str) -> None:
    town.declare("db")
    it = town.container("db")
    town.store.update(CONTAINER, it.metadata.name, lambda edited: edited.metadata.finalizers.append("f"))
    town.store.delete(CONTAINER, it.metadata.name)
    assert town.waits(condition) != ""


def test_a_job_that_has_ended_was_started(town: Town) -> None:
    town.declare("db", restart="no")
    town.container("db", state=State.EXITED, exit_code=0)
    assert town.waits(STARTED) == ""


def test_completed_is_that_every_replica_has_ended_well(town: Town) -> None:
    town.declare("db", restart="no", replicas=2)
    town.observed("db")
    town.container("db", 1, State.EXITED, exit_code=0)
    town.container("db", 2, State.RUNNING)
    assert town.waits(COMPLETED) == "service db to complete"
    town.container("db", 2, State.EXITED, exit_code=0)
    assert town.waits(COMPLETED) == ""


def test_what_has_ended_for_an_earlier_declaration_has_not_completed_this_one(town: Town) -> None:
    town.declare("db", restart="no")
    town.observed("db")
    town.container("db", 1, State.EXITED, exit_code=0)
    assert town.waits(COMPLETED) == ""
    town.declare("db", restart="no", command=["again"])
    assert town.waits(COMPLETED) == "service db to complete"


def test_a_failed_job_is_waited_for_and_said_to_have_failed(town: Town) -> None:
    town.declare("db", restart="no")
    town.observed("db")
    town.container("db", state=State.EXITED, exit_code=3)
    assert town.waits(COMPLETED) == "service db, which failed"


def test_a_job_that_docker_still_tries_again_has_not_failed_yet(town: Town) -> None:
    town.declare("db", restart="on-failure:3")
    town.observed("db")
    town.container("db", state=State.RESTARTING, exit_code=3)
    assert town.waits(COMPLETED) == "service db to complete"


@pytest.mark.parametrize("condition", [STARTED, HEALTHY, COMPLETED])
def test_what_is_not_declared_is_waited_for_unless_it_is_not_required(town: Town, condition: str) -> None:
    assert town.waits(condition) == "service db, which is not declared"
    assert town.waits(condition, required=True) == "service db, which is not declared"
    assert town.waits(condition, required=False) == ""


def test_what_is_not_required_is_waited_for_when_it_is_declared(town: Town) -> None:
    town.declare("db")
    assert town.waits(HEALTHY, required=False) == "service db to be healthy"


def test_with_restart_an_update_of_the_other_service_is_waited_for(town: Town) -> None:
    town.declare("db")
    town.container("db")
    assert town.waits(restart=True) == ""
    town.store.update_status(
        SERVICE, "db", lambda it: setattr(it.status.rollout, "state", pb.Rollout.IN_PROGRESS)
    )  # fmt: skip
    assert town.waits(restart=True) == "service db to be updated"
    assert town.waits() == ""


def test_everything_that_is_waited_for_is_named(town: Town) -> None:
    town.declare("db")
    depends = {"db": pb.Dependency(), "cache": pb.Dependency()}
    web = town.declare("web", depends_on=depends)
    assert town.around.waits_for(web) == "service cache, which is not declared; service db to be started"


def test_who_depends_on_nothing_waits_for_nothing(town: Town) -> None:
    assert town.around.waits_for(town.declare("web")) == ""


def test_nothing_is_begun_while_it_waits_and_what_runs_goes_on(town: Town) -> None:
    web = town.declare("web", replicas=2)
    assert plan(web, [], NOW, waits_for="service db to be started").operations == ()
    first, second = town.container("web"), town.container("web", 2, State.EXITED, exit_code=137)
    again = plan(web, [first, second], NOW, waits_for="service db to be started")
    assert [in_short(it) for it in again.operations] == ["create 2"], "what was there is replaced"


# Who follows whose updates.


def test_with_restart_a_service_follows_the_revisions_of_the_others(town: Town) -> None:
    town.declare("db")
    town.store.update_status(SERVICE, "db", lambda it: setattr(it.status, "revision", "1-abc"))
    followed, other = pb.Dependency(restart=True), pb.Dependency()
    web = town.declare("web", depends_on={"db": followed, "gone": followed, "cache": other})
    assert town.around.follows(web) == "db=1-abc"
    assert town.around.follows(town.declare("web")) == ""


def test_containers_that_followed_another_revision_are_replaced_as_by_an_update(town: Town) -> None:
    web = town.declare("web")
    it = container(web)
    it.spec.follows = "db=1-abc"
    assert plan(web, [it], NOW, follows="db=1-abc").operations == ()
    (step,) = plan(web, [it], NOW, follows="db=1-def").operations
    assert (in_short(step), step.cause) == ("create 1", "a service that it depends on was updated")


# Who is looked at again.


def test_dependents_are_looked_at_again_when_a_container_of_the_other_moves(town: Town) -> None:
    town.declare("db")
    town.declare("web", depends_on={"db": pb.Dependency()})
    town.declare("other")
    town.asked.clear()
    it = town.container("db")
    assert town.asked == ["web"]
    town.store.update_status(CONTAINER, it.metadata.name, lambda edited: setattr(edited.status, "ready", False))
    town.store.delete(CONTAINER, it.metadata.name)
    assert town.asked == ["web"] * 3


def test_dependents_are_looked_at_again_when_the_other_is_declared_changed_or_gone(town: Town) -> None:
    town.declare("web", depends_on={"db": pb.Dependency()})
    town.asked.clear()
    town.declare("db")
    assert town.asked == ["web"], "it may be declared later"
    town.declare("db", replicas=2)
    town.store.delete(SERVICE, "db")
    assert town.asked == ["web"] * 3


def test_who_shares_a_network_is_a_dependent(town: Town) -> None:
    town.declare("web", network_mode="service:vpn")
    town.declare("vpn")
    assert town.asked == ["web"]


def test_who_depends_no_longer_is_not_looked_at(town: Town) -> None:
    town.declare("web", depends_on={"db": pb.Dependency()})
    town.declare("gone", depends_on={"db": pb.Dependency()})
    town.declare("web")
    town.store.delete(SERVICE, "gone")
    town.asked.clear()
    town.declare("db")
    assert town.asked == []


def test_dependents_that_are_restored_from_an_earlier_run_are_known(town: Town) -> None:
    web = pb.Service(metadata=pb.Metadata(name="web", uid="u1"))
    web.spec.depends_on["db"].SetInParent()
    town.store.restore(SERVICE, web)
    town.declare("db")
    assert town.asked == ["web"]


async def test_a_program_that_reads_its_journal_knows_who_depends_on_whom(tmp_path: Path) -> None:
    clock = ManualClock()

    def program(journal: Journal) -> Program:
        return Program(CountingEngine(clock), journal, clock, Metrics())

    async with opened(tmp_path / "journal") as journal:
        before = program(journal)
        await before.restore()
        web = pb.Service(metadata=pb.Metadata(name="web"), spec=pb.ServiceSpec(image="web:1"))
        web.spec.depends_on["db"].SetInParent()
        before.store.create(SERVICE, web)
        await before.persistence.flush()
    async with opened(tmp_path / "journal") as journal:
        after = program(journal)
        await after.restore()
        asked: list[str] = []
        after.surroundings.requeue = asked.append
        after.store.create(SERVICE, pb.Service(metadata=pb.Metadata(name="db"), spec=pb.ServiceSpec(image="db:1")))
        assert asked == ["web"]


# Shared networks.


def joined(town: Town, **spec: Any) -> dict[int, str] | None:
    answer = town.around.joined(town.declare("web", network_mode="service:vpn", **spec))
    return None if answer is None else dict(answer)


@pytest.mark.parametrize(("mode", "host"), [("service:vpn", "vpn"), ("service:", None), ("host", None), ("", None)])
def test_a_network_mode_names_the_service_whose_network_is_shared(mode: str, host: str | None) -> None:
    assert host_of(pb.ServiceSpec(network_mode=mode)) == host


@pytest.mark.parametrize("mode", ["", "host", "none"])
def test_who_shares_no_network_of_a_service_joins_none(town: Town, mode: str) -> None:
    assert town.around.joined(town.declare("web", network_mode=mode)) is None


def test_networks_are_shared_slot_by_slot(town: Town) -> None:
    town.declare("vpn", replicas=2)
    first, second = town.container("vpn", 1), town.container("vpn", 2)
    answer = joined(town, replicas=2)
    assert answer is not None
    assert (answer[1], answer[2]) == (place(first), place(second))


def place(it: pb.Container) -> str:
    return f"{it.metadata.uid}@{it.status.started_at.ToJsonString()}"


def test_a_service_with_fewer_replicas_lends_the_network_of_its_first(town: Town) -> None:
    town.declare("vpn")
    only = town.container("vpn", 1)
    answer = joined(town, replicas=3)
    assert answer is not None
    assert {answer[slot] for slot in (1, 2, 3)} == {place(only)}


def test_what_does_not_run_lends_no_network(town: Town) -> None:
    town.declare("vpn", replicas=2)
    town.container("vpn", 1, State.CREATED)
    assert set((joined(town) or {}).values()) == {""}
    second = town.container("vpn", 2)
    assert (joined(town) or {})[1] == place(second)


def test_during_an_update_of_the_host_the_ready_one_lends_its_network_and_of_two_the_newer(town: Town) -> None:
    town.declare("vpn")
    old, new = town.container("vpn", 1), town.container("vpn", 1, ready=False)
    assert (joined(town) or {})[1] == place(old)
    town.store.update_status(CONTAINER, new.metadata.name, lambda it: setattr(it.status, "ready", True))
    assert (joined(town) or {})[1] == place(new)


def test_without_a_network_to_share_nothing_is_made(town: Town) -> None:
    town.declare("vpn")
    web = town.declare("web", network_mode="service:vpn")
    assert plan(web, [], NOW, joined=town.around.joined(web)).operations == ()
    vpn = town.container("vpn")
    (step,) = plan(web, [], NOW, joined=town.around.joined(web)).operations
    assert (in_short(step), getattr(step, "joined", "")) == ("create 1", place(vpn))


@pytest.mark.parametrize("how", ["replaced", "restarted"])
def test_when_the_host_is_replaced_or_restarted_those_who_share_its_network_are_replaced(town: Town, how: str) -> None:
    town.declare("vpn")
    vpn = town.container("vpn")
    web = town.declare("web", network_mode="service:vpn")
    it = town.container("web")
    town.store.update(CONTAINER, it.metadata.name, lambda edited: setattr(edited.spec, "joined", place(vpn)))
    it = town.store.get(CONTAINER, it.metadata.name)
    assert plan(web, [it], NOW, joined=town.around.joined(web)).operations == ()
    if how == "replaced":
        town.store.delete(CONTAINER, vpn.metadata.name)
        town.container("vpn")
    else:
        later = seconds(NOW.timestamp() + 9).seconds
        town.store.update_status(
            CONTAINER, vpn.metadata.name, lambda edited: setattr(edited.status.started_at, "seconds", later)
        )
    (step,) = plan(web, [it], NOW, joined=town.around.joined(web)).operations
    assert (in_short(step), step.cause) == (
        "create 1", "the container whose network it shares was replaced, or restarted"
    )  # fmt: skip


def test_while_the_host_is_away_those_who_share_its_network_stay(town: Town) -> None:
    town.declare("vpn")
    web = town.declare("web", network_mode="service:vpn")
    it = container(web)
    it.spec.joined = "gone@2026-01-01T00:00:00Z"
    answer = plan(web, [it], NOW, joined=town.around.joined(web))
    assert (answer.operations, answer.rollout) == ((), None)


# Together.


async def test_a_service_starts_when_what_it_depends_on_has_and_says_what_it_waits_for(world: Cluster) -> None:
    depends = {"db": pb.Dependency(condition=HEALTHY)}
    world.declare("web", depends_on=depends)
    await world.settle()
    assert world.running("web") == []
    ready = world.condition("Ready")
    assert (ready.reason, ready.message) == ("Waiting", "waits for service db, which is not declared")
    world.declare("db")
    await world.settle()
    assert len(world.running("web")) == 1


async def test_who_shares_a_network_follows_its_host(world: Cluster) -> None:
    world.declare("vpn")
    world.declare("web", network_mode="service:vpn")
    await world.settle(5)
    (before,), (host,) = world.running("web"), world.containers("vpn")
    assert world.containers("web")[0].spec.joined.startswith(host.metadata.uid)
    world.declare("vpn", "vpn:2")
    await world.settle(20)
    (after,), (host,) = world.running("web"), world.containers("vpn")
    assert after != before
    assert world.containers("web")[0].spec.joined.startswith(host.metadata.uid)


def test_those_made_over_a_store_that_has_services_already_know_who_depends_on_whom() -> None:
    store, asked = Store(ManualClock()), list[str]()
    web = pb.Service(metadata=pb.Metadata(name="web"))
    web.spec.depends_on["db"].SetInParent()
    store.create(SERVICE, web)
    Surroundings(store, asked.append)
    store.create(SERVICE, pb.Service(metadata=pb.Metadata(name="db")))
    assert asked == ["web"]
