"""Constant load on a web server: ``python -m tests.system.load PORT WORKERS``.

Each worker asks again and again over a new connection. A line on standard input is answered by one with the counts so
far, as JSON; the end of the input ends the program.
"""

import asyncio
import json
import sys
from collections import Counter

PAUSE = 0.004  # seconds between two requests of a worker
PATIENCE = 10.0  # seconds that an answer may take


class Load:
    """Counts answers, and what went wrong by its words."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.requests = 0
        self.failures: Counter[str] = Counter()

    async def work(self) -> None:
        """Asks until cancelled."""
        while True:
            try:
                async with asyncio.timeout(PATIENCE):
                    await self._ask()
            except (OSError, TimeoutError, ValueError) as error:
                self.failures[f"{type(error).__name__}: {error}"] += 1
            self.requests += 1
            await asyncio.sleep(PAUSE)

    async def _ask(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(b"GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n")
            answer = await reader.read()
        finally:
            writer.close()
        status, _, rest = answer.partition(b"\r\n")
        if status.split()[1:2] != [b"200"] or not rest.endswith(b"hello\n"):
            raise ValueError(f"answered {answer[:200]!r}")


async def main(port: int, workers: int) -> None:
    load = Load(port)
    loop = asyncio.get_running_loop()
    tasks = [asyncio.create_task(load.work()) for _ in range(workers)]
    while await loop.run_in_executor(None, sys.stdin.readline):
        sys.stdout.write(json.dumps({"requests": load.requests, "failures": load.failures}) + "\n")
        sys.stdout.flush()
    for task in tasks:
        task.cancel()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
