"""Lives histories: one step by step when one seed is given, else many, with the rate and the seeds that fail."""

import asyncio
import logging
import time

import click

from .history import Broken, History


@click.command(help=__doc__)
@click.argument("seed", type=int, required=False)
@click.option("--first", default=0, show_default=True, help="The first seed of many.")
@click.option("--count", default=1000, show_default=True, help="How many.")
def main(seed: int | None, first: int, count: int) -> None:
    if seed is not None:
        logging.basicConfig(level=logging.INFO, format="           %(name)s: %(message)s")
        history = History(seed, click.echo)
        asyncio.run(history.run())
        click.echo(f"history {seed} ends well: {history.digest.hexdigest()[:16]}")
        return
    logging.disable(logging.CRITICAL)
    began, failed = time.monotonic(), 0
    for number in range(first, first + count):
        try:
            asyncio.run(History(number).run())
        except Broken as error:
            failed += 1
            click.echo(f"history {number}: {error}")
    took = time.monotonic() - began
    click.echo(f"{count} histories, {failed} failed, {60 * count / took:.0f} a minute")
    raise SystemExit(failed > 0)


main()
