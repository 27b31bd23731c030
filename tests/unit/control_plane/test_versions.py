"""Versions as clients see them: of many writers at once, and of writers that only try."""

import asyncio
from typing import Any

from proto.dockrunner import v1 as pb
from tests.unit.control_plane.conftest import Api


async def watching(api: Api) -> Any:
    """A watch of what comes from now on, which the server has open."""
    call = api.stub.Watch(pb.WatchRequest(resource_version=api.store.version))
    await call.initial_metadata()
    return call


async def read(call: Any, count: int) -> list[Any]:
    async with asyncio.timeout(60):
        changes = [await call.read() for _ in range(count)]
    call.cancel()
    return changes


async def test_a_thousand_concurrent_writes_have_unique_versions_and_are_watched_in_their_order(api: Api) -> None:
    call = await watching(api)
    writes = [api.apply(f"s{number % 100}", image=f"image:{number}") for number in range(1000)]
    changes, answers = await asyncio.gather(read(call, 1000), asyncio.gather(*writes))
    versions = [int(answer.service.metadata.resource_version) for answer in answers]
    assert len(set(versions)) == 1000
    assert [int(change.resource_version) for change in changes] == sorted(versions)


async def test_a_dry_run_is_not_seen_by_a_watch(api: Api) -> None:
    await api.apply("web")
    call = await watching(api)
    service = pb.Service(metadata=pb.Metadata(name="web"), spec=pb.ServiceSpec(image="other"))
    await api.stub.Apply(pb.ApplyRequest(service=service, dry_run=True))
    service.metadata.name = "new"
    await api.stub.ApplySet(pb.ApplySetRequest(services=[service], prune=True, dry_run=True))
    await api.apply("real")
    (change,) = await read(call, 1)
    assert (change.type, change.service.metadata.name) == (pb.ADDED, "real")
