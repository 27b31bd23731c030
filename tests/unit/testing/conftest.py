"""Fixtures of the tests of the harness."""

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from controller.framework import Registry

Write = Callable[[str], Path]


@pytest.fixture
def registry() -> Registry:
    """A registry for handlers that stand in the test itself."""
    return Registry(source="test")


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a module of handlers, ``greet.py``."""

    def write(text: str) -> Path:
        path = tmp_path / "greet.py"
        path.write_text(textwrap.dedent(text))
        return path

    return write
