"""Every metric of the program, in one place.

Names, labels and buckets of the first two groups are those of controller-runtime and of go-grpc-prometheus, so that
their dashboards and alerts work unchanged. Nothing here carries an id, an error text or unbounded user input.
"""

import platform
from importlib.metadata import version

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.registry import Collector

disable_created_metrics()  # type: ignore[no-untyped-call]  # the library left it untyped

# controller-runtime, pkg/internal/controller/metrics: reconcile_time_seconds, in seconds.
RECONCILE_BUCKETS = (
    0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.25, 1.5,
    1.75, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 15.0, 20.0, 25.0, 30.0, 40.0, 50.0, 60.0,
)  # fmt: skip
# controller-runtime, pkg/metrics/workqueue: prometheus.ExponentialBuckets(10e-9, 10, 12), in seconds.
QUEUE_BUCKETS = tuple(10e-9 * 10**i for i in range(12))
# What a container takes: tens of milliseconds for a start, minutes for a pull. In seconds.
CONTAINER_BUCKETS = (0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0)
ENGINE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
JOURNAL_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

RECONCILE_RESULTS = ("success", "error", "requeue", "requeue_after")


class Metrics:
    """All metrics of one program run, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry, platform=platform)
        self._reconcile()
        self._queue()
        self._grpc()
        self._services()
        self._engine()
        self._program()

    def collect_with(self, collector: Collector) -> None:
        """Adds values that are read at scrape time, such as counts of the store."""
        self.registry.register(collector)

    def _reconcile(self) -> None:
        per_controller = ["controller"]
        self.reconcile_total = self._counter(
            "controller_runtime_reconcile_total", "Reconciliations per controller.", ["controller", "result"]
        )
        self.reconcile_errors = self._counter(
            "controller_runtime_reconcile_errors_total", "Reconciliation errors per controller.", per_controller
        )
        self.terminal_errors = self._counter(
            "controller_runtime_terminal_reconcile_errors_total",
            "Terminal reconciliation errors per controller.", per_controller,
        )  # fmt: skip
        self.reconcile_panics = self._counter(
            "controller_runtime_reconcile_panics_total", "Unexpected errors in handlers per controller.", per_controller
        )
        self.reconcile_time = self._histogram(
            "controller_runtime_reconcile_time_seconds", "Length of a reconciliation.", per_controller,
            RECONCILE_BUCKETS,
        )  # fmt: skip
        self.max_concurrent_reconciles = self._gauge(
            "controller_runtime_max_concurrent_reconciles", "Workers per controller.", per_controller
        )
        self.active_workers = self._gauge(
            "controller_runtime_active_workers", "Workers at work per controller.", per_controller
        )

    def _queue(self) -> None:
        labels = ["name", "controller"]
        self.queue_depth = self._gauge("workqueue_depth", "Items that wait.", [*labels, "priority"])
        self.queue_adds = self._counter("workqueue_adds_total", "Items added.", labels)
        self.queue_retries = self._counter("workqueue_retries_total", "Items added again after an error.", labels)
        self.queue_duration = self._histogram(
            "workqueue_queue_duration_seconds", "How long an item waits before it is processed.", labels, QUEUE_BUCKETS
        )
        self.work_duration = self._histogram(
            "workqueue_work_duration_seconds", "How long an item is processed.", labels, QUEUE_BUCKETS
        )
        self.unfinished_work = self._gauge(
            "workqueue_unfinished_work_seconds", "Seconds of work in progress, not yet in work_duration.", labels
        )
        self.longest_running = self._gauge(
            "workqueue_longest_running_processor_seconds", "How long the longest running item has been worked on.",
            labels,
        )  # fmt: skip

    def for_controller(self, name: str, workers: int) -> None:
        """Makes every series of a controller and its queue exist, at 0."""
        for result in RECONCILE_RESULTS:
            self.reconcile_total.labels(name, result)
        for counter in (self.reconcile_errors, self.terminal_errors, self.reconcile_panics):
            counter.labels(name)
        self.reconcile_time.labels(name)
        self.active_workers.labels(name)
        self.max_concurrent_reconciles.labels(name).set(workers)
        self.queue_depth.labels(name, name, "0")
        for queue_counter in (self.queue_adds, self.queue_retries):
            queue_counter.labels(name, name)
        for histogram in (self.queue_duration, self.work_duration):
            histogram.labels(name, name)
        for gauge in (self.unfinished_work, self.longest_running):
            gauge.labels(name, name)

    def _grpc(self) -> None:
        labels = ["grpc_type", "grpc_service", "grpc_method"]
        self.grpc_started = self._counter("grpc_server_started_total", "RPCs started on the server.", labels)
        self.grpc_handled = self._counter(
            "grpc_server_handled_total", "RPCs completed on the server.", [*labels, "grpc_code"]
        )
        self.grpc_received = self._counter("grpc_server_msg_received_total", "Messages received.", labels)
        self.grpc_sent = self._counter("grpc_server_msg_sent_total", "Messages sent.", labels)
        self.grpc_handling = self._histogram(
            "grpc_server_handling_seconds", "Time until the server had answered.", labels, Histogram.DEFAULT_BUCKETS
        )

    def _services(self) -> None:
        per_service = ["service"]
        self.replicas_desired = self._gauge("dock_runner_service_replicas_desired", "Replicas wanted.", per_service)
        self.replicas_ready = self._gauge("dock_runner_service_replicas_ready", "Replicas that are ready.", per_service)
        self.replicas_updated = self._gauge(
            "dock_runner_service_replicas_updated", "Replicas of the current revision.", per_service
        )
        self.restarts = self._counter(
            "dock_runner_service_restarts_total", "Restarts by Docker and replacements of ended containers.",
            per_service,
        )  # fmt: skip
        self.service_info = self._gauge(
            "dock_runner_service_info", "Always 1: what the service runs.", ["service", "image", "revision"]
        )
        self.service_condition = self._gauge(
            "dock_runner_service_condition", "1 for the status that the condition has.",
            ["service", "condition", "status"],
        )  # fmt: skip
        self.container_ready = self._histogram(
            "dock_runner_container_ready_seconds", "From the decision to have a container until it was ready.", [],
            CONTAINER_BUCKETS,
        )  # fmt: skip
        self.repair = self._histogram(
            "dock_runner_repair_seconds", "From the loss of a container until its slot was ready again.", [],
            CONTAINER_BUCKETS,
        )  # fmt: skip

    def _engine(self) -> None:
        self.engine_request = self._histogram(
            "dock_runner_engine_request_duration_seconds", "Calls of the engine.", ["operation", "code"], ENGINE_BUCKETS
        )
        self.engine_events = self._counter(
            "dock_runner_engine_events_total", "Events of the engine about containers of ours.", ["action"]
        )
        self.engine_up = self._gauge("dock_runner_engine_up", "Whether the engine answers.", [])

    def _program(self) -> None:
        self.reload_successful = self._gauge(
            "dock_runner_config_last_reload_successful", "Whether the last reload of the file succeeded.", []
        )
        self.reload_time = self._gauge(
            "dock_runner_config_last_reload_success_timestamp_seconds", "When the file was last read well.", []
        )
        self.store_objects = self._gauge("dock_runner_store_objects", "Objects in the store.", ["kind"])
        self.watchers = self._gauge("dock_runner_watchers", "Open watches of the API.", ["kind"])
        self.journal_commit = self._histogram(
            "dock_runner_journal_commit_seconds", "Writing one group of commits, up to its fsync.", [], JOURNAL_BUCKETS
        )
        self.build_info = self._gauge("dock_runner_build_info", "Always 1: the version that runs.", ["version"])
        self.build_info.labels(version("dock-runner")).set(1)

    def _counter(self, name: str, text: str, labels: list[str]) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, labels: list[str]) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, labels: list[str], buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, text, labels, buckets=buckets, registry=self.registry)
