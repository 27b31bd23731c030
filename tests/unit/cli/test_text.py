"""Ages, tables and TOML by themselves."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.duration_pb2 import Duration

from controller.cli.ages import short
from controller.cli.tables import Cell, Table
from controller.cli.toml_text import services_toml
from controller.config_agent import read_config
from proto.dockrunner import v1 as pb

from .objects import service
from .server import FakeControlPlane


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0s"), (0, "0s"), (119.9, "119s"), (120, "2m"), (192, "3m12s"), (600, "10m"), (10_799, "179m"),
        (10_800, "3h"), (12_000, "3h20m"), (28_800, "8h"), (172_799, "47h"), (172_800, "2d"), (180_000, "2d2h"),
        (691_200, "8d"), (40_000_000, "462d"),
    ],
)  # fmt: skip
def test_ages(seconds: float, text: str) -> None:
    assert short(seconds) == text


def test_a_table_neither_wraps_nor_pads_nor_obeys(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    table = Table(("A", "B", "C"))
    table.print([("x" * 30, "[bold]b[/bold]", "a\x1b[31m\tb\nc"), ("日本", ":smile:", Cell("", "red"))])
    table.print([("1", "2", "3")])
    assert capsys.readouterr().out.splitlines() == [
        "A" + " " * 31 + "B" + " " * 15 + "C",
        "x" * 30 + "  [bold]b[/bold]  a\\x1b[31m b c",
        "日本" + " " * 28 + ":smile:",
        "1" + " " * 31 + "2" + " " * 15 + "3",
    ]


def seen_on_terminal(socket: Path, **environment: str) -> str:
    """What `get services` writes when a person looks."""
    reader, writer = pty.openpty()
    inherited = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR")}
    words = ["get", "services", "--server", f"unix:{socket}"]
    done = subprocess.run(
        [sys.executable, "-m", "controller", *words],
        stdout=writer, env={**inherited, "TERM": "xterm-256color", "COLUMNS": "30", **environment}, check=True,
    )  # fmt: skip
    assert done.returncode == 0
    os.close(writer)
    with open(reader, "rb", buffering=0) as terminal:
        return terminal.read(65536).decode().replace("\r\n", "\n")


def test_a_terminal_gets_colours_unless_it_asks_for_none(server: FakeControlPlane, socket: Path) -> None:
    server.services = [service(), service("api", ready=0)]
    plain = (
        "NAME  READY  UPDATED  STATUS         RESTARTS  IMAGE  AGE\n"
        "web   3/3    3        ReplicasReady  0         web:1  "
    )
    coloured = seen_on_terminal(socket)
    assert "\x1b[32mReplicasReady\x1b[0m" in coloured
    assert "\x1b[33mReconciling\x1b[0m" in coloured
    without = seen_on_terminal(socket, NO_COLOR="1")
    assert "\x1b" not in without
    assert without.startswith(plain)
    assert len(without.splitlines()) == 3


def full_spec() -> pb.ServiceSpec:
    """A spec with every field set, among them what has no short form."""
    spec = pb.ServiceSpec(
        image="registry.local:5000/web@sha256:00", replicas=0, command=["a b", "'"], entrypoint=["/x"],
        environment={"A": "1", "odd.key": 'q"\n\x1b'}, labels={"b": ""}, user="1:2", working_dir="/w",
        restart="on-failure:3", stop_signal="SIGINT", stop_grace_period=Duration(seconds=90, nanos=500_000_000),
        pull_policy="never",
    )  # fmt: skip
    spec.networks["default"].aliases.append("backend")
    spec.networks["other"].SetInParent()
    for host in ("", "127.0.0.1", "::1"):
        for published in ("", "8080", "8080-8089"):
            for protocol in ("", "tcp", "udp"):
                spec.ports.add(target=80, published=published, host_ip=host, protocol=protocol)
    spec.volumes.add(type="volume", source="data", target="/d", read_only=True)
    spec.volumes.add(type="volume", target="/anonymous")
    spec.volumes.add(type="volume", target="ro")
    spec.volumes.add(type="volume", source="/odd", target="/d2")
    spec.volumes.add(type="bind", source="/srv", target="/s")
    spec.volumes.add(type="bind", source="/a:b", target="/c")
    spec.volumes.add(type="tmpfs", target="/t")
    spec.volumes.add(target="/no-type")
    spec.restarted_at.FromJsonString("2026-01-31T03:00:00.5Z")
    return spec


def test_toml_says_the_same_as_the_service(tmp_path: Path) -> None:
    assert {field.name for field, _ in full_spec().ListFields()} == set(pb.ServiceSpec.DESCRIPTOR.fields_by_name)
    wanted = [
        pb.Service(metadata=pb.Metadata(name="web", annotations={"a": "b"}), spec=full_spec()),
        pb.Service(
            metadata=pb.Metadata(name="7"), spec=pb.ServiceSpec(image="x", networks={"n": pb.NetworkAttachment()})
        ),
    ]
    file = tmp_path / "s.toml"
    file.write_text(services_toml(wanted))
    found = read_config(file).services
    for service_, again in zip(wanted, found, strict=True):
        for port in service_.spec.ports:
            port.protocol = "" if port.protocol == "tcp" else port.protocol  # the short form's default
        assert again.spec == service_.spec
        assert (again.metadata.name, again.metadata.annotations) == (
            service_.metadata.name, service_.metadata.annotations
        )  # fmt: skip


def test_toml_is_short_where_it_can_be() -> None:
    web = service()
    web.spec.stop_grace_period.FromSeconds(5400)
    web.spec.ports.add(target=80, published="8080-8089", host_ip="::1", protocol="tcp")
    web.spec.volumes.add(type="bind", source="/srv", target="/s", read_only=True)
    assert services_toml([web]).splitlines()[3:] == [
        'ports = ["[::1]:8080-8089:80"]', 'stop_grace_period = "1h30m"', 'volumes = ["/srv:/s:ro"]'
    ]  # fmt: skip
