"""The whole program against an engine, a disk and a process that fail, in moved time: it comes to be as declared.

Each history is told by its seed alone. One that fails names the command that tells it step by step.
"""

import asyncio
import os
import subprocess
import sys

import pytest

from tests.faults.simulation.history import Broken, History

HISTORIES = int(os.environ.get("HISTORIES", "400"))
# In parts, so that it is seen how far it is, and one that fails does not hide the others.
PART = 50


@pytest.mark.parametrize("first", range(0, HISTORIES, PART))
def test_whatever_happens_the_invariants_hold_and_all_comes_to_be_as_declared(first: int) -> None:
    failed = []
    for seed in range(first, first + PART):
        try:
            asyncio.run(History(seed).run())
        except Broken as error:
            failed.append(f"{error}; replay it: python -m tests.faults.simulation {seed}")
    assert failed == []


def test_a_seed_tells_the_same_history_in_every_process() -> None:
    told = set()
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-m", "tests.faults.simulation", "17"],
            capture_output=True, text=True, check=True, env={**os.environ, "PYTHONHASHSEED": hash_seed},
        )  # fmt: skip
        told.add(done.stdout)
    assert len(told) == 1
