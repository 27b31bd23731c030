"""The journal against a model, over random commits; and against kill -9."""

import asyncio
import random
import signal
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from controller.store.journal import Record
from tests.unit.store.journals import make, opened, refuse_objects_named_refused

ROUNDS = 20
WRITERS = 4

RECORDS = st.builds(
    Record,
    kind=st.sampled_from(["Service", "Memory"]),
    name=st.sampled_from(["a", "b", "c", "ä\0", "refused"]),
    uid=st.sampled_from(["", "1", "2"]),
    data=st.none() | st.binary(max_size=20) | st.sampled_from([b"x" * 5000]),
)
COMMITS = st.lists(RECORDS, min_size=1, max_size=4)
BATCHES = st.lists(st.lists(COMMITS, min_size=1, max_size=5), max_size=5)
"""Commits that are called at once, and what is called when these are done."""

# Each writer keeps its records equal, and says so when they are durable.
WRITER = f"""
import asyncio, sys
from pathlib import Path
from controller.metrics import Metrics
from controller.store.journal import Record, SqliteJournal

journal = SqliteJournal(Path(sys.argv[1]), Metrics())
journal.open()
begun = max([int(record.data) for record in journal.read()], default=0)

async def write(writer):
    number = begun
    while True:
        number += 1
        await journal.commit([Record("Service", f"{{writer}}-{{part}}", "", b"%d" % number) for part in "abc"])
        print(writer, number, flush=True)

async def main():
    await asyncio.gather(*map(write, range({WRITERS})))

asyncio.run(main())
"""


@settings(max_examples=60, deadline=None)
@given(BATCHES)
def test_what_a_second_open_reads_is_what_was_acknowledged(batches: Sequence[Sequence[Sequence[Record]]]) -> None:
    async def run(path: Path) -> None:
        model: dict[tuple[str, str], Record] = {}
        deleted: dict[str, None] = {}
        await make(path)
        refuse_objects_named_refused(path)
        async with opened(path) as journal:
            for batch in batches:
                waiting = [journal.commit(commit) for commit in batch]
                outcomes = await asyncio.gather(*waiting, return_exceptions=True)
                for commit, outcome in zip(batch, outcomes, strict=True):
                    if any(record.name == "refused" and record.data is not None for record in commit):
                        assert outcome is not None
                    if outcome is None:
                        follow(commit, model, deleted)
            assert journal.deleted("Service") == set(deleted)
        async with opened(path) as journal:
            assert journal.read() == [model[key] for key in sorted(model)]
            assert journal.deleted("Service") == set(deleted)

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder, "journal.db")))


def follow(commit: Sequence[Record], model: dict[tuple[str, str], Record], deleted: dict[str, None]) -> None:
    for record in commit:
        model.pop((record.kind, record.name), None)
        if record.kind == "Service":
            deleted.pop(record.name, None)
        if record.data is not None:
            model[record.kind, record.name] = record
        elif record.kind == "Service":
            deleted[record.name] = None


async def test_a_killed_program_loses_nothing_acknowledged_and_keeps_no_commit_in_part(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    acknowledged = dict.fromkeys(map(str, range(WRITERS)), 0)
    choice = random.Random(7)  # noqa: S311  # no secret
    for _ in range(ROUNDS):
        acknowledged.update(killed_after(path, choice.randint(0, 60)))
        async with opened(path) as journal:
            found: dict[str, set[int]] = defaultdict(set)
            for record in journal.read():
                assert record.data is not None
                found[record.name.partition("-")[0]].add(int(record.data))
            assert len(journal.read()) == 3 * len(found)
        for writer, number in acknowledged.items():
            assert len(found[writer]) <= 1
            assert max(found[writer], default=0) >= number


def killed_after(path: Path, lines: int) -> dict[str, int]:
    """Kills a writer when it has acknowledged so much; what each of its tasks acknowledged last."""
    with subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            said = [process.stdout.readline() for _ in range(lines)]
        finally:
            process.kill()
        said += process.stdout.readlines()
        assert process.wait() == -signal.SIGKILL
    whole = [line.split() for line in said if line.endswith("\n")]
    return {writer: int(number) for writer, number in whole}
