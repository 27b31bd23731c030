"""What a service may look like, with Docker's own limits."""

from collections.abc import Callable
from pathlib import Path

import pytest

from controller.config_agent import read_config
from handlers.admission import fill_in
from handlers.validation import violations
from proto.dockrunner import v1 as pb

Found = list[tuple[str, str]]


@pytest.fixture
def found(tmp_path: Path) -> Callable[[str], Found]:
    """What is wrong with a service that is written as in the file; its image and defaults are filled in."""

    def check(text: str) -> Found:
        (tmp_path / "s.toml").write_text(
            f"[services.web]\n{text}\n[networks.n]\n[configs]\nc.content = ''\nd.content = ''\n"
        )
        (service,) = read_config(tmp_path / "s.toml").services
        service.spec.image = service.spec.image or "web:1"
        fill_in(service.spec)
        return [(it.field.removeprefix("spec."), it.description) for it in violations(service)]

    return check


@pytest.mark.parametrize(
    "text",
    [
        "hostname = 'web-{slot}.{service}.{instance}'",
        "environment = { A = '{\"json\": {\"slot\": 1}}', B = '{slot}', C = '{unknown}' }",
        "volumes = ['data-{slot}:/data/{service}', '/srv/{slot}:/srv']",
        "labels = { a = '{slot}{{}' }",
        "cap_add = ['NET_ADMIN', 'cap_sys_time', 'ALL']\ncap_drop = ['ALL']",
        "security_opt = ['no-new-privileges', 'no-new-privileges:true', 'no-new-privileges=false', 'label:disable', "
        "'label=type:t', 'apparmor=x', 'seccomp=/p.json', 'seccomp=unconfined', 'seccomp={}', "
        "'systempaths=unconfined']",
        "devices = ['/dev/fuse', '/dev/a:/dev/b:rwm']\ngpus = 'all'",
        "gpus = [{ device_ids = ['0'] }, { count = 2 }, {}]",
        "ulimits = { nofile = 5, memlock = -1, core = { soft = 0, hard = -1 } }",
        "sysctls = { 'net.core.somaxconn' = 1, 'kernel.shmmax' = 1, 'fs.mqueue.msg_max' = 1 }",
        "shm_size = 0\nmem_limit = '6m'\nmem_reservation = '6m'\npids_limit = 0\ncpus = 0.01",
        "mem_reservation = '1g'",
        "extra_hosts = ['a=10.0.0.1', 'a_b.c:::1', 'x=host-gateway']",
        "dns = ['8.8.8.8', 'fd00::1']\ndns_search = ['.', 'example.com', 'a_b.example.']",
        "logging = { driver = 'json-file', options = { max-size = '1m' } }",
        "logging.driver = 'grafana/loki-docker-driver:latest'",
        "healthcheck = { test = 'x', interval = '1ms', timeout = '0s', retries = 0, start_interval = '5s' }",
        "healthcheck = { disable = true, test = ['NONE'] }",
        "healthcheck.test = ['CMD', 'a', 'b']",
        "healthcheck.interval = '5s'",
        "platform = 'linux'",
        "platform = 'linux/arm/v7'",
        "depends_on = { db = { condition = 'service_completed_successfully' }, cache = {} }",
        "configs = [{ source = 'c', target = '/etc/c', mode = 0o777, uid = '0' }, 'd']",
        "network_mode = 'none'",
        "network_mode = 'service:db'",
        "networks.n = { ipv4_address = '10.0.0.1', ipv6_address = 'fd00::1' }",
        "tmpfs = ['/run', '/tmp:size=64m,mode=1777,noexec', '/x:size=50%,uid=1000,gid=1000,nr_inodes=1k']",
        "volumes = [{ type = 'tmpfs', target = '/t', tmpfs = { size = '1m', mode = 0o1777 } }]",
        "volumes = ['/a:/b:rshared', 'v:/c:nocopy']",
        "update = { parallelism = 0, order = 'stop-first', failure_action = 'rollback', max_failure_ratio = 1 }",
        "rollback = { failure_action = 'continue', monitor = '0s', deadline = '1ms' }",
        "restart_backoff = { min = '1s', max = '1s', reset = '1h' }",
        "restart_backoff.min = '1m'",
        "cpus = 0.5\nautoscale = { min = 1, max = 1000, cpu = 1000 }",
        "image_check = '10s'",
        "image = 'web@sha256:" + "0" * 64 + "'\nimage_check = '0s'",
        "pull_policy = 'digest'",
        "restart = 'replace'",
        "schedule = '*/5 0-6 1,15 JAN MON'\nrestart = 'no'\ntime_zone = 'Europe/Berlin'",
        "schedule = '@hourly'\nrestart = 'on-failure:3'\nconcurrency_policy = 'replace'\nstarting_deadline = '0s'",
        "schedule = '@yearly'\nrestart = 'no'\nsuccessful_history_limit = 0\nfailed_history_limit = 0",
        "group_add = [44, 'video']",
    ],
)  # fmt: skip
def test_what_docker_takes_is_admitted(found: Callable[[str], Found], text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    ("text", "field", "part"),
    [
        ("hostname = 'web_1'", "hostname", "is not the name of a host"),
        ("hostname = '{slto}'", "hostname", "{slot}, {service} and {instance} are filled in"),
        ("hostname = '-a'", "hostname", "is not the name of a host"),
        ("hostname = 'a..b'", "hostname", "is not the name of a host"),
        (f"hostname = '{'a' * 60}{{slot}}'", "hostname", "63 characters"),
        ("volumes = ['data-{other}:/d']", "volumes[0].source", "is not the name of a volume"),
        ("volumes = [{ type = 'volume', source = 'a', target = '/d{slot}/' }, '/d{slot}']", "volumes[1].target",
         "twice"),
        ("volumes = [{ type = 'bind', source = '/a', target = '/b', volume = { nocopy = true } }]", "volumes[0].volume",
         "is for mounts of type volume; this one is of type bind"),
        ("volumes = [{ type = 'bind', source = '/a', target = '/b', bind = { propagation = 'x' } }]",
         "volumes[0].bind.propagation", "is not one of rprivate"),
        ("volumes = [{ type = 'tmpfs', target = '/b', tmpfs = { size = -1 } }]", "volumes[0].tmpfs.size",
         "at least 0"),
        ("volumes = [{ type = 'tmpfs', target = '/b', tmpfs = { mode = 0o10000 } }]", "volumes[0].tmpfs.mode",
         "0o7777"),
        ("cap_add = ['NET_ADMINS']", "cap_add[0]", "is no capability such as NET_ADMIN"),
        ("cap_drop = ['KILL', 'CAP_ALL_']", "cap_drop[1]", "is no capability"),
        ("security_opt = ['seccomp=profile.json']", "security_opt[0]", "an absolute path"),
        ("security_opt = ['no-new-privilege']", "security_opt[0]", "no-new-privileges:true"),
        ("security_opt = ['label=colour:red']", "security_opt[0]", "label=type:TYPE"),
        ("devices = ['fuse']", "devices[0].source", "absolute path"),
        ("devices = ['/dev/../etc']", "devices[0].source", "without '..'"),
        ("devices = ['/dev/a:b:r']", "devices[0].target", "absolute path"),
        ("devices = ['/dev/a:/b:rx']", "devices[0].permissions", "some of rwm"),
        ("gpus = [{ count = 1, device_ids = ['0'] }]", "gpus[0].count", "not given together with device_ids"),
        ("gpus = [{ count = -2 }]", "gpus[0].count", "-1 for all"),
        ("ulimits.nofiles = 5", "ulimits.nofiles", "is not one of core"),
        ("ulimits.nofile = { soft = 6, hard = 5 }", "ulimits.nofile", "the soft limit 6 is more than the hard one, 5"),
        ("ulimits.nofile = { soft = -1, hard = 5 }", "ulimits.nofile", "more than the hard one"),
        ("ulimits.nofile = { soft = -2, hard = 5 }", "ulimits.nofile", "at least 0, or -1"),
        ("sysctls = { 'vm.swappiness' = 1 }", "sysctls.vm.swappiness", "no parameter that a container has of its own"),
        ("network_mode = 'host'\nsysctls = { 'net.core.somaxconn' = 1 }", "sysctls.net.core.somaxconn", "not its own"),
        ("shm_size = -1", "shm_size", "at least 0"),
        ("mem_limit = '5m'", "mem_limit", "at least 6m, or 0 for no limit"),
        ("mem_limit = -1", "mem_limit", "at least 6m"),
        ("mem_reservation = 1", "mem_reservation", "at least 6m"),
        ("mem_limit = '10m'\nmem_reservation = '11m'", "mem_reservation", "more than mem_limit"),
        ("pids_limit = -2", "pids_limit", "at least 0"),
        ("cpus = -1", "cpus", "at least 0.01"),
        ("cpus = 0.001", "cpus", "at least 0.01"),
        ("cpus = nan", "cpus", "at least 0.01"),
        ("cpus = inf", "cpus", "at least 0.01"),
        ("extra_hosts = ['a=b']", "extra_hosts[0]", "is not HOST=IP"),
        ("extra_hosts = ['a b=1.1.1.1']", "extra_hosts[0]", "is not HOST=IP"),
        ("dns = ['1.1.1.1', 'one.one']", "dns[1]", "is not the address of a name server"),
        ("dns_search = ['-a']", "dns_search[0]", "is not a domain"),
        ("logging.driver = 'a b'", "logging.driver", "is not the name of a driver"),
        ("logging.options = { a = 'b' }", "logging.driver", "is required with options"),
        ("healthcheck.interval = '1us'", "healthcheck.interval", "0s or at least 1ms"),
        ("healthcheck.timeout = -1", "healthcheck.timeout", "0s or at least 1ms"),
        ("healthcheck.start_period = '999999h'", "healthcheck.start_period", "at most 87600h"),
        ("healthcheck.start_interval = { seconds = 1, nanos = -1 }", "healthcheck.start_interval", "at least 1ms"),
        ("healthcheck.retries = -1", "healthcheck.retries", "at least 0"),
        ("healthcheck.test = ['wget']", "healthcheck.test", "begins with one of CMD, CMD-SHELL, NONE"),
        ("healthcheck.test = ['CMD']", "healthcheck.test", "a command follows CMD"),
        ("healthcheck.test = ['CMD-SHELL', 'a', 'b']", "healthcheck.test", "one text follows CMD-SHELL"),
        ("healthcheck.test = ['NONE', 'a']", "healthcheck.test", "nothing follows NONE"),
        ("healthcheck = { test = 'x', disable = true }", "healthcheck.test", "disable = true"),
        ("platform = 'linux/arm/v7/x'", "platform", "linux/arm64"),
        ("depends_on = ['web']", "depends_on.web", "cannot wait for itself"),
        ("depends_on.db.condition = 'healthy'", "depends_on.db.condition", "is not one of service_started"),
        ("configs = ['c', { source = 'd', target = 'c' }]", "configs[1].target", "/c is there twice"),
        ("configs = [{ source = 'c', target = '/run/secrets/s' }]\nsecrets = [{ source = 's', version = 'v' }]",
         "configs[0].target", "/run/secrets/s is there twice"),
        ("secrets = [{ source = 's', version = 'v' }, { source = 't', version = 'v', target = '/run/secrets/s' }]",
         "secrets[1].target", "/run/secrets/s is there twice"),
        ("configs = [{ source = 'c', target = '../x' }]", "configs[0].target", "without '..'"),
        ("configs = [{ source = 'c', target = '/etc/' }]", "configs[0].target", "is not the path of a file"),
        ("configs = [{ source = 'c', uid = 'root' }]", "configs[0].uid", "must be a number"),
        ("configs = [{ source = 'c', mode = 0o1000 }]", "configs[0].mode", "more than 0o777"),
        ("network_mode = 'bridge'", "network_mode", "is not one of none, host, service:NAME"),
        ("network_mode = 'service:web'", "network_mode", "cannot join its own network"),
        ("network_mode = 'host'\nports = ['80']", "ports[0]", "all its ports are the host's"),
        ("network_mode = 'none'\nports = ['80']", "ports[0]", "no network to publish from"),
        ("network_mode = 'service:db'\nports = ['80']", "ports[0]", "publish it by db"),
        ("network_mode = 'host'\nnetworks = ['n']", "networks.n", "leave out one of them"),
        ("network_mode = 'host'\nnetworks.default.aliases = ['n']", "networks.default", "or its settings"),
        ("networks.n.ipv4_address = 'fd00::1'", "networks.n.ipv4_address", "not an address of IP version 4"),
        ("networks.n.ipv6_address = '10.0.0.1'", "networks.n.ipv6_address", "not an address of IP version 6"),
        ("replicas = 2\nnetworks.n.ipv4_address = '10.0.0.1'", "networks.n.ipv4_address", "2 replicas cannot have one"),
        ("tmpfs = ['run']", "tmpfs[0]", "absolute path"),
        ("tmpfs = ['/run:sise=1m']", "tmpfs[0]", "is no option of a tmpfs"),
        ("tmpfs = ['/run:size=big']", "tmpfs[0]", "is no size"),
        ("tmpfs = ['/run:mode=9']", "tmpfs[0]", "is no octal mode"),
        ("tmpfs = ['/run', '/run/']", "tmpfs[1]", "mounted twice"),
        ("tmpfs = ['/run']\nvolumes = ['a:/run']", "tmpfs[0]", "mounted twice"),
        ("update.parallelism = -1", "update.parallelism", "at least 0"),
        ("update.order = 'start'", "update.order", "is not one of start-first, stop-first"),
        ("update.failure_action = 'stop'", "update.failure_action", "is not one of pause, continue, rollback"),
        ("rollback.failure_action = 'rollback'", "rollback.failure_action", "is not one of pause, continue"),
        ("update.max_failure_ratio = 1.1", "update.max_failure_ratio", "is not within 0 and 1"),
        ("update.max_failure_ratio = nan", "update.max_failure_ratio", "is not within 0 and 1"),
        ("update.deadline = 0", "update.deadline", "more than 0s"),
        ("update.delay = -1", "update.delay", "at least 0s"),
        ("rollback.monitor = -1", "rollback.monitor", "at least 0s"),
        ("restart_backoff.min = 0", "restart_backoff.min", "more than 0s"),
        ("restart_backoff.reset = 0", "restart_backoff.reset", "more than 0s"),
        ("restart_backoff = { min = 2, max = 1 }", "restart_backoff.min", "longer than max, 1s"),
        ("restart_backoff.min = '2m'", "restart_backoff.min", "longer than max, 60s"),
        ("cpus = 1\nautoscale = { min = 0, max = 2, cpu = 50 }", "autoscale.min", "is not within 1 and 1000"),
        ("cpus = 1\nautoscale = { min = 3, max = 2, cpu = 50 }", "autoscale.max", "is not within min, 3, and 1000"),
        ("cpus = 1\nautoscale = { min = 1, max = 1001, cpu = 50 }", "autoscale.max", "and 1000"),
        ("cpus = 1\nautoscale = { min = 1, max = 2 }", "autoscale.cpu", "is not within 1 and 1000 percent"),
        ("autoscale = { min = 1, max = 2, cpu = 50 }", "cpus", "is required by autoscale"),
        ("cpus = 1\nautoscale = { min = 1, max = 3, cpu = 50 }\nports = ['8080-8081:80']", "ports[0].published",
         "has 2 ports for 3 replicas"),
        ("cpus = 1\nautoscale = { min = 1, max = 3, cpu = 50 }\nnetworks.n = { ipv4_address = '10.0.0.1' }",
         "networks.n.ipv4_address", "3 replicas cannot have one address"),
        ("image_check = '9s'", "image_check", "0s or at least 10s"),
        (f"image = 'web@sha256:{'0' * 64}'\nimage_check = '1h'", "image_check", "given by its digest"),
        ("image_digest = 'x'", "image_digest", "is not a digest"),
        ("pull_policy = 'build'", "pull_policy", "digest"),
        ("schedule = '* * * *'\nrestart = 'no'", "schedule", "five fields such as 0 3 * * *"),
        ("schedule = '* * * * * *'\nrestart = 'no'", "schedule", "five fields"),
        ("schedule = '@reboot'\nrestart = 'no'", "schedule", "@hourly, @daily, @weekly, @monthly, @yearly"),
        ("schedule = '61 * * * *'\nrestart = 'no'", "schedule", "Bad minute"),
        ("schedule = '0 0 31 2 *'\nrestart = 'no'", "schedule", "Bad day-of-month"),
        ("schedule = '@daily'", "restart", "set restart = \"no\" or \"on-failure\""),
        ("schedule = '@daily'\nrestart = 'no'\ntime_zone = 'Mars/Base'", "time_zone", "no time zone"),
        ("schedule = '@daily'\nrestart = 'no'\ntime_zone = '../etc'", "time_zone", "no time zone"),
        ("schedule = '@daily'\nrestart = 'no'\nconcurrency_policy = 'skip'", "concurrency_policy", "forbid, allow"),
        ("schedule = '@daily'\nrestart = 'no'\nfailed_history_limit = -1", "failed_history_limit", "at least 0"),
        ("schedule = '@daily'\nrestart = 'no'\nstarting_deadline = -1", "starting_deadline", "at least 0s"),
        ("schedule = '@daily'\nrestart = 'no'\ncpus = 1\nautoscale = { min = 1, max = 2, cpu = 50 }", "autoscale",
         "no load to scale by"),
        ("time_zone = 'Europe/Berlin'", "time_zone", "is for services with a schedule"),
        ("group_add = ['a b']", "group_add[0]", "neither the name nor the number"),
    ],
)  # fmt: skip
def test_what_docker_would_refuse_is_refused_with_its_field_and_the_way_out(
    found: Callable[[str], Found], text: str, field: str, part: str
) -> None:
    ((place, description),) = found(text)
    assert place == field
    assert part in description


def network(**fields: object) -> pb.NetworkDefinition:
    return pb.NetworkDefinition(**fields)  # type: ignore[arg-type]  # any field


def pool(subnet: str, **fields: object) -> pb.NetworkDefinition:
    return network(ipam=pb.Ipam(config=[pb.IpamConfig(subnet=subnet, **fields)]))  # type: ignore[arg-type]  # any field


@pytest.mark.parametrize(
    ("definition", "field"),
    [
        (network(driver="bridge", name="x", driver_opts={"a": "b"}), None),
        (network(external=True, name="x"), None),
        (pool("172.28.0.0/16", ip_range="172.28.5.0/24", gateway="172.28.0.1"), None),
        (pool("fd00::/64", gateway="fd00::1", aux_addresses={"a": "fd00::2"}), None),
        (network(driver="a b"), "driver"),
        (network(name="a/b"), "name"),
        (network(external=True, driver="bridge"), "external"),
        (network(ipam=pb.Ipam(driver="a b")), "ipam.driver"),
        (pool("172.28.0.1/16"), "ipam.config[0].subnet"),
        (pool(""), "ipam.config[0].subnet"),
        (pool("172.28.0.0/16", ip_range="172.29.5.0/24"), "ipam.config[0].ip_range"),
        (pool("172.28.0.0/16", ip_range="fd00::/64"), "ipam.config[0].ip_range"),
        (pool("172.28.0.0/16", ip_range="x"), "ipam.config[0].ip_range"),
        (pool("172.28.0.0/16", gateway="172.29.0.1"), "ipam.config[0].gateway"),
        (pool("172.28.0.0/16", gateway="fd00::1"), "ipam.config[0].gateway"),
        (pool("172.28.0.0/16", aux_addresses={"a": "x"}), "ipam.config[0].aux_addresses.a"),
    ],
)
def test_a_network_is_one_that_docker_can_make(definition: pb.NetworkDefinition, field: str | None) -> None:
    service = pb.Service(metadata=pb.Metadata(name="web"), spec=pb.ServiceSpec(image="web:1"))
    service.spec.networks["n"].definition.CopyFrom(definition)
    fill_in(service.spec)
    expected = [] if field is None else [f"spec.networks.n.definition.{field}"]
    assert [violation.field for violation in violations(service)] == expected


@pytest.mark.parametrize(
    ("definition", "source", "field"),
    [
        (pb.VolumeDefinition(driver="local", driver_opts={"type": "nfs"}, name="x"), "v", None),
        (pb.VolumeDefinition(external=True), "v", None),
        (pb.VolumeDefinition(driver="a b"), "v", "definition.driver"),
        (pb.VolumeDefinition(name="/x"), "v", "definition.name"),
        (pb.VolumeDefinition(external=True, labels={"a": "b"}), "v", "definition.external"),
        (pb.VolumeDefinition(), "", "definition"),
    ],
)
def test_a_volume_is_one_that_docker_can_make(definition: pb.VolumeDefinition, source: str, field: str | None) -> None:
    spec = pb.ServiceSpec(image="web:1", volumes=[pb.Mount(source=source, target="/v", definition=definition)])
    fill_in(spec)
    found = violations(pb.Service(metadata=pb.Metadata(name="web"), spec=spec))
    assert [violation.field for violation in found] == ([] if field is None else [f"spec.volumes[0].{field}"])


def test_what_is_in_a_secret_is_in_no_violation() -> None:
    spec = pb.ServiceSpec(image="web:1", secrets=[pb.Secret(source="a b", content=b"hush" * 200_000)])
    fill_in(spec)
    found = violations(pb.Service(metadata=pb.Metadata(name="web"), spec=spec))
    assert [violation.field for violation in found] == ["spec.secrets[0].source", "spec.secrets[0].content"]
    assert "hush" not in str(found)


def test_no_default_network_is_filled_in_without_a_network_of_its_own() -> None:
    spec = pb.ServiceSpec(image="web:1")
    fill_in(spec)
    assert [*spec.networks] == ["default"]
    spec.network_mode = "host"
    fill_in(spec)
    assert not spec.networks


def test_defaults_fill_in_nothing_of_what_earlier_services_left_out() -> None:
    """What is hashed into a revision stays as it was: else an upgrade replaces all containers."""
    spec = pb.ServiceSpec(image="web:1", ports=[pb.Port(target=80)], volumes=[pb.Mount(target="/d")])
    fill_in(spec)
    assert {field.name for field, _ in spec.ListFields()} == {
        "image", "replicas", "ports", "restart", "stop_grace_period", "pull_policy", "networks", "volumes",
    }  # fmt: skip
    assert spec.ports[0] == pb.Port(target=80, protocol="tcp")
    assert spec.volumes[0] == pb.Mount(type="volume", target="/d")
