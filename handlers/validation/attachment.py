"""Where it is reached, and what it finds around itself."""

import ipaddress
import re
from collections.abc import Iterator

from controller.errors import Violation
from handlers.naming import DEFAULT_NETWORK
from handlers.ports import host_ports
from proto.dockrunner import v1 as pb

from .forms import MAX_KEY, RESOURCE, driver, is_address, is_host_name, one_of, texts

PROTOCOLS = ("tcp", "udp", "sctp")
HOST_GATEWAY = "host-gateway"

_ALIAS = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_HOST = re.compile(r"[A-Za-z0-9_]([-A-Za-z0-9_.]{0,251}[A-Za-z0-9_])?")
_MODE = re.compile(r"none|host|service:[a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?")


def ports(service: pb.Service) -> Iterator[Violation]:
    """Published ports, by themselves."""
    for number, port in enumerate(service.spec.ports):
        field = f"spec.ports[{number}]"
        if not 1 <= port.target <= 65535:
            yield Violation(f"{field}.target", f"{port.target} is not within 1 and 65535")
        yield from one_of(f"{field}.protocol", port.protocol, PROTOCOLS, empty=False)
        if port.host_ip and not is_address(port.host_ip):
            yield Violation(f"{field}.host_ip", f"{port.host_ip!r} is not an IP address")
        try:
            claim = host_ports(port)
        except ValueError as error:
            yield Violation(f"{field}.published", str(error))
            continue
        most = max(service.spec.replicas, service.spec.autoscale.max)
        if claim is not None and len(claim) < most:
            text = f"{port.published} has {len(claim)} ports for {most} replicas; widen it"
            yield Violation(f"{field}.published", text)


def networks(service: pb.Service) -> Iterator[Violation]:
    """What it is attached to."""
    for name, attachment in service.spec.networks.items():
        field = f"spec.networks.{name}"
        if not RESOURCE.fullmatch(name):
            yield Violation(field, f"{name[:MAX_KEY]!r} is not the name of a network")
        for number, alias in enumerate(attachment.aliases):
            if not _ALIAS.fullmatch(alias):
                yield Violation(f"{field}.aliases[{number}]", f"{alias!r} is not a host name")
        for key, address, version in (
            ("ipv4_address", attachment.ipv4_address, 4), ("ipv6_address", attachment.ipv6_address, 6),
        ):  # fmt: skip
            if address and not is_address(address, version):
                yield Violation(f"{field}.{key}", f"{address!r} is not an address of IP version {version}")
            elif address and (most := max(service.spec.replicas, service.spec.autoscale.max)) > 1:
                text = f"{most} replicas cannot have one address; leave it out, or set replicas = 1"
                yield Violation(f"{field}.{key}", text)
        if attachment.HasField("definition"):
            yield from _network(f"{field}.definition", attachment.definition)


def _network(field: str, network: pb.NetworkDefinition) -> Iterator[Violation]:
    yield from driver(f"{field}.driver", network.driver)
    yield from texts(f"{field}.driver_opts", network.driver_opts)
    yield from texts(f"{field}.labels", network.labels)
    if network.name and not RESOURCE.fullmatch(network.name):
        yield Violation(f"{field}.name", f"{network.name[:MAX_KEY]!r} is not the name of a network")
    if network.external and network != pb.NetworkDefinition(name=network.name, external=True):
        yield Violation(f"{field}.external", "what is there already is not defined here; leave out all but the name")
    yield from driver(f"{field}.ipam.driver", network.ipam.driver)
    for number, config in enumerate(network.ipam.config):
        yield from _ipam(f"{field}.ipam.config[{number}]", config)


def _ipam(field: str, config: pb.IpamConfig) -> Iterator[Violation]:
    try:
        subnet = ipaddress.ip_network(config.subnet)
    except ValueError as error:
        yield Violation(f"{field}.subnet", f"is not a subnet such as 172.28.0.0/16: {error}")
        return
    if config.ip_range:
        try:
            inner = ipaddress.ip_network(config.ip_range)
        except ValueError as error:
            yield Violation(f"{field}.ip_range", f"is not a range such as 172.28.5.0/24: {error}")
        else:
            if inner.version != subnet.version or not inner.subnet_of(subnet):  # type: ignore[arg-type]  # of one version
                yield Violation(f"{field}.ip_range", f"{inner} is not within {subnet}")
    auxiliary = ((f"aux_addresses.{name}", address) for name, address in config.aux_addresses.items())
    for key, address in (("gateway", config.gateway), *auxiliary):
        if address and not (is_address(address) and ipaddress.ip_address(address) in subnet):
            yield Violation(f"{field}.{key}", f"{address!r} is not an address within {subnet}")


def network_mode(service: pb.Service) -> Iterator[Violation]:
    """Without a network of its own there is nothing to attach or to publish."""
    spec = service.spec
    if not spec.network_mode:
        return
    mode, field = spec.network_mode, "spec.network_mode"
    if not _MODE.fullmatch(mode):
        yield Violation(field, f"{mode[:MAX_KEY]!r} is not one of none, host, service:NAME; or leave it out")
    elif mode == f"service:{service.metadata.name}":
        yield Violation(field, "a service cannot join its own network; leave it out")
    for name in spec.networks:
        text = f"there are no networks with network_mode = {mode[:MAX_KEY]!r}; leave out one of them"
        yield Violation(f"spec.networks.{name}", text if name != DEFAULT_NETWORK else f"{text}, or its settings")
    for number in range(len(spec.ports)):
        shared = mode.removeprefix("service:")
        hint = "all its ports are the host's" if mode == "host" else "there is no network to publish from"
        hint = f"publish it by {shared}, whose network it is" if mode.startswith("service:") else hint
        yield Violation(f"spec.ports[{number}]", f"no ports with network_mode = {mode[:MAX_KEY]!r}: {hint}")


def names(service: pb.Service) -> Iterator[Violation]:
    """How it finds others."""
    for number, entry in enumerate(service.spec.extra_hosts):
        host, _, address = entry.partition("=")
        if not _HOST.fullmatch(host) or not (address == HOST_GATEWAY or is_address(address)):
            text = f"{entry[:MAX_KEY]!r} is not HOST=IP, where IP is an address or {HOST_GATEWAY}"
            yield Violation(f"spec.extra_hosts[{number}]", text)
    for number, address in enumerate(service.spec.dns):
        if not is_address(address):
            yield Violation(f"spec.dns[{number}]", f"{address!r} is not the address of a name server")
    for number, domain in enumerate(service.spec.dns_search):
        if domain != "." and not is_host_name(domain.rstrip(".").replace("_", "a")):
            yield Violation(
                f"spec.dns_search[{number}]", f"{domain[:MAX_KEY]!r} is not a domain; `.` alone is for none"
            )
