"""Credentials for registries, from where `docker login` keeps them.

Docker's own configuration is read anew each time, so that a `docker login` takes effect at once. Written here and not
taken from the SDK: its credential helpers have no deadline, and a file that it does not understand passes for empty.
"""

import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from controller.errors import PullError
from controller.scheduler.registries import DOCKER_HUB

HELPER_DEADLINE = 10.0  # seconds that a credential helper may take; it may ask a service elsewhere

# What Docker Hub is called in the configuration, by its history.
_HUB_KEY = "https://index.docker.io/v1/"
_HUB_HOSTS = (DOCKER_HUB, "index.docker.io")
_NOT_FOUND = "credentials not found in native keychain"  # a helper's word for that it has none
_TOKEN_USER = "<token>"  # noqa: S105  # the user's name that marks a helper's secret as a token


@dataclass(frozen=True)
class Credentials:
    """What the engine is given for a registry: ``auth`` has the fields of Docker's AuthConfig, none for an anonymous
    request. ``source`` is the file that they are from, or would be, in words."""

    source: str
    auth: Mapping[str, str] = field(default_factory=dict, repr=False)


def config_file() -> Path:
    """The file that `docker login` writes to."""
    folder = os.environ.get("DOCKER_CONFIG")
    return Path(folder or os.path.expanduser("~/.docker")) / "config.json"


def credentials_for(registry: str) -> Credentials:
    """What the configuration has for a registry: by its own helper, by the common one, or in the file itself.

    Raises:
        PullError: the file is not understood, or a helper that it names is missing, failed or did not answer in time.
    """
    path = config_file()
    try:
        config = _read(path)
    except PermissionError:
        # As Docker's own client, which then asks without: most images are public.
        return Credentials(f"{path}, which may not be read")
    key = _HUB_KEY if registry == DOCKER_HUB else registry
    helpers = _table(config, "credHelpers", path)
    helper = helpers.get(key) or helpers.get(registry) or config.get("credsStore")
    auth = _ask(str(helper), key, path) if helper else {}
    return Credentials(str(path), auth or _stored(_table(config, "auths", path), registry, path))


def _read(path: Path) -> Mapping[str, Any]:
    try:
        text = path.read_text()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except PermissionError:
        raise
    except (OSError, ValueError) as error:
        raise PullError(f"{path} cannot be read: {error}") from error
    try:
        config = json.loads(text or "{}")
    except ValueError as error:
        raise PullError(f"{path} is no JSON: {error}") from None  # the cause would carry the secrets
    if not isinstance(config, dict):
        raise PullError(f"{path} is not Docker's configuration: it is no JSON object")
    return config


def _table(config: Mapping[str, Any], name: str, path: Path) -> Mapping[str, Any]:
    table = config.get(name) or {}
    if not isinstance(table, dict):
        raise PullError(f"{path} is not Docker's configuration: `{name}` is no JSON object")
    return table


def _stored(auths: Mapping[str, Any], registry: str, path: Path) -> Mapping[str, str]:
    """The entry of the file itself. Older ones have the address of the registry's API for a key."""
    hosts = _HUB_HOSTS if registry == DOCKER_HUB else (registry,)
    keys = [key for key in auths if _host(key) in hosts]
    for key in sorted(keys, key=lambda key: key not in (registry, _HUB_KEY)):
        if entry := auths[key]:
            return _decoded(entry, key, path)
    return {}


def _host(key: str) -> str:
    return key.removeprefix("https://").removeprefix("http://").partition("/")[0]


def _decoded(entry: Any, key: str, path: Path) -> Mapping[str, str]:
    try:
        auth = {name: str(entry[name]) for name in ("username", "password") if entry.get(name)}
        for name in ("identitytoken", "registrytoken"):
            if entry.get(name):
                auth[name] = str(entry[name])
        if entry.get("auth"):
            user, colon, password = base64.b64decode(entry["auth"], validate=True).decode().partition(":")
            if not colon:
                raise ValueError("without a colon")
            auth |= {"username": user, "password": password.rstrip("\0")}
    except (AttributeError, TypeError, ValueError):
        # Without its cause, which may quote the secret.
        raise PullError(f"{path}: the entry for {key} is not understood: docker login {_host(key)}") from None
    return {**auth, "serveraddress": key} if auth else {}


def _ask(helper: str, key: str, path: Path) -> Mapping[str, str]:
    """What a credential helper has for a registry; nothing when it knows none."""
    program = f"docker-credential-{helper}"
    found = shutil.which(program)
    if found is None:
        raise PullError(
            f"{path} names the credential helper {program} for {_host(key)}, which is not on the PATH: "
            "install it, or take it out of the file"
        )
    answer = _run(found, program, key)
    if answer is None:
        return {}
    try:
        data = json.loads(answer)
        user, secret = str(data["Username"]), str(data["Secret"])
    except (ValueError, KeyError, TypeError):
        raise PullError(f"the credential helper {program} gave no credentials that Docker understands") from None
    if user == _TOKEN_USER:
        return {"identitytoken": secret, "serveraddress": key}
    return {"username": user, "password": secret, "serveraddress": key} if user or secret else {}


def _run(found: str, program: str, key: str) -> bytes | None:
    """A helper's answer; None when it says that it has no credentials."""
    try:
        process = subprocess.Popen(  # noqa: S603  # a program of the user's PATH, and no shell
            [found, "get"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise PullError(f"the credential helper {program} cannot be run: {error.strerror}") from error
    with process:
        try:
            out, _ = process.communicate(key.encode(), HELPER_DEADLINE)
        except subprocess.TimeoutExpired as error:
            # With all that it started: a helper is often a shell script.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise PullError(
                f"the credential helper {program} gave no answer for {_host(key)} within {HELPER_DEADLINE:g} s"
            ) from error
    if process.returncode == 0:
        return out
    words = " ".join(out.decode(errors="replace").split())
    if _NOT_FOUND in words:
        return None
    raise PullError(f"the credential helper {program} failed for {_host(key)}: {words or process.returncode}")
