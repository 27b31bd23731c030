"""Restarts services once a night, as a rolling update: one container after the other.

Use: ``dock-runner --handlers ./nightly_restart.py``, and for each service that is to be restarted

    [services.web.annotations]
    nightly-restart = "03:00"
    nightly-restart-zone = "Europe/Berlin"   # default: TZ of the server's environment, else UTC

It happens within a minute after that time, or as soon as Dock Runner runs again within WINDOW; later it waits for the
next night. When it was done last is in the service itself, ``spec.restarted_at``, so that no restart of Dock Runner
makes for a second one; it needs its journal for that, so a ``--state-dir``.
"""

import os
from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from controller import PRESENT, Patch, PermanentError, on

TIME, ZONE = "nightly-restart", "nightly-restart-zone"
WINDOW = timedelta(hours=1)


@on.validate("Service", annotations={TIME: PRESENT})
async def check(annotations: Mapping[str, str], now: datetime) -> None:
    try:
        latest(annotations, now)
    except (ValueError, OSError, LookupError) as error:
        raise PermanentError(f"annotation {TIME} must be a time such as 03:00, {ZONE} a time zone: {error}") from error


@on.timer("Service", interval=60, annotations={TIME: PRESENT})
async def restart(
    spec: Any, meta: Any, annotations: Mapping[str, str], patch: Patch, now: datetime, logger: Any
) -> None:
    due = latest(annotations, now)
    # A service that was made or restarted since, by whomever, is fresh enough.
    since = spec.restarted_at if spec.HasField("restarted_at") else meta.create_time
    if since.ToDatetime(UTC) < due and now < due + WINDOW:
        logger.info("restarting, as every night at %s", annotations[TIME])
        patch.spec.restarted_at.FromDatetime(now)


def latest(annotations: Mapping[str, str], now: datetime) -> datetime:
    """The latest moment at which a restart was due."""
    zone = ZoneInfo(annotations.get(ZONE) or os.environ.get("TZ") or "UTC")
    clock = time.fromisoformat(annotations[TIME]).replace(tzinfo=zone)
    today = now.astimezone(zone).date()
    moments = (datetime.combine(today - timedelta(days=ago), clock).astimezone(UTC) for ago in (0, 1))
    return next(moment for moment in moments if moment <= now)
