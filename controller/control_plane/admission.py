"""The Admission port: what the API asks before it stores a declaration. Implemented where services are understood."""

from collections.abc import Sequence
from typing import Protocol

from controller.store import Listing
from proto.dockrunner import v1 as pb


class Admission(Protocol):
    """Defaults, validation and the plan of a declaration; knows nothing of gRPC."""

    @property
    def revision_fields(self) -> Sequence[str]:
        """The fields of a spec that make a revision."""

    async def admit(
        self,
        services: Sequence[pb.Service],
        olds: Sequence[pb.Service | None],
        others: Listing,
        *,
        dry_run: bool = False,
    ) -> Sequence[pb.Service]:
        """The services with all defaults filled in, in the same order; its arguments are left as they are.

        ``olds`` are what they would replace, and ``others`` the services that will stand beside them. Only name,
        labels, annotations and spec are looked at; ``spec.replicas`` must be set already where the present number is
        to stay. What is in secrets is not in the answer: unless this is a ``dry_run``, it is kept apart when this
        returns.

        Raises:
            Invalid: every violation at once; fields begin with the index: ``[1].spec.ports[0].published``.
            AdmissionFailed: it cannot be said whether they may be let in.
            SafeFull, SafeError: they may be, and what is in their secrets could not be kept.
        """

    def preview(self, service: pb.Service) -> Sequence[pb.PlanStep]:
        """What would follow for containers if the store held this service now; first things first."""

    def preview_deletion(self, service: pb.Service) -> Sequence[pb.PlanStep]:
        """What would follow for containers if this service were deleted."""

    def declared(self, manager: str) -> None:
        """A manager's complete set has been accepted: containers that only it could still want may go."""

    def release(self, service: pb.Service) -> None:
        """The deletion of a service shall wait no longer for anything but its containers."""

    def revision(self, service: pb.Service, revision: str) -> pb.ServiceRevision:
        """What is kept of a revision, given by its hash or its number; of the one before the present one when empty.

        Raises:
            NotFound: it is not kept.
        """

    def took_back(self, service: pb.Service) -> None:
        """The revision that a service had was taken back by hand: nobody shall bring it back but by hand."""

    def resume(self, service: pb.Service) -> None:
        """A rollout that was stopped by a failure gets another try."""
