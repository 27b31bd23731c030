"""Volumes stay when their service goes, unless its deletion was asked for with them."""

import re
from collections.abc import Iterable, Iterator, Mapping

from controller import Result, on
from controller.errors import EngineError, EngineUnavailable
from controller.scheduler import Informer
from controller.scheduler.engine import LABEL_SERVICE, Engine
from controller.store import CONTAINER, NORMAL, SERVICE, VOLUMES_FINALIZER, WARNING, Recorder, Store, reference
from proto.dockrunner import v1 as pb

from .instance import Instance
from .naming import volume_name
from .placeholders import filler

SOURCE = "service-controller"
# Without an answer of the engine it is asked again in so many seconds.
ENGINE_PATIENCE = 2.0
# In place of a slot while a pattern is made; no name has it.
_ANY_SLOT = "\0"


@on.delete("Service")
async def remove_volumes(
    body: pb.Service, store: Store, engine: Engine, informer: Informer, instance: Instance, recorder: Recorder
) -> Result:
    """Removes the volumes that only this service names, when its containers are gone. It may be repeated."""
    if VOLUMES_FINALIZER not in body.metadata.finalizers:
        return Result()
    if store.list(CONTAINER, index="service", value=body.metadata.name):
        return Result(done=False)
    try:
        if not informer.up:
            return Result(done=False, requeue_after=ENGINE_PATIENCE)
        for name in going(body, await engine.volumes(), store.list(SERVICE), instance):
            gone = await engine.remove_volume(name)
            if gone:
                recorder.record(SOURCE, reference(body), NORMAL, "VolumeRemoved", name)
            else:
                recorder.record(SOURCE, reference(body), WARNING, "VolumeKept", f"{name} is in use by a container")
    except EngineUnavailable:
        informer.doubt()
        return Result(done=False, requeue_after=ENGINE_PATIENCE)
    except EngineError as error:
        recorder.record(SOURCE, reference(body), WARNING, "VolumeNotRemoved", str(error))
        raise

    def release(edited: pb.Service) -> None:
        if VOLUMES_FINALIZER in edited.metadata.finalizers:
            edited.metadata.finalizers.remove(VOLUMES_FINALIZER)

    store.update(SERVICE, body.metadata.name, release, uid=body.metadata.uid)
    return Result()


def going(
    service: pb.Service, present: Mapping[str, Mapping[str, str]], services: Iterable[pb.Service], instance: Instance
) -> list[str]:
    """Which of the ``present`` volumes, with their labels, go with a service: those that none of the others names.

    A volume per slot goes only when it was made for this service: its name alone could be another's by chance.
    """
    others = [
        pattern
        for other in services
        if other.metadata.uid != service.metadata.uid and not other.metadata.HasField("delete_time")
        for pattern, _ in _patterns(other, instance)
    ]
    return sorted(
        {
            name
            for pattern, by_slot in _patterns(service, instance)
            for name, labels in present.items()
            if pattern.fullmatch(name)
            and (not by_slot or labels.get(LABEL_SERVICE) == service.metadata.name)
            and not any(other.fullmatch(name) for other in others)
        }
    )


def _patterns(service: pb.Service, instance: Instance) -> Iterator[tuple[re.Pattern[str], bool]]:
    """What the volumes of a service are called in the engine, and whether each slot has one of its own."""
    fill = filler({"slot": _ANY_SLOT, "service": service.metadata.name, "instance": instance.name})
    for mount in service.spec.volumes:
        if mount.type in ("", "volume") and mount.source:
            name = volume_name(instance.name, fill(mount.source), mount.definition)
            yield re.compile(re.escape(name).replace(_ANY_SLOT, "[1-9][0-9]*")), _ANY_SLOT in name
