"""Seccomp profiles: the Engine wants their content where people name a file."""

import json
from collections.abc import Iterable
from pathlib import Path

from controller.errors import EngineError

# Bytes; Docker's own profile has 13 kB.
MAX_PROFILE = 1024 * 1024

_NAMES = ("unconfined", "builtin")


def with_profiles(options: Iterable[str]) -> list[str]:
    """Security options with the content of the profile in place of its file, as the Docker CLI sends them. Reads files.

    Raises:
        EngineError: a file cannot be read or is no JSON.
    """
    return [_with_profile(option) for option in options]


def _with_profile(option: str) -> str:
    name, separator, value = option.partition("=")
    if name != "seccomp" or not separator or value in _NAMES or value.startswith("{"):
        return option
    path = Path(value)
    if path.exists() and not path.is_file():  # a named pipe would be waited for
        raise EngineError(f"seccomp profile {value} is not a file")
    try:
        with path.open("rb") as file:
            content = file.read(MAX_PROFILE + 1)
    except OSError as error:
        raise EngineError(f"seccomp profile {value} cannot be read: {error.strerror}") from error
    if len(content) > MAX_PROFILE:
        raise EngineError(f"seccomp profile {value} is larger than {MAX_PROFILE // 1024} KiB")
    try:
        return f"seccomp={json.dumps(json.loads(content), separators=(',', ':'))}"
    except (ValueError, RecursionError):  # its content is nobody's business
        raise EngineError(f"seccomp profile {value} is not JSON") from None
