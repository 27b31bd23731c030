"""What runs: the image, the process, and how it is looked at."""

import re
from collections.abc import Iterator

from controller.errors import Violation
from proto.dockrunner import v1 as pb

from .forms import CONTROL, MAX_KEY, MAX_TEXT, absolute, driver, filled, is_host_name, span, texts

RESERVED_LABELS = "dock-runner."
MAX_HOSTNAME = 63  # characters; the kernel takes one more
HEALTH_TESTS = ("CMD", "CMD-SHELL", "NONE")

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?")
# The grammar of distribution/reference: [HOST[:PORT]/]PATH[:TAG][@DIGEST].
_IMAGE = re.compile(
    r"(?:(?:[A-Za-z0-9](?:[-A-Za-z0-9]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[-A-Za-z0-9]*[A-Za-z0-9])?)*|\[[0-9a-fA-F:]+\])"
    r"(?::[0-9]+)?/)?"
    r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
    r"(?::[A-Za-z0-9_][-.A-Za-z0-9_]{0,127})?(?:@[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[0-9a-fA-F]{32,})?"
)
_DIGEST = re.compile(r"[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[0-9a-fA-F]{32,}")
# OS[/ARCHITECTURE[/VARIANT]], as containerd has it.
_PLATFORM = re.compile(r"[A-Za-z0-9_.-]{1,64}(?:/[A-Za-z0-9_.-]{1,64}){0,2}")
_GROUP = re.compile(r"[A-Za-z0-9_.][-A-Za-z0-9_.]{0,62}\$?")


def metadata(service: pb.Service) -> Iterator[Violation]:
    """Name, labels and annotations."""
    meta = service.metadata
    if not _NAME.fullmatch(meta.name):
        text = f"{meta.name!r} must be 1 to 42 lower-case letters, digits and inner dashes"
        yield Violation("metadata.name", text)
    yield from texts("metadata.labels", meta.labels)
    yield from texts("metadata.annotations", meta.annotations)


def image(service: pb.Service) -> Iterator[Violation]:
    """The image, its platform and the digest that was found."""
    spec = service.spec
    if not spec.image:
        yield Violation("spec.image", "is required, e.g. nginx:1.27")
    elif len(spec.image) > MAX_KEY or not _IMAGE.fullmatch(spec.image):
        yield Violation("spec.image", f"{spec.image[:MAX_KEY]!r} is not an image reference such as nginx:1.27")
    if spec.platform and not _PLATFORM.fullmatch(spec.platform):
        yield Violation("spec.platform", f"{spec.platform!r} is not a platform such as linux/arm64")
    if spec.image_digest and not _DIGEST.fullmatch(spec.image_digest):
        yield Violation("spec.image_digest", f"{spec.image_digest[:MAX_KEY]!r} is not a digest such as sha256:…")


def process(service: pb.Service) -> Iterator[Violation]:
    """The command, its environment and who runs it where."""
    spec = service.spec
    for field, arguments in (("command", spec.command), ("entrypoint", spec.entrypoint)):
        for number, argument in enumerate(arguments):
            if "\0" in argument or len(argument) > MAX_TEXT:
                yield Violation(f"spec.{field}[{number}]", f"holds a NUL or is longer than {MAX_TEXT} characters")
    yield from texts("spec.environment", spec.environment, multiline=True)
    for name in spec.environment:
        if "=" in name or not name:
            yield Violation(f"spec.environment.{name}", "the name of a variable is not empty and has no '='")
    if CONTROL.search(spec.user) or len(spec.user) > MAX_KEY:
        yield Violation("spec.user", "is not of the form USER[:GROUP]")
    for number, group in enumerate(spec.group_add):
        if not _GROUP.fullmatch(group):
            yield Violation(f"spec.group_add[{number}]", f"{group!r} is neither the name nor the number of a group")
    if spec.working_dir and not absolute(spec.working_dir):
        yield Violation("spec.working_dir", f"{spec.working_dir!r} must be an absolute path")
    name = filled(service, spec.hostname)
    if name and not (is_host_name(name) and len(name) <= MAX_HOSTNAME):
        text = f"{spec.hostname!r} is not the name of a host: letters, digits, inner dashes, {MAX_HOSTNAME} characters"
        yield Violation("spec.hostname", f"{text}; {{slot}}, {{service}} and {{instance}} are filled in")


def labels(service: pb.Service) -> Iterator[Violation]:
    """Labels of the containers."""
    yield from texts("spec.labels", service.spec.labels, multiline=True)
    for name in service.spec.labels:
        if name.startswith(RESERVED_LABELS):
            yield Violation(f"spec.labels.{name}", f"labels that begin with {RESERVED_LABELS} are Dock Runner's own")


def healthcheck(service: pb.Service) -> Iterator[Violation]:
    """Docker refuses times below a millisecond."""
    check, field = service.spec.healthcheck, "spec.healthcheck"
    test = list(check.test)
    if check.disable and test and test != ["NONE"]:
        yield Violation(f"{field}.test", "there is nothing to test with disable = true; leave one of them out")
    elif test and test[0] not in HEALTH_TESTS:
        yield Violation(f"{field}.test", f"begins with one of {', '.join(HEALTH_TESTS)}, not with {test[0]!r}")
    elif test and test[0] == "NONE" and len(test) > 1:
        yield Violation(f"{field}.test", "nothing follows NONE")
    elif test and test[0] == "CMD-SHELL" and len(test) != 2:
        yield Violation(f"{field}.test", "one text follows CMD-SHELL; use CMD for a list of arguments")
    elif test == ["CMD"]:
        yield Violation(f"{field}.test", "a command follows CMD")
    for number, word in enumerate(test):
        if "\0" in word or len(word) > MAX_TEXT:
            yield Violation(f"{field}.test[{number}]", f"holds a NUL or is longer than {MAX_TEXT} characters")
    if check.retries < 0:
        yield Violation(f"{field}.retries", f"{check.retries} must be at least 0, which is the default")
    for name in ("interval", "timeout", "start_period", "start_interval"):
        yield from span(f"{field}.{name}", getattr(check, name), 0.001, zero=True)


def logging(service: pb.Service) -> Iterator[Violation]:
    """The driver of its output."""
    spec = service.spec
    if spec.HasField("logging"):
        yield from driver("spec.logging.driver", spec.logging.driver)
        yield from texts("spec.logging.options", spec.logging.options)
        if spec.logging.options and not spec.logging.driver:
            yield Violation("spec.logging.driver", "is required with options, e.g. json-file")
