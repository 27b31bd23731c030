"""What the program is told: every option of the command line, each also an environment variable.

Imports nothing of the program, so that client verbs and ``--help`` have it for little.
"""

import ipaddress
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import click

PREFIX = "DOCK_RUNNER"
"""What the environment variables of the options begin with."""

SOCKET = "dock-runner.sock"
METRICS_PORT = 9780

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?")
_DURATION = re.compile(r"(?:[0-9]{1,9}(?:\.[0-9]{1,9})?(?:us|ms|s|m|h))+")
_DURATION_PART = re.compile(r"([0-9.]+)(us|ms|s|m|h)")
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Address:
    """A unix socket (``path`` is set, and absolute), or a TCP address (``host`` and ``port`` are)."""

    path: Path | None = None
    host: str = ""
    port: int = 0

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Reads ``unix:/path``, ``unix:///path``, ``host:port`` or ``[::1]:port``.

        Raises:
            ValueError: it is none of them; the message says why.
        """
        if text.startswith("unix:"):
            name = text.removeprefix("unix:")
            if name.startswith("//"):
                name = name.removeprefix("//")
                if not name.startswith("/"):
                    raise ValueError(f"{text!r} needs three slashes: unix:///path")
            if not name or "\0" in name:
                raise ValueError(f"{text!r} names no socket")
            return cls(path=Path(os.path.abspath(name)))
        host, colon, port = text.rpartition(":")
        literal = host.startswith("[") and host.endswith("]")
        host = host[1:-1] if literal else host
        if not colon or not host or (":" in host) != literal:
            raise ValueError(f"{text!r} is not one of unix:/path, host:port, [::1]:port")
        if not (port.isascii() and port.isdigit() and int(port) < 65536):
            raise ValueError(f"{text!r}: {port!r} is not a port")
        return cls(host=host, port=int(port))

    @property
    def target(self) -> str:
        """As gRPC names it, and as ``parse`` reads it."""
        if self.path is not None:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def endpoint(self) -> Path | tuple[str, int]:
        """The socket's path, or host and port."""
        return self.path if self.path is not None else self.host_port

    @property
    def host_port(self) -> tuple[str, int]:
        """Host and port of a TCP address."""
        return self.host, self.port

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.path is not None or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return self.target


@dataclass(frozen=True)
class Settings:
    """The options of the program without a verb, checked."""

    config: Path | None
    """The TOML file or folder of files; None: nothing is declared by file."""
    listen: tuple[Address, ...]
    """Where the API is served; never empty."""
    metrics: Address
    """TCP address of ``/metrics``, ``/healthz`` and ``/readyz``."""
    engine: Literal["docker", "memory"]
    """What containers are reconciled against."""
    docker_host: str | None
    """As ``DOCKER_HOST``; None: the local socket."""
    instance: str
    """Which of several controllers of one engine this is."""
    state_dir: Path | None
    """Folder of the journal; None: nothing outlives the process."""
    workers: int
    """Concurrent reconciles per controller."""
    engine_concurrency: int
    """Calls in flight at once that change containers."""
    resync: float
    """Seconds between two full lists of the engine's containers."""
    handlers: tuple[str, ...]
    """Files or modules with handlers of the user's."""
    policy: Path | None
    """TOML file of the admission policy; None: the built-in one."""
    once: bool
    """Whether to end when all is converged."""
    timeout: float | None
    """Seconds that ``once`` may take; None: for ever."""
    allow_empty: bool
    """Whether a file that is gone, empty or without services deletes what it declared."""
    log_format: Literal["console", "json"]
    """Lines for people, or one JSON object per line."""
    log_level: str
    """``debug``, ``info``, ``warning`` or ``error``."""
    insecure: bool
    """Whether the API may be served on a loopback TCP address without authentication."""

    @property
    def runtime_dir(self) -> Path:
        """The folder of the first unix socket; without one the default folder for it."""
        return next((address.path.parent for address in self.listen if address.path), default_runtime_dir())


def default_runtime_dir() -> Path:
    """Where the socket lies when nobody says otherwise."""
    if os.geteuid() == 0:
        return Path("/run/dock-runner")
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(runtime, "dock-runner")
    runtime_of_user = Path(f"/run/user/{os.geteuid()}")
    if runtime_of_user.is_dir():
        return runtime_of_user / "dock-runner"
    return Path(tempfile.gettempdir(), f"dock-runner-{os.geteuid()}")


def default_server() -> Address:
    """The default socket, of server and clients."""
    return Address(path=default_runtime_dir() / SOCKET)


def default_state_dir() -> Path:
    """Where state is kept when nobody says otherwise."""
    if os.geteuid() == 0:
        return Path("/var/lib/dock-runner")
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state", "dock-runner")


class AddressType(click.ParamType[Address]):
    """``unix:/path``, ``host:port`` or ``[::1]:port``."""

    name = "addr"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Address:
        if isinstance(value, Address):
            return value
        try:
            return Address.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class DurationType(click.ParamType[float]):
    """``30s``, ``1m30s``, ``500ms``: a positive number of seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, (int, float)):
            return float(value)
        if not _DURATION.fullmatch(value):
            self.fail(f"{value!r} is not a duration such as 30s, 1m30s or 500ms", param, ctx)
        seconds = sum(float(number) * _SECONDS[unit] for number, unit in _DURATION_PART.findall(value))
        if seconds <= 0:
            self.fail(f"{value!r} is not longer than nothing", param, ctx)
        return seconds


class _InstanceType(click.ParamType[str]):
    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not _NAME.fullmatch(value):
            self.fail(f"{value!r} is not a name of at most 42 of a-z, 0-9 and - inside", param, ctx)
        return str(value)


_PATH = click.Path(path_type=Path)
_NOT_YET = (
    "--tls-cert", "--tls-key", "--tls-client-ca", "--token-file", "--webhook", "--webhook-secret-file",
)  # fmt: skip


def _option(flag: str, metavar: str | None = None, **attributes: Any) -> click.Option:
    """An option and its variable. It is given by name, and not by the group's prefix, lest verbs have variables too."""
    variable = f"{PREFIX}_{flag.removeprefix('--').replace('-', '_').upper()}"
    envvar = [variable, *attributes.pop("more_variables", [])]
    return click.Option([flag], metavar=metavar, envvar=envvar, show_envvar=False, **attributes)


# What the help says of a default that depends on the machine, and its number or word where it does not.
_OPTIONS = (
    _option("--config", type=_PATH, help="TOML file, or folder of *.toml  [default: services.toml, if it is here]"),
    _option("--listen", "ADDR", type=AddressType(), multiple=True,
            help="unix:/path or host:port; repeatable  [default: the default socket]"),
    _option("--metrics", "ADDR", type=AddressType(), default=f"127.0.0.1:{METRICS_PORT}", show_default=True,
            help="HTTP for /metrics, /healthz and /readyz"),
    _option("--engine", type=click.Choice(["docker", "swarm", "memory"]), default="docker", show_default=True,
            help="what containers are reconciled against; memory simulates them"),
    _option("--docker-host", "URL", more_variables=["DOCKER_HOST"], help="as DOCKER_HOST, which is the default"),
    _option("--instance", type=_InstanceType(), default="default", show_default=True,
            help="lets several controllers share one engine; each sees only its own"),
    _option("--state-dir", "PATH", help="journal and secrets; none: nothing is kept  [default: by user]"),
    _option("--workers", type=click.IntRange(1, 256), default=8, show_default=True,
            help="concurrent reconciles per controller"),
    _option("--engine-concurrency", type=click.IntRange(1, 64), default=4, show_default=True,
            help="calls in flight at once that change containers"),
    _option("--resync", type=DurationType(), default="30s", show_default=True,
            help="how often all of the engine's containers are listed"),
    _option("--handlers", "MODULE", multiple=True,
            help="file such as ./notify.py, or module, with handlers of your own; repeatable"),
    _option("--policy", type=_PATH, help="TOML admission policy  [default: built in]"),
    _option("--once", is_flag=True, help="end when all is converged, with status 0"),
    _option("--timeout", type=DurationType(), help="with --once: end with status 1 when it takes longer"),
    _option("--allow-empty", is_flag=True, help="a file without any service deletes what it declared"),
    _option("--log-format", type=click.Choice(["console", "json"]), default="console", show_default=True),
    _option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info",
            show_default=True),
    _option("--insecure", is_flag=True, help="serve on a loopback TCP address without authentication"),
    *(_option(flag, hidden=True) for flag in _NOT_YET),
)  # fmt: skip


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command all options of the program, under the names that ``from_options`` takes."""
    known: list[click.Parameter] = getattr(command, "__click_params__", [])
    command.__click_params__ = [*known, *reversed(_OPTIONS)]  # type: ignore[attr-defined]  # as click.option does
    return command


def from_options(given: Mapping[str, Any]) -> Settings:
    """The settings, with the defaults that depend on the machine and the folder.

    Raises:
        click.UsageError: options contradict each other, or open what must stay closed.
    """
    values = dict(given)
    for flag in _NOT_YET:
        # The contract names them, some of them to keep others out: none may be taken in silence.
        if values.pop(flag.removeprefix("--").replace("-", "_")):
            raise click.UsageError(f"{flag} is not available yet")
    if given["engine"] == "swarm":
        raise click.UsageError("--engine swarm is not available yet; choose docker or memory")
    values["config"] = given["config"] or (Path("services.toml") if Path("services.toml").exists() else None)
    values["listen"] = tuple(given["listen"]) or (default_server(),)
    values["state_dir"] = _state_dir(given["state_dir"])
    values["docker_host"] = given["docker_host"] or None
    settings = Settings(**values)
    _check(settings)
    return settings


def _state_dir(text: str | None) -> Path | None:
    if text == "none":
        return None
    return Path(os.path.abspath(text)) if text else default_state_dir()


def _check(settings: Settings) -> None:
    if settings.timeout is not None and not settings.once:
        raise click.UsageError("--timeout needs --once")
    if settings.metrics.path is not None:
        raise click.UsageError("--metrics needs host:port; a unix socket is for --listen")
    for address in settings.listen:
        if not address.is_loopback:
            raise click.UsageError(
                f"--listen {address}: whoever reaches the API is root on this machine, and TLS is not available yet; "
                "use a unix socket, or a loopback address with --insecure"
            )
        if address.path is None and not settings.insecure:
            raise click.UsageError(
                f"--listen {address}: any user of this machine could command it; "
                "use a unix socket, or --insecure if that is what you want"
            )
