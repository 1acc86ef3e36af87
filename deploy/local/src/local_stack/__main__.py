"""``python -m local_stack``: starts the whole system, drives the journey, prints where to look, and stays up.

Exit codes: 0 if every step held; 1 if a step didn't hold or a process failed; 2 for wrong usage; 128 + n if signal n
stopped it before the verdict.
"""

import argparse
import os
import signal
import sys
import threading
from types import FrameType
from typing import NoReturn

from headrace.embedded_postgres import EmbeddedPostgresError
from local_stack.journey import journey
from local_stack.output import addresses
from local_stack.output.report import Report
from local_stack.stack.ports import PortError
from local_stack.stack.process import ProcessError
from local_stack.stack.programs import LISTENERS
from local_stack.stack.system import Options, System


class SignalledError(Exception):
    """A signal asked the process to stop."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number


def main() -> int:
    """Reads the command line, runs, and returns the exit code."""
    given = _parse()
    report = Report()
    _raise_on_signals()
    system = System(
        Options(ports=given.ports, jaeger=not given.no_jaeger, stripe_secret_key=os.environ.get("STRIPE_SECRET_KEY")),
        on_ready=report.done,
        on_death=report.trouble,
    )
    code = 1
    try:
        code = _run(report, system, stay_up=not given.once)
    except (ProcessError, PortError, EmbeddedPostgresError) as error:
        report.trouble(str(error))
        system.keep_logs()
    except SignalledError as signalled:
        report.trouble(str(signalled))
        code = 128 + signalled.number
    finally:
        with report.waiting("stopping every process …"):
            system.stop()
    report.verdict(held=code == 0)
    return code


def _run(report: Report, system: System, *, stay_up: bool) -> int:
    report.heading("Starting every part as a process")
    with report.waiting("starting …"):
        system.start()
    held = journey.walk(report, system)
    if not held:
        system.keep_logs()
        report.trouble(f"The logs of all processes are kept in {system.logs}")
    if stay_up:
        addresses.print_addresses(report, system)
        report.verdict(held=held)
        report.console.print("Everything stays up until Ctrl-C.")
        try:
            threading.Event().wait()
        except SignalledError:
            report.console.print("\nStopping every process …")
    return 0 if held else 1


def _raise_on_signals() -> None:
    """Makes the first signal an exception in the main thread. The second one ends the process at once.

    The guardian makes sure that nothing is left behind in either case.
    """
    signalled = False

    def handle(number: int, _frame: FrameType | None) -> NoReturn:
        nonlocal signalled
        if signalled:
            os._exit(128 + number)
        signalled = True
        raise SignalledError(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, handle)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m local_stack",
        description="Starts the whole system on embedded parts, drives the main journey, and stays up until Ctrl-C.",
        epilog=f"Listeners: {', '.join(LISTENERS)}. Settings of the programs are taken from the environment.",
    )
    parser.add_argument("--once", action="store_true", help="exit with the journey's verdict")
    parser.add_argument("--no-jaeger", action="store_true", help="don't start Jaeger, even if it is installed")
    parser.add_argument(
        "--ports",
        type=_ports,
        default=os.environ.get("LOCAL_PORTS", ""),
        metavar="NAME=PORT,…",
        help="ports for listeners, instead of free ones (default: LOCAL_PORTS of the environment)",
    )
    return parser.parse_args()


def _ports(text: str) -> dict[str, int]:
    ports = {}
    for item in filter(None, text.split(",")):
        name, _, port = item.strip().partition("=")
        if name not in LISTENERS or not port.isdecimal() or not 0 < int(port) < 65536:
            raise argparse.ArgumentTypeError(f"{item!r}: expected NAME=PORT, with a name of {', '.join(LISTENERS)}")
        ports[name] = int(port)
    return ports


if __name__ == "__main__":
    sys.exit(main())
