"""Ages, tables and TOML by themselves."""

import base64
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from controller.cli.ages import short
from controller.cli.documents import fields
from controller.cli.tables import Cell, Table
from controller.cli.toml_text import services_toml
from controller.config_agent import read_config
from proto.dockrunner import v1 as pb
from tests.unit.every_field import EXPECTED, SECRET

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
    spec = pb.ServiceSpec()
    spec.CopyFrom(EXPECTED)
    spec.command[:] = ["a b", "'"]
    spec.environment["odd.key"] = 'q"\n\x1b'
    spec.labels["b"] = ""
    spec.stop_grace_period.FromNanoseconds(90_500_000_000)
    spec.restarted_at.FromJsonString("2026-01-31T03:00:00.5Z")
    for host in ("", "127.0.0.1", "::1"):
        for published in ("", "8080", "8080-8089"):
            for protocol in ("", "tcp", "udp"):
                spec.ports.add(target=80, published=published, host_ip=host, protocol=protocol)
    spec.volumes.add(type="volume", source="undeclared", target="/d1", read_only=True)
    spec.volumes.add(type="volume", target="/anonymous")
    spec.volumes.add(type="volume", target="ro")
    spec.volumes.add(type="volume", source="x", target="nocopy,rshared")
    spec.volumes.add(type="volume", source="/odd", target="/d2")
    spec.volumes.add(type="bind", source="/srv", target="/s")
    spec.volumes.add(type="bind", source="/srv", target="/r", bind=pb.BindOptions(propagation="rslave"))
    spec.volumes.add(type="volume", source="y", target="/n", volume=pb.VolumeOptions(nocopy=True))
    spec.volumes.add(type="volume", source="declared.empty", target="/e", definition=pb.VolumeDefinition())
    spec.volumes.add(type="bind", source="/a:b", target="/c")
    spec.volumes.add(type="tmpfs", target="/t", tmpfs=pb.TmpfsOptions(size=1, mode=0o700))
    spec.volumes.add(target="/no-type")
    for source, target, permissions in (
        ("/dev/a", "", ""), ("/dev/a", "/dev/b", ""), ("/dev/a", "", "r"), ("/dev/a", "/dev/b", "rw"),
        ("/dev/a:b", "/dev/c", ""), ("/dev/a", "rw", ""), ("/dev/a", "rw", "r"),
    ):  # fmt: skip
        spec.devices.add(source=source, target=target, permissions=permissions)
    spec.gpus.add(count=-1)
    spec.ulimits["nproc"].soft = spec.ulimits["nproc"].hard = -1
    spec.ulimits["core"].hard = 5
    spec.depends_on["cache"].SetInParent()
    spec.networks["plain"].definition.SetInParent()
    spec.secrets.add(source="plain", version="v2")
    spec.configs.add(source="plain", content='a\n"b\té'.encode())
    spec.configs.add(source="empty")
    return spec


def test_toml_says_the_same_as_the_service(tmp_path: Path) -> None:
    wanted = [
        pb.Service(metadata=pb.Metadata(name="web", annotations={"a": "b"}), spec=full_spec()),
        pb.Service(
            metadata=pb.Metadata(name="7"),
            spec=pb.ServiceSpec(
                image="x", networks={"front": EXPECTED.networks["front"]}, depends_on={"web": pb.Dependency()}
            ),
        ),
    ]
    file = tmp_path / "s.toml"
    file.write_text(services_toml(wanted))
    found = read_config(file).services
    for service_, again in zip(wanted, found, strict=True):
        for port in service_.spec.ports:
            port.protocol = "" if port.protocol == "tcp" else port.protocol  # the short form's default
        for secret in service_.spec.secrets:
            secret.ClearField("content")  # which the server keeps, by its version
        assert again.spec == service_.spec
        assert (again.metadata.name, again.metadata.annotations) == (
            service_.metadata.name, service_.metadata.annotations
        )  # fmt: skip


def test_what_is_in_a_secret_is_in_no_output() -> None:
    web = pb.Service(metadata=pb.Metadata(name="web"), spec=full_spec())
    made = pb.Container(spec=pb.ContainerSpec(template=full_spec()))
    assert SECRET in str(web.spec.secrets[0].content)
    shown = json.dumps(
        [fields(web), fields(made), fields(pb.ApplySetResponse(results=[pb.ApplySetResponse.Result(service=web)]))]
    )
    assert base64.b64encode(SECRET.encode()).decode() not in shown
    assert SECRET not in services_toml([web])


def test_two_configs_of_one_name_stay_two_in_toml(tmp_path: Path) -> None:
    services = [
        pb.Service(
            metadata=pb.Metadata(name=name),
            spec=pb.ServiceSpec(configs=[pb.Config(source="c", content=name.encode())]),
        )
        for name in ("a", "b")
    ]
    file = tmp_path / "s.toml"
    file.write_text(services_toml(services))
    first, second = (service.spec.configs[0] for service in read_config(file).services)
    assert first == pb.Config(source="c", content=b"a")
    assert second == pb.Config(source="c-2", target="/c", content=b"b")


def test_a_config_that_is_no_text_is_left_to_a_file() -> None:
    web = pb.Service(
        metadata=pb.Metadata(name="a"), spec=pb.ServiceSpec(configs=[pb.Config(source="c", content=b"\xff")])
    )
    assert services_toml([web]).endswith("[configs.c]\n# its content is not text: name a file that has it\n")


def test_toml_is_short_where_it_can_be() -> None:
    web = service()
    web.spec.stop_grace_period.FromSeconds(5400)
    web.spec.ports.add(target=80, published="8080-8089", host_ip="::1", protocol="tcp")
    web.spec.volumes.add(type="bind", source="/srv", target="/s", read_only=True)
    assert services_toml([web]).splitlines()[3:] == [
        'ports = ["[::1]:8080-8089:80"]', 'stop_grace_period = "1h30m"', 'volumes = ["/srv:/s:ro"]'
    ]  # fmt: skip


def test_permissions_are_octal_in_toml() -> None:
    web = pb.Service(metadata=pb.Metadata(name="a"))
    web.spec.secrets.add(source="s", version="v", mode=0o440)
    assert services_toml([web]).splitlines()[1:] == ['secrets = [{source = "s", mode = "0440", version = "v"}]']
