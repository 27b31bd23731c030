"""This controller's instance: how its container objects look, and back again from what is found in the engine."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp

from controller.errors import EngineError
from controller.framework import FINALIZER
from controller.scheduler.engine import (
    LABEL_FOLLOWS,
    LABEL_INSTANCE,
    LABEL_JOINED,
    LABEL_MANAGER,
    LABEL_REVISION,
    LABEL_RUN,
    LABEL_SERVICE,
    LABEL_SLOT,
    LABEL_UID,
    CreateRequest,
    Observed,
)
from controller.store import SERVICE, owner_of
from proto.dockrunner import v1 as pb

from .in_place import in_place
from .naming import DEFAULT_NETWORK, container_name, network_name, volume_name
from .operations import Create
from .placeholders import expanded


@dataclass(frozen=True)
class Instance:
    """Several controllers share one engine, each under a name of its own; this one's is ``name``."""

    name: str

    def container(self, service: pb.Service, create: Create) -> pb.Container:
        """The new container object for one step of a plan."""
        uid = str(uuid.uuid4())
        made = pb.Container(
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
                revision=create.revision,
                template=create.template,
                failures=create.failures,
                restarts=create.restarts,
                held=create.held,
                joined=create.joined,
                follows=create.follows,
            ),
        )
        made.spec.MergeFrom(in_place(service.spec))
        if create.run is not None:
            made.spec.run.FromDatetime(create.run)
        return made

    def request(self, container: pb.Container, joined: str = "") -> CreateRequest:
        """What the engine is asked for to make a container.

        ``joined`` is the engine's id of the container whose network it shares, with network_mode ``service:NAME``.

        Raises:
            EngineError: it shares a network, and that container is not there.
        """
        spec, template = container.spec, self.template(container)
        ours = {
            LABEL_INSTANCE: self.name,
            LABEL_SERVICE: spec.service,
            LABEL_SLOT: str(spec.slot),
            LABEL_UID: container.metadata.uid,
            LABEL_REVISION: spec.revision,
            LABEL_MANAGER: container.metadata.manager,
            **({LABEL_JOINED: spec.joined} if spec.joined else {}),
            **({LABEL_FOLLOWS: spec.follows} if spec.follows else {}),
            **({LABEL_RUN: spec.run.ToJsonString()} if spec.HasField("run") else {}),
        }
        return CreateRequest(
            container.metadata.name, container.metadata.uid, template, spec.restart,
            {**template.labels, **ours}, self.networks(spec.service, template),
            network_mode=_network_mode(template.network_mode, joined), resources=spec.resources,
        )  # fmt: skip

    def template(self, container: pb.Container) -> pb.ServiceSpec:
        """What a container is made of, with its placeholders filled and its volumes called as in Docker."""
        spec = container.spec
        words = {"slot": str(spec.slot), "service": spec.service, "instance": self.name}
        template = expanded(spec.template, words)
        for mount in template.volumes:
            if mount.type in ("", "volume") and mount.source:
                mount.source = volume_name(self.name, mount.source, mount.definition)
        return template

    def networks(self, service: str, spec: pb.ServiceSpec) -> Mapping[str, pb.NetworkAttachment]:
        """The networks of a service's containers by their names in Docker; ``default`` first, as far as it is one."""
        networks: dict[str, pb.NetworkAttachment] = {}
        if spec.network_mode:
            return networks
        for name in sorted(spec.networks, key=lambda name: (name != DEFAULT_NETWORK, name)):
            attachment = pb.NetworkAttachment()
            attachment.CopyFrom(spec.networks[name])
            attachment.aliases[:] = dict.fromkeys([service, *attachment.aliases])
            networks[network_name(self.name, name, attachment.definition)] = attachment
        return networks

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
        try:
            run = _run_of(labels.get(LABEL_RUN, ""))
        except ValueError:
            return None
        return pb.Container(
            # Held from the first: deleted before its controller has seen it, it must not leave the container behind.
            metadata=pb.Metadata(
                name=observed.name, uid=uid, manager=labels.get(LABEL_MANAGER, ""), finalizers=[FINALIZER]
            ),
            spec=pb.ContainerSpec(
                service=service,
                slot=int(slot),
                revision=labels.get(LABEL_REVISION, ""),
                restart=observed.restart,
                resources=observed.resources,
                joined=labels.get(LABEL_JOINED, ""),
                follows=labels.get(LABEL_FOLLOWS, ""),
                # Never started: whether its predecessor in the slot has gone is the planner's to see.
                held=observed.status.state == pb.ContainerStatus.CREATED,
                run=run,
            ),
            status=observed.status,
        )


def _run_of(label: str) -> Timestamp | None:
    """When the run of a container was due; None when it is of none.

    Raises:
        ValueError: it is no time.
    """
    if not label:
        return None
    run = Timestamp()
    run.FromJsonString(label)
    return run


def _network_mode(mode: str, joined: str) -> str:
    """As the engine wants it."""
    if not mode.startswith("service:"):
        return mode
    if not joined:
        raise EngineError(f"the container of {mode.removeprefix('service:')} whose network it shares is not there yet")
    return f"container:{joined}"
