"""Images that compose would build: the command that does it."""

import re
import shlex

from .document import Items, Section, Text, Value
from .draft import Draft
from .errors import Misfit
from .merge import mapping
from .scalars import left_out, text

_CARRIED = {"context", "dockerfile", "args", "target", "tags", "network", "platforms", "no_cache", "pull", "cache_from"}


def build(draft: Draft, key: str, value: Value) -> None:
    image = draft.raw.get("image")
    name = str(image) if isinstance(image, Text) else built_image(draft)
    options = value if isinstance(value, Section) else Section()
    draft.comment(f"not carried over: build (build it yourself: {_command(name, value)})")
    for option, given in options.items():
        if option not in _CARRIED and not option.startswith("x-"):
            draft.comment(left_out(f"{key}.{option}", given, "see docker build --help"))
    if image is None:
        draft.set("image", name)


def built_image(draft: Draft) -> str:
    """What compose calls an image that has no name."""
    service = re.sub("[^-_.a-z0-9]", "", draft.source.lower()).strip("-_.") or "service"
    project = re.sub("[-_]{2,}", "-", draft.shared.project.name).strip("-_") or "project"
    return f"{project}-{re.sub('[-_.]{2,}', '-', service)}"


def _command(image: str, value: Value) -> str:
    options = value if isinstance(value, Section) else Section()
    context = text(options.get("context") or Text.written(".")) if isinstance(value, Section) else text(value)
    words = ["docker", "build", "-t", image]
    tags = options.get("tags")
    words += [word for tag in (tags if isinstance(tags, Items) else []) for word in ("-t", str(tag))]
    if isinstance(options.get("dockerfile"), Text):
        dockerfile = str(options["dockerfile"])
        local = "://" not in context and not dockerfile.startswith("/")
        words += ["-f", f"{context.rstrip('/')}/{dockerfile}" if local else dockerfile]
    for option in ("target", "network"):
        if isinstance(options.get(option), Text):
            words += [f"--{option}", str(options[option])]
    arguments = mapping(options.get("args"))
    for name, given in arguments.items() if isinstance(arguments, Section) else ():
        words += ["--build-arg", name if given is None else f"{name}={text(given)}"]
    return shlex.join([*words, context])


def image(draft: Draft, key: str, value: Value) -> None:
    if not text(value):
        raise Misfit("it is empty")
    draft.set(key, text(value))
