"""Has the number of replicas follow the load: the algorithm of the Kubernetes HorizontalPodAutoscaler.

Every 15 s the processor time of a service's containers is sampled; what they used since the last sample, in percent of
``cpus`` and on average, is held against what is wanted. A change of the number is a change of the declaration like any
other: checked, journaled, and seen by everybody.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from controller import PRESENT, Patch, on
from controller.errors import EngineError, EngineUnavailable
from controller.scheduler import Informer
from controller.scheduler.engine import Engine, Usage
from controller.store import CONTAINER, NORMAL, SERVICE, Recorder, Store, reference
from proto.dockrunner import v1 as pb

from .autoscale_decision import Recommendation, clamped, decided, desired, longest_window, ratio_of
from .refused import Refused

SOURCE = "autoscaler"
# How often the load is looked at, in seconds.
TURN = 15.0
# What has been started for less long has no load yet that tells anything.
YOUNG = timedelta(seconds=30)
# Two samples that are closer together make no rate.
CLOSEST = timedelta(seconds=1)

_UNDER_WAY = (pb.Rollout.IN_PROGRESS, pb.Rollout.ROLLING_BACK)


@dataclass
class Memory:
    """What is remembered of a service from turn to turn: what was recommended lately, and the last sample of each
    container, by its id in the engine."""

    recommended: Sequence[Recommendation]
    samples: Mapping[str, Usage] = field(default_factory=dict)


# By the field and not by ``when``: only the services that have it get a timer.
@on.timer("Service", interval=TURN, field="spec.autoscale", value=PRESENT)
async def scale_by_load(
    body: pb.Service, patch: Patch, memo: Any, now: datetime, store: Store, engine: Engine, informer: Informer,
    recorder: Recorder, refused: Refused,
) -> None:  # fmt: skip
    """Declares the number of replicas that the load asks for, when that is another one."""
    spec, current = body.spec, body.spec.replicas
    # What an earlier run recommended is lost: the number that it left counts as its last word.
    memory: Memory = memo.__dict__.setdefault("autoscale", Memory([Recommendation(now, current)]))
    if not current or refused.why(body):
        return  # what was scaled to nothing stays so; and what is refused would be let in as another generation
    number, why = clamped(current, spec.autoscale), f"autoscale is from {spec.autoscale.min} to {spec.autoscale.max}"
    if number == current:
        if not informer.up or is_rolling_out(body):
            return
        percents = await load(body, memory, now, store, engine, informer)
        if not percents:
            return
        number, target = recommend(body, percents, memory, now), spec.autoscale.cpu
        why = f"cpu at {100 * ratio_of(percents, target):.0f} % of the {target} % that are wanted"
    present = store.find(SERVICE, body.metadata.name)
    if number == current or present is None or present.metadata.generation != body.metadata.generation:
        return  # when something else is declared by now, the next turn looks at that
    patch.spec.replicas = number
    recorder.record(SOURCE, reference(body), NORMAL, "Scaled", f"replicas {current} → {number}: {why}")


def is_rolling_out(service: pb.Service) -> bool:
    """Whether its containers are being replaced, or may be about to."""
    status = service.status
    return status.observed_generation < service.metadata.generation or status.rollout.state in _UNDER_WAY


def recommend(service: pb.Service, percents: Sequence[float], memory: Memory, now: datetime) -> int:
    """The number of replicas for a load, given what was recommended before; remembers what is recommended now."""
    scale, current = service.spec.autoscale, service.spec.replicas
    recommendation = Recommendation(now, desired(current, percents, scale.cpu))
    number = decided(current, recommendation.replicas, memory.recommended, scale, now)
    memory.recommended = [it for it in (*memory.recommended, recommendation) if now - it.time < longest_window(scale)]
    return number


async def load(
    service: pb.Service, memory: Memory, now: datetime, store: Store, engine: Engine, informer: Informer
) -> list[float]:
    """What the ready containers have used since the last turn, each in percent of ``cpus``.

    Those are left out that are young, that have not been sampled before or since they were started, or of which the
    engine says nothing in time.
    """
    containers = store.list(CONTAINER, index="service", value=service.metadata.name)
    ready = [it for it in containers if it.status.ready]  # what is being stopped is not
    answers = await asyncio.gather(*(engine.usage(it.status.docker_id) for it in ready), return_exceptions=True)
    before, samples, percents = memory.samples, dict[str, Usage](), []
    for container, usage in zip(ready, answers, strict=True):
        docker_id = container.status.docker_id
        if isinstance(usage, Usage):
            samples[docker_id] = usage
            rate = cpus_in_use(before.get(docker_id), usage)
            if rate is not None and now - container.status.started_at.ToDatetime(now.tzinfo) >= YOUNG:
                percents.append(100 * rate / service.spec.cpus)
        elif not isinstance(usage, EngineError):
            raise usage
    if ready and not samples and any(isinstance(it, EngineUnavailable) for it in answers):
        informer.doubt()
    memory.samples = samples
    return percents


def cpus_in_use(before: Usage | None, after: Usage) -> float | None:
    """How many processors were busy between two samples; None when they do not tell."""
    if before is None or after.cpu_seconds < before.cpu_seconds or after.sampled - before.sampled < CLOSEST:
        return None
    return (after.cpu_seconds - before.cpu_seconds) / (after.sampled - before.sampled).total_seconds()
