"""The journal comes to have what the store has, whatever happens while it is written."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from controller.errors import JournalFull
from controller.store import CONTAINER, REVISION, SERVICE, NoJournal, Persistence, Record, Store
from proto.dockrunner import v1 as pb
from tests.clock import ManualClock
from tests.unit.store.objects import a_container, a_service, finalizers, image


class HeldJournal(NoJournal):
    """Keeps what it is given when it is let, or refuses it."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], bytes] = {}
        self.commits = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.full = False

    async def commit(self, records: Sequence[Record]) -> None:
        self.commits += 1
        await self.gate.wait()
        if self.full:
            raise JournalFull("the disk is full")
        for record in records:
            if record.data is None:
                self.kept.pop((record.kind, record.name), None)
            else:
                self.kept[record.kind, record.name] = record.data


class World:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.journal = HeldJournal()
        self.store = Store(self.clock)
        self.persistence = Persistence(self.store, self.journal, self.clock)
        self.persistence.restore([])

    def kept(self, name: str = "web") -> pb.Service | None:
        data = self.journal.kept.get(("Service", name))
        return pb.Service.FromString(data) if data is not None else None


@asynccontextmanager
async def running() -> AsyncIterator[World]:
    world = World()
    writing = asyncio.create_task(world.persistence.run())
    try:
        yield world
    finally:
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)


async def test_what_changes_is_written_soon_without_its_status() -> None:
    async with running() as world:
        world.store.create(SERVICE, a_service())
        world.store.update_status(SERVICE, "web", lambda it: setattr(it.status, "replicas", 3))
        await world.clock.settle()
        kept = world.kept()
        assert kept is not None
        assert not kept.HasField("status")
        commits = world.journal.commits
        world.store.update_status(SERVICE, "web", lambda it: setattr(it.status, "replicas", 4))
        await world.clock.settle()
        assert world.journal.commits == commits, "a status is nothing to be written"


async def test_what_is_deleted_goes_and_containers_are_never_kept() -> None:
    async with running() as world:
        world.store.create(SERVICE, a_service())
        world.store.create(CONTAINER, a_container("web-1", "web"))
        await world.clock.settle()
        assert set(world.journal.kept) == {("Service", "web")}
        world.store.delete(SERVICE, "web")
        await world.clock.settle()
        assert not world.journal.kept


async def test_a_change_that_is_taken_back_while_it_is_written_is_written_back() -> None:
    async with running() as world:
        world.store.create(SERVICE, a_service(image="first"))
        await world.clock.settle()
        world.journal.gate.clear()
        world.store.update(SERVICE, "web", image("second"))
        await world.clock.settle()
        world.store.update(SERVICE, "web", image("first"))
        world.journal.gate.set()
        await world.clock.settle()
        kept = world.kept()
        assert kept is not None
        assert kept.spec.image == "first"


async def test_what_is_gone_before_it_is_written_does_not_stay() -> None:
    async with running() as world:
        world.journal.gate.clear()
        world.store.create(SERVICE, a_service())
        world.store.create(REVISION, pb.ServiceRevision(metadata=pb.Metadata(name="web.1")))
        await world.clock.settle()
        world.store.delete(SERVICE, "web")
        world.store.delete(REVISION, "web.1")
        world.journal.gate.set()
        await world.clock.settle()
        assert not world.journal.kept


async def test_what_was_refused_is_tried_again_until_it_goes() -> None:
    async with running() as world:
        world.journal.full = True
        world.store.create(SERVICE, a_service())
        await world.clock.advance(100)
        assert world.persistence.trouble == "the disk is full"
        assert 3 < world.journal.commits < 12, "with growing pauses"
        world.journal.full = False
        await world.clock.advance(30)
        assert world.kept() is not None
        assert not world.persistence.trouble


async def test_ahead_of_a_write_the_journal_has_it_and_what_others_write_meanwhile_comes_after() -> None:
    async with running() as world:
        stored = world.store.create(SERVICE, a_service(image="first"))
        await world.clock.settle()
        wanted = pb.Service()
        wanted.CopyFrom(stored)
        wanted.spec.image = "second"
        world.journal.gate.clear()

        async def declare() -> None:
            async with world.persistence.ahead(SERVICE, [wanted]):
                world.store.update(SERVICE, "web", image("second"))

        declaring = asyncio.create_task(declare())
        await world.clock.settle()
        world.store.update(SERVICE, "web", finalizers("f"))
        world.journal.gate.set()
        await declaring
        await world.clock.settle()
        kept = world.kept()
        assert kept is not None
        assert (kept.spec.image, list(kept.metadata.finalizers)) == ("second", ["f"])


async def test_what_could_not_be_kept_ahead_is_not_written_and_the_journal_stays_true() -> None:
    async with running() as world:
        world.store.create(SERVICE, a_service(image="first"))
        await world.clock.settle()
        world.journal.full = True
        with pytest.raises(JournalFull):
            async with world.persistence.ahead(SERVICE, [a_service(image="second")]):
                raise AssertionError("it must not come to this")
        world.journal.full = False
        await world.clock.advance(60)
        kept = world.kept()
        assert kept is not None
        assert kept.spec.image == "first"
