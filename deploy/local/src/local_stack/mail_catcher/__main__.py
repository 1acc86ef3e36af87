"""``python -m local_stack.mail_catcher``: the catcher as a program. Logs one "listening" line per listener."""

import argparse
import asyncio
import logging
from functools import partial

import structlog

from headrace.chassis.http.server import HttpServer
from headrace.chassis.lifecycle import run_until_signal
from headrace.chassis.telemetry.logs import start_logging
from local_stack.mail_catcher.mailbox import Mailbox
from local_stack.mail_catcher.smtp import serve_smtp
from local_stack.mail_catcher.web import create_app

log = structlog.get_logger()


def main() -> None:
    """Reads the command line and serves until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m local_stack.mail_catcher", description=__doc__)
    parser.add_argument("--smtp-port", type=int, default=1025, help="0 means a free one (default: %(default)s)")
    parser.add_argument("--http-port", type=int, default=8025, help="0 means a free one (default: %(default)s)")
    given = parser.parse_args()
    start_logging()
    logging.getLogger("mail.log").setLevel(logging.WARNING)  # aiosmtpd logs every command
    run_until_signal(partial(serve, smtp_port=given.smtp_port, http_port=given.http_port))


async def serve(stop: asyncio.Event, *, smtp_port: int, http_port: int) -> None:
    """Serves SMTP and HTTP on loopback until the event is set."""
    mailbox = Mailbox()
    smtp = await serve_smtp(mailbox, "127.0.0.1", smtp_port)
    http = HttpServer(create_app(mailbox), f"127.0.0.1:{http_port}")
    await http.start()
    log.info("listening", name="smtp", address=f"127.0.0.1:{smtp.sockets[0].getsockname()[1]}")
    await stop.wait()
    smtp.close()
    # Pages wait up to half a minute for the next email; no more are expected.
    await http.stop(0)


if __name__ == "__main__":
    main()
