"""Tells a webhook when a service crash-loops, once, and again when it has stopped doing so.

Use: ``dock-runner --handlers ./crash_loop_webhook.py``, with in its environment

- ``CRASH_LOOP_WEBHOOK``: the URL that gets a JSON POST such as
  ``{"service": "web", "event": "crash-looping", "restarts": 3, "text": "web: 3 restarts within 5 minutes"}``;
- ``CRASH_LOOP_RESTARTS`` (default 3) within ``CRASH_LOOP_MINUTES`` (default 5): what a crash loop is.

Restarts are those of all containers of the service, by Docker or by Dock Runner. They are looked at by service, as a
container that is replaced does not come back to say that it is well. A webhook that fails is tried again every
RETRY seconds. After a restart of Dock Runner counting begins anew, and a loop that goes on is told of again.
"""

import json
import os
import urllib.request
from datetime import datetime, timedelta
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError

from controller import Result, TemporaryError, on

URL = os.environ["CRASH_LOOP_WEBHOOK"]
RESTARTS = int(os.environ.get("CRASH_LOOP_RESTARTS", "3"))
WINDOW = timedelta(minutes=float(os.environ.get("CRASH_LOOP_MINUTES", "5")))
RETRY = 30.0
PATIENCE = 5.0


# A change of the status is no cause of its own, so no on.update: a reconcile handler is called for it, and retried.
# As a plain function it runs in a thread, where it may wait for the network.
@on.reconcile("Service")
def watch_restarts(name: str, body: Any, memo: Any, now: datetime) -> Result:
    count, known = body.status.restarts, getattr(memo, "count", body.status.restarts)
    recent = [moment for moment in getattr(memo, "recent", []) if moment > now - WINDOW]
    # What is noted first is not noted again when the webhook fails below.
    memo.recent, memo.count = recent + [now] * max(0, count - known), count
    told, looping = getattr(memo, "told", False), len(memo.recent) >= RESTARTS
    if looping and not told:
        text = f"{name}: {len(memo.recent)} restarts within {WINDOW.total_seconds() / 60:g} minutes"
        post(service=name, event="crash-looping", restarts=len(memo.recent), text=text)
    elif told and not memo.recent:
        post(service=name, event="recovered", restarts=0, text=f"{name}: no restart any more")
    memo.told = looping or (told and bool(memo.recent))
    return Result(requeue_after=(memo.recent[0] + WINDOW - now).total_seconds() if memo.recent else None)


def post(**message: Any) -> None:
    request = urllib.request.Request(URL, json.dumps(message).encode(), {"Content-Type": "application/json"})  # noqa: S310  # the user's own
    try:
        urllib.request.urlopen(request, timeout=PATIENCE).close()  # noqa: S310
    except (OSError, HTTPException) as error:
        if isinstance(error, HTTPError):
            error.close()
        raise TemporaryError(f"the webhook failed: {error}", delay=RETRY) from error
