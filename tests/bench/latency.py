"""Latencies of the API, by a client on the same machine over the unix socket."""

import threading
import time

import grpc

from proto.dockrunner import v1 as pb
from tests.system.program import Program

from .contender import PATIENCE, TooSlow
from .table import Series

SERVICE = "latency"


class Arrivals:
    """When the first watch event of each generation arrived."""

    def __init__(self, program: Program) -> None:
        self._stream = program.api.Watch(pb.WatchRequest(name=SERVICE, send_initial_events=True))
        self._times: dict[int, float] = {}
        self._changed = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def of(self, generation: int) -> float:
        """The reading of the clock when it came."""
        with self._changed:
            if not self._changed.wait_for(lambda: generation in self._times, PATIENCE):
                raise TooSlow(f"no watch event of generation {generation}")
            return self._times[generation]

    def close(self) -> None:
        """Ends the watch."""
        self._stream.cancel()

    def _read(self) -> None:
        try:
            for change in self._stream:
                now = time.perf_counter()
                with self._changed:
                    self._times.setdefault(change.service.metadata.generation, now)
                    self._changed.notify_all()
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.CANCELLED:
                raise


def api_latencies(program: Program, calls: int) -> list[Series]:
    """Apply that changes nothing, Apply of a new spec, and from its sending until a watch has seen it.

    The service wants no replicas, so that no container's work is measured with it.
    """
    apply = program.api.Apply
    generation = apply(_request(0)).service.metadata.generation
    arrivals = Arrivals(program)
    arrivals.of(generation)
    unchanged, changed, watched = [], [], []
    for number in range(1, calls + 1):
        began = time.perf_counter()
        answer = apply(_request(number))
        changed.append(time.perf_counter() - began)
        if answer.outcome != pb.CONFIGURED:
            raise ValueError(f"an Apply with a change was {pb.Outcome.Name(answer.outcome)}")
        watched.append(arrivals.of(answer.service.metadata.generation) - began)
        began = time.perf_counter()
        answer = apply(_request(number))
        unchanged.append(time.perf_counter() - began)
        if answer.outcome != pb.UNCHANGED:
            raise ValueError(f"an Apply without a change was {pb.Outcome.Name(answer.outcome)}")
    arrivals.close()
    return [
        Series("Apply, nothing to change", unchanged),
        Series("Apply, a new spec", changed),
        Series("from sending that Apply to the event of a Watch", watched),
    ]


def _request(number: int) -> pb.ApplyRequest:
    spec = pb.ServiceSpec(image="latency:1", replicas=0, environment={"NUMBER": str(number)})
    return pb.ApplyRequest(service=pb.Service(metadata=pb.Metadata(name=SERVICE), spec=spec))
