"""A service with every field set, in the file and as a message."""

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from proto.dockrunner import v1 as pb

SECRET = "hush"  # noqa: S105  # what is in the file that the secret is taken from
TEXT = """
[services.web]
image = "nginx:1.27"
replicas = 0
command = ["a", "b c"]
entrypoint = ["/bin/sh"]
environment = { A = "b" }
ports = [{ target = 80, published = "8080", host_ip = "127.0.0.1", protocol = "udp" }]
labels = { "com.example/x" = "y" }
user = "1000:1000"
working_dir = "/srv"
restart = "on-failure:3"
stop_signal = "SIGINT"
stop_grace_period = { seconds = 3 }
pull_policy = "digest"
networks = { front = { aliases = ["w"], ipv4_address = "172.28.0.9", ipv6_address = "fd00::9" }, default = {} }
restarted_at = 2026-01-31T04:00:00+01:00
hostname = "web-{slot}"
init = false
read_only = true
tmpfs = ["/run:size=64m"]
cap_add = ["NET_ADMIN"]
cap_drop = ["ALL"]
security_opt = ["no-new-privileges:true"]
privileged = true
devices = [{ source = "/dev/a", target = "/dev/b", permissions = "r" }]
gpus = [{ driver = "nvidia", count = 2, device_ids = ["0"], capabilities = ["gpu"], options = { a = "b" } }]
group_add = ["video"]
ulimits = { nofile = { soft = 1, hard = 2 } }
sysctls = { "net.core.somaxconn" = "1" }
shm_size = 1
extra_hosts = ["a=10.0.0.1"]
dns = ["10.0.0.1"]
dns_search = ["example.org"]
logging = { driver = "local", options = { max-size = "1m" } }
platform = "linux/arm64"
depends_on = { db = { condition = "service_healthy", required = false, restart = true } }
secrets = [{ source = "key", target = "k", uid = "1", gid = "2", mode = 0o440, version = "v1" }]
configs = [{ source = "conf", target = "/etc/c", uid = "1", gid = "2", mode = 0o444 }]
cpus = 0.5
mem_limit = 9
mem_reservation = 8
pids_limit = 7
network_mode = "none"
image_check = "1h"
image_digest = "sha256:00"
schedule = "@daily"
time_zone = "Europe/Berlin"
concurrency_policy = "allow"
successful_history_limit = 0
failed_history_limit = 2
starting_deadline = "2m"
paused = true
rollback = { parallelism = 2 }
restart_backoff = { min = "1s", max = "2s", reset = "3s" }
autoscale = { min = 1, max = 2, cpu = 70, scale_down_window = "1s", scale_up_window = "2s" }

[services.web.healthcheck]
test = ["CMD", "x"]
interval = "1s"
timeout = "2s"
retries = 3
start_period = "4s"
start_interval = "5s"
disable = true

[services.web.update]
parallelism = 0
delay = "1s"
order = "stop-first"
failure_action = "rollback"
monitor = "2s"
max_failure_ratio = 0.5
deadline = "3s"

[[services.web.volumes]]
type = "volume"
source = "data"
target = "/data"
read_only = true
bind = { propagation = "rslave" }
volume = { nocopy = true }
tmpfs = { size = 1, mode = 0o1777 }

[networks.front]
driver = "bridge"
driver_opts = { mtu = 1450 }
internal = true
attachable = true
enable_ipv6 = true
labels = { a = "b" }
name = "front"
external = true
[networks.front.ipam]
driver = "default"
[[networks.front.ipam.config]]
subnet = "172.28.0.0/16"
ip_range = "172.28.5.0/24"
gateway = "172.28.0.1"
aux_addresses = { a = "172.28.0.2" }

[volumes.data]
driver = "local"
driver_opts = { type = "nfs" }
labels = ["a=b"]
name = "data"
external = true

[secrets.key]
file = "key"

[configs.conf]
content = "x = 1"
"""


def seconds(number: int) -> Duration:
    return Duration(seconds=number)


EXPECTED = pb.ServiceSpec(
    image="nginx:1.27", replicas=0, command=["a", "b c"], entrypoint=["/bin/sh"], environment={"A": "b"},
    ports=[pb.Port(target=80, published="8080", host_ip="127.0.0.1", protocol="udp")],
    labels={"com.example/x": "y"}, user="1000:1000", working_dir="/srv", restart="on-failure:3",
    stop_signal="SIGINT", stop_grace_period=seconds(3), pull_policy="digest",
    networks={
        "default": pb.NetworkAttachment(),
        "front": pb.NetworkAttachment(
            aliases=["w"], ipv4_address="172.28.0.9", ipv6_address="fd00::9",
            definition=pb.NetworkDefinition(
                driver="bridge", driver_opts={"mtu": "1450"}, internal=True, attachable=True, enable_ipv6=True,
                labels={"a": "b"}, name="front", external=True,
                ipam=pb.Ipam(
                    driver="default",
                    config=[
                        pb.IpamConfig(
                            subnet="172.28.0.0/16", ip_range="172.28.5.0/24", gateway="172.28.0.1",
                            aux_addresses={"a": "172.28.0.2"},
                        )
                    ],
                ),
            ),
        ),
    },
    volumes=[
        pb.Mount(
            type="volume", source="data", target="/data", read_only=True, bind=pb.BindOptions(propagation="rslave"),
            volume=pb.VolumeOptions(nocopy=True), tmpfs=pb.TmpfsOptions(size=1, mode=0o1777),
            definition=pb.VolumeDefinition(
                driver="local", driver_opts={"type": "nfs"}, labels={"a": "b"}, name="data", external=True
            ),
        )
    ],
    restarted_at=Timestamp(seconds=1769828400), hostname="web-{slot}", init=False, read_only=True,
    tmpfs=["/run:size=64m"], cap_add=["NET_ADMIN"], cap_drop=["ALL"], security_opt=["no-new-privileges:true"],
    privileged=True, devices=[pb.Device(source="/dev/a", target="/dev/b", permissions="r")],
    gpus=[pb.Gpu(driver="nvidia", count=2, device_ids=["0"], capabilities=["gpu"], options={"a": "b"})],
    group_add=["video"], ulimits={"nofile": pb.Ulimit(soft=1, hard=2)}, sysctls={"net.core.somaxconn": "1"},
    shm_size=1, extra_hosts=["a=10.0.0.1"], dns=["10.0.0.1"], dns_search=["example.org"],
    logging=pb.Logging(driver="local", options={"max-size": "1m"}),
    healthcheck=pb.HealthCheck(
        test=["CMD", "x"], interval=seconds(1), timeout=seconds(2), retries=3, start_period=seconds(4),
        start_interval=seconds(5), disable=True,
    ),
    platform="linux/arm64",
    depends_on={"db": pb.Dependency(condition="service_healthy", required=False, restart=True)},
    secrets=[pb.Secret(source="key", target="k", uid="1", gid="2", mode=0o440, version="v1", content=SECRET.encode())],
    configs=[pb.Config(source="conf", target="/etc/c", uid="1", gid="2", mode=0o444, content=b"x = 1")],
    cpus=0.5, mem_limit=9, mem_reservation=8, pids_limit=7, network_mode="none",
    update=pb.UpdateConfig(
        parallelism=0, delay=seconds(1), order="stop-first", failure_action="rollback", monitor=seconds(2),
        max_failure_ratio=0.5, deadline=seconds(3),
    ),
    rollback=pb.UpdateConfig(parallelism=2),
    restart_backoff=pb.RestartBackoff(min=seconds(1), max=seconds(2), reset=seconds(3)),
    autoscale=pb.Autoscale(min=1, max=2, cpu=70, scale_down_window=seconds(1), scale_up_window=seconds(2)),
    image_check=seconds(3600), image_digest="sha256:00", schedule="@daily", time_zone="Europe/Berlin",
    concurrency_policy="allow", successful_history_limit=0, failed_history_limit=2, starting_deadline=seconds(120),
    paused=True,
)  # fmt: skip
