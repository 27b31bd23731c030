"""What the policy lets out of a container. The ways out are Portainer's failures, and Pod Security's baseline."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from controller.errors import PolicyDenied, StartError
from handlers.image_patterns import ImagePattern
from handlers.policy import Policy, read_policy
from proto.dockrunner import v1 as pb


def spec(**fields: object) -> pb.ServiceSpec:
    return pb.ServiceSpec(image="web:1", **fields)  # type: ignore[arg-type]  # any field


def refused(policy: Policy, declared: pb.ServiceSpec, name: str = "web") -> Sequence[tuple[str, str]]:
    service = pb.Service(metadata=pb.Metadata(name=name), spec=declared)
    return [(violation.field, violation.description) for violation in policy.violations(service)]


def volume(**options: str) -> pb.ServiceSpec:
    definition = pb.VolumeDefinition(driver_opts=options)
    return spec(volumes=[pb.Mount(type="volume", source="v", target="/v", definition=definition)])


def network(called: str = "n", /, **fields: object) -> pb.ServiceSpec:
    definition = pb.NetworkDefinition(**fields)  # type: ignore[arg-type]  # any field
    return spec(networks={called: pb.NetworkAttachment(definition=definition)})


PRIVILEGED = "the policy needs allow_privileged = true"
HOST_NETWORK = "the policy needs allow_host_network = true"
CAPABILITIES = "is not within the policy's allowed_capabilities; add it there"
DEVICES = "is not within the policy's allowed_devices; add it there"
HOST_PATHS = "is not within the policy's allowed_host_paths; add it there"
PRIVILEGES = {"allow_privileged": True}
SHARED = pb.Mount(type="volume", source="v", target="/v", bind=pb.BindOptions(propagation="rshared"))


@pytest.mark.parametrize(
    ("declared", "field", "way_out", "opening"),
    [
        (spec(privileged=True), "privileged", PRIVILEGED, PRIVILEGES),
        (spec(network_mode="host"), "network_mode", HOST_NETWORK, {"allow_host_network": True}),
        (network(driver="host"), "networks.n.definition", HOST_NETWORK, {"allow_host_network": True}),
        (network(external=True, name="host"), "networks.n.definition", HOST_NETWORK, {"allow_host_network": True}),
        (network("host", external=True), "networks.host.definition", HOST_NETWORK, {"allow_host_network": True}),
        (spec(cap_add=["KILL", "CAP_net_admin"]), "cap_add[1]", CAPABILITIES, {"allowed_capabilities": ["NET_ADMIN"]}),
        (spec(cap_add=["NET_RAW"]), "cap_add[0]", CAPABILITIES, {"allowed_capabilities": ["cap_net_raw"]}),
        (spec(cap_add=["ALL"]), "cap_add[0]", CAPABILITIES, {"allowed_capabilities": ["ALL"]}),
        (spec(cap_add=["SYS_ADMIN"]), "cap_add[0]", CAPABILITIES, PRIVILEGES),
        (spec(devices=[pb.Device(source="/dev/null")]), "devices[0].source", DEVICES,
         {"allowed_devices": ["/dev/null"]}),
        (spec(devices=[pb.Device(source="/dev/dri/c0")]), "devices[0].source", DEVICES,
         {"allowed_devices": ["/dev/dri"]}),
        (spec(devices=[pb.Device(source="/dev/kvm")]), "devices[0].source", DEVICES, PRIVILEGES),
        (spec(gpus=[pb.Gpu(count=-1)]), "gpus[0]", DEVICES, {"allowed_devices": ["gpu"]}),
        (spec(security_opt=["seccomp=unconfined"]), "security_opt[0]", PRIVILEGED, PRIVILEGES),
        (spec(security_opt=["seccomp:unconfined"]), "security_opt[0]", PRIVILEGED, PRIVILEGES),
        (spec(security_opt=['seccomp={"a":1}']), "security_opt[0]", PRIVILEGED, PRIVILEGES),
        (spec(security_opt=["seccomp=/etc/p.json"]), "security_opt[0]", HOST_PATHS, {"allowed_host_paths": ["/etc"]}),
        (spec(security_opt=["apparmor=unconfined"]), "security_opt[0]", PRIVILEGED, PRIVILEGES),
        (spec(security_opt=["label:disable"]), "security_opt[0]", PRIVILEGED, PRIVILEGES),
        (spec(security_opt=["label=type:spc_t"]), "security_opt[0]", PRIVILEGED, PRIVILEGES),
        (spec(security_opt=["label:user:system_u"]), "security_opt[0]", PRIVILEGED, PRIVILEGES),
        (spec(security_opt=["systempaths=unconfined"]), "security_opt[0]", PRIVILEGED, PRIVILEGES),
        (spec(sysctls={"net.core.somaxconn": "1"}), "sysctls.net.core.somaxconn", PRIVILEGED, PRIVILEGES),
        (spec(volumes=[SHARED]), "volumes[0].bind.propagation", PRIVILEGED, PRIVILEGES),
        (volume(type="none", o="bind", device="/etc"), "volumes[0].definition.driver_opts.device", HOST_PATHS,
         {"allowed_host_paths": ["/etc"]}),
        (volume(type="nfs", o="ro, BIND", device="/etc"), "volumes[0].definition.driver_opts.device", HOST_PATHS,
         {"allowed_host_paths": ["/etc"]}),
        (volume(type="none", o="rbind,ro", device="/etc"), "volumes[0].definition.driver_opts.device", HOST_PATHS,
         {"allowed_host_paths": ["/etc"]}),
        (volume(type="none", o="bind", device="/run"), "volumes[0].definition.driver_opts.device",
         "the policy needs allow_docker_socket = true", {"allow_docker_socket": True, "allowed_host_paths": ["/run"]}),
        (volume(type="ext4", device="/dev/sda1"), "volumes[0].definition.driver_opts.device", DEVICES,
         {"allowed_devices": ["/dev/sda1"]}),
        (volume(type="overlay", o="lowerdir=/etc", device="overlay"), "volumes[0].definition.driver_opts", PRIVILEGED,
         PRIVILEGES),
        (volume(type="proc", device="proc"), "volumes[0].definition.driver_opts", PRIVILEGED, PRIVILEGES),
        (spec(volumes=[pb.Mount(type="bind", source="/etc", target="/e")]), "volumes[0].source", HOST_PATHS,
         {"allowed_host_paths": ["/etc"]}),
        (spec(volumes=[pb.Mount(type="bind", source="/var/run", target="/e")]), "volumes[0].source",
         "the policy needs allow_docker_socket = true", {"allow_docker_socket": True, "allowed_host_paths": ["/run"]}),
        (spec(replicas=3), "replicas", "the policy allows 2", {"max_replicas": 3}),
        (spec(autoscale=pb.Autoscale(min=1, max=3)), "autoscale.max", "the policy allows 2", {"max_replicas": 3}),
        (spec(), "image", "web:1 matches none of the policy's allowed_images; add it there",
         {"allowed_images": ["web"]}),
    ],
)  # fmt: skip
def test_what_leads_out_is_denied_by_default_and_opened_by_one_line(
    declared: pb.ServiceSpec, field: str, way_out: str, opening: dict[str, object]
) -> None:
    narrow = {"max_replicas": 2, "allowed_images": ["other"] if field == "image" else []}
    ((place, description),) = refused(Policy(**narrow), declared)  # type: ignore[arg-type]  # any field
    assert place == f"spec.{field}"
    assert description.endswith(way_out)
    assert not refused(Policy(**{**narrow, **opening}), declared)  # type: ignore[arg-type]  # any field
    with pytest.raises(PolicyDenied, match="the policy refuses"):
        Policy(**narrow).check(declared)  # type: ignore[arg-type]  # any field


@pytest.mark.parametrize(
    "declared",
    [
        spec(cap_add=["CHOWN", "cap_net_bind_service", "SYS_CHROOT"], cap_drop=["ALL", "NET_RAW"]),
        spec(security_opt=["no-new-privileges:true", "seccomp=builtin", "apparmor=docker-default", "label=level:s0"]),
        spec(security_opt=["label=type:container_t"]),
        spec(sysctls={"net.ipv4.ping_group_range": "0 1", "kernel.shm_rmid_forced": "1"}),
        spec(network_mode="none"),
        spec(network_mode="service:db"),
        network(driver="bridge", name="hostel"),
        volume(type="nfs", o="addr=10.0.0.1,rw", device=":/srv"),
        volume(type="cifs", o="username=a", device="//nas/x"),
        volume(type="tmpfs", device="tmpfs", o="size=1m"),
        volume(),
        spec(volumes=[pb.Mount(type="bind", source="relative", target="/x")]),  # the check of the field says so
    ],
)
def test_what_stays_inside_needs_no_policy(declared: pb.ServiceSpec) -> None:
    assert not refused(Policy(), declared)


def test_a_link_inside_an_allowed_folder_leads_out_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/link").symlink_to("/etc")
    (tmp_path / "in/dev").symlink_to("/dev/null")
    policy = Policy(allowed_host_paths=[str(tmp_path / "in")], allowed_devices=[str(tmp_path / "in")])
    inside = str(tmp_path / "in/link")
    bind = spec(volumes=[pb.Mount(type="bind", source=inside, target="/x")])
    assert refused(policy, bind)[0][1].startswith(f"{inside} (it leads to /etc)")
    assert refused(policy, volume(type="none", o="bind", device=inside))
    assert refused(policy, spec(devices=[pb.Device(source=str(tmp_path / "in/dev"))]))
    os.unlink(inside)
    assert not refused(policy, bind)


def test_a_capability_that_is_allowed_allows_no_other() -> None:
    policy = Policy(allowed_capabilities=["NET_ADMIN"])
    assert [field for field, _ in refused(policy, spec(cap_add=["NET_ADMIN", "SYS_ADMIN", "ALL"]))] == [
        "spec.cap_add[1]", "spec.cap_add[2]",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("pattern", "image", "matches"),
    [
        ("nginx", "nginx", True),
        ("nginx", "nginx:1.27", True),
        ("nginx", "docker.io/library/nginx@sha256:00", True),
        ("nginx", "index.docker.io/nginx", True),
        ("nginx", "evil/nginx", False),
        ("nginx", "nginx-evil", False),
        ("nginx", "registry.ok/nginx", False),
        ("docker.io", "nginx", True),
        ("docker.io", "registry.ok/nginx", False),
        ("registry.ok", "registry.ok/x/y:1", True),
        ("registry.ok", "REGISTRY.OK/x", True),
        ("registry.ok", "registry.ok.evil.com/x", False),
        ("registry.ok", "registry.ok:5000/x", False),
        ("registry.ok", "evil.com/registry.ok/x", False),
        ("registry.ok", "evil/registry.ok", False),
        ("registry.ok:5000", "registry.ok:5000/x", True),
        ("registry.ok/team", "registry.ok/team", True),
        ("registry.ok/team", "registry.ok/team/x:1", True),
        ("registry.ok/team", "registry.ok/team-evil/x", False),
        ("registry.ok/team", "registry.ok.evil.com/team/x", False),
        ("registry.ok/team/*", "registry.ok/team/x/y", True),
        ("registry.ok/team/*", "registry.ok/team", False),
        ("registry.ok/*/web", "registry.ok/a/web", True),
        ("registry.ok/*/web", "registry.ok/a/b/web", False),
        ("acme/*", "acme/web", True),
        ("acme/*", "acme.io/web", False),
        ("localhost/x", "localhost/x", True),
        ("*.corp.example", "a.corp.example/x", True),
        ("*.corp.example", "corp.example.evil/x", False),
        ("*", "nginx", True),
        ("*", "acme/web", False),
        ("[::1]:5000/x", "[::1]:5000/x", True),
        ("team.ok/a?", "team.ok/ab", True),
    ],
)
def test_images_are_compared_by_registry_and_repository_and_never_as_text(
    pattern: str, image: str, matches: bool
) -> None:
    assert ImagePattern(pattern).matches(image) is matches


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "policy.toml"
    path.write_text(text)
    return path


def test_a_file_says_what_is_allowed_and_what_differs_for_single_services(tmp_path: Path) -> None:
    text = """
        allowed_host_paths = ["/srv"]
        allowed_images = ["registry.ok"]
        max_replicas = 5
        max_services = 7
        allow_host_network = true
        [services.db]
        allow_privileged = true
        allowed_images = ["postgres"]
        allowed_capabilities = ["SYS_NICE"]
        allowed_devices = ["/dev/sda", "gpu"]
        allow_docker_socket = true
        allow_host_network = false
        max_replicas = 1
    """
    policy = read_policy(written(tmp_path, text))
    assert (policy.allow_privileged, policy.max_replicas, policy.max_services) == (False, 5, 7)
    assert policy.services["db"].allowed_host_paths == ["/srv"], "what is not said again stays"
    own = pb.ServiceSpec(image="postgres:17", privileged=True)
    assert not refused(policy, own, "db")
    assert [field for field, _ in refused(policy, own, "web")] == ["spec.image", "spec.privileged"]
    policy.check(own, "db")
    with pytest.raises(PolicyDenied):
        policy.check(own, "web")
    host = pb.ServiceSpec(image="registry.ok/x", network_mode="host")
    assert not refused(policy, host, "web")
    assert [field for field, _ in refused(policy, host, "db")] == ["spec.image", "spec.network_mode"]


def test_without_a_file_the_policy_is_the_built_in_one() -> None:
    assert read_policy(None) == Policy()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("allow_priviliged = true", "allow_priviliged is not known; did you mean allow_privileged?"),
        ("[service.db]", "service is not known; did you mean services?"),
        ("[services.db]\nmax_services = 1", "services.db.max_services is not known"),
        ("[services.db]\nallowed_image = []", "services.db.allowed_image is not known; did you mean allowed_images?"),
        ("services = 1", "services must be tables"),
        ("services.db = 1", "services.db must be a table"),
        ("allow_privileged = 1", "allow_privileged must be true or false"),
        ("allowed_images = 'x'", "allowed_images must be a list of texts"),
        ("allowed_images = [1]", "allowed_images must be a list of texts"),
        ("max_replicas = true", "max_replicas must be a whole number"),
        ("max_replicas = -1", "max_replicas must be at least 0"),
        ("allowed_images = ['acme/web:1']", "without a tag"),
        ("allowed_images = ['registry.ok/']", "[REGISTRY/]REPOSITORY"),
        ("allowed_images = ['https://registry.ok']", "[REGISTRY/]REPOSITORY"),
        ("allowed_capabilities = ['ROOT']", "no capability"),
        ("allowed_devices = ['sda']", "no absolute path"),
        ("allowed_host_paths = ['srv']", "no absolute path"),
        ("allowed_host_paths = ['gpu']", "no absolute path"),
        ("x", "cannot be read"),
    ],
)
def test_a_file_that_is_wrong_keeps_the_program_from_starting(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(StartError) as error:
        read_policy(written(tmp_path, text))
    assert message in str(error.value)


def test_a_file_that_is_not_there_keeps_the_program_from_starting(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="cannot be read"):
        read_policy(tmp_path / "gone.toml")
