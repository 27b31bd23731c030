"""What a file says, as messages."""

from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from controller.config_agent import Config, Position, read_config
from controller.config_agent.config import read_config as read
from controller.config_agent.document import read_document
from controller.config_agent.messages import MessageReader, Problems
from proto.dockrunner import v1 as pb


def load(tmp_path: Path, text: str) -> Config:
    file = tmp_path / "services.toml"
    file.write_text(text)
    return read_config(file)


def spec(tmp_path: Path, line: str) -> pb.ServiceSpec:
    (service,) = load(tmp_path, f"[services.web]\n{line}\n").services
    return service.spec


def ports(tmp_path: Path, value: str) -> list[dict[str, Any]]:
    return [MessageToDict(port) for port in spec(tmp_path, f"ports = {value}").ports]


def test_what_is_left_out_stays_unset(tmp_path: Path) -> None:
    found = spec(tmp_path, 'image = "a"')
    assert not found.HasField("replicas")
    assert [field.name for field, _ in found.ListFields()] == ["image"]


def test_name_and_annotations_are_metadata_and_labels_are_the_containers(tmp_path: Path) -> None:
    config = load(tmp_path, '[services."web"]\nimage = "a"\nannotations = { a = 1 }\nlabels = ["l=m=n"]\n')
    (service,) = config.services
    assert service.metadata == pb.Metadata(name="web", annotations={"a": "1"})
    assert service.spec.labels == {"l": "m=n"}


def test_services_come_in_the_order_of_the_text(tmp_path: Path) -> None:
    config = load(tmp_path, "[services.b]\n[services.a]\n[services.c]\n")
    assert [service.metadata.name for service in config.services] == ["b", "a", "c"]


@pytest.mark.parametrize("text", ["", "# nothing\n", "[services]\n", "\r\n"])
def test_a_file_may_declare_nothing(tmp_path: Path, text: str) -> None:
    assert load(tmp_path, text).services == []


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("80", [{"target": 80}]),
        ('"80"', [{"target": 80}]),
        ('"80/udp"', [{"target": 80, "protocol": "udp"}]),
        ('"80/TCP"', [{"target": 80, "protocol": "tcp"}]),
        ('"8080:80"', [{"target": 80, "published": "8080"}]),
        ('"8080-8089:80"', [{"target": 80, "published": "8080-8089"}]),
        ('"8080-8080:80"', [{"target": 80, "published": "8080"}]),
        (
            '"8000-8002:9000-9002/udp"',
            [{"target": 9000 + n, "published": str(8000 + n), "protocol": "udp"} for n in range(3)],
        ),
        ('"3000-3001"', [{"target": 3000}, {"target": 3001}]),
        ('"127.0.0.1:8080:80"', [{"target": 80, "published": "8080", "hostIp": "127.0.0.1"}]),
        ('"127.0.0.1::80"', [{"target": 80, "hostIp": "127.0.0.1"}]),
        ('"[::1]:80:81"', [{"target": 81, "published": "80", "hostIp": "::1"}]),
        ('"[::1]::81"', [{"target": 81, "hostIp": "::1"}]),
        (
            '"[fe80::1]:80-81:90-91"',
            [{"target": 90 + n, "published": str(80 + n), "hostIp": "fe80::1"} for n in range(2)],
        ),
        ("{ target = 80, published = 8080 }", [{"target": 80, "published": "8080"}]),
        ('{ target = 80, published = "8080-8081" }', [{"target": 80, "published": "8080-8081"}]),
    ],
)
def test_ports_are_read_as_compose_writes_them(tmp_path: Path, value: str, expected: list[dict[str, Any]]) -> None:
    assert ports(tmp_path, f"[{value}]") == expected


def test_ports_of_both_forms_keep_their_order(tmp_path: Path) -> None:
    found = ports(tmp_path, '[1, "2-3", {target = 4}, "5"]')
    assert [port["target"] for port in found] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('"/data"', pb.Mount(type="volume", target="/data")),
        ('"/data:ro"', pb.Mount(type="volume", target="/data", read_only=True)),
        ('"db:/data"', pb.Mount(type="volume", source="db", target="/data")),
        ('"db-{slot}:/data:rw"', pb.Mount(type="volume", source="db-{slot}", target="/data")),
        ('"/srv:/data:ro"', pb.Mount(type="bind", source="/srv", target="/data", read_only=True)),
        ('"//srv/../etc:/data"', pb.Mount(type="bind", source="/etc", target="/data")),
        ('"./x/y:/data"', pb.Mount(type="bind", source="FOLDER/x/y", target="/data")),
        ('".:/data"', pb.Mount(type="bind", source="FOLDER", target="/data")),
        ('"../x:/data"', pb.Mount(type="bind", source="FOLDER/../x", target="/data")),
        ('"~/x:/data"', pb.Mount(type="bind", source="/home/me/x", target="/data")),
        ('"~:/data"', pb.Mount(type="bind", source="/home/me", target="/data")),
        (
            '{ type = "bind", source = "x", target = "/data" }',
            pb.Mount(type="bind", source="FOLDER/x", target="/data"),
        ),
        ('{ source = "./x", target = "/data" }', pb.Mount(source="./x", target="/data")),
    ],
)
def test_volumes_are_read_as_compose_writes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, expected: pb.Mount
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    if expected.source.startswith("FOLDER"):
        folder = tmp_path.parent if ".." in expected.source else tmp_path
        expected.source = str(folder / expected.source.removeprefix("FOLDER").removeprefix("/..").lstrip("/"))
    assert list(spec(tmp_path, f"volumes = [{value}]").volumes) == [expected]


def test_host_paths_start_from_the_folder_of_the_file_however_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/a.toml").write_text('[services.web]\nvolumes = ["./x:/y"]\n')
    monkeypatch.chdir(tmp_path)
    assert read("sub/a.toml").services[0].spec.volumes[0].source == str(tmp_path / "sub/x")


@pytest.mark.parametrize(
    ("value", "nanoseconds"),
    [
        ('"1m30s"', 90 * 10**9),
        ('"10s"', 10**10),
        ('"500ms"', 5 * 10**8),
        ('"1h0.5s"', 3600 * 10**9 + 5 * 10**8),
        ('"3us"', 3000),
        ('"0s"', 0),
        ("10", 10**10),
        ("0.25", 25 * 10**7),
        ("-1", -(10**9)),
        ("{ seconds = 1, nanos = 5 }", 10**9 + 5),
    ],
)
def test_durations_are_read_as_compose_writes_them(tmp_path: Path, value: str, nanoseconds: int) -> None:
    found = spec(tmp_path, f"stop_grace_period = {value}")
    assert found.HasField("stop_grace_period")
    assert found.stop_grace_period.ToNanoseconds() == nanoseconds


@pytest.mark.parametrize(
    "value",
    [
        '{ A = "x", B = 8080, C = 1.10, D = true, E = false, F = 1_000, G = 0x10, H = "" }',
        '["A=x", "B=8080", "C=1.10", "D=true", "E=false", "F=1000", "G=16", "H="]',
    ],
)
def test_environment_is_a_table_or_a_list_and_becomes_text(tmp_path: Path, value: str) -> None:
    assert spec(tmp_path, f"environment = {value}").environment == {
        "A": "x", "B": "8080", "C": "1.10", "D": "true", "E": "false", "F": "1000", "G": "16", "H": "",
    }  # fmt: skip


@pytest.mark.parametrize("key", ["command", "entrypoint"])
def test_a_command_may_be_one_string_split_as_a_shell_would(tmp_path: Path, key: str) -> None:
    found = spec(tmp_path, f"{key} = '''sh -c \"echo 'a  b'\" x\\ y'''")
    assert list(getattr(found, key)) == ["sh", "-c", "echo 'a  b'", "x y"]


def test_networks_may_be_a_list_of_names(tmp_path: Path) -> None:
    found = spec(tmp_path, 'networks = ["a", "default"]\n[networks.a]').networks
    assert set(found) == {"a", "default"}
    assert found["default"] == pb.NetworkAttachment()


def test_names_that_may_be_numbers_are_text(tmp_path: Path) -> None:
    found = spec(tmp_path, "user = 1000\nstop_signal = 9")
    assert (found.user, found.stop_signal) == ("1000", "9")


def test_any_message_can_be_read_with_its_enums_and_numbers(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text(
        "state = 'running'\nready = true\nexit_code = -1\nports = ['1-2']\nrestart_count = 9223372036854775807\n"
    )
    document, problems, message = read_document(file), Problems(), pb.ContainerStatus()
    MessageReader(document, problems, {}).fill(message, document.values, (), "status")
    problems.check()
    assert message == pb.ContainerStatus(
        state=pb.ContainerStatus.RUNNING, ready=True, exit_code=-1, ports=[pb.Port(target=1), pb.Port(target=2)],
        restart_count=2**63 - 1,
    )  # fmt: skip


def test_a_folder_is_read_as_one_by_name_and_hidden_files_are_not(tmp_path: Path) -> None:
    for name in ("b.toml", "a.toml", ".hidden.toml", "c.txt"):
        (tmp_path / name).write_text(f'[services.{name.strip(".")[0]}]\nimage = "x"\n')
    config = read_config(tmp_path)
    assert [service.metadata.name for service in config.services] == ["a", "b"]
    assert config.position("services[1].spec.image") == Position(str(tmp_path / "b.toml"), 2, 1, "services.b.image")


CONFIG = """\
[services.db]
image = "db"
[services.web]
ports = ["80", "8000-8002:9000-9002",
         { target = 1, published = 2 }]
environment = { LOG_LEVEL = "info" }
labels = ["a.b/c=d"]
healthy.x = 1
""".replace("healthy.x = 1\n", "networks.front.aliases = ['w']\n[networks.front]\n")


@pytest.mark.parametrize(
    ("field", "line", "column", "path"),
    [
        ("services[1]", 3, 11, "services.web"),
        ("services[1].metadata.name", 3, 11, "services.web"),
        ("services[1].spec.image", 3, 11, "services.web.image"),
        ("services[0].spec.image", 2, 1, "services.db.image"),
        ("services[1].spec.ports", 4, 1, "services.web.ports"),
        ("services[1].spec.ports[0].published", 4, 10, "services.web.ports[0].published"),
        ("services[1].spec.ports[3].target", 4, 16, "services.web.ports[1].target"),
        ("services[1].spec.ports[4].published", 5, 24, "services.web.ports[2].published"),
        ("services[1].spec.ports[4].host_ip", 5, 10, "services.web.ports[2].host_ip"),
        ("services[1].spec.ports[9]", 4, 1, "services.web.ports[9]"),
        ("services[1].spec.environment.LOG_LEVEL", 6, 17, "services.web.environment.LOG_LEVEL"),
        ('services[1].spec.environment["LOG_LEVEL"]', 6, 17, "services.web.environment.LOG_LEVEL"),
        ("services[1].spec.labels[a.b/c]", 7, 11, "services.web.labels[0]"),
        ("services[1].spec.labels.a.b/c", 7, 11, "services.web.labels[0]"),
        ("services[1].spec.networks.front.aliases[0]", 8, 27, "services.web.networks.front.aliases[0]"),
    ],
)
def test_a_field_that_the_server_names_is_found_in_the_text(
    tmp_path: Path, field: str, line: int, column: int, path: str
) -> None:
    config = load(tmp_path, CONFIG)
    assert config.position(field) == Position(str(tmp_path / "services.toml"), line, column, path)


@pytest.mark.parametrize("field", ["", "services", "services[7].spec.image", "manager", "[].[", "services[0"])
def test_a_field_of_no_service_has_no_position(tmp_path: Path, field: str) -> None:
    found = load(tmp_path, CONFIG).position(field)
    assert found is None or found.path == "services.db"
