"""The networks of one instance in Docker.

Names of networks are not unique there, so all that is done is done by id. A network cannot be changed: one that is
declared anew is made beside the one of before, which goes when no container is attached to it any more. It has another
name then: where two networks share one, Docker starts no container in either, whatever id it was given.
"""

import asyncio
import contextlib
import hashlib
import json
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import Any, Protocol, TypeVar

from google.protobuf import json_format

from controller.errors import EngineError
from controller.scheduler.docker_client import Client, NetworkMissing, expect, explained
from controller.scheduler.engine import LABEL_DEFINITION, LABEL_INSTANCE
from proto.dockrunner import v1 as pb

Json = dict[str, Any]
T = TypeVar("T")


class Call(Protocol):
    """Has something done with a client in a thread; the word names it in the metrics."""

    def __call__(self, operation: str, call: Callable[[Client], T], /) -> Coroutine[Any, Any, T]: ...


class Networks:
    """Makes, finds and removes networks, one at a time: Docker lets two of one name come to be."""

    def __init__(self, instance: str, call: Call) -> None:
        self._instance = instance
        self._ours = f"{LABEL_INSTANCE}={instance}"
        self._call = call
        self._lock = asyncio.Lock()
        self._ids: dict[tuple[str, str], str] = {}  # by name and fingerprint
        self._names: dict[str, str] = {}  # by id, also of those that are gone
        self._definitions: dict[str, pb.NetworkDefinition] = {}  # by name, as it was asked for last
        self._outdated: dict[str, Json] = {}  # by id, those that have a successor

    async def ensure(self, name: str, definition: pb.NetworkDefinition) -> str:
        """The id of the network of that name and definition, which is made unless it is there.

        Raises:
            EngineError: an external one is not there or not the only one; a foreign one has the name; it can't be made.
        """
        async with self._lock:
            self._definitions[name] = definition
            key = (name, "external" if definition.external else fingerprint(definition))
            if key not in self._ids:
                self._ids[key], others = await self._call("network", partial(self._find_or_make, name, definition))
                self._names[self._ids[key]] = name
                self._outdated.pop(self._ids[key], None)
                self._outdated.update({other["Id"]: other for other in others})
            return self._ids[key]

    async def remove(self, name: str) -> None:
        """Removes this instance's networks of that name to which no container is attached, running or not."""
        async with self._lock:
            self._forget_ids(await self._call("network", partial(self._remove, name)))

    async def tidy(self) -> None:
        """Removes networks that have a successor and are no longer used; without such ones it calls nothing."""
        if self._outdated:
            async with self._lock:
                candidates = list(self._outdated.values())
                self._forget_ids(await self._call("network", partial(_removed_of, candidates)))

    def forget(self, names: Iterable[str]) -> None:
        """One of them may be gone: each is looked for when it is next asked for."""
        wanted = set(names)
        self._ids = {key: network for key, network in self._ids.items() if key[0] not in wanted}

    async def connect(self, container_id: str, network_id: str, attachment: pb.NetworkAttachment) -> None:
        """Attaches a container to a further network."""
        await self._call(
            "network",
            lambda client: client.connect_container_to_network(
                container_id, network_id, aliases=list(attachment.aliases),
                ipv4_address=attachment.ipv4_address or None, ipv6_address=attachment.ipv6_address or None,
            ),
        )  # fmt: skip

    async def rejoin(self, container: Json, missing: NetworkMissing) -> None:
        """Moves a container from a network that was removed to the one of the same name, made anew.

        A network whose containers are all stopped can be removed, and then none of them starts any more.

        Raises:
            EngineError: it is not known how the network is to be.
        """
        for key, entry in container["NetworkSettings"]["Networks"].items():
            if missing.network not in (key, entry["NetworkID"]):
                continue
            name = self._names.get(key) or self._names.get(entry["NetworkID"]) or key
            self.forget([name])
            network_id = await self.ensure(name, await self._definition_of(name))
            if key != name:  # never started: Docker still knows the network by its old id
                await self._call("network", partial(_disconnect, container["Id"], key))
            await self.connect(container["Id"], network_id, _attachment(container["Id"], entry))
            return
        raise missing

    async def _definition_of(self, name: str) -> pb.NetworkDefinition:
        """As it was last asked for; after a restart of the program only that of the instance's own is known."""
        if name in self._definitions:
            return self._definitions[name]
        if name == f"dock-runner-{self._instance}":
            return pb.NetworkDefinition()
        raise EngineError(f"network {name} was removed, and no container was made since that says how it is to be")

    def _forget_ids(self, gone: Iterable[str]) -> None:
        lost = set(gone)
        self._outdated = {network: entry for network, entry in self._outdated.items() if network not in lost}
        self._ids = {key: network for key, network in self._ids.items() if network not in lost}

    # What follows runs in threads.

    def _find_or_make(self, name: str, definition: pb.NetworkDefinition, client: Client) -> tuple[str, list[Json]]:
        """The id of the network, and those of ours that have its name and are another one."""
        found = [entry for entry in expect(list, client.networks(names=[name])) if _name(entry) == name]
        if definition.external:
            return _external(found, name), []
        ours = sorted((entry for entry in found if self._is_ours(entry)), key=lambda it: (it["Created"], it["Id"]))
        wanted = fingerprint(definition)
        same = [entry["Id"] for entry in ours if _fingerprint_of(entry) == wanted]
        others = [entry for entry in ours if _fingerprint_of(entry) != wanted]
        if same:
            return same[0], others
        if found and not ours:
            raise EngineError(
                f"network {name} is not this instance's: give it another name, or declare it with external = true"
            )
        # Their addresses may be wanted for the new one.
        gone = _removed_of(others, client)
        others = [entry for entry in others if entry["Id"] not in gone]
        return self._make(client, name, definition, beside=bool(others)), others

    def _make(self, client: Client, name: str, definition: pb.NetworkDefinition, *, beside: bool) -> str:
        labels = {**definition.labels, LABEL_INSTANCE: self._instance, LABEL_DEFINITION: fingerprint(definition)}
        try:
            with explained():
                made = client.create_network(
                    f"{name}-{labels[LABEL_DEFINITION]}" if beside else name,
                    driver=definition.driver or None,
                    options=dict(definition.driver_opts) or None,
                    ipam=_ipam(definition),  # type: ignore[arg-type]  # a dict there, by another name
                    check_duplicate=True,
                    internal=definition.internal,
                    labels=labels,
                    enable_ipv6=definition.enable_ipv6,
                    attachable=definition.attachable or None,
                )
        except EngineError as error:
            raise _explained_refusal(error, name, beside=beside) from error
        return str(expect(dict, made)["Id"])

    def _remove(self, name: str, client: Client) -> list[str]:
        found = expect(list, client.networks(names=[name], filters={"label": [self._ours]}))
        return _removed_of([entry for entry in found if name in (entry["Name"], _name(entry))], client)

    def _is_ours(self, entry: Json) -> bool:
        return bool((entry["Labels"] or {}).get(LABEL_INSTANCE) == self._instance)


def fingerprint(definition: pb.NetworkDefinition) -> str:
    """A short hash of what a network is. Fields that are not set do not enter it, so new ones may be added."""
    content = json_format.MessageToDict(definition, preserving_proto_field_name=True)
    for name in ("name", "external"):
        content.pop(name, None)
    if content.get("driver") == "bridge":
        del content["driver"]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def _fingerprint_of(entry: Json) -> str:
    """Networks of before there were definitions are what a network without one is."""
    return str((entry["Labels"] or {}).get(LABEL_DEFINITION) or fingerprint(pb.NetworkDefinition()))


def _name(entry: Json) -> str:
    """What a network was asked for as: one beside another of its name may have its fingerprint added."""
    suffix = (entry["Labels"] or {}).get(LABEL_DEFINITION)
    return str(entry["Name"]).removesuffix(f"-{suffix}" if suffix else "")


def _external(found: list[Json], name: str) -> str:
    if not found:
        raise EngineError(f"network {name} is declared as external, and is not there: make it, or leave out external")
    if len(found) > 1:
        raise EngineError(f"{len(found)} networks are called {name}: which one is meant cannot be said")
    return str(found[0]["Id"])


def _removed_of(networks: list[Json], client: Client) -> list[str]:
    """Removes networks; the ids of those that are gone."""
    return [entry["Id"] for entry in networks if _removed(entry, client)]


def _removed(network: Json, client: Client) -> bool:
    """Removes a network, unless a container is attached to it. Docker itself would ask for running ones alone."""
    # Of a container that never started Docker knows the name of the network, and not the id.
    attached = {"network": [network["Id"], network["Name"]]}
    if expect(list, client.containers(all=True, filters=attached)):
        return False
    try:
        with contextlib.suppress(NetworkMissing), explained():
            client.remove_network(network["Id"])
    except EngineError as error:
        if "active endpoints" not in str(error):
            raise
        return False
    return True


def _explained_refusal(error: EngineError, name: str, *, beside: bool) -> EngineError:
    text = str(error)
    if "non-overlapping" in text:
        return EngineError(
            f"network {name}: the engine has no free addresses left for one more network: remove some, give it a "
            "subnet of its own in ipam, or add default-address-pools to the engine's configuration"
        )
    if beside and "overlap" in text:
        return EngineError(
            f"network {name} has another definition now, and its addresses overlap those of the one of before, which "
            f"containers still use: scale their services to 0 first, or give it another subnet ({text})"
        )
    return error


def _ipam(definition: pb.NetworkDefinition) -> Json | None:
    if not definition.HasField("ipam"):
        return None
    pools = [
        {
            key: value
            for key, value in (
                ("Subnet", pool.subnet), ("IPRange", pool.ip_range), ("Gateway", pool.gateway),
                ("AuxiliaryAddresses", dict(pool.aux_addresses)),
            )
            if value
        }
        for pool in definition.ipam.config
    ]  # fmt: skip
    return {"Driver": definition.ipam.driver or "default", "Config": pools}


def _attachment(container_id: str, entry: Json) -> pb.NetworkAttachment:
    """How a container is attached to a network, by its inspection. Docker adds an alias of its own."""
    addresses = entry.get("IPAMConfig") or {}
    return pb.NetworkAttachment(
        aliases=[alias for alias in entry["Aliases"] or () if alias != container_id[:12]],
        ipv4_address=addresses.get("IPv4Address", ""),
        ipv6_address=addresses.get("IPv6Address", ""),
    )


def _disconnect(container_id: str, network: str, client: Client) -> None:
    client.disconnect_container_from_network(container_id, network, force=True)
