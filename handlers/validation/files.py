"""What it has for files: mounts, secrets and configs."""

import re
from collections.abc import Iterable, Iterator

from controller.errors import Violation
from proto.dockrunner import v1 as pb

from .forms import CONTROL, MAX_KEY, MAX_PATH, NUMBER, RESOURCE, absolute, driver, filled, one_of, texts

MOUNT_TYPES = ("volume", "bind", "tmpfs")
PROPAGATIONS = ("rprivate", "private", "rshared", "shared", "rslave", "slave")
MAX_CONTENT = 500 * 1024  # bytes, as in Swarm
SECRETS = "/run/secrets"

# What Docker knows of tmpfs; the first with a value.
_TMPFS_VALUES = ("size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol")
_TMPFS_FLAGS = (
    "defaults", "ro", "rw", "suid", "nosuid", "dev", "nodev", "exec", "noexec", "sync", "async", "dirsync", "mand",
    "nomand", "atime", "noatime", "diratime", "nodiratime", "relatime", "norelatime", "strictatime", "nostrictatime",
    "private", "rprivate", "shared", "rshared", "slave", "rslave", "unbindable", "runbindable", "remount",
)  # fmt: skip
_TMPFS_SIZE = re.compile("[0-9]{1,19}[kKmMgG%]?")


def volumes(service: pb.Service) -> Iterator[Violation]:
    """Mounts of all types."""
    targets: set[str] = set()
    for number, mount in enumerate(service.spec.volumes):
        field = f"spec.volumes[{number}]"
        yield from one_of(f"{field}.type", mount.type, MOUNT_TYPES, empty=False)
        target = filled(service, mount.target)
        if not absolute(target) or target.rstrip("/") == "":
            yield Violation(f"{field}.target", f"{mount.target!r} must be an absolute path other than /")
        elif target.rstrip("/") in targets:
            yield Violation(f"{field}.target", f"{mount.target!r} is mounted twice")
        targets.add(target.rstrip("/"))
        yield from _source(field, mount, filled(service, mount.source))
        yield from _options(field, mount)
        if mount.HasField("definition"):
            yield from _volume(f"{field}.definition", mount.definition)


def _source(field: str, mount: pb.Mount, source: str) -> Iterator[Violation]:
    field = f"{field}.source"
    if mount.type == "bind" and not absolute(source):
        yield Violation(field, f"{mount.source!r} must be an absolute path on the host")
    if mount.type == "bind" and ".." in source.split("/"):
        # Docker drops `link/..` as text, and the policy follows the link: they would mean two different folders.
        yield Violation(field, f"{mount.source!r} must be written without '..'")
    if mount.type == "volume" and source and not RESOURCE.fullmatch(source):
        yield Violation(field, f"{mount.source!r} is not the name of a volume")
    if mount.type == "tmpfs" and source:
        yield Violation(field, "a tmpfs has no source")


def _options(field: str, mount: pb.Mount) -> Iterator[Violation]:
    for kind in ("bind", "volume", "tmpfs"):
        if kind != mount.type and mount.HasField(kind):
            yield Violation(f"{field}.{kind}", f"is for mounts of type {kind}; this one is of type {mount.type}")
    yield from one_of(f"{field}.bind.propagation", mount.bind.propagation, PROPAGATIONS)
    if mount.tmpfs.size < 0:
        yield Violation(f"{field}.tmpfs.size", f"{mount.tmpfs.size} must be at least 0, which is no limit")
    if mount.tmpfs.mode > 0o7777:
        yield Violation(f"{field}.tmpfs.mode", f"{mount.tmpfs.mode:#o} is more than 0o7777; write e.g. 0o1777")
    if mount.HasField("definition") and not (mount.type == "volume" and mount.source):
        yield Violation(f"{field}.definition", "is for volumes with a name")


def _volume(field: str, volume: pb.VolumeDefinition) -> Iterator[Violation]:
    yield from driver(f"{field}.driver", volume.driver)
    yield from texts(f"{field}.driver_opts", volume.driver_opts)
    yield from texts(f"{field}.labels", volume.labels)
    if volume.name and not RESOURCE.fullmatch(volume.name):
        yield Violation(f"{field}.name", f"{volume.name[:MAX_KEY]!r} is not the name of a volume")
    if volume.external and volume != pb.VolumeDefinition(name=volume.name, external=True):
        yield Violation(f"{field}.external", "what is there already is not defined here; leave out all but the name")


def tmpfs(service: pb.Service) -> Iterator[Violation]:
    """``PATH[:OPTIONS]``."""
    mounted = {mount.target.rstrip("/") for mount in service.spec.volumes}
    for number, entry in enumerate(service.spec.tmpfs):
        field = f"spec.tmpfs[{number}]"
        path, _, options = entry.partition(":")
        if not absolute(path) or path.rstrip("/") == "":
            yield Violation(field, f"{path[:MAX_KEY]!r} must be an absolute path other than /")
        elif path.rstrip("/") in mounted:
            yield Violation(field, f"{path!r} is mounted twice")
        mounted.add(path.rstrip("/"))
        for option in options.split(",") if options else ():
            yield from _tmpfs_option(field, option)


def _tmpfs_option(field: str, option: str) -> Iterator[Violation]:
    name, separator, value = option.partition("=")
    if name not in (_TMPFS_VALUES if separator else _TMPFS_FLAGS):
        yield Violation(field, f"{option[:MAX_KEY]!r} is no option of a tmpfs such as size=64m or mode=1777")
    elif name == "size" and not _TMPFS_SIZE.fullmatch(value):
        yield Violation(field, f"{option[:MAX_KEY]!r} is no size such as size=64m")
    elif name == "mode" and not re.fullmatch("[0-7]{1,5}", value):
        yield Violation(field, f"{option[:MAX_KEY]!r} is no octal mode such as mode=1777")


def secrets(service: pb.Service) -> Iterator[Violation]:
    """Nothing of their content is in any violation."""
    yield from _files("spec.secrets", service.spec.secrets, SECRETS)


def configs(service: pb.Service) -> Iterator[Violation]:
    """Configuration as files, none of them where a secret is."""
    yield from _files("spec.configs", service.spec.configs, "", {place_of(it, SECRETS) for it in service.spec.secrets})


def _files(
    field: str, files: Iterable[pb.Secret | pb.Config], folder: str, taken: Iterable[str] = ()
) -> Iterator[Violation]:
    places = set(taken)
    for number, file in enumerate(files):
        here = f"{field}[{number}]"
        if not RESOURCE.fullmatch(file.source):
            yield Violation(
                f"{here}.source", f"{file.source[:MAX_KEY]!r} is no name of letters, digits, dashes and dots"
            )
        place = place_of(file, folder)
        parts = file.target.split("/")
        if file.target and (
            CONTROL.search(file.target) or len(file.target) > MAX_PATH or ".." in parts or parts[-1] in ("", ".")
        ):
            yield Violation(f"{here}.target", f"{file.target[:MAX_KEY]!r} is not the path of a file, without '..'")
        elif place in places:
            yield Violation(f"{here}.target", f"{place} is there twice; give one of them another target")
        places.add(place)
        for key, value in (("uid", file.uid), ("gid", file.gid)):
            if value and not NUMBER.fullmatch(value):
                yield Violation(f"{here}.{key}", f"{value[:MAX_KEY]!r} must be a number, as names are the image's")
        if file.mode > 0o777:
            yield Violation(f"{here}.mode", f"{file.mode:#o} is more than 0o777; write e.g. 0o440")
        if len(file.content) > MAX_CONTENT:
            yield Violation(
                f"{here}.content", f"has {len(file.content) >> 10} KiB; at most {MAX_CONTENT >> 10} are kept"
            )


def place_of(file: pb.Secret | pb.Config, folder: str) -> str:
    """Its path in a container; one that is not absolute lies in ``folder``."""
    target = file.target or file.source
    return target if target.startswith("/") else f"{folder}/{target}"
