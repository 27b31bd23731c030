"""The HTTP side, by a real client."""

import asyncio
import signal
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import pytest

from controller.errors import StartError
from controller.metrics import Metrics
from controller.probes import Check, Probes


@dataclass(frozen=True)
class Answer:
    status: int
    text: str
    content_type: str


async def get(probes: Probes, path: str, **headers: str) -> Answer:
    host, port = probes.address
    request = urllib.request.Request(f"http://{host}:{port}{path}", headers=headers)

    def fetch() -> Answer:
        try:
            with urllib.request.urlopen(request, timeout=5) as response:  # noqa: S310 - our own server
                return Answer(response.status, response.read().decode(), response.headers["content-type"])
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.read().decode(), error.headers["content-type"])

    return await asyncio.to_thread(fetch)


@pytest.fixture
def reasons() -> dict[str, str | None]:
    return {"journal": None, "engine": None}


@pytest.fixture
async def probes(reasons: dict[str, str | None]) -> AsyncIterator[Probes]:
    checks: Mapping[str, Check] = {name: (lambda name=name: reasons[name]) for name in reasons}  # type: ignore[misc]  # mypy cannot infer a lambda's default
    probes = Probes(("127.0.0.1", 0), Metrics(), checks)
    await probes.start()
    yield probes
    await probes.stop()


async def test_ready_while_every_check_is_well(probes: Probes, reasons: dict[str, str | None]) -> None:
    answer = await get(probes, "/readyz")
    assert (answer.status, answer.text) == (200, "ok\n")
    reasons["engine"] = "does not answer"
    answer = await get(probes, "/readyz")
    assert answer.status == 503
    reasons["engine"] = None
    assert (await get(probes, "/readyz")).status == 200


async def test_verbose_lists_each_check_as_kubernetes_does(probes: Probes, reasons: dict[str, str | None]) -> None:
    assert (await get(probes, "/readyz?verbose")).text == "[+]journal ok\n[+]engine ok\nreadyz check passed\n"
    reasons["engine"] = "does not answer"
    answer = await get(probes, "/readyz?verbose")
    assert answer.status == 503
    assert answer.text == "[+]journal ok\n[-]engine failed: does not answer\nreadyz check failed\n"


async def test_alive_whatever_the_checks_say(probes: Probes, reasons: dict[str, str | None]) -> None:
    reasons["engine"] = "does not answer"
    answer = await get(probes, "/healthz")
    assert (answer.status, answer.text) == (200, "ok\n")


async def test_metrics_in_the_format_that_is_asked_for(probes: Probes) -> None:
    plain = await get(probes, "/metrics")
    assert plain.status == 200
    assert plain.content_type.startswith("text/plain; version=")
    assert 'dock_runner_build_info{version="0.1.0"} 1.0' in plain.text
    openmetrics = await get(probes, "/metrics", accept="application/openmetrics-text; version=1.0.0")
    assert openmetrics.content_type.startswith("application/openmetrics-text")
    assert openmetrics.text.endswith("# EOF\n")


async def test_nothing_else_is_there(probes: Probes) -> None:
    assert [(await get(probes, path)).status for path in ("/", "/metrics/x")] == [404, 404]


async def test_an_address_in_use_is_one_clear_line(probes: Probes) -> None:
    second = Probes(probes.address, Metrics(), {})
    with pytest.raises(StartError, match=f"127.0.0.1:{probes.address[1]}: address already in use"):
        await second.start()
    assert (await get(probes, "/healthz")).status == 200


async def test_a_host_that_does_not_exist_is_one_clear_line() -> None:
    with pytest.raises(StartError, match=r"cannot serve metrics on nowhere\.invalid:9"):
        await Probes(("nowhere.invalid", 9), Metrics(), {}).start()


async def test_the_address_is_free_again_after_stop_and_stop_may_be_repeated() -> None:
    first = Probes(("127.0.0.1", 0), Metrics(), {})
    await first.start()
    await get(first, "/healthz")
    await first.stop()
    await first.stop()
    second = Probes(first.address, Metrics(), {})
    await second.start()
    await second.stop()


async def test_signals_stay_the_programs_own() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    probes = Probes(("127.0.0.1", 0), Metrics(), {})
    await probes.start()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    await probes.stop()


async def test_an_open_connection_does_not_hold_up_the_end(probes: Probes) -> None:
    _, writer = await asyncio.open_connection(*probes.address)
    writer.write(b"GET /healthz HTTP/1.1\r\n")  # and no more
    await writer.drain()
    async with asyncio.timeout(5):
        await probes.stop()
    writer.close()
