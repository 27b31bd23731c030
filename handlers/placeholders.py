"""``{slot}``, ``{service}`` and ``{instance}`` in what a container is made from."""

import re
from collections.abc import Callable, Mapping

from proto.dockrunner import v1 as pb

_PLACEHOLDER = re.compile(r"\{(slot|service|instance)\}")


def expanded(template: pb.ServiceSpec, words: Mapping[str, str]) -> pb.ServiceSpec:
    """A copy of a template with the placeholders of ``hostname``, ``environment``, ``volumes`` and ``labels`` filled.

    ``words`` are by the placeholder's name. All other braces stay as they are.
    """
    fill = filler(words)
    result = pb.ServiceSpec()
    result.CopyFrom(template)
    result.hostname = fill(template.hostname)
    for name, value in template.environment.items():
        result.environment[name] = fill(value)
    for name, value in template.labels.items():
        result.labels[name] = fill(value)
    for mount in result.volumes:
        mount.source, mount.target = fill(mount.source), fill(mount.target)
    return result


def filler(words: Mapping[str, str]) -> Callable[[str], str]:
    """What fills the placeholders of a text."""
    return lambda text: _PLACEHOLDER.sub(lambda found: words[found[1]], text)
