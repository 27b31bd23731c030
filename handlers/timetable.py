"""When a scheduled service runs: cron's fields on a clock that hangs in some time zone.

Where the clock is put forward or back, it is as Debian's cron has it: what runs at a certain time of day runs once, at
once when that time is left out; what runs more often follows the clock.
"""

import zoneinfo
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from cronsim import CronSim

from proto.dockrunner import v1 as pb

# As in crontab(5).
NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}

_FINEST = timedelta(seconds=1)


@dataclass(frozen=True)
class Timetable:
    """The ticks of one schedule. All times that it takes and gives are in UTC."""

    schedule: str
    zone: tzinfo = UTC

    @property
    def text(self) -> str:
        """What tells it from another one."""
        return f"{self.schedule} {self.zone}"

    def after(self, moment: datetime) -> datetime | None:
        """The first tick after a moment; None when there is none within the next 50 years."""
        return next(self._from(moment), None)

    def newest(self, after: datetime, until: datetime) -> datetime | None:
        """The last tick after one moment and up to another; None when there is none.

        Found by halving, as there may be very many in between.
        """
        found = self.after(after)
        if found is None or found > until:
            return None
        span = until - found
        while span >= _FINEST:
            later = self.after(found + span / 2)
            if later is not None and later <= until:
                found, span = later, until - later
            else:
                span /= 2
        return found

    def between(self, after: datetime, until: datetime, most: int) -> list[datetime]:
        """The ticks after one moment and up to another, the oldest first; no more than ``most``."""
        ticks: list[datetime] = []
        for tick in self._from(after):
            if tick > until or len(ticks) >= most:
                break
            ticks.append(tick)
        return ticks

    def show(self, moment: datetime) -> str:
        """A moment for people, by the schedule's clock."""
        return moment.astimezone(self.zone).isoformat(timespec="seconds").replace("+00:00", "Z")

    def _from(self, moment: datetime) -> Iterator[datetime]:
        expression = NICKNAMES.get(self.schedule, self.schedule)
        for tick in CronSim(expression, moment.astimezone(self.zone)):
            # In the hour that the clock repeats, the library counts from its first time.
            if (in_utc := tick.astimezone(UTC)) > moment:
                yield in_utc


def timetable_of(spec: pb.ServiceSpec) -> Timetable:
    """The timetable of a service that has a schedule."""
    return Timetable(spec.schedule, UTC if spec.time_zone in ("", "UTC") else zoneinfo.ZoneInfo(spec.time_zone))
