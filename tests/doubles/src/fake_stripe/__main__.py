"""`python -m fake_stripe`: the fake Stripe as a program."""

import argparse
import asyncio
import json
import signal

from fake_stripe.app import DEFAULT_SECRET, Double
from fake_stripe.server import serving


async def _serve(port: int, double: Double) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with serving(double, port=port) as url:
        print(json.dumps({"listening": url}), flush=True)
        await stopped.wait()


def main() -> None:
    """Parses the command line and serves until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="fake_stripe", description="A stand-in for Stripe, for tests and demos.")
    parser.add_argument("--port", type=int, default=0, help="0 means a free one (default)")
    parser.add_argument("--webhook-url", required=True, help="where webhooks are sent")
    parser.add_argument("--webhook-secret", default=DEFAULT_SECRET, help="what webhooks are signed with")
    told = parser.parse_args()
    asyncio.run(_serve(told.port, Double(webhook_url=told.webhook_url, webhook_secret=told.webhook_secret)))


if __name__ == "__main__":
    main()
