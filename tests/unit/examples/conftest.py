"""What the tests of the examples share."""

from pathlib import Path

import pytest


@pytest.fixture
def examples() -> Path:
    """The folder of the examples."""
    return Path(__file__).parents[3] / "deploy" / "examples" / "handlers"
