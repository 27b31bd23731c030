"""What changes in place: limits and the restart policy, in the containers that run."""

from typing import Any

import docker as sdk

from tests.private_engine import IMAGE

from .program import Program, eventually

MEBIBYTE = 1024 * 1024


def declaration(more: str) -> str:
    return f'[services.web]\nimage = "{IMAGE}"\nreplicas = 2\n{more}\n'


def test_limits_and_the_restart_policy_change_in_the_containers_that_run(
    program: Program, docker: sdk.APIClient
) -> None:
    program.declare(declaration('cpus = 0.5\nmem_limit = "64m"\npids_limit = 50'))
    program.start("--config", str(program.config))
    program.until_converged(web=2)
    before = program.ids("web")

    def limits() -> list[tuple[Any, ...]]:
        settings = [docker.inspect_container(it)["HostConfig"] for it in before.values()]
        # 0 and none of the processes' number are one.
        return [
            (it["NanoCpus"], it["Memory"], max(it["PidsLimit"] or 0, 0), it["RestartPolicy"]["Name"]) for it in settings
        ]

    assert limits() == [(500_000_000, 64 * MEBIBYTE, 50, "always")] * 2
    program.declare(declaration('cpus = 1.5\nmem_limit = "96m"\npids_limit = 9\nrestart = "on-failure:3"'))
    eventually(lambda: limits() == [(1_500_000_000, 96 * MEBIBYTE, 9, "on-failure")] * 2)
    program.declare(declaration("cpus = 1.0"))
    eventually(lambda: all(it[2:] == (0, "always") for it in limits()))
    program.until_converged(web=2)
    assert program.ids("web") == before
    assert docker.inspect_container(before[1])["State"]["Running"]
    assert [it.count for it in program.events("Creating")] == [1, 1], "nothing was made anew"
    told = [it.message for it in program.events("Updating")]
    assert any("mem_limit 64 MiB → 96 MiB" in it for it in told)
