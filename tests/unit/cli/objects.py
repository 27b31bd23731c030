"""Objects as a server would have them, at a fixed time."""

from datetime import UTC, datetime, timedelta

from proto.dockrunner import v1 as pb

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)

State = pb.ContainerStatus


def service(name: str = "web", *, replicas: int = 3, ready: int = 3, old: float = 300) -> pb.Service:
    """A service that was made ``old`` seconds ago, and is converged if enough replicas are ready."""
    found = pb.Service(
        metadata=pb.Metadata(name=name, uid=f"uid-{name}", generation=1, manager="api", resource_version="42"),
        spec=pb.ServiceSpec(image=f"{name}:1", replicas=replicas),
        status=pb.ServiceStatus(
            observed_generation=1, replicas=replicas, updated_replicas=ready, ready_replicas=ready, revision="1-abc"
        ),
    )
    found.metadata.create_time.FromDatetime(NOW - timedelta(seconds=old))
    well = ready >= replicas
    found.status.conditions.add(
        type="Ready",
        status="True" if well else "False",
        reason="ReplicasReady" if well else "ReplicasNotReady",
        message=f"{ready} of {replicas} ready" + ("" if well else f": {name}-2-abcde: no such image"),
    )
    found.status.conditions.add(
        type="Progressing", status="False" if well else "True", reason="Converged" if well else "Reconciling"
    )
    found.status.conditions.add(type="Degraded", status="False", reason="AsExpected")
    return found


def container(name: str = "web-1-abcde", *, of: str = "web", slot: int = 1, old: float = 90) -> pb.Container:
    """A container that runs and is ready."""
    found = pb.Container(
        metadata=pb.Metadata(name=name, uid=f"uid-{name}", resource_version="43"),
        spec=pb.ContainerSpec(
            service=of, slot=slot, revision="1-abc", restarts=1, template=pb.ServiceSpec(image=f"{of}:1")
        ),
        status=pb.ContainerStatus(
            state=State.RUNNING, ready=True, docker_id="0123456789abcdef", restart_count=2,
            ports=[pb.Port(target=80, published="8080", protocol="tcp")],
        ),
    )  # fmt: skip
    found.metadata.create_time.FromDatetime(NOW - timedelta(seconds=old))
    return found


def revision(number: int, *, hash_: str = "", failure: str = "", digest: str = "", old: float = 300) -> pb.Revision:
    """A revision that was first declared ``old`` seconds ago."""
    found = pb.Revision(
        number=number, revision=hash_ or f"1-{number:012x}", spec=pb.ServiceSpec(image=f"web:{number}"),
        failure=failure, image_digest=digest,
    )  # fmt: skip
    found.create_time.FromDatetime(NOW - timedelta(seconds=old))
    return found


def event(message: str = "it began", *, count: int = 1, of: str = "web", type_: str = "Normal") -> pb.Event:
    """An event of 5 seconds ago about a service."""
    found = pb.Event(
        metadata=pb.Metadata(name=f"{of}.1", resource_version="44"),
        regarding=pb.ObjectReference(kind="Service", name=of, service=of),
        type=type_, reason="Began", message=message, count=count, source="service-controller",
    )  # fmt: skip
    found.last_time.FromDatetime(NOW - timedelta(seconds=5))
    found.first_time.FromDatetime(NOW - timedelta(seconds=65))
    return found
