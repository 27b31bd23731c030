"""The status of a service: counts and conditions out of its containers and its plan. Pure."""

from collections.abc import Sequence
from datetime import datetime

from proto.dockrunner import v1 as pb

from . import scheduled_status
from .crash_loop import crash_looping, crashes
from .planner import Plan
from .runs import runs_of
from .slots import completed, describe_end

READY, PROGRESSING, DEGRADED = "Ready", "Progressing", "Degraded"

State = pb.ContainerStatus

_BACK = (pb.Rollout.ROLLING_BACK, pb.Rollout.ROLLED_BACK)
# What an update is shown as: whether it goes on by itself, and in one word.
_ROLLOUTS = {
    pb.Rollout.IN_PROGRESS: ("True", "RollingOut"),
    pb.Rollout.PAUSED: ("False", "Paused"),
    pb.Rollout.FAILED: ("False", "RolloutFailed"),
    pb.Rollout.ROLLING_BACK: ("True", "RollingBack"),
    pb.Rollout.ROLLED_BACK: ("False", "RolledBack"),
}


def status_of(
    service: pb.Service, containers: Sequence[pb.Container], plan: Plan, now: datetime, *, refused: str = ""
) -> pb.ServiceStatus:
    """The status to be written, given what is there before the plan is carried out.

    ``refused``: why nothing may be made of the service any more; empty when it may.
    """
    staying = [container for container in containers if not container.metadata.HasField("delete_time")]
    living = [container for container in staying if container.status.state != State.EXITED]
    ready = [container for container in living if container.status.ready]
    updated = [container for container in living if container.spec.revision == plan.revision]
    status = pb.ServiceStatus(
        observed_generation=service.metadata.generation,
        replicas=len(living),
        updated_replicas=len(updated),
        ready_replicas=len(ready),
        available_replicas=len(ready),
        restarts=_restarts(staying),
        revision=plan.revision,
    )
    settled = not plan.operations and plan.look_again is None and len(staying) == len(containers)
    ready_updated = sum(1 for container in updated if container.status.ready)
    conditions = [
        _ready(service, ready, staying, plan, now),
        _progressing(service, settled, ready_updated + len(plan.done), plan, staying),
        _degraded(service, staying, plan, now, refused),
    ]
    for condition in conditions:
        _stamp(condition, service, now)
    ours = {condition.type for condition in conditions}
    status.conditions.extend(conditions)
    status.conditions.extend(condition for condition in service.status.conditions if condition.type not in ours)
    if plan.rollout is not None and not service.metadata.HasField("delete_time"):
        status.rollout.CopyFrom(plan.rollout)
    if plan.agenda is not None:
        scheduled_status.write_times(status, plan.agenda)
    return status


def _ready(
    service: pb.Service, ready: Sequence[pb.Container], staying: Sequence[pb.Container], plan: Plan, now: datetime
) -> pb.Condition:
    wanted = service.spec.replicas
    if service.metadata.HasField("delete_time"):
        return pb.Condition(type=READY, status="False", reason="Deleting", message="being deleted")
    if plan.agenda is not None:
        return scheduled_status.ready(service, plan.agenda)
    done = plan.done
    if done and len(ready) + len(done) >= wanted:
        message = f"{len(done)} of {wanted} completed"
        return pb.Condition(type=READY, status="True", reason="Completed", message=message)
    if len(ready) >= wanted:
        return pb.Condition(
            type=READY, status="True", reason="ReplicasReady", message=f"{len(ready)} of {wanted} ready"
        )
    reasons = "; ".join((_trouble(staying, service.spec, now) or _on_the_way(staying))[:3])
    message = f"{len(ready)} of {wanted} ready" + (f": {reasons}" if reasons else "")
    if plan.waits_for and not staying:
        return pb.Condition(type=READY, status="False", reason="Waiting", message=f"waits for {plan.waits_for}")
    return pb.Condition(type=READY, status="False", reason="ReplicasNotReady", message=message)


def _progressing(
    service: pb.Service, settled: bool, serving: int, plan: Plan, staying: Sequence[pb.Container]
) -> pb.Condition:
    wanted = service.spec.replicas
    if service.metadata.HasField("delete_time"):
        return pb.Condition(type=PROGRESSING, status="True", reason="Deleting", message="its containers are going")
    if plan.agenda is not None:
        return scheduled_status.progressing(service, plan.agenda, runs_of(staying))
    if settled and serving >= wanted and plan.rollout is None:
        return pb.Condition(type=PROGRESSING, status="False", reason="Converged", message="runs as declared")
    if plan.rollout is not None:
        return _rolling(plan.rollout, wanted)
    return pb.Condition(type=PROGRESSING, status="True", reason="Reconciling", message=f"{serving} of {wanted} ready")


def _rolling(rollout: pb.Rollout, wanted: int) -> pb.Condition:
    """How far an update is; one that was stopped, or taken back, does not go on by itself."""
    status, reason = _ROLLOUTS[rollout.state]
    message = f"{rollout.updated} of {wanted} updated to revision {rollout.revision}"
    return pb.Condition(
        type=PROGRESSING, status=status, reason=reason, message=f"{message}: {rollout.message}".rstrip(": ")
    )


def _degraded(
    service: pb.Service, staying: Sequence[pb.Container], plan: Plan, now: datetime, refused: str
) -> pb.Condition:
    if refused:
        message = f"no longer allowed, so nothing of it is made or changed: {refused}"
        return pb.Condition(type=DEGRADED, status="True", reason="NoLongerAllowed", message=message)
    if plan.rollout is not None and plan.rollout.state in (pb.Rollout.FAILED, *_BACK):
        reason = "RolledBack" if plan.rollout.state in _BACK else "RolloutFailed"
        return pb.Condition(type=DEGRADED, status="True", reason=reason, message=plan.rollout.message)
    if plan.agenda is not None:
        if failure := plan.agenda.failure:
            return pb.Condition(type=DEGRADED, status="True", reason="RunFailed", message=failure)
        staying = [container for run in runs_of(staying) for container in run.living]
    failed = _failed(staying, plan)
    trouble = _trouble(staying, service.spec, now)
    if failed:
        return pb.Condition(type=DEGRADED, status="True", reason="Failed", message="; ".join(failed[:3]))
    if trouble:
        loops = any(crash_looping(container, now) for container in staying)
        reason = "CrashLoop" if loops else "ContainerFailing"
        return pb.Condition(type=DEGRADED, status="True", reason=reason, message="; ".join(trouble[:3]))
    return pb.Condition(type=DEGRADED, status="False", reason="AsExpected", message="no container has trouble")


def _failed(staying: Sequence[pb.Container], plan: Plan) -> list[str]:
    """A line for each slot of a job that ended badly, by its container when that is there still."""
    there = {
        it.spec.slot: it for it in staying if it.status.state == State.EXITED and it.spec.revision == plan.revision
    }
    return [
        f"{there[slot].metadata.name}: {describe_end(there[slot].status)}"
        if slot in there
        else f"slot {slot}: exited with {code}"
        for slot, code in plan.done.items()
        if code != 0
    ]


def _trouble(staying: Sequence[pb.Container], spec: pb.ServiceSpec, now: datetime) -> list[str]:
    """A line for each container that cannot run, or that Docker restarts again and again."""
    lines = []
    for container in staying:
        status, name = container.status, container.metadata.name
        if crash_looping(container, now):
            lines.append(f"{name}: {describe_end(status)}, {crashes(container)} times in a row")
        elif status.state == State.RESTARTING:
            lines.append(f"{name}: {describe_end(status)}, restarting")
        elif status.health == pb.Health.UNHEALTHY and status.state == State.RUNNING:
            lines.append(f"{name}: unhealthy")
        elif status.state == State.PULLING and not status.reason:
            continue  # that takes its time, and is no trouble unless it has failed before
        elif status.message and not status.ready and not completed(container, spec):
            lines.append(f"{name}: {status.message}")
        elif status.state == State.PAUSED:
            lines.append(f"{name}: paused")
    return lines


def _on_the_way(staying: Sequence[pb.Container]) -> list[str]:
    """A line for each container that is not ready yet, though nothing is amiss: what it waits for."""
    lines = []
    for container in staying:
        status, name = container.status, container.metadata.name
        if status.state == State.PULLING:
            lines.append(f"{name}: {status.message}")
        elif status.health == pb.Health.STARTING:
            lines.append(f"{name}: its health check has not passed yet")
        elif status.state == State.RUNNING and not status.ready and container.spec.HasField("min_ready"):
            lines.append(f"{name}: it has to run for {container.spec.min_ready.ToTimedelta().total_seconds():g} s")
    return lines


def _restarts(staying: Sequence[pb.Container]) -> int:
    per_slot: dict[int, int] = {}
    for container in staying:
        count = container.spec.restarts + container.status.restart_count
        per_slot[container.spec.slot] = max(count, per_slot.get(container.spec.slot, 0))
    return sum(per_slot.values())


def _stamp(condition: pb.Condition, service: pb.Service, now: datetime) -> None:
    """Keeps the transition time of a status that did not flip."""
    condition.observed_generation = service.metadata.generation
    for known in service.status.conditions:
        if known.type == condition.type and known.status == condition.status:
            condition.last_transition_time.CopyFrom(known.last_transition_time)
            return
    condition.last_transition_time.FromDatetime(now)
