"""The ``ControlPlane`` service: each call of the .proto, translated to the store and to declarations."""
# ruff: noqa: N802, ARG002 - names and arguments of the methods are those of the .proto

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from importlib.metadata import version
from typing import Any, NoReturn

import grpc.aio

from controller.clock import Clock
from controller.metrics import Metrics
from controller.store import (
    CONTAINER,
    EVENT,
    REVISION,
    SERVICE,
    Change,
    Kind,
    Persistence,
    Recorder,
    Store,
    everything,
    parse_selector,
)
from controller.store.changes import Matches
from controller.store.kinds import T
from proto.dockrunner import v1 as pb
from proto.dockrunner.v1.control_plane_pb2_grpc import ControlPlaneServicer

from .admission import Admission
from .amendments import Amendments
from .backups import Backups
from .codes import Code, Refusal
from .commits import Commits
from .declarations import Declarations
from .encoded import Encoded
from .pages import Page, Pages
from .preconditions import required_name
from .watches import Watches

Context = grpc.aio.ServicerContext[Any, Any]

VERSION_METADATA = (("dock-runner-version", version("dock-runner")),)
"""Initial metadata of every answer."""


class ControlPlane(ControlPlaneServicer):
    """Answers clients out of the store.

    Methods raise the program's own errors; ``interceptor.CallInterceptor`` makes statuses of them and sends
    ``VERSION_METADATA`` with what answers once. A watch sends it as soon as it is open: who has it misses no change.
    """

    def __init__(
        self,
        store: Store,
        recorder: Recorder,
        admission: Admission,
        persistence: Persistence,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._store = store
        self._commits = Commits(persistence)
        self._declarations = Declarations(store, recorder, admission, self._commits, clock)
        self._amendments = Amendments(self._declarations, admission, recorder, clock)
        self._backups = Backups(persistence, self._declarations)
        self._pages = Pages(store, clock)
        self._encoded = Encoded()
        self._watches = Watches(store, metrics, clock)

    def close(self) -> None:
        """Ends every watch cleanly, and opens none any more."""
        self._watches.close()

    async def settled(self) -> None:
        """Returns when nothing that was declared is on its way any more."""
        await self._commits.settled()

    def quiet(self) -> AbstractAsyncContextManager[None]:
        """The time in which nothing that is declared is being checked or on its way."""
        return self._declarations.quiet()

    # Declaring.

    async def Apply(self, request: pb.ApplyRequest, context: Context) -> pb.ApplyResponse:
        return await self._declarations.apply(request)

    async def ApplySet(self, request: pb.ApplySetRequest, context: Context) -> pb.ApplySetResponse:
        return await self._declarations.apply_set(request)

    async def Delete(self, request: pb.DeleteRequest, context: Context) -> pb.Service:
        return await self._declarations.delete(request)

    async def Scale(self, request: pb.ScaleRequest, context: Context) -> pb.Service:
        return await self._amendments.scale(request)

    # Keeping.

    async def Backup(self, request: pb.BackupRequest, context: Context) -> AsyncIterator[pb.BackupResponse]:
        async for piece in self._backups.take():
            yield pb.BackupResponse(data=piece)

    async def Restore(self, request_iterator: AsyncIterator[pb.RestoreRequest], context: Context) -> pb.RestoreResponse:
        return await self._backups.restore(request_iterator)

    # Reading.

    async def Get(self, request: pb.GetRequest, context: Context) -> pb.Service:
        return self._store.get(SERVICE, required_name(request.name))

    async def List(self, request: pb.ListRequest, context: Context) -> pb.ListResponse:
        page = self._list(SERVICE, request, _by_labels(SERVICE, request.label_selector))
        return pb.ListResponse(
            services=page.objects, resource_version=page.resource_version, next_page_token=page.next_page_token
        )

    async def ListContainers(self, request: pb.ListContainersRequest, context: Context) -> pb.ListContainersResponse:
        page = self._list(CONTAINER, request, _containers(request))
        return pb.ListContainersResponse(
            containers=page.objects, resource_version=page.resource_version, next_page_token=page.next_page_token
        )

    async def ListEvents(self, request: pb.ListEventsRequest, context: Context) -> pb.ListEventsResponse:
        page = self._list(EVENT, request, _events(request.service), order=_last_time)
        return pb.ListEventsResponse(
            events=page.objects, resource_version=page.resource_version, next_page_token=page.next_page_token
        )

    def _list(
        self,
        kind: Kind[T],
        request: pb.ListRequest | pb.ListContainersRequest | pb.ListEventsRequest,
        matches: Matches[T],
        order: Callable[[T], Any] | None = None,
    ) -> Page[T]:
        def read() -> list[T]:
            found = [obj for obj in self._store.list(kind) if matches(obj)]
            return found if order is None else sorted(found, key=order)

        query = (kind.name, getattr(request, "service", ""), getattr(request, "label_selector", ""))
        return self._pages.page(query, request.page_size, request.page_token, read)

    # Following.

    async def Watch(self, request: pb.WatchRequest, context: Context) -> AsyncIterator[pb.WatchResponse]:
        by_labels = _by_labels(SERVICE, request.label_selector)

        def matches(service: pb.Service) -> bool:
            return request.name in ("", service.metadata.name) and by_labels(service)

        with self._watches.open(
            SERVICE, matches, version=request.resource_version, initial=request.send_initial_events
        ) as watch:
            await context.send_initial_metadata(VERSION_METADATA)
            async for change in watch:
                yield self._encoded.of(SERVICE.name, change, partial(_told, pb.WatchResponse, "service"))

    async def WatchContainers(
        self, request: pb.WatchContainersRequest, context: Context
    ) -> AsyncIterator[pb.WatchContainersResponse]:
        with self._watches.open(
            CONTAINER, _containers(request), version=request.resource_version, initial=request.send_initial_events
        ) as watch:
            await context.send_initial_metadata(VERSION_METADATA)
            async for change in watch:
                yield self._encoded.of(CONTAINER.name, change, partial(_told, pb.WatchContainersResponse, "container"))

    async def WatchEvents(
        self, request: pb.WatchEventsRequest, context: Context
    ) -> AsyncIterator[pb.WatchEventsResponse]:
        with self._watches.open(
            EVENT, _events(request.service), version=request.resource_version, initial=request.send_initial_events
        ) as watch:
            await context.send_initial_metadata(VERSION_METADATA)
            async for change in watch:
                yield self._encoded.of(EVENT.name, change, partial(_told, pb.WatchEventsResponse, "event"))

    # Rollouts.

    async def Rollback(self, request: pb.RollbackRequest, context: Context) -> pb.Service:
        return await self._amendments.rollback(request)

    async def Restart(self, request: pb.RestartRequest, context: Context) -> pb.Service:
        return await self._amendments.restart(request)

    async def SetPaused(self, request: pb.SetPausedRequest, context: Context) -> pb.Service:
        return await self._amendments.set_paused(request)

    async def ListRevisions(self, request: pb.ListRevisionsRequest, context: Context) -> pb.ListRevisionsResponse:
        service = self._store.get(SERVICE, required_name(request.name))
        kept = self._store.list(REVISION, index="service", value=service.metadata.name)
        revisions = [
            pb.Revision(
                revision=it.revision,
                number=it.number,
                create_time=it.metadata.create_time,
                spec=it.template,
                image_digest=it.image_digest or it.image_id,
                failure=it.failure,
            )
            for it in sorted(kept, key=lambda revision: -revision.number)
        ]
        return pb.ListRevisionsResponse(revisions=revisions)

    def Logs(self, request: pb.LogsRequest, context: Context) -> AsyncIterator[pb.LogsResponse]:
        _to_come("Logs")


def _told(response: type[Any], field: str, change: Change[Any]) -> Any:
    return response(type=change.type, resource_version=str(change.version), **{field: change.new})


def _to_come(call: str) -> NoReturn:
    raise Refusal(Code.UNIMPLEMENTED, f"{call} is part of the API, but this version of Dock Runner does not offer it")


def _by_labels(kind: Kind[T], text: str) -> Matches[T]:
    selector = parse_selector(text)
    if selector is everything:
        return lambda _: True
    return lambda obj: selector(kind.labels(obj))


def _containers(request: pb.ListContainersRequest | pb.WatchContainersRequest) -> Matches[pb.Container]:
    by_labels, service = _by_labels(CONTAINER, request.label_selector), request.service
    return lambda container: service in ("", container.spec.service) and by_labels(container)


def _events(service: str) -> Matches[pb.Event]:
    return lambda event: service in ("", event.regarding.service)


def _last_time(event: pb.Event) -> tuple[int, int, str]:
    return event.last_time.seconds, event.last_time.nanos, event.metadata.name
