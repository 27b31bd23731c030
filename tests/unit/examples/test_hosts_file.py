"""The hosts file has the containers that are ready, and no others."""

from pathlib import Path

import pytest

from controller.testing import Harness


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that the example is configured with."""
    path = tmp_path / "dns" / "hosts"
    path.parent.mkdir()
    monkeypatch.setenv("HOSTS_FILE", str(path))
    return path


@pytest.fixture
def example(examples: Path, hosts: Path) -> Path:
    return examples / "hosts_file.py"


def content(path: Path) -> str:
    return path.read_text()


def identity(path: Path) -> int:
    """Another one for a file that took the place of the one before."""
    return path.stat().st_ino


def expected(dock: Harness, *services: str) -> str:
    return "".join(
        f"{address}\t{service} {service}-{container.spec.slot}\n"
        for service in services
        for container in dock.containers(service)
        for address in container.status.addresses.values()
    )


async def test_every_ready_container_has_a_line(example: Path, hosts: Path) -> None:
    async with Harness(example) as dock:
        await dock.apply("web", image="web:1", replicas=2)
        await dock.apply("db", image="db:1")
        assert content(hosts) == "10.0.0.4\tdb db-1\n10.0.0.2\tweb web-1\n10.0.0.3\tweb web-2\n"


async def test_a_container_that_is_replaced_has_its_new_address(example: Path, hosts: Path) -> None:
    async with Harness(example) as dock:
        await dock.apply("web", image="web:1", replicas=2)
        before = content(hosts)
        dock.engine.discard("web", 1)
        await dock.advance(1)
        assert content(hosts) == expected(dock, "web") != before


async def test_a_container_that_has_ended_has_no_line(example: Path, hosts: Path) -> None:
    async with Harness(example) as dock:
        await dock.apply("job", image="job:1", replicas=2, restart="no")
        dock.engine.crash("job", 1, exit_code=0)
        await dock.advance(1)
        assert content(hosts) == "10.0.0.3\tjob job-2\n"


async def test_a_service_that_is_deleted_has_no_lines(example: Path, hosts: Path) -> None:
    async with Harness(example) as dock:
        await dock.apply("web", image="web:1", replicas=3)
        await dock.apply("db", image="db:1")
        await dock.delete("web")
        assert content(hosts) == expected(dock, "db")
        await dock.delete("db")
        assert content(hosts) == ""


async def test_a_file_that_says_so_already_is_left_alone(example: Path, hosts: Path) -> None:
    async with Harness(example) as dock:
        await dock.apply("web", image="web:1")
        before = identity(hosts)
        dock.engine.crash("web")
        await dock.advance(60)
        await dock.restart()
        assert identity(hosts) == before
        assert [line for line in dock.log if "wrote" in line][-1].endswith("1 lines")


async def test_what_could_not_be_written_is_written_later(example: Path, hosts: Path) -> None:
    hosts.parent.rmdir()
    async with Harness(example) as dock:
        await dock.apply("web", image="web:1")
        assert "HandlerFailed" in [event.reason for event in dock.events("web")]
        hosts.parent.mkdir()
        await dock.advance(60)
        assert content(hosts) == expected(dock, "web")


async def test_no_half_of_a_file_is_ever_seen(example: Path, hosts: Path) -> None:
    async with Harness(example) as dock:
        await dock.apply("web", image="web:1", replicas=3)
        assert [path.name for path in hosts.parent.iterdir()] == ["hosts"]


async def test_only_addresses_of_the_chosen_network_count(
    example: Path, hosts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOSTS_NETWORK", "another")
    async with Harness(example) as dock:
        await dock.apply("web", image="web:1")
        assert content(hosts) == ""
