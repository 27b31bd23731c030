"""Whether an engine can have files of this machine, by its address."""

import pytest

from controller.scheduler.docker_client import Address


@pytest.mark.parametrize(
    ("host", "local"),
    [
        (None, True),
        ("unix:///var/run/docker.sock", True),
        ("tcp://10.0.0.7:2375", False),
        ("tcp://127.0.0.1:2375", False),  # a tunnel may begin there
        ("ssh://root@far", False),
    ],
)
def test_only_a_socket_of_this_machine_is_known_to_be_here(
    host: str | None, local: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    assert Address(host).is_local is local
