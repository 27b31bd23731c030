"""Asks the Docker Engine whether it answers: exit status 0, or 1 and the reason in one line.

The Engine is the one that Dock Runner itself would use: ``DOCKER_HOST``, else the local socket.
"""

import sys

import docker
from docker.errors import DockerException


def reason(error: Exception) -> str:
    """Returns what the operating system said, which the SDK wraps several times, else what the SDK says."""
    text, inner = str(error), error.__context__
    while inner:
        text = (isinstance(inner, OSError) and inner.strerror) or text
        inner = inner.__context__
    return text.splitlines()[0] if text else type(error).__name__


def main() -> int:
    """Returns the exit status."""
    try:
        docker.from_env(timeout=5).ping()
    except (DockerException, OSError) as error:
        print(reason(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
