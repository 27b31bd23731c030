"""The journal on a disk that fails to sync: what was refused is not found kept after a crash."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.store.journals import kept

# The end is that of a crash.
WRITER = """
import asyncio, os, sys
from pathlib import Path
from controller.errors import JournalError, StartError
from controller.metrics import Metrics
from controller.store.journal import Record, SqliteJournal

async def main():
    journal = SqliteJournal(Path(sys.argv[1]), Metrics())
    try:
        journal.open()
    except StartError:
        return
    for number in range(4):
        try:
            await journal.commit([Record("Service", f"s{number}", "", b"")])
        except JournalError as error:
            continue
        print(f"s{number}", flush=True)

asyncio.run(main())
os._exit(0)
"""


@pytest.fixture
def strace() -> str:
    """The program that makes system calls fail."""
    found = shutil.which("strace")
    if found is None:
        pytest.skip("needs strace, to make system calls fail")
    if subprocess.run([found, "-f", "--seccomp-bpf", "true"], capture_output=True, check=False).returncode:
        pytest.skip("strace may not trace here")
    return found


def write(strace: str, path: Path, fault: str) -> tuple[list[str], int]:
    """What a writer acknowledged, and how often it synced a file, while the ``fault`` of strace was at work."""
    log = path.with_name("strace.log")
    tracing = [strace, "-f", "--seccomp-bpf", "-o", str(log), "-e", "trace=fdatasync,fsync", *fault.split()]
    writer = [sys.executable, "-c", WRITER, str(path)]
    done = subprocess.run([*tracing, *writer], stdout=subprocess.PIPE, text=True, check=True)
    calls = len(re.findall(r"f(?:data)?sync\(", log.read_text()))
    log.unlink()
    return done.stdout.split(), calls


@pytest.mark.parametrize("lasting", [False, True])
async def test_whichever_sync_fails_what_is_kept_is_what_was_acknowledged(
    tmp_path: Path, strace: str, lasting: bool
) -> None:
    acknowledged, calls = write(strace, tmp_path / "well.db", "")
    assert acknowledged == ["s0", "s1", "s2", "s3"]
    outcomes = set()
    for call in range(1, calls + 1):
        path = tmp_path / f"{call}.db"
        fault = f"-e inject=fdatasync,fsync:error=EIO:when={call}{'+' if lasting else ''}"
        acknowledged, _ = write(strace, path, fault)
        assert sorted(await kept(path)) == acknowledged
        outcomes.add(" ".join(acknowledged))
    # Each commit has a sync of its own, so that each was once the first to be refused.
    assert outcomes >= (
        {"", "s0", "s0 s1", "s0 s1 s2"} if lasting else {"s1 s2 s3", "s0 s2 s3", "s0 s1 s3", "s0 s1 s2"}
    )
