"""What is said of a file that is wrong, and where."""

import os
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.config_agent import ConfigError, Problem, Unreadable, document, read_config
from controller.config_agent.document import MAX_SIZE
from controller.config_agent.messages import MAX_PROBLEMS
from controller.errors import DockRunnerError
from proto.dockrunner import v1 as pb

from .documents import damaged_documents

PORT = "expected `[HOST_IP:][PUBLISHED:]TARGET[/PROTOCOL]`, with an IPv6 address in brackets"
NO_PORT = "expected a table or a string or a whole number, got "
MOUNT = "expected `[SOURCE:]TARGET[:ro|rw]`"
DURATION = "expected a duration such as `1m30s` or `500ms`, or a number of seconds"
NO_DURATION = "expected a table or a string or a whole number or a number with a fraction, got "
TEXT = "expected a string, got "


def problems(path: Path) -> list[tuple[int, int, str, str]]:
    with pytest.raises(ConfigError) as error:
        read_config(path)
    assert all(Path(found.file).is_relative_to(path) for found in error.value.problems)
    return [(found.line, found.column, found.path, found.message) for found in error.value.problems]


def problems_of(tmp_path: Path, text: str | bytes) -> list[tuple[int, int, str, str]]:
    file = tmp_path / "services.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return problems(file)


def test_a_problem_reads_as_place_path_message(tmp_path: Path) -> None:
    error = ConfigError([Problem("b", 1, 2, "services.web", "no"), Problem("a", 0, 0, "", "gone")])
    assert str(error) == "a: gone\nb:1:2: services.web: no"
    assert isinstance(error, DockRunnerError)


def test_all_problems_of_a_file_are_told_at_once_in_their_order(tmp_path: Path) -> None:
    text = """\
imagee = 1
[services.web]
replicas = "three"
prots = []
ports = ["80", "x:80", { target = "80", publish = 1 }]
[services.db]
image = 5
command = ["a", 1]
[volumes.data]
drivers = 1
"""
    assert problems_of(tmp_path, text) == [
        (1, 1, "imagee", "unknown key `imagee`; known here: configs, networks, secrets, services, volumes"),
        (3, 1, "services.web.replicas", "expected a whole number, got a string"),
        (4, 1, "services.web.prots", "unknown key `prots`; did you mean `ports`?"),
        (5, 16, "services.web.ports[1]", "x is not a port or a range of ports"),
        (5, 26, "services.web.ports[2].target", "expected a whole number, got a string"),
        (5, 41, "services.web.ports[2].publish", "unknown key `publish`; did you mean `published`?"),
        (7, 1, "services.db.image", "expected a string, got a whole number"),
        (8, 17, "services.db.command[1]", "expected a string, got a whole number"),
        (10, 1, "volumes.data.drivers", "unknown key `drivers`; did you mean `driver`?"),
    ]


@pytest.mark.parametrize(
    ("key", "near"),
    [("Image", "image"), ("workingDir", "working_dir"), ("enviroment", "environment"), ("annotation", "annotations")],
)
def test_an_unknown_key_is_answered_with_the_nearest(tmp_path: Path, key: str, near: str) -> None:
    ((_, _, path, message),) = problems_of(tmp_path, f"services.web.{key} = 1")
    assert (path, message) == (f"services.web.{key}", f"unknown key `{key}`; did you mean `{near}`?")


@pytest.mark.parametrize(
    ("line", "column", "path", "message"),
    [
        ("image = true", 1, "image", "expected a string, got true or false"),
        ("image = 1979-05-27", 1, "image", "expected a string, got a date or a time"),
        ("image = { a = 1 }", 1, "image", "expected a string, got a table"),
        ("replicas = true", 1, "replicas", "expected a whole number, got true or false"),
        ("replicas = 1.5", 1, "replicas", "expected a whole number, got a number with a fraction"),
        ("replicas = 2147483648", 1, "replicas", "expected a whole number from -2147483648 to 2147483647"),
        ("command = 5", 1, "command", "expected a list, got a whole number"),
        ("command = 'a \"b'", 1, "command", "cannot be split into words: no closing quotation"),
        ("environment = 'A=b'", 1, "environment", "expected a table or a list, got a string"),
        ("environment = { A = [1] }", 17, "environment.A", "expected a string, a number, true or false, got a list"),
        ("environment = ['A']", 16, "environment[0]", "expected `NAME=value`"),
        ("environment = [1]", 16, "environment[0]", "expected a string, got a whole number"),
        ("environment = ['A=1', 'A=2']", 23, "environment[1]", "A is given a second time"),
        ("networks = ['default', 'default']", 24, "networks[1]", "default is given a second time"),
        ("networks = { default = 'b' }", 14, "networks.default", "expected a table, got a string"),
        ("networks.default.alias = []", 18, "networks.default.alias", "unknown key `alias`; did you mean `aliases`?"),
        ("ports = '80'", 1, "ports", "expected a list, got a string"),
        ("ports = [1.5]", 10, "ports[0]", NO_PORT + "a number with a fraction"),
        ("ports = [true]", 10, "ports[0]", NO_PORT + "true or false"),
        ("ports = [-1]", 10, "ports[0]", "-1 is not a port"),
        ("ports = [4294967296]", 10, "ports[0]", "4294967296 is not a port"),
        ("ports = [{ target = -1 }]", 12, "ports[0].target", "expected a whole number from 0 to 4294967295"),
        ("ports = [{ target = 1, published = 1.5 }]", 24, "ports[0].published", TEXT + "a number with a fraction"),
        ("ports = ['1-3:4-5']", 10, "ports[0]", "3 published ports for 2 targets"),
        ("ports = ['5-3:1']", 10, "ports[0]", "the range 5-3 ends before it begins"),
        ("ports = ['70000-70001:1-2']", 10, "ports[0]", "a range of ports ends at 65535"),
        ("ports = ['80/']", 10, "ports[0]", PORT),
        ("ports = ['::1:80:80']", 10, "ports[0]", PORT),
        ("ports = ['']", 10, "ports[0]", '"" is not a port or a range of ports'),
        ("ports = ['٣']", 10, "ports[0]", '"٣" is not a port or a range of ports'),
        ("ports = [['80']]", 10, "ports[0]", NO_PORT + "a list"),
        ("volumes = ['a:b:c']", 12, "volumes[0]", MOUNT),
        ("volumes = [':/b']", 12, "volumes[0]", MOUNT),
        ("volumes = ['']", 12, "volumes[0]", MOUNT),
        ("volumes = ['~no-such-user/a:/b']", 12, "volumes[0]", 'there is no home folder "~no-such-user/a"'),
        ('volumes = ["~a\\u0000b:/b"]', 12, "volumes[0]", 'there is no home folder "~a\\x00b"'),
        ("volumes = [1]", 12, "volumes[0]", "expected a table or a string, got a whole number"),
        ("volumes = [{ read_only = 'yes' }]", 14, "volumes[0].read_only", "expected true or false, got a string"),
        ("stop_grace_period = '10'", 1, "stop_grace_period", DURATION),
        ("stop_grace_period = '-1s'", 1, "stop_grace_period", DURATION),
        ("stop_grace_period = 1_000_000_000_000", 1, "stop_grace_period", "a duration is at most 315576000000 seconds"),
        ("stop_grace_period = '999999999999h'", 1, "stop_grace_period", "a duration is at most 315576000000 seconds"),
        ("stop_grace_period = nan", 1, "stop_grace_period", "a duration is at most 315576000000 seconds"),
        ("stop_grace_period = false", 1, "stop_grace_period", NO_DURATION + "true or false"),
        ("mem_limit = '1x'", 1, "mem_limit", 'expected a size such as `512m` or `1gb`, or a number of bytes, got 1x'),
        ("mem_limit = '-1m'", 1, "mem_limit", 'expected a size such as `512m` or `1gb`, or a number of bytes, got -1m'),
        ("mem_limit = '9999999999999p'", 1, "mem_limit", f"expected a whole number from {-(2**63)} to {2**63 - 1}"),
        ("mem_limit = 1.5", 1, "mem_limit", "expected a whole number, got a number with a fraction"),
        ("cpus = 'half'", 1, "cpus", "expected a number such as 0.5, got half"),
        ("cpus = true", 1, "cpus", "expected a number, got true or false"),
        ("tmpfs = 5", 1, "tmpfs", "expected a string or a list, got a whole number"),
        ("dns = ['1.1.1.1', 1]", 19, "dns[1]", "expected a string, got a whole number"),
        ("extra_hosts = ['a']", 16, "extra_hosts[0]", "expected `HOST=IP`, got a"),
        ("extra_hosts = 'a=1'", 1, "extra_hosts", "expected a table or a list, got a string"),
        ("extra_hosts = { a = 1 }", 1, "extra_hosts", "expected a string or a list, got a whole number"),
        ("extra_hosts = { a = '' }", 17, "extra_hosts.a", 'expected `HOST=IP`, got "a="'),
        ("extra_hosts = { a = ['::1', ''] }", 29, "extra_hosts.a[1]", 'expected `HOST=IP`, got "a="'),
        ("devices = [':/x']", 12, "devices[0]", "expected `SOURCE[:TARGET[:PERMISSIONS]]`"),
        ("devices = ['a:b:c:d']", 12, "devices[0]", "expected `SOURCE[:TARGET[:PERMISSIONS]]`"),
        ("gpus = 'some'", 1, "gpus", "expected `all` or a table, got some"),
        ("ulimits = ['nofile']", 1, "ulimits", "expected a table, got a list"),
        ("ulimits.nofile = '5'", 9, "ulimits.nofile", "expected a table or a whole number, got a string"),
        ("ulimits.nofile = -2", 9, "ulimits.nofile", "expected a whole number from -1, which is no limit"),
        ("ulimits.nofile = { sofd = 1 }", 20, "ulimits.nofile.sofd", "unknown key `sofd`; did you mean `soft`?"),
        ("sysctls = ['a']", 12, "sysctls[0]", "expected `NAME=value`"),
        ("depends_on.db = 'healthy'", 12, "depends_on.db", "expected a table, got a string"),
        ("depends_on = ['a', 'a']", 20, "depends_on[1]", "a is given a second time"),
        ("healthcheck.test = 5", 13, "healthcheck.test", "expected a list, got a whole number"),
        ("healthcheck.intervall = 5", 13, "healthcheck.intervall", "unknown key `intervall`; did you mean `interval`?"),
        ("init = 'yes'", 1, "init", "expected true or false, got a string"),
        ("volumes = ['/a:/b:z']", 12, "volumes[0]",
         "`z` and `Z` are not supported: label the folder for SELinux on the host, with chcon"),
        ("volumes = [{ tmpfs = { mode = '888' } }]", 24, "volumes[0].tmpfs.mode",
         "expected permissions such as 0o440 or `0440`, got 888"),
        ("volumes = [{ definition = {} }]", 14, "volumes[0].definition",
         "unknown key `definition`; known here: bind, read_only, source, target, tmpfs, type, volume"),
        ("networks.default.definition = {}", 18, "networks.default.definition",
         "unknown key `definition`; known here: aliases, ipv4_address, ipv6_address"),
        ("secrets = [{ source = 'a', content = 'hush', version = 'v' }]", 28, "secrets[0].content",
         "unknown key `content`; known here: gid, mode, source, target, uid, version"),
        ("annotations = 3", 1, "annotations", "expected a table or a list, got a whole number"),
    ],
)  # fmt: skip
def test_a_value_that_does_not_fit_is_said_at_its_place(
    tmp_path: Path, line: str, column: int, path: str, message: str
) -> None:
    assert problems_of(tmp_path, f"[services.web]\n{line}\n") == [(2, column, f"services.web.{path}", message)]


@pytest.mark.parametrize(
    ("text", "line", "column", "path", "message"),
    [
        ("[services.web]\nimage = nginx\n", 2, 9, "services.web.image", "expected a value; text stands in quotes"),
        ("[services.web]\r\nimage 'x'\r\n", 2, 7, "services.web.image", "expected `=`"),
        ("[a]\nb = 1\n[a]\n", 3, 2, "a", "given a second time; the first is at line 1, column 2"),
        ("a.b = 1\n[a]\n", 2, 3, "a.b", "Cannot declare ('a',) twice"),
        ('a = "\\q"\n', 1, 8, "a", "Unescaped '\\' in a string"),
        ("a = 2024-02-30", 1, 5, "a", "Invalid date or datetime"),
        ("a = 01", 1, 6, "a", "Expected newline or end of document after a statement"),
        ('a = "\0"', 1, 6, "a", "Illegal character '\\x00'"),
        ("# \x01", 1, 3, "", "Found invalid character '\\x01'"),
        ("a = 1\rb = 2", 1, 6, "a", "expected the end of the line"),
        ("\ufeffa = 1", 1, 1, "", "expected a key"),
        (b"a = 1\nb = 'x\xc3\xa9\xff'", 2, 8, "", "not UTF-8"),
        ("a = 0x" + "f" * 5000, 1, 5, "a", "this number is longer than 128 characters"),
        ("services = 3", 1, 1, "services", "expected a table, got a whole number"),
        ("[[services]]\n", 1, 3, "services", "expected a table, got a list"),
        ("services.web = 'nginx'", 1, 10, "services.web", "expected a table, got a string"),
        ("[[services.web]]\n", 1, 12, "services.web", "expected a table, got a list"),
    ],
)
def test_what_is_no_toml_or_no_table_is_said_at_its_place(
    tmp_path: Path, text: str | bytes, line: int, column: int, path: str, message: str
) -> None:
    assert problems_of(tmp_path, text) == [(line, column, path, message)]


def test_a_service_in_two_files_is_refused_naming_both_places(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("\n[services.web]\n")
    (tmp_path / "b.toml").write_text("[services]\n web = {}\n")
    message = f"the service is declared a second time; the first is at {tmp_path}/a.toml:2:11"
    assert problems(tmp_path) == [(2, 2, "services.web", message)]


def test_all_problems_of_all_files_of_a_folder_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("x")
    (tmp_path / "b.toml").write_text("[services.a]\nx = 1\nreplicas = ''\n")
    (tmp_path / "c.toml").mkdir()
    with pytest.raises(Unreadable) as error:
        read_config(tmp_path)
    assert [(Path(found.file).name, found.line) for found in error.value.problems] == [
        ("a.toml", 1), ("b.toml", 2), ("b.toml", 3), ("c.toml", 0),
    ]  # fmt: skip


def test_a_list_of_problems_has_an_end(tmp_path: Path) -> None:
    lines = "\n".join(f"keyword{number} = 1" for number in range(10_000))
    assert len(problems_of(tmp_path, f"[services.web]\n{lines}")) == MAX_PROBLEMS


# What cannot be read at all.


def test_a_file_that_is_not_there_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match=r"none\.toml: cannot be read: No such file or directory"):
        read_config(tmp_path / "none.toml")


def test_a_broken_link_and_a_loop_of_links_are_unreadable(tmp_path: Path) -> None:
    (tmp_path / "broken.toml").symlink_to("nowhere")
    (tmp_path / "loop.toml").symlink_to("loop.toml")
    for name in ("broken.toml", "loop.toml"):
        with pytest.raises(Unreadable, match="cannot be read"):
            read_config(tmp_path / name)


def test_a_pipe_a_socket_and_a_device_are_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    monkeypatch.chdir(tmp_path)  # a socket's path is at most 108 bytes
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.toml")
    start = time.perf_counter()
    for path in (tmp_path / "pipe.toml", tmp_path / "socket.toml", Path("/dev/zero"), Path("/dev/tty")):
        with pytest.raises(Unreadable, match="not a regular file"):
            read_config(path)
    assert time.perf_counter() - start < 0.5


def test_a_pipe_that_takes_the_files_place_between_two_looks_does_not_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "a.toml")
    second_look, looks = document._require_regular, iter([True, False])
    monkeypatch.setattr(document, "_require_regular", lambda *args: next(looks) or second_look(*args))
    with pytest.raises(Unreadable, match="not a regular file"):
        read_config(tmp_path / "a.toml")


def test_a_folder_in_place_of_a_file_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.toml").mkdir()
    assert problems(tmp_path) == [(0, 0, "", "a folder, where a file is expected")]


def test_a_path_with_a_nul_is_refused() -> None:
    with pytest.raises(Unreadable, match="is no file name"):
        read_config("a\0b.toml")


def test_a_file_without_permission_is_unreadable(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.touch(mode=0)
    user = os.geteuid()
    os.seteuid(user or 65534)  # root may read everything
    try:
        with pytest.raises(Unreadable, match="Permission denied"):
            read_config(file)
    finally:
        os.seteuid(user)


def test_the_size_has_a_limit(tmp_path: Path) -> None:
    assert problems_of(tmp_path, b"#" * (MAX_SIZE + 1)) == [(0, 0, "", "larger than 256 KiB")]
    (tmp_path / "services.toml").write_bytes(b"#" * MAX_SIZE)
    assert read_config(tmp_path).services == []


SERVICE = "[services.web]\n"
HALF = MAX_SIZE // 2


@pytest.mark.parametrize(
    "text",
    {
        "lists 500 deep": "a = " + "[" * 500 + "]" * 500,
        "lists that do not end": "a = " + "[" * (MAX_SIZE - 10),
        "a dotted key of 40 kB": "a" + ".a" * 20_000 + " = 1",
        "a key 5000 deep": "[a" + ".a" * 4999 + "]",
        "inline tables 5000 deep": "a = " + "{a=" * 5000 + "1" + "}" * 5000,
        "300 KiB": "#" * 300 * 1024,
        "many unknown keys": SERVICE + "".join(f"imag{n} = 1\n" for n in range(15_000)),
        "a long unknown key": SERVICE + "a" * (MAX_SIZE - 100) + " = 1",
        "many port ranges": SERVICE + "ports = [" + '"1-65535:1-65535",' * 13_000 + "]",
        "a long port": SERVICE + "ports = ['" + "1" * (MAX_SIZE - 100) + "']",
        "many colons": SERVICE + "ports = ['" + ":" * (MAX_SIZE - 100) + "']",
        "a long duration": SERVICE + "stop_grace_period = '" + "1h" * (HALF - 100) + "x'",
        "a long command": SERVICE + "command = '" + "a " * (HALF - 100) + "\"'",
        "a long integer": "a = " + "1" * (MAX_SIZE - 100),
        "wide list": "a = [" + "1," * (HALF - 100) + "]",
        "many tables": "".join(f"[a{n}]\n" for n in range(25_000)),
        "many services": "".join(f"[services.a{n}]\nx=1\n" for n in range(9_000)),
        "quotes": "a = " + '"' * (MAX_SIZE - 100),
        "apostrophes": "a = " + "'" * (MAX_SIZE - 100),
        "escapes": 'a = "' + "\\n" * (HALF - 100),
        "escaped keys": "".join(f'"\\n{n}"=1\n' for n in range(22_000)),
        "comments": "#\n" * HALF + "x",
        "brackets": "[" * (MAX_SIZE - 10),
        "many ports": SERVICE + "ports = [" + "1," * (HALF - 100) + "]",
        "many words": SERVICE + "command = [" + "''," * 49_990 + "1]",
        "dates": "a = [" + "1979-05-27 07:32:00," * 12_000,
    }.items(),
    ids=lambda item: item[0],
)
def test_hostile_text_is_refused_quickly(tmp_path: Path, text: tuple[str, str]) -> None:
    start = time.thread_time()
    assert problems_of(tmp_path, text[1])
    assert time.thread_time() - start < 1.0
    with pytest.raises(ConfigError) as error:
        read_config(tmp_path)
    assert max(len(line) for line in str(error.value).splitlines()) < 1000


def test_the_deepest_file_needs_little_stack(tmp_path: Path) -> None:
    text = "a = " + "[" * 15 + "]" * 15
    limit = sys.getrecursionlimit()
    frames = len(__import__("inspect").stack())
    sys.setrecursionlimit(frames + 120)
    try:
        assert problems_of(tmp_path, text)
    finally:
        sys.setrecursionlimit(limit)


# Nothing but ConfigError, whatever the text.

_SCALARS = st.one_of(
    st.sampled_from(["80", "-1", "1.5", "true", "nan", "1e400", "99999999999999999999", "1979-05-27", "07:32:00"]),
    st.sampled_from(["'8080-8089:80'", "'a=b'", "'=b'", "'1m30s'", "'./a:/b'", "'~x:/y'", "'on-failure:3'", "''"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8).map(
        lambda text: '"' + "".join(f"\\U{ord(char):08x}" for char in text) + '"'
    ),
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.dictionaries(
            st.sampled_from(["target", "published", "source", "type", "a", "seconds"]), inner, max_size=3
        ).map(lambda items: "{" + ", ".join(f"{key} = {item}" for key, item in items.items()) + "}"),
    ),
    max_leaves=5,
)
_KEYS = st.sampled_from([*pb.ServiceSpec.DESCRIPTOR.fields_by_name, "annotations", "env_file", "x"])
_SERVICES = st.dictionaries(_KEYS, _VALUES, max_size=4).map(
    lambda items: "[services.web]\n" + "\n".join(f"{key} = {item}" for key, item in items.items())
)

_RESOURCES = st.dictionaries(
    st.sampled_from(["file", "environment", "content", "external", "ipam.config", "driver_opts", "labels", "name"]),
    _VALUES, max_size=3,
).flatmap(
    lambda items: st.sampled_from(["networks", "volumes", "secrets", "configs"]).map(
        lambda kind: f"[{kind}.a]\n" + "\n".join(f"{key} = {item}" for key, item in items.items()) + "\n"
        f"[services.b]\nvolumes = ['a:/a']\n{kind if kind != 'volumes' else 'networks'} = ['a']\n"
    )
)  # fmt: skip


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.one_of(_SERVICES, _RESOURCES, damaged_documents, st.text(max_size=30), st.binary(max_size=30)))
def test_reading_raises_nothing_but_config_error(tmp_path: Path, text: str | bytes) -> None:
    file = tmp_path / "a.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    found: Sequence[Problem] = ()
    services: Sequence[pb.Service] = ()
    try:
        services = read_config(file).services
    except ConfigError as error:
        found = error.problems
    assert all(problem.message and problem.file == str(file) for problem in found)
    assert all(service.SerializeToString() for service in services)
