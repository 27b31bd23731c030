"""Keeps the metrics of services and containers true to the store."""

from collections.abc import Iterable
from functools import partial

from controller.clock import Clock
from controller.metrics import Metrics
from controller.store import CONTAINER, KINDS, SERVICE, Change, Store
from proto.dockrunner import v1 as pb

_STATUSES = ("True", "False", "Unknown")


class ServiceMetrics:
    """Follows every change; series of a service that is gone go away."""

    def __init__(self, store: Store, metrics: Metrics, clock: Clock) -> None:
        self._metrics = metrics
        self._clock = clock
        self._was_ready: set[str] = set()
        self._lost: dict[str, dict[int, float]] = {}
        for kind in KINDS:
            metrics.store_objects.labels(kind.name).set_function(partial(store.count, kind))
            metrics.watchers.labels(kind.name).set_function(partial(store.watchers, kind))
        store.subscribe(SERVICE, self._service)
        store.subscribe(CONTAINER, self._container)

    def _service(self, change: Change[pb.Service]) -> None:
        old, new = change.old, change.new
        if new is None:
            return
        name, metrics = new.metadata.name, self._metrics
        if old is not None and (change.type == pb.DELETED or _info(old) != _info(new)):
            metrics.service_info.remove(*_info(old))
        if change.type == pb.DELETED:
            self._lost.pop(name, None)
            for metric in (
                metrics.replicas_desired,
                metrics.replicas_ready,
                metrics.replicas_updated,
                metrics.restarts,
            ):
                metric.remove(name)
            for condition in old.status.conditions if old is not None else ():
                self._forget(name, condition.type)
            return
        if old is not None and new.spec.replicas < old.spec.replicas:
            self._lost.pop(name, None)  # what is not wanted any more is not repaired
        # A series costs more to find than to compare: only what changed is written.
        if old is None or _info(old) != _info(new):
            metrics.service_info.labels(*_info(new)).set(1)
        before = _counts(old) if old is not None else (None, None, None)
        gauges = (metrics.replicas_desired, metrics.replicas_ready, metrics.replicas_updated)
        for gauge, last, count in zip(gauges, before, _counts(new), strict=True):
            if count != last:
                gauge.labels(name).set(count)
        restarts = old.status.restarts if old is not None else 0
        if old is None or new.status.restarts > restarts:
            metrics.restarts.labels(name).inc(max(0, new.status.restarts - restarts))
        self._conditions(name, old.status.conditions if old is not None else (), new.status.conditions)

    def _conditions(self, name: str, old: Iterable[pb.Condition], new: Iterable[pb.Condition]) -> None:
        series = self._metrics.service_condition
        before, after = ({condition.type: condition.status for condition in side} for side in (old, new))
        for type_ in before.keys() - after.keys():
            self._forget(name, type_)
        for type_, status in after.items():
            if before.get(type_) != status:
                for possible in _STATUSES:
                    series.labels(name, type_, possible).set(status == possible)

    def _forget(self, name: str, condition: str) -> None:
        """One by one, as to look for them would be to look through those of all services."""
        for status in _STATUSES:
            self._metrics.service_condition.remove(name, condition, status)

    def _container(self, change: Change[pb.Container]) -> None:
        old, new = change.old, change.new
        if new is None:
            return
        uid = new.metadata.uid
        if change.type == pb.DELETED:
            self._was_ready.discard(uid)
        elif new.status.ready and (old is None or not old.status.ready):
            self._became_ready(new, found=old is None)
        elif old is not None and old.status.ready and not new.status.ready and not new.metadata.HasField("delete_time"):
            self._lost.setdefault(new.spec.service, {}).setdefault(new.spec.slot, self._clock.monotonic())

    def _became_ready(self, container: pb.Container, *, found: bool) -> None:
        uid = container.metadata.uid
        if uid not in self._was_ready and not found:
            wanted = container.metadata.create_time.ToNanoseconds() / 1e9
            self._metrics.container_ready.observe(max(0.0, self._clock.now().timestamp() - wanted))
        self._was_ready.add(uid)
        lost = self._lost.get(container.spec.service, {}).pop(container.spec.slot, None)
        if lost is not None:
            self._metrics.repair.observe(self._clock.monotonic() - lost)


def _counts(service: pb.Service) -> tuple[int, int, int]:
    """Desired, ready and updated; a scheduled service wants nothing between its runs, which is no alarm."""
    desired = service.status.replicas if service.spec.schedule else service.spec.replicas
    return desired, service.status.ready_replicas, service.status.updated_replicas


def _info(service: pb.Service) -> tuple[str, str, str]:
    return service.metadata.name, service.spec.image, service.status.revision
