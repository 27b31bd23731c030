"""What ends an import."""

from controller.errors import DockRunnerError


class ComposeError(DockRunnerError):
    """The file is not one that compose would take; the message says where, why and what to do."""


class Misfit(Exception):
    """A value that has no counterpart; becomes a comment at its place. The message is the reason."""
