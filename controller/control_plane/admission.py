"""The Admission port: what the API asks before it stores a declaration. Implemented where services are understood."""

from collections.abc import Sequence
from typing import Protocol

from controller.store import Listing
from proto.dockrunner import v1 as pb


class Admission(Protocol):
    """Defaults, validation and the plan of a declaration; knows nothing of gRPC."""

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
        to stay.

        Raises:
            Invalid: every violation at once; fields begin with the index: ``[1].spec.ports[0].published``.
            AdmissionFailed: it cannot be said whether they may be let in.
        """

    def preview(self, service: pb.Service) -> Sequence[pb.PlanStep]:
        """What would follow for containers if the store held this service now; first things first."""

    def preview_deletion(self, service: pb.Service) -> Sequence[pb.PlanStep]:
        """What would follow for containers if this service were deleted."""

    def declared(self, manager: str) -> None:
        """A manager's complete set has been accepted: containers that only it could still want may go."""

    def release(self, service: pb.Service) -> None:
        """The deletion of a service shall wait no longer for anything but its containers."""
