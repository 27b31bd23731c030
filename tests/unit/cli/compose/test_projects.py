"""Compose files as people have them: each becomes a TOML file that says the same, and that the program reads."""

import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomlkit

from controller.config_agent import read_config
from handlers.policy import read_policy
from proto.dockrunner import v1 as pb

from .converted import ENVIRONMENT, HOME, NAMES, PROJECTS, converted, golden

FIELDS = {*pb.ServiceSpec.DESCRIPTOR.fields_by_name, "env_file", "annotations"}


@pytest.fixture(autouse=True)
def _at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", HOME)


def services_of(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, pb.Service]:
    """What the program reads out of the converted file, which is kept beside the compose file."""
    for variable, value in {**ENVIRONMENT, "DB_PASSWORD": "from the environment"}.items():
        monkeypatch.setenv(variable, value)
    here = folder / name
    shutil.copytree(PROJECTS / name, here)
    (here / "services.toml").write_text(converted(name), encoding="utf-8")
    return {service.metadata.name: service for service in read_config(here / "services.toml").services}


@pytest.mark.parametrize("name", NAMES)
def test_the_output_is_what_was_looked_at_and_found_good(name: str) -> None:
    assert converted(name) == golden(name).read_text(encoding="utf-8")


def test_every_output_that_was_looked_at_has_its_compose_file() -> None:
    assert sorted(path.stem for path in golden("x").parent.iterdir()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_output_has_only_fields_that_a_service_has(name: str) -> None:
    document = tomllib.loads(converted(name))
    assert document.keys() <= {"services", "networks", "volumes", "secrets", "configs"}
    for service in document["services"].values():
        assert service.keys() <= FIELDS


@pytest.mark.parametrize("name", NAMES)
def test_the_program_reads_the_output(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    declared = list(tomllib.loads(converted(name))["services"])
    assert list(services_of(name, tmp_path, monkeypatch)) == declared


@pytest.mark.parametrize("name", NAMES)
def test_the_policy_that_the_header_asks_for_is_enough_and_each_line_of_it_is_needed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = services_of(name, tmp_path, monkeypatch).values()
    header = [line.removeprefix("#     ") for line in converted(name).splitlines() if line.startswith("#     ")]
    asked = tomllib.loads("\n".join(header).replace(f"/srv/{name}", str(tmp_path / name)))

    def refused(policy: dict[str, Any]) -> list[str]:
        file = tmp_path / "policy.toml"
        file.write_text(tomlkit.dumps(policy), encoding="utf-8")
        return [str(found) for service in services for found in read_policy(file).violations(service)]

    assert refused(asked) == []
    for service, table in asked.get("services", {}).items():
        for key in table:
            less = {name: value for name, value in table.items() if name != key}
            assert refused({"services": {**asked["services"], service: less}}), f"{service}: {key} is not needed"


@pytest.mark.parametrize(
    ("name", "service", "expected"),
    [
        ("minimal", "web", {"image": "nginx", "ports": [pb.Port(target=80, published="80")]}),
        (
            "wordpress",
            "db",
            {
                "restart": "always",
                "volumes": [
                    pb.Mount(type="volume", source="db_data", target="/var/lib/mysql", definition=pb.VolumeDefinition())
                ],
            },
        ),
        ("wordpress", "wordpress", {"depends_on": {"db": pb.Dependency()}}),
        (
            "traefik",
            "reverse-proxy",
            {
                "networks": {
                    "proxy": pb.NetworkAttachment(aliases=["traefik"], definition=pb.NetworkDefinition(external=True))
                }
            },
        ),
        ("nextcloud", "redis", {"command": ["redis-server", "--requirepass", "pa$word"]}),
        (
            "nextcloud",
            "db",
            {
                "environment": {
                    "MARIADB_AUTO_UPGRADE": "1",
                    "MYSQL_ROOT_PASSWORD": "",
                    "MYSQL_PASSWORD": "geheim",
                    "MYSQL_DATABASE": "nextcloud",
                    "MYSQL_USER": "nextcloud",
                }
            },
        ),
        ("postgres", "postgres", {"shm_size": 256 << 20, "stop_signal": "SIGINT"}),
        (
            "postgres",
            "api",
            {
                "read_only": True,
                "depends_on": {
                    "postgres": pb.Dependency(condition="service_healthy", restart=True),
                    "migrate": pb.Dependency(condition="service_completed_successfully"),
                    "mailhog": pb.Dependency(required=False),
                },
            },
        ),
        ("postgres", "migrate", {"restart": "no"}),
        ("postgres", "mailhog", {"replicas": 0}),
        ("monitoring", "grafana", {"secrets": [pb.Secret(source="grafana", content=b"letmein\n")]}),
        ("monitoring", "prometheus", {"restart": "on-failure:3"}),
        ("node-exporter", "node-exporter", {"network_mode": "host"}),
        ("node-exporter", "cadvisor", {"privileged": True, "devices": [pb.Device(source="/dev/kmsg")]}),
        ("gitlab-runner", "runner", {"hostname": "{service}-{slot}", "replicas": 2}),
        (
            "jellyfin",
            "jellyfin",
            {"gpus": [pb.Gpu(driver="nvidia", count=-1, capabilities=["gpu"])], "group_add": ["44", "109"]},
        ),
        ("app", "web", {"image": "app-web", "extra_hosts": ["db.internal=10.0.0.5"]}),
        ("app", "worker", {"replicas": 3, "ports": [], "command": ["bundle", "exec", "sidekiq"]}),
        (
            "mailserver",
            "mailserver",
            {
                "cpus": 1.5,
                "pids_limit": 200,
                "ulimits": {"nproc": pb.Ulimit(soft=65535, hard=65535), "nofile": pb.Ulimit(soft=20000, hard=40000)},
            },
        ),
        (
            "swarm",
            "vote",
            {"replicas": 6, "restart": "on-failure:3", "mem_limit": 50 << 20, "mem_reservation": 20 << 20, "cpus": 0.5},
        ),
        ("swarm", "seed", {"restart": "no"}),
        (
            "vpn",
            "torrent",
            {
                "network_mode": "service:gluetun-vpn",
                "depends_on": {"gluetun-vpn": pb.Dependency(condition="service_healthy")},
            },
        ),
        (
            "vpn",
            "gluetun-vpn",
            {
                "networks": {"default": pb.NetworkAttachment(aliases=["gluetun_vpn", "vpn"])},
                "sysctls": {"net.ipv4.conf.all.src_valid_mark": "1", "net.ipv6.conf.all.disable_ipv6": "0"},
            },
        ),
        (
            "secrets",
            "frontend",
            {
                "secrets": [
                    pb.Secret(source="server-certificate", content=b"cert\n"),
                    pb.Secret(
                        source="db_password",
                        target="password.txt",
                        uid="103",
                        gid="103",
                        mode=0o440,
                        content=b"from the environment",
                    ),
                ]
            },
        ),
        ("elk", "elasticsearch", {"mem_limit": 2 << 30, "cap_add": ["IPC_LOCK"]}),
        ("elk", "kibana", {"depends_on": {"elasticsearch": pb.Dependency()}}),
        ("odd", "odd", {"cpus": 0.5, "restart": ""}),
    ],
)
def test_the_program_understands_by_it_what_compose_does(
    name: str, service: str, expected: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = services_of(name, tmp_path, monkeypatch)[service].spec
    for field, value in expected.items():
        found = getattr(spec, field)
        assert (dict(found) if isinstance(value, dict) else list(found) if isinstance(value, list) else found) == value
