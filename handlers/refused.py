"""Services that the journal has and that may not be declared any more: kept and shown, and nothing of them is made."""

from proto.dockrunner import v1 as pb


class Refused:
    """Remembers which, and why; a service that is declared anew, and so was let in, is another generation."""

    def __init__(self) -> None:
        self._reasons: dict[str, tuple[int, str]] = {}

    def add(self, service: pb.Service, reason: str) -> None:
        """From now on nothing is made of this generation of the service."""
        self._reasons[service.metadata.uid] = service.metadata.generation, reason

    def why(self, service: pb.Service) -> str:
        """Why nothing is to be made of a service; empty when it may be."""
        generation, reason = self._reasons.get(service.metadata.uid, (0, ""))
        return reason if generation == service.metadata.generation else ""
