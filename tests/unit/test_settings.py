"""Options, their variables and defaults, as the command line gives them."""

import ast
import inspect
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from controller import settings
from controller.__main__ import program
from controller.settings import Address, Settings

Run = Callable[..., Settings]


@pytest.fixture(autouse=True)
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Settings]:
    """What the program was started with, instead of starting it; in an empty folder, without variables of ours."""
    seen: list[Settings] = []

    def run(chosen: Settings) -> int:
        seen.append(chosen)
        return 0

    monkeypatch.setitem(sys.modules, "controller.app", SimpleNamespace(run=run))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    return seen


def invoke(*words: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(program, words, env=env, prog_name="dock-runner")


@pytest.fixture
def run(started: list[Settings]) -> Run:
    def start(*words: str, env: dict[str, str] | None = None) -> Settings:
        result = invoke(*words, env=env)
        assert result.exit_code == 0, result.output
        return started[-1]

    return start


def refused(*words: str, env: dict[str, str] | None = None) -> str:
    """What is said of a command line that must not be taken."""
    result = invoke(*words, env=env)
    assert result.exit_code == 2, result.output
    return result.stderr.splitlines()[-1]


def test_defaults_for_root(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert run() == Settings(
        config=None,
        listen=(Address(path=Path("/run/dock-runner/dock-runner.sock")),),
        metrics=Address(host="127.0.0.1", port=9780),
        engine="docker",
        docker_host=None,
        instance="default",
        state_dir=Path("/var/lib/dock-runner"),
        workers=8,
        engine_concurrency=4,
        resync=30.0,
        handlers=(),
        policy=None,
        once=False,
        timeout=None,
        allow_empty=False,
        log_format="console",
        log_level="info",
        insecure=False,
    )


def test_defaults_for_a_user_are_in_the_users_folders(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1234)
    chosen = run(env={"XDG_RUNTIME_DIR": "/run/user/1234", "XDG_STATE_HOME": "/home/ann/.state"})
    assert chosen.listen == (Address(path=Path("/run/user/1234/dock-runner/dock-runner.sock")),)
    assert chosen.state_dir == Path("/home/ann/.state/dock-runner")


def test_a_user_without_runtime_folder_has_the_socket_in_the_temporary_one(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 998877)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    chosen = run(env={"HOME": "/home/ann"})
    assert chosen.runtime_dir == tmp_path / "dock-runner-998877"
    assert chosen.state_dir == Path("/home/ann/.local/state/dock-runner")


def test_services_toml_is_read_when_it_is_in_the_working_folder(run: Run) -> None:
    assert run().config is None
    Path("services.toml").touch()
    assert run().config == Path("services.toml")
    assert run("--config", "other.toml").config == Path("other.toml")


def test_each_option_has_a_variable_and_the_option_wins(run: Run) -> None:
    env = {
        "DOCK_RUNNER_CONFIG": "a.toml", "DOCK_RUNNER_LISTEN": "unix:/a/s unix:/b/s", "DOCK_RUNNER_ENGINE": "memory",
        "DOCK_RUNNER_WORKERS": "3", "DOCK_RUNNER_RESYNC": "1m30s", "DOCK_RUNNER_ONCE": "true",
        "DOCK_RUNNER_STATE_DIR": "none", "DOCK_RUNNER_ENGINE_CONCURRENCY": "2", "DOCK_RUNNER_POLICY": "p.toml",
        "DOCK_RUNNER_LOG_LEVEL": "debug", "DOCK_RUNNER_ALLOW_EMPTY": "1", "DOCK_RUNNER_DOCKER_HOST": "tcp://h:1",
    }  # fmt: skip
    chosen = run(env=env)
    assert (chosen.config, chosen.engine, chosen.workers, chosen.resync) == (Path("a.toml"), "memory", 3, 90.0)
    assert chosen.listen == (Address(path=Path("/a/s")), Address(path=Path("/b/s")))
    assert (chosen.once, chosen.allow_empty, chosen.state_dir, chosen.engine_concurrency) == (True, True, None, 2)
    assert (chosen.policy, chosen.log_level, chosen.docker_host) == (Path("p.toml"), "debug", "tcp://h:1")
    assert run("--workers", "5", env=env).workers == 5


def test_docker_host_is_taken_from_dockers_own_variable(run: Run) -> None:
    assert run(env={"DOCKER_HOST": "unix:///d.sock"}).docker_host == "unix:///d.sock"


def test_the_runtime_folder_is_that_of_the_first_socket(run: Run) -> None:
    chosen = run("--listen", "127.0.0.1:0", "--listen", "unix:/a/b/s", "--insecure")
    assert chosen.runtime_dir == Path("/a/b")


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("1m30s", 90), ("500ms", 0.5), ("1.5h", 5400), ("2us", 2e-6), ("1h1m1s", 3661)]
)
def test_durations_are_written_as_in_compose(run: Run, text: str, seconds: float) -> None:
    assert run("--resync", text).resync == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "30", "s", "-1s", "1d", "1s ", "0s", "1..5s", "1m 30s", "٣s"])
def test_anything_else_is_no_duration(text: str) -> None:
    assert "Invalid value for '--resync'" in refused("--resync", text)


@pytest.mark.parametrize(
    ("text", "address", "target"),
    [
        ("unix:/a/s", Address(path=Path("/a/s")), "unix:/a/s"),
        ("unix:///a/s", Address(path=Path("/a/s")), "unix:/a/s"),
        ("host:80", Address(host="host", port=80), "host:80"),
        ("127.0.0.1:0", Address(host="127.0.0.1", port=0), "127.0.0.1:0"),
        ("[::1]:65535", Address(host="::1", port=65535), "[::1]:65535"),
    ],
)
def test_addresses(text: str, address: Address, target: str) -> None:
    assert Address.parse(text) == address
    assert address.target == target
    assert Address.parse(target) == address


@pytest.mark.parametrize(
    "text",
    ["", "unix:", "unix://host/a", "/a/s", ":80", "host", "host:", "host:65536", "::1:80", "[::1]", "[a]:1", "h:+1"],
)
def test_anything_else_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Address.parse(text)


def test_a_relative_socket_is_in_the_working_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert Address.parse("unix:s.sock").path == tmp_path / "s.sock"


@pytest.mark.parametrize("address", ["127.0.0.1:80", "127.9.9.9:80", "[::1]:80", "localhost:80"])
def test_a_loopback_address_needs_insecure(run: Run, address: str) -> None:
    assert "any user of this machine could command it" in refused("--listen", address)
    assert run("--listen", address, "--insecure").listen == (Address.parse(address),)


@pytest.mark.parametrize("address", ["0.0.0.0:80", "[::]:80", "10.1.1.1:80", "example.org:80", "127.0.0.1.evil.org:80"])
def test_an_address_that_others_reach_is_refused_even_with_insecure(address: str) -> None:
    assert "TLS is not available yet" in refused("--listen", address, "--insecure")
    assert "TLS is not available yet" in refused(env={"DOCK_RUNNER_LISTEN": address, "DOCK_RUNNER_INSECURE": "1"})


@pytest.mark.parametrize(
    "flag",
    ["--tls-cert", "--tls-key", "--tls-client-ca", "--token-file", "--webhook", "--webhook-secret-file"],
)
def test_what_is_not_there_yet_is_never_taken_in_silence(started: list[Settings], flag: str) -> None:
    variable = "DOCK_RUNNER_" + flag[2:].replace("-", "_").upper()
    assert refused(flag, "x") == f"Error: {flag} is not available yet"
    assert refused(env={variable: "x"}) == f"Error: {flag} is not available yet"
    assert flag not in invoke("--help").output
    assert started == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--engine", "swarm"], "swarm is not available yet"),
        (["--engine", "podman"], "Invalid value for '--engine'"),
        (["--workers", "0"], "Invalid value for '--workers'"),
        (["--instance", "A_b"], "Invalid value for '--instance'"),
        (["--instance", "a" * 43], "Invalid value for '--instance'"),
        (["--timeout", "3s"], "--timeout needs --once"),
        (["--metrics", "unix:/m"], "--metrics needs host:port"),
        (["--listen", "nonsense"], "'nonsense' is not one of unix:/path, host:port, [::1]:port"),
        (["--nonsense"], "No such option"),
        (["nonsense"], "No such command 'nonsense'"),
        (["--workers", "3", "get", "services"], "--workers is for running the program"),
    ],
)
def test_wrong_usage_is_one_clear_line_and_status_2(started: list[Settings], words: list[str], said: str) -> None:
    assert said in refused(*words)
    assert started == []


def test_once_has_a_timeout(run: Run) -> None:
    chosen = run("--once", "--timeout", "2m")
    assert (chosen.once, chosen.timeout) == (True, 120.0)


def test_every_setting_has_a_line_that_says_what_it_is() -> None:
    tree: Any = ast.parse(inspect.getsource(settings)).body
    body = next(node for node in tree if isinstance(node, ast.ClassDef) and node.name == "Settings").body
    for field, after in pairwise(body):
        if isinstance(field, ast.AnnAssign):
            assert isinstance(after, ast.Expr), ast.unparse(field)


def test_usage_errors_are_clicks(started: list[Settings]) -> None:
    with pytest.raises(click.UsageError):
        program.main(["--engine", "swarm"], standalone_mode=False)
