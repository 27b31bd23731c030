"""Credentials for registries out of Docker's own configuration."""

import base64
import json
import os
import select
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from controller.errors import PullError
from controller.scheduler import docker_auth
from controller.scheduler.docker_auth import credentials_for

Configure = Callable[..., Path]
Helper = Callable[[str, str], None]

HUB = "https://index.docker.io/v1/"
HOST = "r.acme.org"


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Configure:
    """Writes Docker's configuration and returns its file."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))

    def write(**config: Any) -> Path:
        path = tmp_path / "config.json"
        path.write_text(json.dumps(config))
        return path

    return write


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Helper:
    """Puts `docker-credential-NAME`, a shell script, on the PATH."""
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    (tmp_path / "bin").mkdir()

    def write(name: str, script: str) -> None:
        path = tmp_path / "bin" / f"docker-credential-{name}"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    return write


def answer(user: str, secret: str) -> str:
    return f"echo '{json.dumps({'ServerURL': HOST, 'Username': user, 'Secret': secret})}'"


def test_without_a_configuration_there_are_no_credentials(configure: Configure, tmp_path: Path) -> None:
    found = credentials_for(HOST)
    assert (found.auth, found.source) == ({}, str(tmp_path / "config.json"))


@pytest.mark.parametrize("key", [HOST, f"https://{HOST}", f"https://{HOST}/v1/", f"http://{HOST}/v2/"])
def test_the_file_has_them_under_the_host_or_an_older_address(configure: Configure, key: str) -> None:
    configure(auths={"other.acme.org": {"auth": encoded("x:y")}, key: {"auth": encoded("robot:a:b")}})
    assert credentials_for(HOST).auth == {"username": "robot", "password": "a:b", "serveraddress": key}


@pytest.mark.parametrize("key", [HUB, "docker.io", "index.docker.io"])
def test_docker_hub_has_several_names(configure: Configure, key: str) -> None:
    configure(auths={key: {"auth": encoded("me:secret")}})
    assert credentials_for("docker.io").auth["username"] == "me"


def test_a_host_is_another_with_a_port(configure: Configure) -> None:
    configure(auths={f"{HOST}:5000": {"auth": encoded("robot:x")}})
    assert credentials_for(HOST).auth == {}


def test_a_token_is_passed_on(configure: Configure) -> None:
    configure(auths={HOST: {"identitytoken": "t"}})
    assert credentials_for(HOST).auth == {"identitytoken": "t", "serveraddress": HOST}


def test_a_login_takes_effect_at_once(configure: Configure) -> None:
    configure(auths={})
    assert credentials_for(HOST).auth == {}
    configure(auths={HOST: {"auth": encoded("robot:x")}})
    assert credentials_for(HOST).auth["username"] == "robot"


def test_secrets_are_not_in_what_is_printed(configure: Configure) -> None:
    configure(auths={HOST: {"auth": encoded("robot:hidden")}})
    assert "hidden" not in repr(credentials_for(HOST))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"auths": {"r.acme.org": {"auth": "hidden"', "is no JSON"),
        ("[]", "is no JSON object"),
        ('{"auths": []}', None),
        ('{"auths": ["hidden"]}', "`auths` is no JSON object"),
        ('{"auths": {"r.acme.org": "hidden"}}', "r.acme.org is not understood: docker login r.acme.org"),
        ('{"auths": {"r.acme.org": {"auth": "%hidden%"}}}', "r.acme.org is not understood"),
        ('{"auths": {"r.acme.org": {"auth": "aGlkZGVu"}}}', "r.acme.org is not understood"),
    ],
)
def test_a_file_that_is_not_understood_is_named_without_its_secrets(
    configure: Configure, content: str, words: str | None
) -> None:
    path = configure()
    path.write_text(content)
    if words is None:
        assert credentials_for(HOST).auth == {}
        return
    with pytest.raises(PullError, match=words) as caught:
        credentials_for(HOST)
    assert str(path) in str(caught.value)
    assert caught.value.__cause__ is None
    assert "hidden" not in str(caught.value)


def test_what_is_wrong_with_one_registrys_entry_does_not_concern_another(configure: Configure) -> None:
    configure(auths={"broken.acme.org": {"auth": "%"}, HOST: {"auth": encoded("robot:x")}})
    assert credentials_for(HOST).auth["username"] == "robot"


def test_a_file_that_may_not_be_read_leaves_public_images(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(auths={})

    def refuse(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_text", refuse)
    found = credentials_for(HOST)
    assert found.auth == {}
    assert "may not be read" in found.source


def test_the_common_helper_is_asked_for_the_registry(configure: Configure, helper: Helper, tmp_path: Path) -> None:
    helper("test", f'echo "$1 $(cat)" >{tmp_path}/asked; {answer("robot", "x")}')
    configure(credsStore="test", auths={HOST: {}})
    assert credentials_for(HOST).auth == {"username": "robot", "password": "x", "serveraddress": HOST}
    assert (tmp_path / "asked").read_text() == f"get {HOST}\n"


def test_a_registrys_own_helper_is_asked_before_the_common_one(configure: Configure, helper: Helper) -> None:
    helper("own", answer("own", "x"))
    helper("common", answer("common", "x"))
    configure(credsStore="common", credHelpers={HOST: "own"})
    assert credentials_for(HOST).auth["username"] == "own"
    assert credentials_for("other.acme.org").auth["username"] == "common"


def test_docker_hub_has_an_address_for_helpers(configure: Configure, helper: Helper, tmp_path: Path) -> None:
    helper("test", f"cat >{tmp_path}/asked; {answer('me', 'x')}")
    configure(credsStore="test")
    assert credentials_for("docker.io").auth["serveraddress"] == HUB
    assert (tmp_path / "asked").read_text() == HUB


def test_a_helper_may_have_a_token(configure: Configure, helper: Helper) -> None:
    helper("test", answer("<token>", "t"))
    configure(credsStore="test")
    assert credentials_for(HOST).auth == {"identitytoken": "t", "serveraddress": HOST}


@pytest.mark.parametrize("script", ["echo credentials not found in native keychain; exit 1", answer("", "")])
def test_a_helper_without_credentials_leaves_those_of_the_file(
    configure: Configure, helper: Helper, script: str
) -> None:
    helper("test", script)
    configure(credsStore="test", auths={HOST: {"auth": encoded("robot:x")}})
    assert credentials_for(HOST).auth["username"] == "robot"
    assert credentials_for("other.acme.org").auth == {}


def test_a_helper_that_is_missing_is_named(configure: Configure) -> None:
    path = configure(credsStore="nowhere")
    with pytest.raises(PullError, match="docker-credential-nowhere") as caught:
        credentials_for(HOST)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo the keychain; echo is locked; exit 1", "docker-credential-test failed for r.acme.org: the keychain is"),
        ("exit 3", "docker-credential-test failed for r.acme.org: 3"),
        ("echo hidden", "docker-credential-test gave no credentials"),
        ("echo '[]'", "docker-credential-test gave no credentials"),
        ("""echo '{"Secret": "hidden"}'""", "docker-credential-test gave no credentials"),
    ],
)
def test_a_helper_that_fails_is_told_in_its_own_words_without_secrets(
    configure: Configure, helper: Helper, script: str, words: str
) -> None:
    helper("test", script)
    configure(credsStore="test")
    with pytest.raises(PullError, match=words) as caught:
        credentials_for(HOST)
    assert "hidden" not in str(caught.value)


def test_a_helper_that_cannot_be_run_is_named(configure: Configure, helper: Helper, tmp_path: Path) -> None:
    helper("test", "")
    (tmp_path / "bin/docker-credential-test").write_text("#!/no/such/program\n")
    configure(credsStore="test")
    with pytest.raises(PullError, match="docker-credential-test cannot be run: No such file"):
        credentials_for(HOST)


def test_a_helper_that_hangs_is_killed_with_what_it_started(
    configure: Configure, helper: Helper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker_auth, "HELPER_DEADLINE", 0.5)
    alive = tmp_path / "alive"
    os.mkfifo(alive)
    reader = os.open(alive, os.O_RDONLY | os.O_NONBLOCK)
    try:
        helper("test", f"exec 3>{alive}; echo started >&3; sleep 1000; echo never")
        configure(credsStore="test")
        with pytest.raises(PullError, match=r"docker-credential-test gave no answer for r.acme.org within 0.5 s"):
            credentials_for(HOST)
        assert os.read(reader, 100) == b"started\n"
        assert select.select([reader], [], [], 10)[0], "something still has the other end"
        assert os.read(reader, 100) == b""
    finally:
        os.close(reader)
