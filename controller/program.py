"""The program without its ways in and out: store, journal, framework, handlers and the informer, put together.

The same parts serve the whole program, the harness in which users test their handlers, and the simulation.
"""

import logging
from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path

# The built-in handlers declare themselves as they are imported.
import handlers.admission
import handlers.autoscale
import handlers.container
import handlers.image_check
import handlers.service
import handlers.volumes  # noqa: F401
from controller.clock import Clock
from controller.errors import AdmissionFailed, HandlersBroken, Violation
from controller.framework import Operator, Registry, on
from controller.metrics import Metrics
from controller.scheduler import Engine, Informer, Observed
from controller.scheduler.registries import Registries
from controller.service_metrics import ServiceMetrics
from controller.store import (
    EVENT,
    SERVICE,
    WARNING,
    Change,
    GarbageCollector,
    Journal,
    Listing,
    Persistence,
    Recorder,
    Safe,
    Store,
    owner_of,
    reference,
)
from handlers.admission import ServiceAdmission
from handlers.container_files import ContainerFiles
from handlers.image_pruning import ImagePruning
from handlers.images import Images
from handlers.in_flight import InFlight
from handlers.instance import Instance
from handlers.networks import Networks
from handlers.orphans import Orphans
from handlers.policy import Policy
from handlers.refused import Refused
from handlers.secrets import Secrets
from handlers.surroundings import Surroundings
from proto.dockrunner import v1 as pb

# The source of events about the file; what they say it logs itself, problem by problem.
CONFIG_AGENT = "config-agent"
JOURNAL = "journal"
HANDLERS = "handlers"

logger = logging.getLogger("dock_runner.app")


class Program:
    """Everything that keeps what runs in ``engine`` equal to what was declared.

    ``safe`` keeps what is in secrets, by default in memory alone. ``files`` is the folder, in memory too, out of which
    containers get their secrets and configs; None: they are simulated and get none.

    Order: ``restore``, ``informer.run`` until it has synced, ``operator.start``; at the end ``operator.stop``,
    ``in_flight.close``, ``persistence.close``. Beside it ``persistence.run`` writes what is behind.
    """

    def __init__(
        self, engine: Engine, journal: Journal, clock: Clock, metrics: Metrics, *, instance: str = "default",
        policy: Policy | None = None, workers: int = 8, resync: float = 30.0, registry: Registry = on.default,
        threads: Executor | None = None, safe: Safe | None = None, files: Path | None = None,
    ) -> None:  # fmt: skip
        self.engine = engine
        self.journal = journal
        self.metrics = metrics
        self.store = Store(clock, epoch=journal.epoch)
        self.persistence = Persistence(self.store, journal, clock)
        self.recorder = Recorder(self.store, clock)
        self.store.subscribe(EVENT, _log_event)
        ServiceMetrics(self.store, metrics, clock)
        GarbageCollector(self.store)
        self.orphans = Orphans(self.store, self.recorder, journal.deleted(SERVICE.name))
        ours = Instance(instance)
        self._instance = ours
        self.informer = Informer(engine, self.store, clock, metrics, self._adopt, resync=resync)
        self.in_flight = InFlight(lambda name: self.operator.containers.queue.add(name))
        self.restored = False
        """Whether all that an earlier run knew is known again."""
        self.refused = Refused()
        self.surroundings = Surroundings(self.store, lambda name: self.operator.services.queue.add(name))
        self.images = Images(engine, self.store, self.recorder, self.in_flight, Registries(clock))
        ImagePruning(engine, self.store)
        self._safe = safe or Safe()
        self.files = ContainerFiles(files, self._safe, self.store, self.recorder, engine)
        self.secrets = Secrets(self._safe, self.store)
        self.inject = {
            "engine": engine, "informer": self.informer, "instance": ours, "recorder": self.recorder,
            "orphans": self.orphans, "in_flight": self.in_flight, "policy": policy or Policy(),
            "refused": self.refused, "surroundings": self.surroundings, "images": self.images,
            "networks": Networks(self.store, engine, ours), "files": self.files,
        }  # fmt: skip
        self.operator = Operator(
            registry, self.store, self.recorder, clock, metrics, workers=workers, inject=self.inject,
            keep=self.persistence.keep, threads=threads,
        )  # fmt: skip
        self.admission = ServiceAdmission(
            self.operator.admission, self.store, clock, self.orphans, self.surroundings, self.secrets,
            self.operator.release,
        )  # fmt: skip
        self.informer.on_adopted(self.operator.adopted)
        self.informer.on_recovered(self.files.tidy)
        self.informer.on_recovered(self.operator.containers.resync)
        self.informer.on_recovered(self.operator.services.resync)
        self.informer.on_drift(self.operator.containers.queue.add)

    def _adopt(self, observed: Observed) -> pb.Container | None:
        """The object of what was found in the engine, with what its service has handed down to it."""
        container = self._instance.adopt(observed)
        service = self.store.find(SERVICE, container.spec.service) if container is not None else None
        if container is not None and service is not None:
            container.metadata.labels.update(SERVICE.labels(service))
            container.metadata.owners.append(owner_of(service))
        return container

    async def restore(self) -> None:
        """Has the store and the framework know again what an earlier run knew.

        The policy may be another one since, so all is checked again: what is no longer allowed is kept and said, and
        none of its containers is made.

        Raises:
            StartError: the journal is not as it was written, or the safe cannot be read.
        """
        await self.operator.startup()
        await self._safe.open()
        self.operator.load(self.persistence.restore(self.journal.read()))
        services = self.store.list(SERVICE)
        before = Listing(list, 0)
        for service in services:
            try:
                found = await self.operator.admission.violations(SERVICE, service, service, before)
            except AdmissionFailed as error:
                found = [Violation("", str(error))]
            for violation in found:
                self.recorder.record(JOURNAL, reference(service), WARNING, "NoLongerAllowed", str(violation))
            before.add(service)
            if found:
                self.refused.add(service, "; ".join(map(str, found)))
            if lost := self.secrets.missing(service):
                text = f"what is in {', '.join(lost)} is not there any more: declare the service again"
                self.recorder.record(JOURNAL, reference(service), WARNING, "SecretsMissing", text)
        self.restored = True
        if services:
            logger.info("the journal has %d services", len(services))

    def say_broken(self, broken: Sequence[HandlersBroken]) -> None:
        """Says which of the user's modules could not be loaded; the log has why."""
        for error in broken:
            about = pb.ObjectReference(kind="Handlers", name=error.module)
            self.recorder.record(HANDLERS, about, WARNING, "HandlersBroken", str(error))


def _log_event(change: Change[pb.Event]) -> None:
    """What people find in `get events` they find in the log as well, each time that it happens."""
    event = change.new
    if event is not None and change.type != pb.DELETED and event.source != CONFIG_AGENT:
        level = logging.WARNING if event.type == WARNING else logging.INFO
        about = event.regarding.name
        logging.getLogger(f"dock_runner.{event.source}").log(level, "%s: %s: %s", about, event.reason, event.message)
