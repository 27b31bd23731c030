"""`import` rule by rule, and what it says of files that compose would not take."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from controller.cli.compose.conversion import toml_of
from controller.cli.compose.errors import ComposeError
from controller.cli.compose.project import read_project
from tests.unit.cli.conftest import Run

Import = Callable[..., str]


@pytest.fixture
def imported(tmp_path: Path) -> Import:
    """The TOML for a compose file with this text; further files by name."""

    def convert(text: str, environment: dict[str, str] | None = None, **others: str) -> str:
        for name, content in {"compose.yaml": text, **others}.items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(dedent(content), encoding="utf-8")
        return toml_of(read_project(tmp_path / "compose.yaml", environment or {}))

    return convert


def web(text: str) -> Any:
    """The table of the service `web` in TOML."""
    return tomllib.loads(text)["services"]["web"]


def with_web(*keys: str) -> str:
    """A compose file whose service `web` has these keys."""
    return "services:\n  web:\n    image: nginx\n" + "".join(f"    {key}\n" for key in keys)


@pytest.mark.parametrize(
    ("written", "environment", "filled"),
    [
        ("a$$b", {}, "a$b"),
        ("$V", {"V": "x"}, "x"),
        ("<${V}>", {"V": "x"}, "<x>"),
        ("${V:-d}", {"V": ""}, "d"),
        ("${V-d}", {"V": ""}, ""),
        ("${V-d}", {}, "d"),
        ("${V:+r}", {"V": ""}, ""),
        ("${V:+r}", {"V": "x"}, "r"),
        ("${V+r}", {"V": ""}, "r"),
        ("${V:?no}", {"V": "x"}, "x"),
        ("${V?no}", {"V": ""}, ""),
        ("${V:-${W:-in$$ner}}", {}, "in$ner"),
        ("${V:-$W}", {"W": "w"}, "w"),
        ("${V:-}", {}, ""),
        ("$", {}, None),
        ("$1", {}, None),
        ("${V", {}, None),
        ("${V!}", {}, None),
        ("${V:?say it}", {}, None),
        ("${V?say it}", {}, None),
    ],
)
def test_variables_are_filled_in_as_compose_does(
    imported: Import, written: str, environment: dict[str, str], filled: str | None
) -> None:
    text = with_web(f"working_dir: '{written}'")
    if filled is None:
        with pytest.raises(ComposeError, match=r"compose\.yaml:4: "):
            imported(text, environment)
    else:
        assert web(imported(text, environment))["working_dir"] == filled


def test_a_required_variable_without_a_value_says_what_the_file_says(imported: Import) -> None:
    with pytest.raises(ComposeError, match="the variable TAG has no value: pick a release; set it in"):
        imported(with_web("user: '${TAG:?pick a release}'"))


def test_variables_come_from_the_environment_before_the_env_file(imported: Import) -> None:
    env_file = "A=file\nB=file\nC=${B}-$A\nD='$B'\n# E=no\n"
    text = imported(with_web("command: [$A, $B, $C, $D]"), {"A": "environment"}, **{".env": env_file})
    assert web(text)["command"] == ["environment", "file", "file-environment", "$B"]
    assert "# Filled in from the environment and .env: A, B, C, D." in text


def test_a_variable_without_a_value_is_named_where_it_was(imported: Import) -> None:
    text = imported(with_web("environment: {PASSWORD: $MISSING}", "user: $ALSO"))
    assert "# MISSING was not set, and so empty here\nPASSWORD = " in text
    assert '# ALSO was not set, and so empty here\nuser = ""' in text


def test_comments_keep_their_places(imported: Import) -> None:
    text = imported("""\
        # About the file.

        services:
          # About web.
          web:  # behind web
            image: nginx:1.27  # behind image
            # About ports.
            ports:  # behind ports
              # About 80.
              - "80:80"  # behind 80
              - "81:81 # no comment"
              # Of the ports that are no longer there.
            environment:
              # About A.
              A: "#1"  # behind A
    """)
    assert "# About the file.\n#\n# Written" in text
    assert "# About web.\n[services.web]  # behind web\n" in text
    assert 'image = "nginx:1.27"  # behind image\n' in text
    assert '# About ports.\nports = [  # behind ports\n    # About 80.\n    "80:80",  # behind 80\n' in text
    assert "no longer there" not in text
    assert '[services.web.environment]\n# About A.\nA = "#1"  # behind A\n' in text


def test_names_that_do_not_fit_are_changed_wherever_they_stand(imported: Import) -> None:
    text = imported("""\
        services:
          My_DB: {image: a, container_name: the-db}
          my-db: {image: a}
          web:
            image: a
            depends_on: {My_DB: {condition: service_healthy}}
            network_mode: "service:My_DB"
    """)
    services = tomllib.loads(text)["services"]
    assert list(services) == ["my-db-2", "my-db", "web"]
    assert services["my-db-2"]["networks"] == {"default": {"aliases": ["My_DB", "the-db"]}}
    assert services["web"]["depends_on"] == {"my-db-2": {"condition": "service_healthy"}}
    assert services["web"]["network_mode"] == "service:my-db-2"
    assert "# in compose `My_DB`, which is no name for a service here; it is an alias in its networks" in text


@pytest.mark.parametrize("name", ["a" * 50, "a." * 30 + "b", "_", "ÄÖ", "-x-", "A" * 43, "1"])
def test_every_new_name_is_one_that_a_service_can_have(imported: Import, name: str) -> None:
    (found,) = tomllib.loads(imported(f'services: {{"{name}": {{image: a}}}}'))["services"]
    assert found.strip("-") == found
    assert 0 < len(found) <= 42
    assert found.islower() or found.isdigit()


def test_a_service_that_others_wait_for_to_end_runs_once(imported: Import) -> None:
    text = imported("""\
        services:
          job: {image: a}
          web: {image: a, depends_on: {job: {condition: service_completed_successfully}}}
    """)
    assert tomllib.loads(text)["services"]["job"]["restart"] == "no"
    assert "restart" not in web(text)
    assert '# compose\'s default is not to restart; add restart = "no" for a job that runs once' in text


@pytest.mark.parametrize(
    ("given", "restart"),
    [
        ("restart: 'no'", "no"),
        ("restart: no", "no"),
        ("restart: false", "no"),
        ("restart: on-failure:5", "on-failure:5"),
        ("deploy: {restart_policy: {}}", "always"),
        ("deploy: {restart_policy: {condition: none}}", "no"),
        ("deploy: {restart_policy: {condition: on-failure, max_attempts: 2}}", "on-failure:2"),
    ],
)
def test_restart_policies(imported: Import, given: str, restart: str) -> None:
    assert web(imported(with_web(given)))["restart"] == restart


@pytest.mark.parametrize(
    ("given", "field", "expected"),
    [
        ("ports: [{target: 80, published: 8080, host_ip: '::1', protocol: udp}]", "ports", ["[::1]:8080:80/udp"]),
        ("ports: [22:22, 80]", "ports", ["22:22", "80"]),
        ("volumes: [{type: bind, source: data, target: /d, read_only: true}]", "volumes", ["./data:/d:ro"]),
        ("volumes: ['/a', 'x:/b:rw', './c:/c:ro,Z']", "volumes", ["/a", "x:/b", "./c:/c:ro"]),
        (
            "volumes: [{type: volume, source: v, target: /d, volume: {nocopy: true}}]",
            "volumes",
            [{"type": "volume", "source": "v", "target": "/d", "volume": {"nocopy": True}}],
        ),
        ("cpu_quota: 150000", "cpus", 1.5),
        ("pull_policy: daily", "image_check", "24h"),
        ("pull_policy: if_not_present", "pull_policy", "missing"),
        ("scale: 3", "replicas", 3),
        ("init: on", "init", True),
        ("mem_limit: 0.5g", "mem_limit", "0.5g"),
        ("user: 0", "user", "0"),
        ("labels: [a, b=c=d]", "labels", ["a=", "b=c=d"]),
        ("labels: [a=1, b=2, a=3]", "labels", ["b=2", "a=3"]),
        ("environment: {A: 1.10, B: true, C: 0777}", "environment", {"A": "1.10", "B": "true", "C": "0777"}),
        (
            "ulimits: {memlock: -1, nofile: {soft: 1, hard: 2}}",
            "ulimits",
            {"memlock": -1, "nofile": {"soft": 1, "hard": 2}},
        ),
        ("stop_grace_period: 90", "stop_grace_period", "90s"),
        ("extra_hosts: {a: 10.0.0.1}", "extra_hosts", {"a": "10.0.0.1"}),
        (
            "deploy: {resources: {reservations: {devices: [{capabilities: [gpu]}]}}}",
            "gpus",
            [{"capabilities": ["gpu"]}],
        ),
        ("deploy: {replicas: 0}", "replicas", 0),
        ("deploy: {update_config: {parallelism: 2}}", "update", {"parallelism": 2, "order": "stop-first"}),
        ("annotations: [a=b]", "annotations", {"a": "b"}),
        ("security_opt: ['seccomp:./p.json']", "security_opt", ["seccomp=./p.json"]),
    ],
)
def test_fields_that_are_written_another_way(imported: Import, given: str, field: str, expected: Any) -> None:
    assert web(imported(with_web(given)))[field] == expected


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("ipc: host", "# not carried over: ipc: host (each container has its own /dev/shm; shm_size sets its size)"),
        ("colour: blue", "# not carried over: colour: blue (not a key of the Compose specification)"),
        ("cpus: many", "# not carried over: cpus: many (a number was expected)"),
        ("build: .", "# not carried over: build (build it yourself: docker build -t nginx .)"),
        ("network_mode: container:x", "# not carried over: network_mode: container:x ("),
        ("secrets: [s]", "    # not carried over: s (it is not declared)"),
        ("volumes: ['d:/d:z']", "    # not carried over: z (label the folder for SELinux on the host, with chcon)"),
        ("depends_on: [x]", "# not carried over: depends_on: x (there is no such service)"),
        ("deploy: {placement: {}, scale: 1}", "# not carried over: deploy.placement: {} (there is one machine)"),
        ("deploy: {replicas: 2}\n    scale: 3", "# not carried over: scale: 3 (replicas is there already)"),
        ("environment: [V]", "# not carried over: V (it is not set here; compose hands on its own environment's)"),
        ("environment: {A: '{slot}'}", "# {slot}, {service}, {instance} are filled in here"),
    ],
)
def test_what_has_no_counterpart_is_a_comment_with_its_reason(imported: Import, given: str, said: str) -> None:
    text = imported(with_web(given))
    assert [line for line in text.splitlines() if line.startswith(said)], text


def test_the_control_characters_of_a_value_never_end_its_comment(imported: Import) -> None:
    text = imported(with_web(r'ipc: "a\n[services.evil]\nimage = \"x\""'))
    assert list(tomllib.loads(text)["services"]) == ["web"]


def test_merge_keys_give_way_to_what_stands_beside_them(imported: Import) -> None:
    text = imported("""\
        x-a: &a {image: one, user: a, init: true}
        x-b: &b {image: two, hostname: b}
        services: {web: {user: own, <<: [*a, *b]}}
    """)
    assert web(text) == {"user": "own", "image": "one", "init": True, "hostname": "b"}


def test_extends_merges_maps_appends_lists_and_replaces_commands(imported: Import) -> None:
    base = """\
        services:
          base:
            image: one
            command: [a]
            environment: [A=1, B=1]
            ports: ["1:1"]
            volumes: ["./x:/data", "./y:/other"]
            env_file: base.env
            dns: 1.1.1.1
    """
    text = imported(
        """\
        services:
          web:
            extends: {file: sub/base.yaml, service: base}
            command: b c
            environment: {B: 2, C: 3}
            ports: ["2:2"]
            volumes: ["z:/data"]
            dns: [2.2.2.2]
        """,
        **{"sub/base.yaml": base},
    )
    assert web(text) == {
        "image": "one",
        "command": "b c",
        "environment": {"A": "1", "B": "2", "C": "3"},
        "ports": ["1:1", "2:2"],
        "volumes": ["./sub/y:/other", "z:/data"],
        "env_file": "./sub/base.env",
        "dns": ["1.1.1.1", "2.2.2.2"],
    }


def test_what_is_included_has_its_own_variables_and_paths(imported: Import) -> None:
    text = imported(
        "include: [db/compose.yaml]\nservices: {web: {image: $TAG, user: $WHO}}",
        {"WHO": "environment"},
        **{
            ".env": "TAG=outer\nWHO=outer\n",
            "db/.env": "SIZE=inner\n",
            "db/compose.yaml": "services: {db: {image: $TAG, volumes: ['./d:/d'], hostname: $SIZE, user: $WHO}}\n"
            "secrets: {s: {file: s.txt}}",
        },
    )
    assert tomllib.loads(text)["services"]["db"] == {
        "image": "outer",
        "volumes": ["./db/d:/d"],
        "hostname": "inner",
        "user": "environment",
    }
    assert tomllib.loads(text)["secrets"]["s"] == {"file": "./db/s.txt"}


def test_profiles_are_those_of_compose(imported: Import) -> None:
    assert web(imported(with_web("profiles: [a, b]")))["replicas"] == 0
    assert "replicas" not in web(imported(with_web("profiles: [a, b]"), {"COMPOSE_PROFILES": "b,c"}))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "compose.yaml:1: is not YAML: "),
        ("\t- a", "compose.yaml:1: is not YAML: "),
        ('a: "\\UFFFFFFFF"', "compose.yaml: is not YAML: an escape names no character"),
        ("", "is not a compose file: a mapping with `services:` is expected"),
        ("- a", "is not a compose file: a mapping with `services:` is expected"),
        ("apiVersion: v1\nkind: Pod", "is not a compose file: it has no `services:`"),
        ("web: {image: nginx}", "is of version 1, which compose no longer reads: put all of it below `services:`"),
        ("services: {}", "declares no service"),
        ("services: [web]", "`services` is not a mapping"),
        ("services: {web: nginx}", "the service `web` is not a mapping: give it at least an `image`"),
        ("services:\n  a: {image: x}\n  a: {image: y}", "compose.yaml:3: `a` is there a second time: remove one"),
        ("services: {a: {extends: b}}", "`a` extends `b`, which is not there; there is a"),
        ("services: {a: {extends: b}, b: {extends: a}}", "the service `a` extends itself"),
        ("services: {a: {extends: {file: no.yaml, service: b}}}", "no.yaml cannot be read: no such file or directory"),
        ("include: compose.yaml\nservices: {a: {image: x}}", "the service `a` is declared in two files: rename one"),
        ("services: &a {web: *a}", "deeper than 40 levels: does an alias contain itself?"),
        ("[" * 5000, "is deeper than 40 levels"),
        ("a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
            f"{key}: &{key} [*{was},*{was},*{was},*{was},*{was},*{was},*{was},*{was},*{was}]\n"
            for was, key in zip("abcdefgh", "bcdefghi", strict=True)
        ), "more than 50000 values: does an alias repeat itself?"),
        ("services: {a: {user: '" + "${A:-" * 30 + "}" * 30 + "'}}", "more than 20 variables stand inside of each"),
    ],
)  # fmt: skip
def test_what_compose_would_not_take_is_one_line_and_status_1(tmp_path: Path, run: Run, text: str, said: str) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text(text)
    result = run("import", str(file))
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.splitlines()) == 1
    assert said in result.stderr


@pytest.mark.parametrize(("name", "said"), [("missing.yaml", "cannot be read: no such file"), (".", "is not a file")])
def test_a_file_that_cannot_be_read_is_said_so(tmp_path: Path, run: Run, name: str, said: str) -> None:
    result = run("import", str(tmp_path / name))
    assert (result.exit_code, result.stdout) == (1, "")
    assert said in result.stderr


def test_the_toml_goes_to_standard_output_and_nothing_else_is_said(tmp_path: Path, run: Run) -> None:
    (tmp_path / "compose.yaml").write_text(with_web())
    result = run("import", str(tmp_path / "compose.yaml"))
    assert (result.exit_code, result.stderr) == (0, "")
    assert web(result.stdout) == {"image": "nginx"}
