"""Every field of a service in the file, in each form that the Compose specification has for it."""

from pathlib import Path
from typing import Any, cast

import pytest
from google.protobuf.descriptor import Descriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from controller.config_agent import read_config
from proto.dockrunner import v1 as pb
from tests.unit.every_field import EXPECTED, SECRET, TEXT


def spec(tmp_path: Path, text: str) -> pb.ServiceSpec:
    file = tmp_path / "services.toml"
    file.write_text(text)
    (service,) = read_config(file).services
    return service.spec


def unset(message: Message, seen: set[str]) -> list[str]:
    """Fields that a message, and those in it, leave out, once for each type."""
    descriptor = cast(Descriptor, message.DESCRIPTOR)
    if descriptor.full_name in seen or descriptor.file.name.startswith("google/"):
        return []
    seen.add(descriptor.full_name)
    given = {field.name: value for field, value in message.ListFields()}
    missing = [f"{descriptor.name}.{name}" for name in descriptor.fields_by_name if name not in given]
    for value in given.values():
        items = list(value.values()) if hasattr(value, "values") else value if hasattr(value, "append") else [value]
        inner = [item for item in items if isinstance(item, Message)]
        # Of a map the one that says most.
        for item in sorted(inner, key=lambda item: item.ByteSize(), reverse=True)[:1]:
            missing += unset(item, seen)
    return missing


def test_every_field_can_be_written_in_full(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(SECRET)
    found = spec(tmp_path, TEXT)
    assert found == EXPECTED
    assert unset(found, set()) == [], "fields that the test leaves out"


def field(tmp_path: Path, line: str) -> Any:
    """A field as plain values."""
    found = spec(tmp_path, f"[services.web]\n{line}\n")
    return MessageToDict(found, preserving_proto_field_name=True)[line.partition(" ")[0].partition(".")[0]]


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ("512", 512), ('"512"', 512), ('"512b"', 512), ('"1k"', 1024), ('"64kb"', 64 << 10), ('"2kib"', 2048),
        ('"512m"', 512 << 20), ('"512MB"', 512 << 20), ('"1gb"', 1 << 30), ('"1.5g"', 3 << 29), ('"2 G"', 2 << 30),
        ('"1TiB"', 1 << 40), ('"1p"', 1 << 50), ('"0"', 0),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["shm_size", "mem_limit", "mem_reservation"])
def test_sizes_have_units_of_1024(tmp_path: Path, name: str, value: str, size: int) -> None:
    assert getattr(spec(tmp_path, f"[services.web]\n{name} = {value}\n"), name) == size


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('healthcheck = { test = "wget -q localhost" }', {"test": ["CMD-SHELL", "wget -q localhost"]}),
        ("healthcheck.disable = true", {"disable": True}),
        ('healthcheck.interval = "1m30s"', {"interval": "90s"}),
        ("ulimits.nproc = 65535", {"nproc": {"soft": "65535", "hard": "65535"}}),
        ("ulimits.memlock = -1", {"memlock": {"soft": "-1", "hard": "-1"}}),
        ('tmpfs = "/run"', ["/run"]),
        ('dns = "8.8.8.8"', ["8.8.8.8"]),
        ('dns_search = "example.com"', ["example.com"]),
        ('extra_hosts = ["a:10.0.0.1", "b=10.0.0.2"]', ["a=10.0.0.1", "b=10.0.0.2"]),
        ('extra_hosts = ["a:::1", "b=[::1]", "c:[fd00::1]", "d=::1"]', ["a=::1", "b=::1", "c=fd00::1", "d=::1"]),
        ('extra_hosts = ["a:host-gateway"]', ["a=host-gateway"]),
        ('extra_hosts = { a = "10.0.0.1", b = ["::1", "10.0.0.2"] }', ["a=10.0.0.1", "b=::1", "b=10.0.0.2"]),
        ('devices = ["/dev/a"]', [{"source": "/dev/a"}]),
        ('devices = ["/dev/a:/dev/b"]', [{"source": "/dev/a", "target": "/dev/b"}]),
        ('devices = ["/dev/a:/dev/b:rw"]', [{"source": "/dev/a", "target": "/dev/b", "permissions": "rw"}]),
        ('devices = ["/dev/a:rw"]', [{"source": "/dev/a", "permissions": "rw"}]),
        ('gpus = "all"', [{"count": -1}]),
        ('gpus = [{ count = "all" }]', [{"count": -1}]),
        ("group_add = [44, 'video']", ["44", "video"]),
        ("sysctls = ['net.core.somaxconn=1024']", {"net.core.somaxconn": "1024"}),
        ('sysctls = { "net.core.somaxconn" = 1024 }', {"net.core.somaxconn": "1024"}),
        ("logging.options = { max-file = 3, tls = true }", {"options": {"max-file": "3", "tls": "true"}}),
        ('cpus = "0.5"', 0.5),
        ("cpus = 2", 2.0),
        ('depends_on = ["db", "cache"]', {"db": {}, "cache": {}}),
        ('volumes = [{ type = "tmpfs", target = "/t", tmpfs = { size = "64m", mode = "1777" } }]',
         [{"type": "tmpfs", "target": "/t", "tmpfs": {"size": str(64 << 20), "mode": 0o1777}}]),
        ('volumes = ["data:/d:ro,nocopy"]',
         [{"type": "volume", "source": "data", "target": "/d", "read_only": True, "volume": {"nocopy": True}}]),
        ('volumes = ["/srv:/d:rslave"]',
         [{"type": "bind", "source": "/srv", "target": "/d", "bind": {"propagation": "rslave"}}]),
        ('update = { max_failure_ratio = 1, delay = 5 }', {"max_failure_ratio": 1.0, "delay": "5s"}),
    ],
)  # fmt: skip
def test_short_forms_are_read_as_compose_writes_them(tmp_path: Path, line: str, expected: Any) -> None:
    assert field(tmp_path, line) == expected


@pytest.mark.parametrize("value", ["0o440", '"0440"', '"440"', '"0o440"', "288"])
def test_permissions_in_quotes_are_octal(tmp_path: Path, value: str) -> None:
    text = f"[services.web]\nconfigs = [{{ source = 'c', mode = {value}, uid = 1000, gid = 0 }}]\n"
    (config,) = spec(tmp_path, f"{text}[configs.c]\ncontent = ''\n").configs
    assert (config.mode, config.uid, config.gid) == (0o440, "1000", "0")


def test_secrets_and_configs_may_be_names(tmp_path: Path) -> None:
    (tmp_path / "s").write_bytes(b"\xff\n")
    text = "[services.web]\nsecrets = ['s']\nconfigs = ['c']\n[secrets.s]\nfile = 's'\n[configs.c]\ncontent = 'é'\n"
    found = spec(tmp_path, text)
    assert list(found.secrets) == [pb.Secret(source="s", content=b"\xff\n")]
    assert list(found.configs) == [pb.Config(source="c", content="é".encode())]
