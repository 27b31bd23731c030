"""Writes a hosts file with the addresses of all ready containers: ``ADDRESS SERVICE SERVICE-SLOT``, such as

    10.0.0.2	web web-1
    10.0.0.3	web web-2

Use: ``dock-runner --handlers ./hosts_file.py``, with in its environment

- ``HOSTS_FILE``: the file, best one of its own that a name server reads, such as dnsmasq with ``--addn-hosts``;
- ``HOSTS_NETWORK``: the network in Docker whose addresses are meant; by default the first one by name.

The file is replaced in one step, and only when it changes. One that could not be written is tried again.
"""

import asyncio
import os
from pathlib import Path
from typing import Any

from controller import on
from controller.store import CONTAINER, Store

FILE = Path(os.environ["HOSTS_FILE"])
NETWORK = os.environ.get("HOSTS_NETWORK", "")

_one_at_a_time = asyncio.Lock()


# The file is made from what there is now, whatever happened. The reconcile handler is retried when it fails, but not
# called for a container that goes; the event handler is called for that as well.
@on.reconcile("Container")
@on.event("Container")
async def write_hosts_file(store: Store, logger: Any) -> None:
    async with _one_at_a_time:
        # The store belongs to the event loop, the file to a thread: disks can be slow.
        text = hosts(store)
        if await asyncio.to_thread(replace, text):
            logger.info("wrote %s, %d lines", FILE, text.count("\n"))


def hosts(store: Store) -> str:
    lines = []
    for container in sorted(store.list(CONTAINER), key=lambda it: (it.spec.service, it.spec.slot, it.metadata.name)):
        addresses, spec = container.status.addresses, container.spec
        network = NETWORK or min(addresses, default="")
        if container.status.ready and network in addresses:
            lines.append(f"{addresses[network]}\t{spec.service} {spec.service}-{spec.slot}\n")
    return "".join(lines)


def replace(text: str) -> bool:
    if FILE.exists() and FILE.read_text() == text:
        return False
    fresh = FILE.with_name(f".{FILE.name}.new")
    fresh.write_text(text)
    fresh.replace(FILE)
    return True
