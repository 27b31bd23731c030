"""What it may do and take; whether it is allowed to is the policy's to say."""

import math
import re
from collections.abc import Iterator

from controller.errors import Violation
from proto.dockrunner import v1 as pb

from .forms import MAX_KEY, absolute, texts

CAPABILITIES = (
    "AUDIT_CONTROL", "AUDIT_READ", "AUDIT_WRITE", "BLOCK_SUSPEND", "BPF", "CHECKPOINT_RESTORE", "CHOWN",
    "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "IPC_LOCK", "IPC_OWNER", "KILL", "LEASE",
    "LINUX_IMMUTABLE", "MAC_ADMIN", "MAC_OVERRIDE", "MKNOD", "NET_ADMIN", "NET_BIND_SERVICE", "NET_BROADCAST",
    "NET_RAW", "PERFMON", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYSLOG", "SYS_ADMIN", "SYS_BOOT",
    "SYS_CHROOT", "SYS_MODULE", "SYS_NICE", "SYS_PACCT", "SYS_PTRACE", "SYS_RAWIO", "SYS_RESOURCE",
    "SYS_TIME", "SYS_TTY_CONFIG", "WAKE_ALARM",
)  # fmt: skip
ULIMITS = (
    "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss",
    "rtprio", "rttime", "sigpending", "stack",
)  # fmt: skip
MIN_MEMORY = 6 << 20  # bytes; Docker refuses less
MIN_CPUS = 0.01

_SYSCTLS = re.compile(
    r"kernel\.(?:msgmax|msgmnb|msgmni|sem|shmall|shmmax|shmmni|shm_rmid_forced)|(?:net|fs\.mqueue)\.[-A-Za-z0-9_./]{1,200}"
)
_SECURITY = re.compile(
    r"no-new-privileges(?:[:=](?:true|false))?|systempaths[:=]unconfined|"
    r"label[:=](?:disable|(?:user|role|type|level):[^\s]{1,200})|apparmor[:=][^\s]{1,200}|"
    r"seccomp[:=](?:unconfined|builtin|/[^\x00-\x1f]{1,4000}|\{[\s\S]*\})"
)
_SECURITY_HELP = "no-new-privileges:true, seccomp=FILE, apparmor=PROFILE, label=type:TYPE"
_MAX_PROFILE = 1 << 20  # characters


def capability(name: str) -> str:
    """The capability's plain name: ``cap_net_admin`` is ``NET_ADMIN``."""
    return name.upper().removeprefix("CAP_")


def capabilities(service: pb.Service) -> Iterator[Violation]:
    """Their names, with or without CAP_."""
    for field, names in (("cap_add", service.spec.cap_add), ("cap_drop", service.spec.cap_drop)):
        for number, name in enumerate(names):
            if capability(name) not in CAPABILITIES and name.upper() != "ALL":
                text = f"{name[:MAX_KEY]!r} is no capability such as NET_ADMIN; ALL is all of them"
                yield Violation(f"spec.{field}[{number}]", text)


def security(service: pb.Service) -> Iterator[Violation]:
    """Options as Docker knows them."""
    for number, option in enumerate(service.spec.security_opt):
        if len(option) > _MAX_PROFILE or not _SECURITY.fullmatch(option):
            text = f"{option[:MAX_KEY]!r} is none of {_SECURITY_HELP}; the file of a profile has an absolute path"
            yield Violation(f"spec.security_opt[{number}]", text)


def devices(service: pb.Service) -> Iterator[Violation]:
    """Devices and graphics processors."""
    for number, device in enumerate(service.spec.devices):
        field = f"spec.devices[{number}]"
        if not absolute(device.source) or ".." in device.source.split("/"):
            yield Violation(f"{field}.source", f"{device.source[:MAX_KEY]!r} must be an absolute path without '..'")
        if device.target and not absolute(device.target):
            yield Violation(f"{field}.target", f"{device.target[:MAX_KEY]!r} must be an absolute path")
        if not set(device.permissions) <= set("rwm"):
            yield Violation(f"{field}.permissions", f"{device.permissions[:MAX_KEY]!r} must be some of rwm")
    for number, gpu in enumerate(service.spec.gpus):
        field = f"spec.gpus[{number}]"
        if gpu.count and gpu.device_ids:
            yield Violation(f"{field}.count", "is not given together with device_ids; leave out one of them")
        if gpu.count < -1:
            yield Violation(f"{field}.count", f"{gpu.count} must be a number of them, or -1 for all")
        yield from texts(f"{field}.options", gpu.options)


def limits(service: pb.Service) -> Iterator[Violation]:
    """Processors, memory, processes, files."""
    spec = service.spec
    if not (math.isfinite(spec.cpus) and (spec.cpus == 0 or spec.cpus >= MIN_CPUS)):
        yield Violation("spec.cpus", f"{spec.cpus:g} must be at least {MIN_CPUS}, or 0 for no limit")
    for field, size in (("mem_limit", spec.mem_limit), ("mem_reservation", spec.mem_reservation)):
        if size and size < MIN_MEMORY:
            yield Violation(f"spec.{field}", f"{size} bytes must be at least {MIN_MEMORY >> 20}m, or 0 for no limit")
    if 0 < spec.mem_limit < spec.mem_reservation:
        yield Violation("spec.mem_reservation", "is more than mem_limit; lower it, or raise mem_limit")
    if spec.shm_size < 0:
        yield Violation("spec.shm_size", f"{spec.shm_size} must be at least 0, which is Docker's default")
    if spec.pids_limit < -1:
        yield Violation("spec.pids_limit", f"{spec.pids_limit} must be at least 0, which is no limit")
    for name, limit in spec.ulimits.items():
        field = f"spec.ulimits.{name}"
        if name not in ULIMITS:
            yield Violation(field, f"{name[:MAX_KEY]!r} is not one of {', '.join(ULIMITS)}")
        if limit.soft < -1 or limit.hard < -1:
            yield Violation(field, "must be at least 0, or -1 for no limit")
        elif limit.hard != -1 and not 0 <= limit.soft <= limit.hard:
            yield Violation(field, f"the soft limit {limit.soft} is more than the hard one, {limit.hard}")


def sysctls(service: pb.Service) -> Iterator[Violation]:
    """Only parameters of the container's own namespaces; without a network of its own none of the network's."""
    spec = service.spec
    yield from texts("spec.sysctls", spec.sysctls)
    shared = spec.network_mode == "host" or spec.network_mode.startswith("service:")
    for name in spec.sysctls:
        if not _SYSCTLS.fullmatch(name):
            text = f"{name[:MAX_KEY]!r} is no parameter that a container has of its own, such as net.core.somaxconn"
            yield Violation(f"spec.sysctls.{name[:MAX_KEY]}", text)
        elif shared and name.startswith("net."):
            text = f"the network is not its own with network_mode = {spec.network_mode[:MAX_KEY]!r}; leave it out"
            yield Violation(f"spec.sysctls.{name}", text)
