"""The runs of a scheduled service: the containers that one tick was the reason for."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from proto.dockrunner import v1 as pb

from .slots import State, describe_end


@dataclass(frozen=True)
class Run:
    """One run, by when it was due. ``containers`` are all of it that are there, also those on their way out."""

    tick: datetime
    containers: Sequence[pb.Container]

    @property
    def staying(self) -> Sequence[pb.Container]:
        return [it for it in self.containers if not it.metadata.HasField("delete_time")]

    @property
    def living(self) -> Sequence[pb.Container]:
        """What of it runs, or will."""
        return [it for it in self.staying if it.status.state != State.EXITED]

    @property
    def ended(self) -> bool:
        return bool(self.staying) and not self.living

    @property
    def failure(self) -> str:
        """Why it has failed; empty when it has not, or not yet."""
        failed = [it for it in self.staying if it.status.state == State.EXITED and not succeeded(it)]
        return "; ".join(f"{it.metadata.name}: {describe_end(it.status)}" for it in failed[:3])

    @property
    def made(self) -> bool:
        """Whether all of it has come to the engine."""
        return all(it.status.docker_id or it.status.state == State.EXITED for it in self.staying)

    @property
    def begun(self) -> bool:
        """Whether any of it is more than intended: in the engine or on its way, and not merely left there by an
        earlier run of the program before it could be started."""
        return not all(_only_intended(it) for it in self.containers)

    @property
    def found(self) -> bool:
        """Whether all of it is from an earlier run of the program."""
        return not any(it.spec.HasField("template") for it in self.containers)


def runs_of(containers: Iterable[pb.Container]) -> list[Run]:
    """The runs that are known, the newest first."""
    by_tick: dict[datetime, list[pb.Container]] = {}
    for container in containers:
        if container.spec.HasField("run"):
            by_tick.setdefault(container.spec.run.ToDatetime(UTC), []).append(container)
    return [Run(tick, by_tick[tick]) for tick in sorted(by_tick, reverse=True)]


def succeeded(container: pb.Container) -> bool:
    """Whether a container that has ended did its work; one that somebody took away did not."""
    return container.status.HasField("exit_code") and container.status.exit_code == 0


def _only_intended(container: pb.Container) -> bool:
    state, spec = container.status.state, container.spec
    if state == State.PENDING:
        return not container.status.docker_id
    return state == State.CREATED and spec.held and not spec.HasField("template")
