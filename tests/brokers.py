"""Message brokers of the tests' own: real servers from Debian's packages, on loopback, each in a folder of its own.

Where a server is not installed its tests are skipped, and say so; `.ci/run` installs all of them and sets
REQUIRE_SERVERS, with which a missing one is a failure.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

#: Seconds for a server to answer; RabbitMQ takes ten on an idle machine.
PATIENCE = 120.0

RABBIT = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def program(name: str) -> str:
    """The path of an installed server; its package has its name."""
    found = str(RABBIT) if name == "rabbitmq-server" and RABBIT.exists() else shutil.which(name, path=_PATH)
    if found is None:
        reason = f"{name} is not installed: apt-get install {name}"
        if os.environ.get("REQUIRE_SERVERS"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))


class Broker:
    """A server on a port. It may be killed and started again on what it has on disk."""

    def __init__(self, folder: Path, port: int, command: Sequence[str], **variables: str) -> None:
        self.port = port
        self._folder = folder
        self._command = command
        self._variables: Mapping[str, str] = variables
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Broker":
        """Start it, and wait until it takes connections."""
        with (self._folder / "server.log").open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env={"PATH": _PATH, "HOME": str(self._folder)} | self._variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return self
            time.sleep(0.02)
        self.kill()
        raise AssertionError((self._folder / "server.log").read_text(errors="replace")[-2000:])

    def kill(self) -> None:
        """Kill it, as the kernel does when memory is out."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def nats(folder: Path) -> Broker:
    port = free_port()
    options = ("-js", "-sd", str(folder), "-a", "127.0.0.1", "-p", str(port))
    return Broker(folder, port, [program("nats-server"), *options])


def redis(folder: Path) -> Broker:
    port = free_port()
    options = ("--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "")
    return Broker(folder, port, [program("redis-server"), *options, "--appendonly", "yes", "--appendfsync", "always"])


def rabbit(folder: Path) -> tuple[Broker, Broker]:
    """RabbitMQ, and before it the name server of Erlang that it needs, on a port of its own: to be started in turn."""
    port, names = free_port(), free_port()
    command = program("rabbitmq-server")
    (folder / "rabbitmq.conf").write_text(
        f"listeners.tcp.default = 127.0.0.1:{port}\n"
        "log.console = true\nlog.console.level = warning\nlog.file = false\n"
        "vm_memory_high_watermark.absolute = 256MB\ndisk_free_limit.absolute = 1MB\n"
    )
    variables = {
        "ERL_EPMD_PORT": str(names),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_CONF_ENV_FILE": os.devnull,
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_FEATURE_FLAGS_FILE": str(folder / "flags"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_NODENAME": "test@localhost",
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_PLUGINS_EXPAND_DIR": str(folder / "expanded"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none",
    }
    server = Broker(folder, port, [command], **variables)
    return Broker(folder, names, [program("epmd"), "-port", str(names), "-address", "127.0.0.1"]), server
