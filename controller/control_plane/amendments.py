"""What changes one part of a service that is declared: its number, its rollout."""

from controller.clock import Clock
from controller.errors import Invalid, ManagedElsewhere, Violation
from controller.store import NORMAL, WARNING, Recorder, reference
from proto.dockrunner import v1 as pb

from .admission import Admission
from .declarations import Declarations
from .preconditions import as_violations_of_replicas, check_version, required_name
from .write import API, FILE

MAX_REPLICAS = 1000
_SOURCE = "control-plane"


class Amendments:
    """Scale, Restart, Rollback and SetPaused, without gRPC. They raise as Declarations do; NotFound besides."""

    def __init__(self, declarations: Declarations, admission: Admission, recorder: Recorder, clock: Clock) -> None:
        self._declarations = declarations
        self._admission = admission
        self._recorder = recorder
        self._clock = clock

    async def scale(self, request: pb.ScaleRequest) -> pb.Service:
        """Sets ``replicas`` alone."""
        name = required_name(request.name)

        def check(old: pb.Service) -> None:
            check_version(name, old, "", request.resource_version)
            if old.spec.HasField("autoscale"):
                raise ManagedElsewhere(f"autoscale sets the replicas of service {name!r}: change its min and max")
            owner = old.metadata.replicas_manager
            if owner not in ("", API) and not request.force:
                raise ManagedElsewhere(
                    f"manager {owner!r} sets the replicas of service {name!r}: change them there; "
                    "force takes the service over"
                )
            if not 0 <= request.replicas <= MAX_REPLICAS:
                raise Invalid([Violation("replicas", f"{request.replicas} is not within 0 to {MAX_REPLICAS}")])

        def edit(service: pb.Service) -> None:
            service.spec.replicas = request.replicas
            if service.metadata.replicas_manager not in ("", API):
                service.metadata.manager = service.metadata.replicas_manager = API

        old, scaled = await self._declarations.amend(
            name, edit, ("replicas",), check=check, naming=as_violations_of_replicas
        )
        if old.spec.replicas != scaled.spec.replicas:
            self._say(scaled, "Scaled", f"replicas {old.spec.replicas} → {scaled.spec.replicas}")
        return scaled

    async def restart(self, request: pb.RestartRequest) -> pb.Service:
        """Has every container replaced, as by an update."""

        def edit(service: pb.Service) -> None:
            service.spec.restarted_at.FromDatetime(self._clock.now())

        _, service = await self._declarations.amend(request.name, edit, ("restarted_at",))
        self._say(service, "Restarting", "a restart was asked for")
        return service

    async def rollback(self, request: pb.RollbackRequest) -> pb.Service:
        """Goes back to the template of an earlier revision; the one before when none is named.

        Raises:
            NotFound: no such revision is kept, or none at all but the present one.
        """
        name, fields = required_name(request.name), self._admission.revision_fields
        chosen = pb.ServiceRevision()

        def edit(service: pb.Service) -> None:
            chosen.CopyFrom(self._admission.revision(service, request.revision))
            for field in fields:
                service.spec.ClearField(field)  # type: ignore[arg-type]  # the stubs know names by Literal alone
            service.spec.MergeFrom(chosen.template)

        old, service = await self._declarations.amend(name, edit, fields)
        if old.spec != service.spec:
            self._admission.took_back(old)
        self._say(service, "RolledBack", f"back to revision {chosen.number} ({chosen.revision}), as was asked for")
        if service.metadata.manager == FILE:
            text = "the file still declares what was before, and will bring it back when it is read again"
            self._recorder.record(_SOURCE, reference(service), WARNING, "FileDiffers", text)
        return service

    async def set_paused(self, request: pb.SetPausedRequest) -> pb.Service:
        """Holds rollouts, or lets them go on: also one that was stopped by a failure, which gets another try."""

        def edit(service: pb.Service) -> None:
            service.spec.paused = request.paused

        old, service = await self._declarations.amend(required_name(request.name), edit, ("paused",))
        if not request.paused:
            self._admission.resume(service)
        if old.spec.paused != request.paused or not request.paused:
            reason, text = ("Paused", "are held") if request.paused else ("Resumed", "go on")
            self._say(service, reason, f"rollouts {text}, as was asked for")
        return service

    def _say(self, service: pb.Service, reason: str, message: str) -> None:
        self._recorder.record(_SOURCE, reference(service), NORMAL, reason, message)
