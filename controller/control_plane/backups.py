"""A copy of the journal to a client, and back: what a backup declares is declared again, all or nothing."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from controller.errors import Invalid, JournalError, Violation
from controller.store import SERVICE, Persistence, read_backup
from proto.dockrunner import v1 as pb

from .declarations import Declarations

# Bytes of the file in one message.
PIECE = 256 * 1024
# A service takes some hundred bytes: this is far beyond what one machine runs.
LARGEST = 256 * 1024 * 1024


class Backups:
    """Takes backups and brings them back, while everything goes on."""

    def __init__(self, persistence: Persistence, declarations: Declarations) -> None:
        self._persistence = persistence
        self._declarations = declarations

    async def take(self) -> AsyncIterator[bytes]:
        """The pieces of a file that is a journal itself, as of now.

        Raises:
            JournalFull, JournalError: it could not be made.
        """
        with tempfile.TemporaryDirectory(prefix="dock-runner-backup-") as folder:
            path = Path(folder, "journal")
            await self._persistence.backup(path)
            with await asyncio.to_thread(path.open, "rb") as file:
                while piece := await asyncio.to_thread(file.read, PIECE):
                    yield piece

    async def restore(self, requests: AsyncIterator[pb.RestoreRequest]) -> pb.RestoreResponse:
        """Makes what is declared what a backup says.

        Raises:
            Invalid: it is no backup, or holds what may not be declared; nothing was changed.
        """
        dry_run = False
        with tempfile.TemporaryDirectory(prefix="dock-runner-restore-") as folder:
            path = Path(folder, "journal")
            with await asyncio.to_thread(path.open, "wb") as file:
                async for request in requests:
                    dry_run = request.dry_run
                    if file.tell() + len(request.data) > LARGEST:
                        raise Invalid([Violation("data", f"is larger than {LARGEST >> 20} MiB; that is no backup")])
                    await asyncio.to_thread(file.write, request.data)
            services = await asyncio.to_thread(_declared, path)
        if not services:
            text = "it declares nothing: to restore it would delete everything; delete that yourself if it is meant"
            raise Invalid([Violation("data", text)])
        return await self._declarations.restore(services, dry_run=dry_run)


def _declared(path: Path) -> Sequence[pb.Service]:
    """The services of a backup that were not about to go."""
    try:
        records = read_backup(path)
    except JournalError as error:
        reason = str(error).replace(f" {path}", "")  # where it lies here is nobody's business
        raise Invalid([Violation("data", reason)]) from error
    services = [
        pb.Service.FromString(record.data)
        for record in records
        if record.kind == SERVICE.name and record.data is not None
    ]
    return [service for service in services if not service.metadata.HasField("delete_time")]
