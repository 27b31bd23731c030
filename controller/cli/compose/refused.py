"""What a service of compose can say that has no counterpart, and why."""

_NAMESPACE = "each container has a namespace of its own"
_ONLY_CPUS = "use cpus"

REFUSED = {
    "expose": "services reach each other on every port",
    "develop": "it is for development: docker compose watch",
    "external_links": "put the other container's network below [networks] as external",
    "volumes_from": "name the same volumes in both services",
    "ipc": "each container has its own /dev/shm; shm_size sets its size",
    "pid": _NAMESPACE,
    "uts": _NAMESPACE,
    "userns_mode": "user namespaces are set for the whole engine, in daemon.json",
    "cgroup": "the engine's default is used",
    "cgroup_parent": "the engine's default is used, from daemon.json",
    "domainname": "write it as part of hostname",
    "mac_address": "the engine chooses it",
    "runtime": "set the engine's default in daemon.json; for processors there is gpus",
    "isolation": "is for Windows",
    "credential_spec": "is for Windows",
    "cpu_count": "is for Windows; use cpus",
    "cpu_percent": "is for Windows; use cpus",
    "cpu_shares": _ONLY_CPUS,
    "cpu_rt_period": _ONLY_CPUS,
    "cpu_rt_runtime": _ONLY_CPUS,
    "cpuset": _ONLY_CPUS,
    "memswap_limit": "swap is limited with memory; use mem_limit",
    "mem_swappiness": "set vm.swappiness on the host",
    "oom_score_adj": "use mem_reservation",
    "blkio_config": "the disk is not limited",
    "device_cgroup_rules": "name the devices in devices",
    "dns_opt": "the engine's are used",
    "storage_opt": "set it for the engine, in daemon.json",
    "label_file": "write the labels in labels",
    "post_start": "use a healthcheck, or a job that others wait for",
    "pre_stop": "let the process handle stop_signal",
    "provider": "nothing but containers is run",
    "models": "no models are run; run one as a service",
    "use_api_socket": "mount the Docker socket as a volume",
    "log_driver": "is of version 1: use logging",
    "log_opt": "is of version 1: use logging",
    "net": "is of version 1: use network_mode",
    "dockerfile": "is of version 1: use build",
    "volume_driver": "is of version 1: declare the volume below [volumes]",
}

# What is false, or left out, is what there is anyway.
REFUSED_WHEN_TRUE = {
    "tty": "no terminal: the output goes to the log",
    "stdin_open": "nothing is attached to its input",
    "oom_kill_disable": "a container without memory is killed; use mem_limit",
}
