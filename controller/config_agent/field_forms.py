"""The short ways to write one field, as the Compose specification has them, where its type cannot tell.

They are registered by the full name of the field.
"""

import re
import shlex
from collections.abc import Callable, Iterator
from typing import Any

from .problem import NotThatForm, Path, show
from .scalars import mismatch

_SIZE = re.compile(r"([0-9]{1,19}(?:\.[0-9]{1,9})?) ?(?:([kmgtp])(?:i?b)?|b)?", re.IGNORECASE)
_UNITS = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40, "p": 50}  # powers of two, as go-units and so Compose have them
_OCTAL = re.compile("(?:0o)?([0-7]{1,7})")
_DECIMAL = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")


def words(value: Any) -> Any:
    """One string, split into words as a shell would."""
    if not isinstance(value, str):
        return value
    try:
        return shlex.split(value)
    except ValueError as error:
        raise NotThatForm(f"cannot be split into words: {str(error).lower()}") from None


def number_as_text(value: Any) -> Any:
    """A whole number where a field is text because it may also be a name or a range."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def size(value: Any) -> Any:
    """``512m``, ``1.5gb``, ``64k``; a number is of bytes. Units are powers of 1024."""
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value)
    if match is None:
        raise NotThatForm(f"expected a size such as `512m` or `1gb`, or a number of bytes, got {show(value)}")
    number, _, fraction = match[1].partition(".")
    factor = 1 << _UNITS[(match[2] or "").lower()]
    return int(number) * factor + int(fraction or 0) * factor // 10 ** len(fraction)


def mode(value: Any) -> Any:
    """Permissions; a text is octal, as in ``0440``."""
    if not isinstance(value, str):
        return value
    match = _OCTAL.fullmatch(value)
    if match is None:
        raise NotThatForm(f"expected permissions such as 0o440 or `0440`, got {show(value)}")
    return int(match[1], 8)


def decimal(value: Any) -> Any:
    """A number that may also be a text: ``0.5``."""
    if not isinstance(value, str):
        return value
    if not _DECIMAL.fullmatch(value):
        raise NotThatForm(f"expected a number such as 0.5, got {show(value)}")
    return float(value)


def shell_test(value: Any) -> Any:
    """A health check in one string is for a shell."""
    return ["CMD-SHELL", value] if isinstance(value, str) else value


def gpu_count(value: Any) -> Any:
    """``all``."""
    return -1 if value == "all" else value


def extra_host(value: Any) -> Any:
    """``HOST:IP`` or ``HOST=IP``, a version 6 address with or without brackets, as ``HOST=IP``."""
    if not isinstance(value, str):
        return value
    host, separator, address = value.partition("=" if "=" in value else ":")
    if not (separator and host and address):
        raise NotThatForm(f"expected `HOST=IP`, got {show(value)}")
    if address.startswith("[") and address.endswith("]"):
        address = address[1:-1]
    return f"{host}={address}"


def elements(value: Any) -> Iterator[tuple[Path, Any]]:
    """What a list has, each with its place in it."""
    if not isinstance(value, list):
        raise NotThatForm(mismatch("a list", value))
    for index, element in enumerate(value):
        yield (index,), element


def one_or_more(value: Any) -> Iterator[tuple[Path, Any]]:
    """A list, or the text that alone would be in it."""
    if isinstance(value, str):
        yield (), value
    elif isinstance(value, list):
        yield from elements(value)
    else:
        raise NotThatForm(mismatch("a string or a list", value))


def hosts(value: Any) -> Iterator[tuple[Path, Any]]:
    """A list, or a table of hosts, each with one address or a list of them."""
    if not isinstance(value, dict):
        if not isinstance(value, list):
            raise NotThatForm(mismatch("a table or a list", value))
        yield from elements(value)
        return
    for host, addresses in value.items():
        for place, address in one_or_more(addresses):
            if not isinstance(address, str):
                raise NotThatForm(f"{show(host)}: {mismatch('a string', address)}")
            yield (host, *place), f"{host}={address}"


_SPEC = "dockrunner.v1.ServiceSpec"

# How the value of one field is read before its type is looked at.
FIELD_FORMS: dict[str, Callable[[Any], Any]] = {
    f"{_SPEC}.command": words,
    f"{_SPEC}.entrypoint": words,
    f"{_SPEC}.user": number_as_text,
    f"{_SPEC}.stop_signal": number_as_text,
    f"{_SPEC}.shm_size": size,
    f"{_SPEC}.mem_limit": size,
    f"{_SPEC}.mem_reservation": size,
    f"{_SPEC}.cpus": decimal,
    "dockrunner.v1.Port.published": number_as_text,
    "dockrunner.v1.TmpfsOptions.size": size,
    "dockrunner.v1.TmpfsOptions.mode": mode,
    "dockrunner.v1.HealthCheck.test": shell_test,
    "dockrunner.v1.Gpu.count": gpu_count,
    "dockrunner.v1.Secret.uid": number_as_text,
    "dockrunner.v1.Secret.gid": number_as_text,
    "dockrunner.v1.Secret.mode": mode,
    "dockrunner.v1.Config.uid": number_as_text,
    "dockrunner.v1.Config.gid": number_as_text,
    "dockrunner.v1.Config.mode": mode,
}
# How the value of a field with several elements is taken apart, unless it has to be a list.
LIST_FORMS: dict[str, Callable[[Any], Iterator[tuple[Path, Any]]]] = {
    f"{_SPEC}.tmpfs": one_or_more,
    f"{_SPEC}.dns": one_or_more,
    f"{_SPEC}.dns_search": one_or_more,
    f"{_SPEC}.gpus": one_or_more,
    f"{_SPEC}.extra_hosts": hosts,
}
# How each element of such a field is read before its type is looked at.
ELEMENT_FORMS: dict[str, Callable[[Any], Any]] = {
    f"{_SPEC}.extra_hosts": extra_host,
    f"{_SPEC}.group_add": number_as_text,
}
