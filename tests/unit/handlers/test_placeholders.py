"""The three words in braces, and nothing else in braces."""

from pathlib import Path

from controller.testing import Harness
from handlers.container import docker_id_of
from handlers.placeholders import expanded
from handlers.policy import Policy
from proto.dockrunner import v1 as pb

WORDS = {"slot": "2", "service": "web", "instance": "blue"}


def test_the_words_are_filled_in_hostname_environment_volumes_and_labels() -> None:
    text = "{instance}/{service}/{slot}"
    template = pb.ServiceSpec(
        hostname=text, environment={"A": text}, labels={"b": text}, volumes=[pb.Mount(source=text, target=f"/{text}")]
    )
    filled = "blue/web/2"
    assert expanded(template, WORDS) == pb.ServiceSpec(
        hostname=filled, environment={"A": filled}, labels={"b": filled},
        volumes=[pb.Mount(source=filled, target=f"/{filled}")],
    )  # fmt: skip
    assert template.hostname == text  # what was declared stays as it was


def test_all_other_braces_stay() -> None:
    text = '{"a": {slot }} {SLOT} ${slot} {{service}} {other} {} {slot'
    template = pb.ServiceSpec(environment={"A": text})
    assert expanded(template, WORDS).environment["A"] == text.replace("${slot}", "$2").replace("{service}", "web")


def test_names_of_variables_and_other_fields_are_not_for_placeholders() -> None:
    template = pb.ServiceSpec(
        image="{service}", command=["{slot}"], environment={"{slot}": ""}, labels={"{slot}": ""}, user="{slot}"
    )
    assert expanded(template, WORDS) == template


def test_what_is_filled_in_is_not_looked_at_again() -> None:
    words = {"slot": "1", "service": "{slot}", "instance": "x"}
    assert expanded(pb.ServiceSpec(hostname="{service}"), words).hostname == "{slot}"


async def test_the_policy_is_asked_about_what_the_placeholders_come_to(tmp_path: Path) -> None:
    (tmp_path / "1").symlink_to("/etc")
    (tmp_path / "2").mkdir()
    mount = pb.Mount(type="bind", source=f"{tmp_path}/{{slot}}", target="/data")
    async with Harness(policy=Policy(allowed_host_paths=[str(tmp_path)])) as dock:
        await dock.apply("web", image="i:1", replicas=2, volumes=[mount])
        await dock.advance(10)
        first, second = dock.containers("web")
        assert "it leads to /etc" in first.status.message
        assert second.status.ready


async def test_a_shared_network_is_that_of_the_other_services_container() -> None:
    async with Harness() as dock:
        await dock.apply("vpn", image="i:1")
        await dock.apply("web", image="i:1", network_mode="service:vpn")
        await dock.advance(10)
        (vpn,), (web,) = dock.containers("vpn"), dock.containers("web")
        assert vpn.status.addresses
        assert not web.status.addresses
        assert web.spec.joined.startswith(vpn.metadata.uid)
        assert docker_id_of(web.spec.joined, dock.store) == vpn.status.docker_id
        assert web.status.ready
