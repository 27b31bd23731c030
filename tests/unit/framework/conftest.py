"""Fixtures of the tests of the framework."""

import pytest

from controller.framework import Registry


@pytest.fixture
def registry() -> Registry:
    """A registry of the test's own."""
    return Registry()
