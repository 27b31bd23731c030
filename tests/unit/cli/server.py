"""A stand-in for the control plane, on a real unix socket, that answers from what a test puts into it."""
# ruff: noqa: N802 - names of the methods are those of the .proto

import threading
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.code_pb2 import INVALID_ARGUMENT  # type: ignore[import-untyped]  # ships without types
from google.rpc.error_details_pb2 import BadRequest  # type: ignore[import-untyped]  # ships without types
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # ships without types
from grpc_status import rpc_status

from proto.dockrunner import v1 as pb
from proto.dockrunner.v1.control_plane_pb2_grpc import ControlPlaneServicer, add_ControlPlaneServicer_to_server

Context = Any


class FakeControlPlane(ControlPlaneServicer):
    """Lists what it is given, in pages of ``page_size``; remembers the requests; ``refuse`` makes a call fail."""

    def __init__(self) -> None:
        self.services: list[pb.Service] = []
        self.containers: list[pb.Container] = []
        self.events: list[pb.Event] = []
        self.revisions: list[pb.Revision] = []
        self.changes: list[Any] = []
        """What any watch sends after its initial part, before it ends or hangs."""
        self.hang = False
        """Whether a watch stays open after that."""
        self.breaks: list[grpc.StatusCode] = []
        """How the next watches break, each after its initial part."""
        self.released = threading.Event()
        self.requests: list[Any] = []
        self.page_size = 1000
        self.refusals: dict[str, tuple[grpc.StatusCode, str, list[tuple[str, str]]]] = {}
        self.plan: list[pb.PlanStep] = []
        self.pruned: list[str] = []
        self.outcome: pb.Outcome.ValueType = pb.CREATED

    def refuse(self, call: str, code: grpc.StatusCode, message: str, *violations: tuple[str, str]) -> None:
        """From now on the call ends with this status."""
        self.refusals[call] = (code, message, list(violations))

    def _enter(self, call: str, request: Any, context: Context) -> None:
        copy = type(request)()
        copy.CopyFrom(request)
        self.requests.append(copy)
        if call in self.refusals:
            _abort(context, *self.refusals[call])

    def _find(self, name: str, context: Context) -> pb.Service:
        for service in self.services:
            if service.metadata.name == name:
                return service
        context.abort(grpc.StatusCode.NOT_FOUND, f"no Service {name!r}")
        raise AssertionError("abort raises")

    def _page(self, objects: list[Any], request: Any) -> dict[str, Any]:
        start = int(request.page_token or 0)
        end = start + min(self.page_size, request.page_size or self.page_size)
        return {"resource_version": "70", "next_page_token": str(end) if end < len(objects) else ""} | {
            "objects": objects[start:end]
        }

    def Get(self, request: pb.GetRequest, context: Context) -> pb.Service:
        self._enter("Get", request, context)
        return self._find(request.name, context)

    def List(self, request: pb.ListRequest, context: Context) -> pb.ListResponse:
        self._enter("List", request, context)
        context.send_initial_metadata((("dock-runner-version", "9.8.7"),))
        page = self._page(self.services, request)
        return pb.ListResponse(services=page.pop("objects"), **page)

    def ListContainers(self, request: pb.ListContainersRequest, context: Context) -> pb.ListContainersResponse:
        self._enter("ListContainers", request, context)
        page = self._page(self.containers, request)
        return pb.ListContainersResponse(containers=page.pop("objects"), **page)

    def ListEvents(self, request: pb.ListEventsRequest, context: Context) -> pb.ListEventsResponse:
        self._enter("ListEvents", request, context)
        page = self._page(self.events, request)
        return pb.ListEventsResponse(events=page.pop("objects"), **page)

    def ApplySet(self, request: pb.ApplySetRequest, context: Context) -> pb.ApplySetResponse:
        self._enter("ApplySet", request, context)
        results = []
        for service in request.services:
            service.metadata.generation = 1
            results.append(pb.ApplySetResponse.Result(service=service, outcome=self.outcome))
        return pb.ApplySetResponse(results=results, pruned=self.pruned, plan=self.plan)

    def Delete(self, request: pb.DeleteRequest, context: Context) -> pb.Service:
        self._enter("Delete", request, context)
        return self._find(request.name, context)

    def Scale(self, request: pb.ScaleRequest, context: Context) -> pb.Service:
        self._enter("Scale", request, context)
        return self._find(request.name, context)

    def ListRevisions(self, request: pb.ListRevisionsRequest, context: Context) -> pb.ListRevisionsResponse:
        self._enter("ListRevisions", request, context)
        return pb.ListRevisionsResponse(revisions=self.revisions)

    def Rollback(self, request: pb.RollbackRequest, context: Context) -> pb.Service:
        return self._amended("Rollback", request, context)

    def Restart(self, request: pb.RestartRequest, context: Context) -> pb.Service:
        return self._amended("Restart", request, context)

    def SetPaused(self, request: pb.SetPausedRequest, context: Context) -> pb.Service:
        return self._amended("SetPaused", request, context)

    def _amended(self, call: str, request: Any, context: Context) -> pb.Service:
        """The service with one more generation."""
        self._enter(call, request, context)
        service = pb.Service()
        service.CopyFrom(self._find(request.name, context))
        service.metadata.generation += 1
        return service

    def Watch(self, request: pb.WatchRequest, context: Context) -> Iterator[pb.WatchResponse]:
        self._enter("Watch", request, context)
        if request.send_initial_events:
            for service in self.services:
                yield pb.WatchResponse(type=pb.ADDED, service=service, resource_version="69")
            yield pb.WatchResponse(type=pb.BOOKMARK, resource_version="70")
        if self.breaks:
            context.abort(self.breaks.pop(0), "broken")
        yield from self._rest(context)

    def WatchContainers(
        self, request: pb.WatchContainersRequest, context: Context
    ) -> Iterator[pb.WatchContainersResponse]:
        self._enter("WatchContainers", request, context)
        yield from self._rest(context)

    def WatchEvents(self, request: pb.WatchEventsRequest, context: Context) -> Iterator[pb.WatchEventsResponse]:
        self._enter("WatchEvents", request, context)
        yield from self._rest(context)

    def _rest(self, context: Context) -> Iterator[Any]:
        yield from self.changes
        if self.hang:
            context.add_callback(self.released.set)  # the client has gone
            self.released.wait(30)


def _abort(context: Context, code: grpc.StatusCode, message: str, violations: list[tuple[str, str]]) -> NoReturn:
    if violations:
        request = BadRequest()
        for field, description in violations:
            request.field_violations.add(field=field, description=description)
        details = AnyMessage()
        details.Pack(request)
        context.abort_with_status(
            rpc_status.to_status(Status(code=INVALID_ARGUMENT, message=message, details=[details]))
        )
    context.abort(code, message)
    raise AssertionError("abort raises")


@contextmanager
def serving(socket: Path) -> Iterator[FakeControlPlane]:
    """The stand-in, as long as the context lasts."""
    servicer = FakeControlPlane()  # type: ignore[abstract]  # calls that no verb makes are left out
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    add_ControlPlaneServicer_to_server(servicer, server)
    server.add_insecure_port(f"unix:{socket}")
    server.start()
    try:
        yield servicer
    finally:
        servicer.released.set()
        server.stop(None).wait()
