"""Variables out of files of their own."""

import contextlib
import time
from pathlib import Path

import pytest

from controller.config_agent import ConfigError, Position, read_config
from controller.config_agent.includes import MAX_ENV_FILE
from controller.config_agent.messages import MAX_PROBLEMS
from proto.dockrunner import v1 as pb


def spec(tmp_path: Path, text: str) -> pb.ServiceSpec:
    (tmp_path / "services.toml").write_text(f"[services.web]\n{text}\n")
    (service,) = read_config(tmp_path / "services.toml").services
    return service.spec


def problems(tmp_path: Path, text: str) -> list[tuple[str, int, int, str, str]]:
    with pytest.raises(ConfigError) as error:
        spec(tmp_path, text)
    return [(Path(it.file).name, it.line, it.column, it.path, it.message) for it in error.value.problems]


@pytest.mark.parametrize("text", ["env_file = 'a.env'", "env_file = ['a.env']", "env_file = [{ path = './a.env' }]"])
def test_it_is_one_file_or_a_list_of_them_from_the_folder_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.chdir("/")
    (tmp_path / "a.env").write_text("A=1\n")
    assert spec(tmp_path, text).environment == {"A": "1"}


def test_environment_comes_before_the_files_and_a_later_file_before_an_earlier_one(tmp_path: Path) -> None:
    (tmp_path / "a.env").write_text("A=a\nB=a\nC=a\n")
    (tmp_path / "b.env").write_text("B=b\nC=b\n")
    for text in (
        "environment.C = 'own'\nenv_file = ['a.env', 'b.env']",
        "env_file = ['a.env', 'b.env']\nenvironment = ['C=own']",
    ):
        assert spec(tmp_path, text).environment == {"A": "a", "B": "b", "C": "own"}


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=x y", "x y"), ("A= x ", "x"), ("A=", ""), ("A=''", ""), ("export A=x", "x"), ("  A = x", "x"),
        ("A=x # said", "x"), ("A=x#y", "x#y"), ("A= # said", ""), ("A='x # y'", "x # y"), ('A="x # y" # said', "x # y"),
        ('A="a\\nb"', "a\nb"), ("A='a\\nb'", "a\\nb"), ('A="a\nb"', "a\nb"), ('A="a\\"b"', 'a"b'),
        ("A=$HOME ${B:-c}", "$HOME ${B:-c}"), ('A="$HOME"', "$HOME"), ("A=é=é", "é=é"), ("A=x\r", "x"),
        ("# A=y\n\nA=x", "x"), ("A=x\nA=y", "y"), ("a.b-c=1\nA=x", "x"),
    ],
)  # fmt: skip
def test_lines_are_read_as_compose_reads_them_and_nothing_is_filled_in(tmp_path: Path, line: str, value: str) -> None:
    (tmp_path / "a.env").write_bytes(f"{line}\n".encode())
    assert spec(tmp_path, "env_file = 'a.env'").environment["A"] == value


def test_a_raw_file_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.env").write_text("# no\n\nA='x' # y\n  B= \"$C\"\n")
    found = spec(tmp_path, "env_file = { path = 'a.env', format = 'raw' }").environment
    assert found == {"A": "'x' # y", "B": ' "$C"'}


def test_one_that_need_not_be_there_is_left_out(tmp_path: Path) -> None:
    text = "env_file = [{ path = 'gone.env', required = false }]"
    assert not spec(tmp_path, text).environment
    (tmp_path / "gone.env").mkdir()
    assert problems(tmp_path, text)[0][4].endswith("a folder, where a file is expected")


@pytest.mark.parametrize(
    ("text", "column", "path", "message"),
    [
        ("env_file = 'gone'", 1, "env_file", "FOLDER/gone cannot be read: No such file or directory"),
        ("env_file = ['a.env', 'gone']", 22, "env_file[1]", "FOLDER/gone cannot be read: No such file or directory"),
        ("env_file = 5", 1, "env_file", "expected a string, a table or a list of them, got a whole number"),
        ("env_file = ['a.env', 5]", 22, "env_file[1]",
         "expected a string, a table or a list of them, got a whole number"),
        ("env_file = ''", 1, "env_file", '"" is no file name'),
        ("env_file = {}", 1, "env_file.path", "is required"),
        ("env_file = { path = 1 }", 14, "env_file.path", "expected a string, got a whole number"),
        ("env_file = { path = 'a.env', required = 1 }", 30, "env_file.required",
         "expected true or false, got a whole number"),
        ("env_file = { path = 'a.env', format = 'x' }", 30, "env_file.format",
         "expected `raw`; left out, it is read as Compose does"),
        ("env_file = { path = 'a.env', requird = true }", 30, "env_file.requird",
         "unknown key `requird`; did you mean `required`?"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_at_its_place(tmp_path: Path, text: str, column: int, path: str, message: str) -> None:
    (tmp_path / "a.env").write_text("A=1\n")
    found = problems(tmp_path, text)
    assert found == [
        ("services.toml", 2, column, f"services.web.{path}", message.replace("FOLDER/gone", f'"{tmp_path}/gone"'))
    ]


NO_PAIR = "expected `NAME=value`; the environment of Dock Runner itself is not handed on"


@pytest.mark.parametrize(
    ("form", "content", "line", "message"),
    [
        ("", b"A=1\n\n# x\nHUSH\n", 4, f"HUSH: {NO_PAIR}"),
        ("raw", b"A=1\n\n# x\nHUSH\n", 4, f"HUSH: {NO_PAIR}"),
        ("", b"A=1\nB='hush\n", 2, NO_PAIR),
        ("", b"A=1\n\n\nB: hush\n", 4, NO_PAIR),
        ("raw", b"A=1\n\n\nB: hush\n", 4, NO_PAIR),
        ("raw", b"=hush\n", 1, NO_PAIR),
        ("", b"A=" + b" " * 300 + b"x", 1, NO_PAIR),
        ("", b"A=1\n\xff", 2, "not UTF-8"),
        ("raw", b"A=1\n\xff", 2, "not UTF-8"),
    ],
)
def test_a_line_that_is_no_variable_is_said_at_its_own_place_without_what_is_in_it(
    tmp_path: Path, form: str, content: bytes, line: int, message: str
) -> None:
    (tmp_path / "a.env").write_bytes(content)
    found = problems(tmp_path, f"env_file = {{ path = 'a.env', format = '{form}' }}")
    assert found == [("a.env", line, 1, "", message)]
    assert "hush" not in str(found)


@pytest.mark.parametrize(
    "content", ["A=" + " " * 150 + "x", "A='", 'A="\\', "\n", "A\n", "A=1 ", "# ", "A=x\n", "'A' = \"'"]
)
def test_hostile_text_is_read_quickly(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.env").write_text((content * (1 + MAX_ENV_FILE // len(content)))[:MAX_ENV_FILE])
    began = time.thread_time()
    with contextlib.suppress(ConfigError):
        spec(tmp_path, "env_file = ['a.env', 'a.env']")
    assert time.thread_time() - began < 3.0


def test_a_file_has_a_limit(tmp_path: Path) -> None:
    (tmp_path / "a.env").write_text("#" * (MAX_ENV_FILE + 1))
    assert problems(tmp_path, "env_file = 'a.env'")[0][4].endswith("larger than 256 KiB")


def test_problems_of_a_file_that_several_services_name_are_told_once(tmp_path: Path) -> None:
    (tmp_path / "a.env").write_text("A\n")
    assert len(problems(tmp_path, "env_file = 'a.env'\n[services.b]\nenv_file = 'a.env'")) == 1
    (tmp_path / "a.env").write_text("A\n" * 1000)
    assert len(problems(tmp_path, "env_file = 'a.env'")) == MAX_PROBLEMS


def test_what_the_server_has_against_a_variable_is_found_at_its_file_in_the_text(tmp_path: Path) -> None:
    (tmp_path / "a.env").write_text("A=1\n")
    (tmp_path / "services.toml").write_text("[services.web]\nenvironment.B = '2'\nenv_file = ['a.env']\n")
    config = read_config(tmp_path / "services.toml")
    file = str(tmp_path / "services.toml")
    assert config.position("services[0].spec.environment.A") == Position(file, 3, 13, "services.web.env_file[0]")
    assert config.position("services[0].spec.environment.B") == Position(file, 2, 13, "services.web.environment.B")
