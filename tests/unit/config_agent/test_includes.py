"""The agent follows the files that its file names as it follows the file itself."""

import asyncio
from pathlib import Path

import pytest

from .conftest import Api, Follow

SERVICE = "[services.web]\nimage = 'web'\nenv_file = ['../env/a.env']\nsecrets = ['s']\nconfigs = ['c']\n"
RESOURCES = "[secrets.s]\nfile = '../run/s'\n[configs.c]\nfile = '../run/c'\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    for folder in ("etc", "env", "run"):
        (tmp_path / folder).mkdir()
    (tmp_path / "env/a.env").write_text("A=1\n")
    (tmp_path / "run/s").write_text("hush")
    (tmp_path / "run/c").write_text("x")
    path = tmp_path / "etc/services.toml"
    path.write_text(SERVICE + RESOURCES)
    return path


def write(file: Path, text: str) -> None:
    file.write_text(text)


async def test_a_change_of_any_of_them_is_applied(api: Api, follow: Follow, file: Path, tmp_path: Path) -> None:
    follow(file)
    spec = (await api.next()).services[0].spec
    assert (spec.environment["A"], spec.secrets[0].content, spec.configs[0].content) == ("1", b"hush", b"x")
    (tmp_path / "env/a.env").write_text("A=2\n")
    assert (await api.next()).services[0].spec.environment["A"] == "2"
    (tmp_path / "run/s").write_text("hush 2")
    assert (await api.next()).services[0].spec.secrets[0].content == b"hush 2"
    (tmp_path / "run/new").write_text("y")
    (tmp_path / "run/new").replace(tmp_path / "run/c")
    assert (await api.next()).services[0].spec.configs[0].content == b"y"
    assert api.requests.empty()


async def test_half_of_one_is_never_applied(
    api: Api, follow: Follow, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Longer than a busy machine holds the writer up.
    monkeypatch.setattr("controller.config_agent.agent.DEBOUNCE", 0.5)
    follow(file)
    await api.next()
    with (tmp_path / "env/a.env").open("w") as writing:
        for number in range(20):
            writing.write(f"A{number}=1\n")
            writing.flush()
            await asyncio.sleep(0.03)  # the writer's own pace
    assert len((await api.next()).services[0].spec.environment) == 20
    assert api.requests.empty()


async def test_one_that_comes_later_is_applied_then(api: Api, follow: Follow, file: Path, tmp_path: Path) -> None:
    (tmp_path / "env/a.env").unlink()
    running = follow(file)
    type_, reason, message = await running.report()
    assert (type_, reason) == ("Warning", "ConfigInvalid")
    assert message.startswith(f"{file}:3:13: services.web.env_file[0]: ")
    assert api.requests.empty()
    (tmp_path / "env/a.env").write_text("A=1\n")
    assert (await api.next()).services[0].spec.environment["A"] == "1"


async def test_one_that_goes_changes_nothing(api: Api, follow: Follow, file: Path, tmp_path: Path) -> None:
    running = follow(file)
    await api.next()
    await running.report()
    (tmp_path / "run/s").unlink()
    assert (await running.report())[1] == "ConfigInvalid"
    assert running.value("successful") == 0
    assert api.requests.empty()
    (tmp_path / "run/s").write_text("hush")
    await running.in_force()
    assert api.requests.empty(), "what is in force already is not applied again"


async def test_one_that_is_no_longer_named_is_no_longer_followed(
    api: Api, follow: Follow, file: Path, tmp_path: Path
) -> None:
    running = follow(file)
    await api.next()
    await running.report()
    write(file, "[services.web]\nimage = 'web'\n")
    await api.next()
    await running.report()
    (tmp_path / "run/s").unlink()
    assert await running.agent.reload()
    assert not (await api.next()).services[0].spec.secrets


async def test_what_is_in_a_secret_is_in_no_log_and_no_report(
    api: Api, follow: Follow, file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    (tmp_path / "run/s").write_bytes(b"hush" * 200_000)
    (tmp_path / "env/a.env").write_text("A='hush\n")
    running = follow(file)
    report = await running.report()
    assert report[1] == "ConfigInvalid"
    assert report[2].count("\n") == 1, "both are said"
    assert "hush" not in str(report) + caplog.text
    (tmp_path / "run/s").write_bytes(b"hush")
    (tmp_path / "env/a.env").write_text("A='hush'\n")
    await api.next()
    assert "hush" not in str(await asyncio.wait_for(running.report(), 10)) + caplog.text
