"""How long the replacement of a container waits: as Docker's own restarts, unless the service says otherwise."""

from datetime import datetime, timedelta

from proto.dockrunner import v1 as pb

from .restart import RestartPolicy

# Docker's own: nothing after the first failure, then 100 ms doubling to a minute; reset after 10 s of running.
DEFAULT_MIN = timedelta(milliseconds=100)
DEFAULT_MAX = timedelta(minutes=1)
DEFAULT_RESET = timedelta(seconds=10)


def wait_after(failures: int, settings: pb.RestartBackoff) -> timedelta:
    """The time between the end of a container that failed, the last of so many in a row, and its replacement.

    With ``min`` given it is waited for after the first failure already.
    """
    doublings = failures - (1 if settings.HasField("min") else 2)
    if doublings < 0:
        return timedelta(0)
    shortest = settings.min.ToTimedelta() if settings.HasField("min") else DEFAULT_MIN
    longest = settings.max.ToTimedelta() if settings.HasField("max") else max(DEFAULT_MAX, shortest)
    doubled: int = 2 ** min(doublings, 32)
    return min(shortest * doubled, longest)


def failures_in_a_row(last: pb.Container, policy: RestartPolicy, settings: pb.RestartBackoff) -> int:
    """How many containers of its slot failed in a row, the last one included; 0: it did not fail.

    Under a policy by which Docker itself restarts a process, one that has ended was ended by hand; unless it was we
    who stopped it, as it did not work.
    """
    status = last.status
    if last.spec.stopped:
        return 1 if status.HasField("ready_at") else last.spec.failures + 1
    if policy.name in ("always", "unless-stopped"):
        return 0  # it was ended by hand
    reset = settings.reset.ToTimedelta() if settings.HasField("reset") else DEFAULT_RESET
    if ran(status) >= reset:
        return 0 if policy.name == "replace" or status.exit_code == 0 else 1
    return last.spec.failures + 1


def ran(status: pb.ContainerStatus) -> timedelta:
    """For how long a container that has ended ran the last time."""
    if not status.HasField("started_at"):
        return timedelta(0)
    return status.finished_at.ToDatetime() - status.started_at.ToDatetime()


def due(last: pb.Container, failures: int, settings: pb.RestartBackoff, now: datetime) -> timedelta:
    """How long its replacement has yet to wait, at ``now``; zero or less: it is due."""
    if not failures or last.spec.stopped:  # whoever stopped it has waited before
        return timedelta(0)
    return last.status.finished_at.ToDatetime(now.tzinfo) + wait_after(failures, settings) - now
