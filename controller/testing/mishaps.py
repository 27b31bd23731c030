"""What happens to containers, and to the engine itself, without the program's doing."""

from controller.errors import NotFound
from controller.scheduler.memory import MemoryEngine


class Mishaps:
    """Meddles with the simulated engine; the program learns of it with the next ``advance``.

    Containers are named by their service and their slot, which is 1 for the first replica. Every method that names
    one raises ``NotFound`` when there is none of it.
    """

    def __init__(self, engine: MemoryEngine) -> None:
        self._engine = engine

    def crash(self, service: str, slot: int = 1, *, exit_code: int = 1) -> None:
        """Its process ends by itself; the engine brings it back when its restart policy says so."""
        self._engine.crash(self._container(service, slot), exit_code)

    def kill(self, service: str, slot: int = 1) -> None:
        """As ``docker kill``: the engine leaves it alone, whatever its restart policy."""
        self._engine.kill(self._container(service, slot))

    def discard(self, service: str, slot: int = 1) -> None:
        """As ``docker rm -f``."""
        self._engine.discard(self._container(service, slot))

    def lose_image(self, image: str) -> None:
        """The image is not there until it is pulled."""
        self._engine.lose_image(image)

    def go_away(self) -> None:
        """The engine answers no more; its containers go on."""
        self._engine.go_away()

    def come_back(self) -> None:
        """The engine answers again."""
        self._engine.come_back()

    def _container(self, service: str, slot: int) -> str:
        container = self._engine.newest(service, slot)
        if container is None:
            raise NotFound(f"the engine has no container for slot {slot} of service {service!r}")
        return container
