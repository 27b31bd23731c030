"""Whatever a compose file says, it becomes TOML that the program reads."""

import tempfile
import tomllib
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.cli.compose.conversion import toml_of
from controller.cli.compose.fields import FIELDS
from controller.cli.compose.project import read_project
from controller.config_agent import read_config

NAMES = st.sampled_from(["web", "db", "My_App", "x" * 50, "a.b", "default", "é", "{slot}", 'q"', "tab\t", "nl\n"])
# Sound in some place, and out of place in all others.
SCALARS = st.sampled_from(
    [
        None, True, False, 0, 1, -1, 80, 440, 1.5, 10**30, "", "a", "no", "80:80", "8000-8010:80", "./x:/x",
        "v:/v:ro", "/a", "~/a:/b",
        "1m30s", "1d", "-5s", "512m", "1.5gb", "0440", "A=b", "=b", "dock-runner.x=y", "host:1.2.3.4", "a=::1",
        "service:web", "service:nobody", "host", "${A:-b}", "$$", "CMD", "all", "unlimited", "tcp://x",
        "on-failure:3", "always",
        "'", '"', "\\", "line\nline", "\r\n", "\x7f", "\u2028", "\U0001f600", '"""', "'''", "x" * 200,
        "a b 'c'", "# no",
    ]
)  # fmt: skip
WORDS = [
    "type", "source", "target", "read_only", "bind", "volume", "tmpfs", "published", "protocol", "host_ip",
    "mode", "soft", "hard", "driver", "options", "count", "capabilities", "device_ids", "condition", "required",
    "restart", "aliases", "ipv4_address", "test", "interval", "retries", "disable", "path", "format", "replicas",
    "labels", "resources", "limits", "reservations", "memory", "cpus", "update_config", "restart_policy",
    "parallelism", "order", "x-note", "uid", "external", "name", "ipam", "config", "subnet", "driver_opts",
    "device", "o", "content", "environment", "context", "args", "propagation", "size",
]  # fmt: skip
KEYS = NAMES | st.sampled_from(WORDS)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=8,
)
# Without what the program reads from further files, which are not there.
KEYS_OF_SERVICES = sorted(FIELDS.keys() - {"env_file"})
SERVICES = st.dictionaries(st.sampled_from([*KEYS_OF_SERVICES, "unknown", "x-mine"]), VALUES, max_size=8)
COMPOSE_FILES = st.fixed_dictionaries(
    {"services": st.dictionaries(NAMES, SERVICES, min_size=1, max_size=4)},
    optional={
        "networks": st.dictionaries(NAMES, VALUES, max_size=3),
        "volumes": st.dictionaries(NAMES, VALUES, max_size=3),
        "configs": st.dictionaries(NAMES, st.fixed_dictionaries({"content": SCALARS}) | VALUES, max_size=3),
        "secrets": st.dictionaries(NAMES, VALUES, max_size=3),
        "x-more": VALUES,
        "version": SCALARS,
        "more": VALUES,
    },
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(COMPOSE_FILES)
def test_any_compose_file_becomes_toml_that_the_program_reads(declared: dict[str, Any]) -> None:
    written = yaml.safe_dump(declared, allow_unicode=True, sort_keys=False)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "compose.yaml")
        file.write_text(written, encoding="utf-8")
        text = toml_of(read_project(file, {"a": "1"}))
        assert len(tomllib.loads(text)["services"]) == len(declared["services"])
        Path(folder, "services.toml").write_text(text, encoding="utf-8")
        assert len(read_config(Path(folder, "services.toml")).services) == len(declared["services"])
