"""Objects as JSON for programs. Every field is there, under its name in the .proto; 64-bit numbers are strings."""

import json
from collections.abc import Mapping
from typing import Any

import click
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message


def fields(message: Message) -> dict[str, Any]:
    """A message as what ``json`` takes, without what is in secrets."""
    document = MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    _hide_secrets(document)
    return document


def _hide_secrets(document: Any) -> None:
    for key, value in document.items() if isinstance(document, dict) else enumerate(document):
        if isinstance(value, (dict, list)):
            _hide_secrets(value)
        if key == "secrets" and isinstance(value, list):
            for secret in value:
                secret.pop("content", None)


def echo_json(document: Mapping[str, Any]) -> None:
    """Prints one document, for eyes too."""
    click.echo(json.dumps(document, indent=2))


def echo_line(type_: str, version: str, kind: str, message: Message | None) -> None:
    """Prints one change as one line: ``type``, ``resource_version`` and, but for a bookmark, the object."""
    line: dict[str, Any] = {"type": type_, "resource_version": version}
    if message is not None:
        line[kind] = fields(message)
    click.echo(json.dumps(line))
