"""A real server on a unix socket, a real store and a real client; only admission is a stand-in."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import pytest
from google.rpc.error_details_pb2 import BadRequest  # type: ignore[import-untyped]  # ships without types
from grpc_status import rpc_status

from controller.control_plane.server import Server
from controller.control_plane.servicer import ControlPlane
from controller.errors import Invalid, NotFound, Violation
from controller.metrics import Metrics
from controller.store import Journal, NoJournal, Persistence, Recorder, Store
from proto.dockrunner import v1 as pb
from proto.dockrunner.v1.control_plane_pb2_grpc import ControlPlaneStub
from tests.clock import ManualClock

if TYPE_CHECKING:  # it exists for type checkers alone
    from proto.dockrunner.v1.control_plane_pb2_grpc import ControlPlaneAsyncStub


class FakeAdmission:
    """Wants an image, fills in two defaults, and refuses a published port that two services have."""

    def __init__(self) -> None:
        self.declarations: list[str] = []
        self.others: list[str] = []
        self.released: list[str] = []
        self.resumed: list[str] = []
        self.taken_back: list[str] = []
        self.kept: list[pb.ServiceRevision] = []

    @property
    def revision_fields(self) -> Sequence[str]:
        return ("image", "command")

    def revision(self, service: pb.Service, revision: str) -> pb.ServiceRevision:
        for kept in self.kept:
            if revision in ("", kept.revision):
                return kept
        raise NotFound("no such revision is kept")

    def took_back(self, service: pb.Service) -> None:
        self.taken_back.append(service.spec.image)

    def resume(self, service: pb.Service) -> None:
        self.resumed.append(service.metadata.name)

    async def admit(
        self, services: Sequence[pb.Service], olds: Sequence[pb.Service | None], others: Sequence[pb.Service], *,
        dry_run: bool = False,
    ) -> Sequence[pb.Service]:  # fmt: skip
        self.others = [other.metadata.name for other in others]
        taken = {port.published for other in others for port in other.spec.ports}
        violations, admitted = [], []
        for index, service in enumerate(services):
            if not service.metadata.name:
                violations.append(Violation(f"[{index}].metadata.name", "is missing"))
            if not service.spec.image:
                violations.append(Violation(f"[{index}].spec.image", "is missing"))
            if service.spec.image == "defect":
                raise RuntimeError("a defect, with a secret in it")
            for number, port in enumerate(service.spec.ports):
                if port.published in taken:
                    violations.append(Violation(f"[{index}].spec.ports[{number}].published", "is taken"))
                taken.add(port.published)
                first, _, last = port.published.partition("-")
                if last and int(last) - int(first) + 1 < service.spec.replicas:
                    violations.append(Violation(f"[{index}].spec.ports[{number}].published", "is too small"))
            complete = pb.Service()
            complete.CopyFrom(service)
            complete.spec.restart = service.spec.restart or "always"
            if not service.spec.HasField("replicas"):
                complete.spec.replicas = 1
            admitted.append(complete)
        if violations:
            raise Invalid(violations)
        return admitted

    def preview(self, service: pb.Service) -> Sequence[pb.PlanStep]:
        return [
            pb.PlanStep(action=pb.PlanStep.CREATE, service=service.metadata.name, slot=slot + 1)
            for slot in range(service.spec.replicas)
        ]

    def preview_deletion(self, service: pb.Service) -> Sequence[pb.PlanStep]:
        return [pb.PlanStep(action=pb.PlanStep.DELETE, service=service.metadata.name, slot=1)]

    def declared(self, manager: str) -> None:
        self.declarations.append(manager)

    def release(self, service: pb.Service) -> None:
        self.released.append(service.metadata.name)


@dataclass
class Api:
    """Everything that a test of the API needs."""

    clock: ManualClock
    store: Store
    admission: FakeAdmission
    metrics: Metrics
    servicer: ControlPlane
    server: Server
    socket: Path
    channel: grpc.aio.Channel
    stub: "ControlPlaneAsyncStub" = field(init=False)

    def __post_init__(self) -> None:
        self.stub = ControlPlaneStub(self.channel)

    async def apply(self, name: str, manager: str = "", *, force: bool = False, **spec: Any) -> pb.ApplyResponse:
        service = pb.Service(metadata=pb.Metadata(name=name), spec=pb.ServiceSpec(**{"image": "busybox"} | spec))
        return await self.stub.Apply(pb.ApplyRequest(service=service, manager=manager, force=force))

    def value(self, name: str, **labels: str) -> float | None:
        """A metric as it stands."""
        return self.metrics.registry.get_sample_value(name, labels)

    async def until(self, name: str, value: float, **labels: str) -> None:
        """Waits for a metric: for what follows from a socket, which no clock moves."""
        async with asyncio.timeout(5):
            while self.value(name, **labels) != value:  # noqa: ASYNC110 - a metric is no event
                await asyncio.sleep(0.002)


@pytest.fixture
def store_options() -> dict[str, Any]:
    """Overridden by what needs a small history or buffer."""
    return {}


@pytest.fixture
def journal() -> Journal:
    """Overridden by what looks at what is kept."""
    return NoJournal()


@pytest.fixture
async def api(tmp_path: Path, store_options: dict[str, Any], journal: Journal) -> AsyncIterator[Api]:
    clock, metrics, admission = ManualClock(), Metrics(), FakeAdmission()
    store = Store(clock, **store_options)
    persistence = Persistence(store, journal, clock)
    persistence.restore(journal.read())
    servicer = ControlPlane(store, Recorder(store, clock), admission, persistence, metrics, clock)
    socket = tmp_path / "run" / "s.sock"
    server = Server([socket], servicer, metrics, clock)
    await server.start()
    async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
        yield Api(clock, store, admission, metrics, servicer, server, socket, channel)
    await server.stop(0)


async def refusal(call: Awaitable[Any]) -> tuple[grpc.StatusCode, str]:
    """The code and the message that the call was refused with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details() or ""


async def violations(call: Awaitable[Any]) -> dict[str, str]:
    """What was wrong with the request, by field."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    status: Any = rpc_status.from_call(caught.value)  # type: ignore[arg-type]  # an aio error has all that it reads
    request = BadRequest()
    assert status.details[0].Unpack(request)
    return {violation.field: violation.description for violation in request.field_violations}
