"""A watch is a list and every change after it, exactly once."""

import threading
from collections.abc import Iterator

import grpc
import pytest

from proto.dockrunner import v1 as pb

from .program import Program, eventually, refused


class Replay(threading.Thread):
    """Follows a watch and keeps what it says there is."""

    def __init__(self, stream: Iterator[pb.WatchResponse]) -> None:
        super().__init__(daemon=True)
        self.stream = stream
        self.services: dict[str, pb.Service] = {}
        self.versions: list[int] = []
        self.bookmarked = threading.Event()
        self.start()

    def run(self) -> None:
        try:
            for change in self.stream:
                self.versions.append(int(change.resource_version))
                if change.type == pb.BOOKMARK:
                    self.bookmarked.set()
                elif change.type == pb.DELETED:
                    del self.services[change.service.metadata.name]
                else:
                    assert (change.type == pb.ADDED) == (change.service.metadata.name not in self.services)
                    self.services[change.service.metadata.name] = change.service
        except grpc.RpcError:
            return  # the test is over


def change_everything(program: Program) -> None:
    """Some services come, change and go."""
    for number in range(20):
        apply(program, f"s{number}", replicas=number % 3)
    for number in range(0, 20, 2):
        apply(program, f"s{number}", replicas=2)
    for number in range(0, 20, 5):
        program.api.Delete(pb.DeleteRequest(name=f"s{number}"))


def apply(program: Program, name: str, replicas: int) -> pb.ApplyResponse:
    service = pb.Service(metadata=pb.Metadata(name=name), spec=pb.ServiceSpec(image="web:1", replicas=replicas))
    return program.api.Apply(pb.ApplyRequest(service=service))


def listed(program: Program) -> dict[str, pb.Service]:
    return {it.metadata.name: it for it in program.api.List(pb.ListRequest()).services}


def test_a_watch_opened_before_during_and_after_changes_replays_to_what_the_list_says(simulated: Program) -> None:
    program = simulated.start()
    before = Replay(program.api.Watch(pb.WatchRequest()))
    empty = program.api.List(pb.ListRequest()).resource_version
    changing = threading.Thread(target=change_everything, args=[program])
    changing.start()
    eventually(lambda: len(listed(program)) > 5)
    during = Replay(program.api.Watch(pb.WatchRequest(send_initial_events=True)))
    changing.join()
    after = Replay(program.api.Watch(pb.WatchRequest()))
    resumed = Replay(program.api.Watch(pb.WatchRequest(resource_version=empty)))
    eventually(lambda: all(it.services == listed(program) for it in (before, during, after, resumed)))
    assert len(listed(program)) == 16
    assert during.bookmarked.is_set()
    for replay in (before, resumed):
        assert replay.versions == sorted(set(replay.versions)), "each version once and in order"
    assert len(before.versions) == len(resumed.versions)


def test_a_version_of_an_earlier_run_is_refused(simulated: Program) -> None:
    simulated.start()
    apply(simulated, "web", 1)
    version = simulated.api.List(pb.ListRequest()).resource_version
    simulated.stop()
    simulated.start()
    with refused(grpc.StatusCode.OUT_OF_RANGE):
        next(simulated.api.Watch(pb.WatchRequest(resource_version=version)))


def test_a_watch_ends_when_the_program_stops(simulated: Program) -> None:
    simulated.start()
    stream = simulated.api.Watch(pb.WatchRequest(send_initial_events=True))
    assert next(stream).type == pb.BOOKMARK
    assert simulated.stop() == 0
    with pytest.raises((StopIteration, grpc.RpcError)):
        next(stream)
