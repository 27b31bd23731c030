"""What the engine is asked for to make a container."""

import pytest

from controller.errors import EngineError
from controller.scheduler.engine import LABEL_INSTANCE, LABEL_RUN, LABEL_SLOT, Observed
from handlers.instance import Instance
from handlers.naming import container_name
from proto.dockrunner import v1 as pb

BLUE = Instance("blue")


def container(**template: object) -> pb.Container:
    spec = pb.ContainerSpec(service="web", slot=2, template=pb.ServiceSpec(**template))  # type: ignore[arg-type]
    return pb.Container(metadata=pb.Metadata(name="blue-web-2-abcde", uid="u2"), spec=spec)


def test_placeholders_are_filled_with_the_containers_own_words() -> None:
    made = container(hostname="{service}-{slot}", labels={"at": "{instance}"})
    request = BLUE.request(made)
    assert request.template.hostname == "web-2"
    assert (request.labels["at"], request.labels[LABEL_INSTANCE], request.labels[LABEL_SLOT]) == ("blue", "blue", "2")
    assert made.spec.template.hostname == "{service}-{slot}"


@pytest.mark.parametrize(
    ("mount", "name"),
    [
        (pb.Mount(source="data"), "blue-data"),
        (pb.Mount(source="data-{slot}"), "blue-data-2"),
        (pb.Mount(source="data", definition=pb.VolumeDefinition(name="exact")), "exact"),
        (pb.Mount(source="data", definition=pb.VolumeDefinition(external=True)), "data"),
        (pb.Mount(), ""),
        (pb.Mount(type="bind", source="/data"), "/data"),
    ],
    ids=["own", "per slot", "named", "external", "anonymous", "bind"],
)
def test_volumes_are_called_as_in_docker(mount: pb.Mount, name: str) -> None:
    assert BLUE.request(container(volumes=[mount])).template.volumes[0].source == name


def test_volumes_of_the_default_instance_keep_their_name() -> None:
    request = Instance("default").request(container(volumes=[pb.Mount(source="data")]))
    assert request.template.volumes[0].source == "data"


def test_networks_are_called_as_in_docker_and_know_the_service_by_its_name() -> None:
    networks = {
        "back": pb.NetworkAttachment(aliases=["api", "web"]),
        "default": pb.NetworkAttachment(),
        "lent": pb.NetworkAttachment(definition=pb.NetworkDefinition(external=True)),
        "named": pb.NetworkAttachment(definition=pb.NetworkDefinition(name="exact")),
    }
    request = BLUE.request(container(networks=networks))
    assert {name: list(attachment.aliases) for name, attachment in request.networks.items()} == {
        "dock-runner-blue": ["web"],
        "dock-runner-blue-back": ["web", "api"],
        "lent": ["web"],
        "exact": ["web"],
    }
    assert next(iter(request.networks)) == "dock-runner-blue"


@pytest.mark.parametrize(
    ("declared", "joined", "mode"),
    [("none", "", "none"), ("host", "", "host"), ("service:vpn", "c1", "container:c1")],
)
def test_a_network_mode_takes_the_place_of_networks(declared: str, joined: str, mode: str) -> None:
    request = BLUE.request(container(network_mode=declared, networks={"default": pb.NetworkAttachment()}), joined)
    assert (request.network_mode, dict(request.networks)) == (mode, {})


def test_a_network_that_is_not_there_yet_cannot_be_shared() -> None:
    with pytest.raises(EngineError, match="the container of vpn whose network it shares is not there yet"):
        BLUE.request(container(network_mode="service:vpn"))


def test_limits_are_those_of_the_container_and_not_of_its_template() -> None:
    made = container(cpus=4)
    made.spec.resources.cpus = 0.5
    assert BLUE.request(made).resources == pb.Resources(cpus=0.5)


@pytest.mark.parametrize("run", ["2026-01-01T03:00:00Z", "2026-01-01T03:00:00.123456Z", ""])
def test_the_run_of_a_container_is_known_again_by_its_label(run: str) -> None:
    made = container()
    made.metadata.name = container_name("blue", "web", 2, "u2")
    if run:
        made.spec.run.FromJsonString(run)
    labels = BLUE.request(made).labels
    assert labels.get(LABEL_RUN, "") == run
    adopted = BLUE.adopt(Observed("id", made.metadata.name, labels, pb.ContainerStatus(), inspected=True))
    assert adopted is not None
    assert (adopted.spec.HasField("run"), adopted.spec.run) == (bool(run), made.spec.run)


def test_what_has_a_run_that_is_no_time_is_none_of_ours() -> None:
    made = container()
    made.metadata.name = container_name("blue", "web", 2, "u2")
    labels = {**BLUE.request(made).labels, LABEL_RUN: "yesterday"}
    assert BLUE.adopt(Observed("id", made.metadata.name, labels, pb.ContainerStatus(), inspected=True)) is None
