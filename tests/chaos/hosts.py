"""Three hosts on one machine: network namespaces, joined by cables that can be pulled.

Owns the network and the processes in it; knows no job.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_ENDED_SECONDS = 20


class Host:
    """A network namespace with a host name of its own."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.namespace = f"nst-{os.getpid()}-{name}"
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(
        self, command: list[str], *, env: dict[str, str], log: Path, cwd: Path | None = None
    ) -> subprocess.Popen[bytes]:
        """Run a process on this host until the host goes."""
        own_name = ["unshare", "--uts", "sh", "-c", 'hostname "$0"; exec "$@"', self.name]
        with log.open("ab") as out:
            process = subprocess.Popen(
                ["ip", "netns", "exec", self.namespace, *own_name, *command],
                env=env,
                cwd=cwd,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self._processes.append(process)
        return process

    def ip(self, *arguments: str) -> None:
        """Change something of this host's network."""
        _ip("-n", self.namespace, *arguments)

    def stop(self) -> None:
        """End every process of this host, the last first, and the host."""
        for process in reversed(self._processes):
            end(process)
        subprocess.run(["ip", "netns", "delete", self.namespace], check=False, capture_output=True)


class Network:
    """A hub and the hosts around it, each on a cable of its own."""

    def __init__(self, hub: Host, others: list[Host]) -> None:
        self.hub = hub
        self.others = {host.name: host for host in others}

    def cut(self, name: str) -> None:
        """Pull a host's cable: whatever either end sends is lost without a word."""
        self.hub.ip("link", "set", f"to-{name}", "down")

    def heal(self, name: str) -> None:
        """Put the cable back."""
        self.hub.ip("link", "set", f"to-{name}", "up")

    def hub_address(self, name: str) -> str:
        """Return where a host finds the hub."""
        return f"10.200.{[*self.others].index(name) + 1}.1"


@contextmanager
def network(*names: str) -> Iterator[Network]:
    """Give a hub and the named hosts; skip where no namespace may be made."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or not shutil.which("ip"):
        pytest.skip("network namespaces need root and the command `ip`")
    hosts = [Host(name) for name in ("hub", *names)]
    hub, *others = hosts
    try:
        for host in hosts:
            _make(host)
        for number, host in enumerate(others, start=1):
            _connect(hub, host, number)
        yield Network(hub, others)
    finally:
        for host in reversed(hosts):
            host.stop()


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to end; with its group, if it does not."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_ENDED_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _make(host: Host) -> None:
    made = subprocess.run(
        ["ip", "netns", "add", host.namespace], check=False, capture_output=True, text=True
    )
    if made.returncode:
        pytest.skip(f"network namespaces may not be made here: {made.stderr.strip()}")
    host.ip("link", "set", "lo", "up")


def _connect(hub: Host, host: Host, number: int) -> None:
    own_end = ["peer", "name", "to-hub", "netns", host.namespace]
    hub.ip("link", "add", f"to-{host.name}", "type", "veth", *own_end)
    for end_of, link, address in ((hub, f"to-{host.name}", 1), (host, "to-hub", 2)):
        end_of.ip("address", "add", f"10.200.{number}.{address}/30", "dev", link)
        end_of.ip("link", "set", link, "up")


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)
