"""Networks on a real daemon: made as they are declared, found again, and removed when nothing uses them."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import docker as sdk
import pytest

from controller.errors import EngineError
from controller.metrics import Metrics
from controller.scheduler.docker import DockerEngine
from controller.scheduler.docker_networks import fingerprint
from controller.scheduler.engine import LABEL_DEFINITION, LABEL_INSTANCE
from proto.dockrunner import v1 as pb
from tests.engine.conftest import Requests
from tests.private_engine import PrivateEngine

Json = dict[str, Any]
PLAIN = pb.NetworkDefinition()
EXTERNAL = pb.NetworkDefinition(external=True)
SERVE = ["httpd", "-f", "-h", "/www"]


def subnet(text: str) -> pb.NetworkDefinition:
    return pb.NetworkDefinition(ipam=pb.Ipam(config=[pb.IpamConfig(subnet=text)]))


def attached(definition: pb.NetworkDefinition, *aliases: str, ipv4: str = "") -> pb.NetworkAttachment:
    return pb.NetworkAttachment(aliases=aliases, ipv4_address=ipv4, definition=definition)


def asking(host: str) -> list[str]:
    """A command that ends when a web server answers under a name."""
    return ["sh", "-c", f"until wget -qO- http://{host}/; do sleep 0.1; done"]


def called(docker: sdk.APIClient, name: str) -> list[Json]:
    """The networks of exactly that name."""
    return [docker.inspect_network(it["Id"]) for it in docker.networks(names=[name]) if it["Name"] == name]


def joined(docker: sdk.APIClient, container: str) -> set[str]:
    """The ids of the networks that a container has started in."""
    return {it["NetworkID"] for it in docker.inspect_container(container)["NetworkSettings"]["Networks"].values()}


@pytest.fixture
def foreign(docker: sdk.APIClient) -> Iterator[Callable[..., str]]:
    """Makes networks of somebody else's."""
    made: list[str] = []

    def make(name: str, **options: Any) -> str:
        made.append(docker.create_network(name, **options)["Id"])
        return made[-1]

    yield make
    for network in made:
        docker.remove_network(network)


@pytest.fixture
def outside(shared_engine: PrivateEngine | str, tmp_path: Path) -> Iterator[str]:
    """The address of a web server beyond the daemon's machine."""
    if isinstance(shared_engine, str):
        pytest.skip(shared_engine)
    near, far, address = shared_engine.name, f"{shared_engine.name}-far", "10.99.0.2"
    (tmp_path / "index.html").write_text("hello")
    for words in (
        f"netns add {far}", f"-n {near} link add outwards type veth peer name inwards netns {far}",
        f"-n {near} address add 10.99.0.1/24 dev outwards", f"-n {near} link set outwards up",
        f"-n {far} address add {address}/24 dev inwards", f"-n {far} link set inwards up", f"-n {far} link set lo up",
    ):  # fmt: skip
        subprocess.run(["ip", *words.split()], check=True)
    there = ["ip", "netns", "exec", far, "busybox"]
    server = subprocess.Popen([*there, "httpd", "-f", "-p", "80", "-h", tmp_path])
    try:
        until = f"until busybox nc -w 1 {address} 80 </dev/null; do busybox sleep 0.05; done"
        subprocess.run([*there, "sh", "-c", until], check=True, capture_output=True, timeout=10)
        yield address
    finally:
        server.kill()
        server.wait()
        subprocess.run(["ip", "netns", "delete", far], check=True)


@pytest.fixture
async def later(engine_host: str, instance: str, metrics: Metrics) -> AsyncIterator[DockerEngine]:
    """The engine as a later run of the program has it, which remembers nothing."""
    engine = DockerEngine(engine_host, instance, metrics)
    yield engine
    await engine.close()


async def test_a_network_asked_for_ten_times_at_once_is_made_once(
    engine: DockerEngine, instance: str, docker: sdk.APIClient
) -> None:
    await asyncio.gather(*(engine.ensure_network("ten", PLAIN) for _ in range(10)))
    (network,) = called(docker, "ten")
    assert network["Labels"] == {LABEL_INSTANCE: instance, LABEL_DEFINITION: fingerprint(PLAIN)}


async def test_a_network_is_what_it_is_declared_as(engine: DockerEngine, docker: sdk.APIClient) -> None:
    pools = [
        pb.IpamConfig(
            subnet="10.77.0.0/16", ip_range="10.77.4.0/24", gateway="10.77.0.9", aux_addresses={"printer": "10.77.4.7"}
        ),
        pb.IpamConfig(subnet="fd77::/64"),
    ]
    definition = pb.NetworkDefinition(
        driver="bridge", driver_opts={"com.docker.network.driver.mtu": "1400"}, internal=True, attachable=True,
        enable_ipv6=True, ipam=pb.Ipam(config=pools), labels={"tier": "back", LABEL_INSTANCE: "forged"},
    )  # fmt: skip
    await engine.ensure_network("declared", definition)
    (network,) = called(docker, "declared")
    assert (network["Driver"], network["Internal"], network["Attachable"], network["EnableIPv6"]) == (
        "bridge", True, True, True,
    )  # fmt: skip
    assert network["Options"] == {"com.docker.network.driver.mtu": "1400"}
    first, second = network["IPAM"]["Config"]
    assert first == {
        "Subnet": "10.77.0.0/16", "IPRange": "10.77.4.0/24", "Gateway": "10.77.0.9",
        "AuxiliaryAddresses": {"printer": "10.77.4.7"},
    }  # fmt: skip
    assert second["Subnet"] == "fd77::/64"
    assert network["Labels"]["tier"] == "back"
    assert network["Labels"][LABEL_INSTANCE] != "forged"


async def test_a_later_run_finds_the_network_again(
    engine: DockerEngine, later: DockerEngine, docker: sdk.APIClient
) -> None:
    for run in (engine, later):
        await run.ensure_network("again", subnet("10.78.0.0/24"))
    assert len(called(docker, "again")) == 1


async def test_a_network_of_before_there_were_definitions_is_one_without(
    engine: DockerEngine, instance: str, docker: sdk.APIClient
) -> None:
    old = docker.create_network("old", labels={LABEL_INSTANCE: instance})["Id"]
    await engine.ensure_network("old", PLAIN)
    assert [network["Id"] for network in called(docker, "old")] == [old]


async def test_a_foreign_network_of_that_name_is_not_used(
    engine: DockerEngine, docker: sdk.APIClient, foreign: Callable[..., str]
) -> None:
    foreign("foreign", labels={LABEL_INSTANCE: "other"})
    with pytest.raises(EngineError, match=r"foreign is not this instance's: give it another name, .*external = true"):
        await engine.ensure_network("foreign", PLAIN)
    await engine.remove_network("foreign")
    assert len(called(docker, "foreign")) == 1


async def test_an_external_network_is_used_and_left_alone(
    engine: DockerEngine, request_for: Requests, docker: sdk.APIClient, foreign: Callable[..., str]
) -> None:
    network = foreign("outside")
    made = await engine.create(request_for(networks={"outside": attached(EXTERNAL, "web")}))
    await engine.start(made)
    assert joined(docker, made) == {network}
    await engine.stop(made, 5)
    await engine.remove(made)
    await engine.remove_network("outside")
    assert docker.inspect_network(network)["Labels"] == {}


async def test_an_external_network_has_to_be_there(engine: DockerEngine, docker: sdk.APIClient) -> None:
    with pytest.raises(EngineError, match="not-there is declared as external, and is not there"):
        await engine.ensure_network("not-there", EXTERNAL)
    assert called(docker, "not-there") == []


async def test_an_external_network_has_to_be_the_only_one_of_its_name(
    engine: DockerEngine, foreign: Callable[..., str]
) -> None:
    for _ in range(2):
        foreign("twice")
    with pytest.raises(EngineError, match="2 networks are called twice"):
        await engine.ensure_network("twice", EXTERNAL)


async def test_an_external_network_that_was_made_anew_is_found_by_its_name(
    engine: DockerEngine, request_for: Requests, docker: sdk.APIClient, foreign: Callable[..., str]
) -> None:
    first = docker.create_network("renewed")["Id"]
    await engine.ensure_network("renewed", EXTERNAL)
    docker.remove_network(first)
    second = foreign("renewed")
    made = await engine.create(request_for(networks={"renewed": attached(EXTERNAL)}))
    await engine.start(made)
    assert joined(docker, made) == {second}
    await engine.stop(made, 5)
    await engine.remove(made)


async def test_another_definition_makes_a_network_beside_the_one_in_use_which_goes_with_its_last_container(
    engine: DockerEngine, request_for: Requests, docker: sdk.APIClient
) -> None:
    old, new = subnet("10.79.0.0/24"), subnet("10.79.1.0/24")
    before = await engine.create(request_for(1, networks={"redone": attached(old)}))
    await engine.start(before)
    after = await engine.create(request_for(2, networks={"redone": attached(new)}))
    await engine.start(after)
    assert len(docker.networks(names=["redone"])) == 2
    assert joined(docker, before).isdisjoint(joined(docker, after))
    await engine.stop(before, 5)
    assert len(docker.networks(names=["redone"])) == 2  # a container that is stopped may be started again
    await engine.remove(before)
    assert [network["Id"] for network in docker.networks(names=["redone"])] == list(joined(docker, after))


async def test_a_container_starts_again_after_the_network_beside_was_removed(
    engine: DockerEngine, request_for: Requests, docker: sdk.APIClient
) -> None:
    before = await engine.create(request_for(1, networks={"renamed": attached(subnet("10.84.0.0/24"))}))
    after = await engine.create(request_for(2, networks={"renamed": attached(subnet("10.84.1.0/24"), "web")}))
    await engine.start(after)
    (beside,) = joined(docker, after)
    await engine.stop(after, 5)
    await engine.remove(before)
    docker.remove_network(beside)
    await engine.start(after)
    ((name, network),) = docker.inspect_container(after)["NetworkSettings"]["Networks"].items()
    assert (name, network["IPAddress"], "web" in network["Aliases"]) == ("renamed", "10.84.1.2", True)


async def test_another_definition_takes_the_place_of_an_unused_network_with_the_same_addresses(
    engine: DockerEngine, docker: sdk.APIClient
) -> None:
    definition = subnet("10.80.0.0/24")
    await engine.ensure_network("same-addresses", definition)
    definition.internal = True
    await engine.ensure_network("same-addresses", definition)
    (network,) = called(docker, "same-addresses")
    assert network["Internal"]


async def test_addresses_that_overlap_those_of_the_network_in_use_are_a_clear_error(
    engine: DockerEngine, request_for: Requests
) -> None:
    definition = subnet("10.81.0.0/24")
    await engine.create(request_for(networks={"overlap": attached(definition)}))
    with pytest.raises(EngineError, match="overlap has another definition now, and its addresses overlap"):
        await engine.ensure_network("overlap", pb.NetworkDefinition(ipam=definition.ipam, internal=True))


async def test_an_engine_without_free_addresses_says_so(
    engine: DockerEngine, foreign: Callable[..., str], docker: sdk.APIClient
) -> None:
    with pytest.raises(sdk.errors.APIError):  # noqa: PT012  # the one that fails is one of these
        for number in range(100):
            foreign(f"filler-{number}")
    with pytest.raises(EngineError, match="network one-more: the engine has no free addresses left"):
        await engine.ensure_network("one-more", PLAIN)


async def test_a_network_is_removed_when_no_container_is_attached(
    engine: DockerEngine, request_for: Requests, docker: sdk.APIClient
) -> None:
    made = await engine.create(request_for(networks={"leave": [], "leave-too": []}))
    for state in ("created", "running", "exited"):
        if state == "running":
            await engine.start(made)
        elif state == "exited":
            await engine.stop(made, 5)
        await engine.remove_network("leave")
        await engine.remove_network("leave-too")
        assert len(docker.networks(names=["leave"])) == 2, state
    await engine.remove(made)
    await engine.remove_network("leave")
    assert [network["Name"] for network in docker.networks(names=["leave"])] == ["leave-too"]
    await engine.remove_network("leave")


async def test_a_container_has_two_networks_with_the_addresses_and_names_of_each(
    engine: DockerEngine, request_for: Requests, docker: sdk.APIClient
) -> None:
    networks = {
        "front": attached(subnet("10.82.0.0/24"), "web", ipv4="10.82.0.77"),
        "back": attached(subnet("10.82.1.0/24"), "web", "api", ipv4="10.82.1.77"),
    }
    made = await engine.create(request_for(networks=networks))
    await engine.start(made)
    found = docker.inspect_container(made)["NetworkSettings"]["Networks"]
    assert {name: network["IPAddress"] for name, network in found.items()} == {
        "front": "10.82.0.77", "back": "10.82.1.77",
    }  # fmt: skip
    assert "api" not in found["front"]["Aliases"]
    assert {"web", "api"} <= set(found["back"]["Aliases"])
    assert dict((await engine.inspect(made)).status.addresses) == {"front": "10.82.0.77", "back": "10.82.1.77"}


async def test_a_fixed_address_of_version_6(engine: DockerEngine, request_for: Requests, docker: sdk.APIClient) -> None:
    definition = subnet("fd82::/64")
    definition.enable_ipv6 = True
    attachment = pb.NetworkAttachment(ipv6_address="fd82::77", definition=definition)
    for slot, networks in ((1, {"six": attachment}), (2, {"four": attached(PLAIN), "six": attachment})):
        made = await engine.create(request_for(slot, networks=networks))
        await engine.start(made)
        found = docker.inspect_container(made)["NetworkSettings"]["Networks"]["six"]
        assert found["GlobalIPv6Address"] == "fd82::77"
        await engine.stop(made, 5)


async def test_containers_of_two_services_find_each_other_by_alias(
    engine: DockerEngine, request_for: Requests, docker: sdk.APIClient
) -> None:
    server = await engine.create(request_for(1, networks={"a": ["web"], "names": ["web"]}, command=SERVE))
    client = await engine.create(request_for(2, networks={"names": ["client"]}, command=asking("web")))
    await engine.start(server)
    await engine.start(client)
    assert (await asyncio.to_thread(docker.wait, client, 20))["StatusCode"] == 0
    assert b"hello" in docker.logs(client)


async def test_an_internal_network_has_no_way_out(
    engine: DockerEngine, request_for: Requests, docker: sdk.APIClient, outside: str
) -> None:
    connect = f"nc -w 2 {outside} 80 </dev/null"
    codes = []
    for slot, internal in ((1, False), (2, True)):
        networks = {f"way-{slot}": attached(pb.NetworkDefinition(internal=internal))}
        made = await engine.create(request_for(slot, networks=networks, command=["sh", "-c", connect]))
        await engine.start(made)
        codes.append((await asyncio.to_thread(docker.wait, made, 20))["StatusCode"])
    assert codes == [0, 1]


@pytest.mark.parametrize("started", [True, False], ids=["started", "never started"])
async def test_a_container_starts_again_after_its_network_was_removed(
    engine: DockerEngine, request_for: Requests, docker: sdk.APIClient, started: bool
) -> None:
    definition = subnet("10.83.0.0/24")
    definition.internal = True
    if not started:
        await engine.ensure_network("gone", definition)
        docker.remove_network("gone")
    gone = attached(definition, "web", ipv4="10.83.0.77")
    made = await engine.create(request_for(networks={"gone": gone, "stays": ["web"]}))
    if started:
        await engine.start(made)
        await engine.stop(made, 5)
        docker.remove_network("gone")
    await engine.start(made)
    networks = docker.inspect_container(made)["NetworkSettings"]["Networks"]
    assert set(networks) == {"gone", "stays"}
    assert networks["gone"]["Aliases"].count("web") == 1
    assert networks["gone"]["IPAddress"] == "10.83.0.77"
    assert docker.inspect_network("gone")["Internal"]


async def test_a_later_run_makes_the_instances_own_network_anew_and_no_other(
    engine: DockerEngine, later: DockerEngine, request_for: Requests, docker: sdk.APIClient, instance: str
) -> None:
    own = f"dock-runner-{instance}"
    for slot, name in ((1, own), (2, "declared-before")):
        made = await engine.create(request_for(slot, networks={name: attached(PLAIN)}))
        await engine.start(made)
        await engine.stop(made, 5)
        docker.remove_network(name)
        if name == own:
            await later.start(made)
            continue
        with pytest.raises(EngineError, match="declared-before was removed, and no container was made since"):
            await later.start(made)
        await later.ensure_network(name, PLAIN)
        await later.start(made)


async def test_a_network_that_is_there_costs_no_call(
    engine: DockerEngine, engine_requests: Callable[[], dict[tuple[str, str], int]]
) -> None:
    await engine.ensure_network("known", PLAIN)
    before = engine_requests()
    await engine.ensure_network("known", pb.NetworkDefinition(driver="bridge"))
    assert engine_requests() == before
