"""What is acknowledged is kept, what is refused was never there, and nobody sees what is not kept yet."""

import asyncio
from collections.abc import Sequence

import grpc
import pytest

from controller.errors import JournalFull
from controller.store import HANDLERS_FINALIZER, SERVICE, VOLUMES_FINALIZER, NoJournal, Record
from proto.dockrunner import v1 as pb
from tests.unit.control_plane.conftest import Api, refusal

Code = grpc.StatusCode


class GatedJournal(NoJournal):
    """Notes what it is asked to keep, and does it when it is let."""

    def __init__(self) -> None:
        self.asked: asyncio.Queue[Sequence[Record]] = asyncio.Queue()
        self.kept: list[Record] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.full = False

    async def commit(self, records: Sequence[Record]) -> None:
        self.asked.put_nowait(records)
        await self.gate.wait()
        if self.full:
            raise JournalFull("the disk is full")
        self.kept.extend(records)

    def services(self) -> dict[str, pb.Service | None]:
        """What a new run would find."""
        return {
            record.name: pb.Service.FromString(record.data) if record.data is not None else None
            for record in self.kept
            if record.kind == "Service"
        }


@pytest.fixture
def journal() -> GatedJournal:
    return GatedJournal()


async def test_an_apply_is_answered_when_it_is_kept_and_seen_by_nobody_before(api: Api, journal: GatedJournal) -> None:
    journal.gate.clear()
    call = asyncio.ensure_future(api.apply("web"))
    await journal.asked.get()
    assert api.store.find(SERVICE, "web") is None
    assert not call.done()
    journal.gate.set()
    assert (await call).outcome == pb.CREATED
    kept = journal.services()["web"]
    stored = api.store.get(SERVICE, "web")
    assert kept is not None
    assert (kept.spec, kept.metadata.uid, kept.metadata.generation) == (stored.spec, stored.metadata.uid, 1)


async def test_neither_status_nor_version_is_kept(api: Api, journal: GatedJournal) -> None:
    await api.apply("web")
    kept = journal.services()["web"]
    assert kept is not None
    assert not kept.HasField("status")
    assert not kept.metadata.resource_version


async def test_what_is_the_same_is_not_kept_again(api: Api, journal: GatedJournal) -> None:
    await api.apply("web")
    before = len(journal.kept)
    assert (await api.apply("web")).outcome == pb.UNCHANGED
    assert len(journal.kept) == before


async def test_a_full_disk_refuses_and_nothing_has_changed(api: Api, journal: GatedJournal) -> None:
    await api.apply("web")
    version = api.store.version
    journal.full = True
    for call in (
        api.apply("web", image="other"),
        api.apply("new"),
        api.stub.Scale(pb.ScaleRequest(name="web", replicas=7)),
        api.stub.Delete(pb.DeleteRequest(name="web")),
    ):
        assert await refusal(call) == (Code.RESOURCE_EXHAUSTED, "the disk is full")
    assert api.store.version == version
    journal.full = False
    assert (await api.apply("web", image="other")).outcome == pb.CONFIGURED


async def test_two_declarations_of_one_service_come_one_after_the_other(api: Api, journal: GatedJournal) -> None:
    journal.gate.clear()
    first = asyncio.ensure_future(api.apply("web", image="first"))
    await journal.asked.get()
    second = asyncio.ensure_future(api.apply("web", image="second"))
    journal.gate.set()
    assert ((await first).outcome, (await second).outcome) == (pb.CREATED, pb.CONFIGURED)
    kept = journal.services()["web"]
    assert kept is not None
    assert (kept.spec.image, kept.metadata.generation) == ("second", 2)


async def test_declarations_of_different_services_do_not_wait_for_each_other(api: Api, journal: GatedJournal) -> None:
    journal.gate.clear()
    calls = [asyncio.ensure_future(api.apply(name)) for name in "abc"]
    asked = [(await journal.asked.get())[0].name for _ in calls]
    assert sorted(asked) == ["a", "b", "c"]
    journal.gate.set()
    await asyncio.gather(*calls)


async def test_a_port_that_is_about_to_be_claimed_is_taken(api: Api, journal: GatedJournal) -> None:
    journal.gate.clear()
    port = [pb.Port(target=80, published="80")]
    first = asyncio.ensure_future(api.apply("a", ports=port))
    await journal.asked.get()
    second = asyncio.ensure_future(refusal(api.apply("b", ports=port)))
    assert (await second)[0] is Code.INVALID_ARGUMENT
    journal.gate.set()
    await first


async def test_a_client_that_gives_up_waiting_leaves_a_whole_declaration(api: Api, journal: GatedJournal) -> None:
    journal.gate.clear()
    call = api.stub.Apply(
        pb.ApplyRequest(service=pb.Service(metadata=pb.Metadata(name="web"), spec=pb.ServiceSpec(image="a")))
    )
    await journal.asked.get()
    call.cancel()
    await api.until("grpc_server_handled_total", 1, **_canceled("Apply"))
    journal.gate.set()
    await api.servicer.settled()
    assert api.store.find(SERVICE, "web") is not None
    assert journal.services()["web"] is not None


async def test_what_others_change_while_it_is_kept_stays(api: Api, journal: GatedJournal) -> None:
    await api.apply("web")
    while not journal.asked.empty():
        journal.asked.get_nowait()
    journal.gate.clear()
    call = asyncio.ensure_future(api.apply("web", image="other"))
    await journal.asked.get()
    api.store.update(SERVICE, "web", lambda service: service.metadata.finalizers.append("f"))
    journal.gate.set()
    await call
    stored = api.store.get(SERVICE, "web")
    assert (stored.spec.image, list(stored.metadata.finalizers)) == ("other", ["f"])


async def test_what_handlers_change_while_a_scale_is_kept_stays(api: Api, journal: GatedJournal) -> None:
    await api.apply("web")
    while not journal.asked.empty():
        journal.asked.get_nowait()
    journal.gate.clear()
    call = asyncio.ensure_future(api.stub.Scale(pb.ScaleRequest(name="web", replicas=3)))
    await journal.asked.get()

    def patch(service: pb.Service) -> None:
        service.spec.environment["A"] = "1"
        service.metadata.annotations["lease"] = "abc"

    api.store.update(SERVICE, "web", patch)
    journal.gate.set()
    scaled = await call
    assert scaled.spec.replicas == 3
    assert scaled.spec.environment == {"A": "1"}
    assert scaled.metadata.annotations == {"lease": "abc"}


async def test_a_set_is_kept_whole(api: Api, journal: GatedJournal) -> None:
    services = [pb.Service(metadata=pb.Metadata(name=name), spec=pb.ServiceSpec(image="a")) for name in "abc"]
    await api.apply("old", manager="m")
    while not journal.asked.empty():
        journal.asked.get_nowait()
    await api.stub.ApplySet(pb.ApplySetRequest(services=services, manager="m", prune=True))
    records = await journal.asked.get()
    assert sorted(record.name for record in records) == ["a", "b", "c", "old"]
    assert journal.services()["old"] is None


def _canceled(method: str) -> dict[str, str]:
    return {
        "grpc_type": "unary", "grpc_service": "dockrunner.v1.ControlPlane", "grpc_method": method,
        "grpc_code": "Canceled",
    }  # fmt: skip


async def test_a_deletion_with_volumes_is_kept_as_one(api: Api, journal: GatedJournal) -> None:
    await api.apply("web")
    marked = await api.stub.Delete(pb.DeleteRequest(name="web", volumes=True))
    kept = journal.services()["web"]
    assert kept is not None
    assert list(kept.metadata.finalizers) == list(marked.metadata.finalizers) == [HANDLERS_FINALIZER, VOLUMES_FINALIZER]
    assert kept.metadata.HasField("delete_time")
