"""This controller's instance: how its container objects look, and back again from what is found in the engine."""

import uuid
from dataclasses import dataclass

from controller.framework import FINALIZER
from controller.scheduler.engine import (
    LABEL_INSTANCE,
    LABEL_MANAGER,
    LABEL_REVISION,
    LABEL_SERVICE,
    LABEL_SLOT,
    LABEL_UID,
    CreateRequest,
    Observed,
)
from controller.store import SERVICE, owner_of
from proto.dockrunner import v1 as pb

from .naming import container_name, network_name
from .planner import Create
from .revision import revision_of


@dataclass(frozen=True)
class Instance:
    """Several controllers share one engine, each under a name of its own; this one's is ``name``."""

    name: str

    def container(self, service: pb.Service, create: Create) -> pb.Container:
        """The new container object for one step of a plan."""
        uid = str(uuid.uuid4())
        return pb.Container(
            metadata=pb.Metadata(
                name=container_name(self.name, service.metadata.name, create.slot, uid),
                uid=uid,
                labels=SERVICE.labels(service),
                manager=service.metadata.manager,
                owners=[owner_of(service)],
            ),
            spec=pb.ContainerSpec(
                service=service.metadata.name,
                slot=create.slot,
                revision=revision_of(service.spec),
                template=create.template,
                failures=create.failures,
                restarts=create.restarts,
                restart=service.spec.restart,
            ),
        )

    def request(self, container: pb.Container) -> CreateRequest:
        """What the engine is asked for to make a container."""
        spec = container.spec
        ours = {
            LABEL_INSTANCE: self.name,
            LABEL_SERVICE: spec.service,
            LABEL_SLOT: str(spec.slot),
            LABEL_UID: container.metadata.uid,
            LABEL_REVISION: spec.revision,
            LABEL_MANAGER: container.metadata.manager,
        }
        networks = {
            network_name(self.name, name): [spec.service, *attachment.aliases]
            for name, attachment in spec.template.networks.items()
        }
        return CreateRequest(
            container.metadata.name, container.metadata.uid, spec.template, spec.restart,
            {**spec.template.labels, **ours}, networks,
        )  # fmt: skip

    def adopt(self, observed: Observed) -> pb.Container | None:
        """The container object for what was found in the engine, or None when it is not ours.

        Labels alone prove nothing, as an image can carry them: the name must be the one that they lead to.
        """
        labels = observed.labels
        slot = labels.get(LABEL_SLOT, "")
        service, uid = labels.get(LABEL_SERVICE, ""), labels.get(LABEL_UID, "")
        if labels.get(LABEL_INSTANCE) != self.name or not (slot.isascii() and slot.isdigit() and service and uid):
            return None
        if observed.name != container_name(self.name, service, int(slot), uid):
            return None
        return pb.Container(
            # Held from the first: deleted before its controller has seen it, it must not leave the container behind.
            metadata=pb.Metadata(
                name=observed.name, uid=uid, manager=labels.get(LABEL_MANAGER, ""), finalizers=[FINALIZER]
            ),
            spec=pb.ContainerSpec(
                service=service, slot=int(slot), revision=labels.get(LABEL_REVISION, ""), restart=observed.restart
            ),
            status=observed.status,
        )
