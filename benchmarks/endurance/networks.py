"""How the hosts of a fleet reach their engine, and are cut off from it: each in a network namespace of its own where the system allows it, else through a proxy.

A namespace belongs to the processes in it. So nothing is left behind: the kernel takes down the links and the bridge when the last process of a namespace has ended, however it ended.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final, NamedTuple, Protocol

from tests.servers.fault_proxy import Fault, FaultProxy, fault_proxy
from tests.servers.process import HOST

_CLONE_NEWNET: Final = 0x40000000
_BRIDGE: Final = "fleet"
_ENGINE: Final = "10.77.0.1"
_ANY: Final = "0.0.0.0"


class Network(Protocol):
    """What stands between the hosts and an engine."""

    address: str
    """Where the hosts find the engine."""
    port: int
    has_namespaces: bool
    """Each host calls :func:`enter_new_namespace` before anything else."""

    def join(self, host: int, pid: int) -> None:
        """Link this host's process, in the namespace that it has entered. The process of its earlier life is no longer cut or healed."""

    def cut(self) -> None:
        """From now on nothing passes, and no one is told."""

    def heal(self) -> None:
        """Let everything pass again."""


class NetworkKind(NamedTuple):
    """A kind of network.

    :param name: for the report.
    :param listen: the address on which the engine has to listen.
    :param to: the network between hosts and the engine at this port, for a block.
    """

    name: str
    listen: str
    to: Callable[[int], AbstractContextManager[Network]]


def network_kind() -> NetworkKind:
    """The kind that this system allows. A process asks once, before it has a thread: it may have entered a namespace afterwards."""
    if _can_make_namespaces():
        return NetworkKind("a network namespace for each host, links taken down", _ANY, _namespaces)
    return PROXY


def enter_new_namespace() -> None:
    """From now on this thread, its threads and its processes have a network of their own. Raises OSError."""
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "cannot make a network namespace")


def _can_make_namespaces() -> bool:
    if sys.platform != "linux" or os.geteuid() != 0 or not all(map(shutil.which, ("ip", "nsenter"))):
        return False
    try:
        enter_new_namespace()
    except OSError:
        return False
    _ip("link set lo up")
    try:
        _ip(f"link add {_BRIDGE} type bridge", "link add probe type veth", "link del probe")
    except subprocess.CalledProcessError:
        return False
    _ip(f"link set {_BRIDGE} address {_mac(1)} up", f"addr add {_ENGINE}/16 dev {_BRIDGE}")
    return True


class _Namespaces:
    """A pair of veth devices for each host, its end here on one bridge."""

    has_namespaces = True
    address = _ENGINE

    def __init__(self, port: int) -> None:
        self.port = port
        self._links: dict[int, str] = {}
        self._state = "up"

    def join(self, host: int, pid: int) -> None:
        link, number = f"of{pid}", host + 2
        address = f"10.77.{number >> 8}.{number & 255}"
        _ip(f"link add {link} type veth peer name eth0 address {_mac(number)} netns {pid}")
        # Known for good: a system that has to ask who has an address says within seconds that there is no route.
        _ip(f"neigh replace {address} lladdr {_mac(number)} nud permanent dev {_BRIDGE}")
        _ip(
            "link set lo up",
            "link set eth0 up",
            f"addr add {address}/16 dev eth0",
            f"neigh replace {_ENGINE} lladdr {_mac(1)} nud permanent dev eth0",
            pid=pid,
        )
        self._links[host] = link  # that of an earlier life goes with its process
        _ip(f"link set {link} master {_BRIDGE} {self._state}")

    def cut(self) -> None:
        self._set("down")

    def heal(self) -> None:
        self._set("up")

    def _set(self, state: str) -> None:
        self._state = state
        _ip(*(f"link set {link} {state}" for link in self._links.values()))


@contextmanager
def _namespaces(port: int) -> Iterator[Network]:
    yield _Namespaces(port)


class _Proxy:
    """One network for all, and a proxy that swallows what comes."""

    has_namespaces = False
    address = HOST

    def __init__(self, proxy: FaultProxy) -> None:
        self._proxy = proxy
        self.port = proxy.port

    def join(self, host: int, pid: int) -> None:
        pass

    def cut(self) -> None:
        self._proxy.set(Fault.BLACKHOLE)

    def heal(self) -> None:
        self._proxy.set(Fault.RESET)
        self._proxy.heal()


@contextmanager
def _proxy(port: int) -> Iterator[Network]:
    with fault_proxy(port) as proxy:
        yield _Proxy(proxy)


PROXY: Final = NetworkKind("one network, cut by a proxy", HOST, _proxy)


def _mac(number: int) -> str:
    return f"02:00:00:00:{number >> 8:02x}:{number & 255:02x}"


def _ip(*lines: str, pid: int | None = None) -> None:
    inside = [] if pid is None else ["nsenter", "--target", str(pid), "--net"]
    subprocess.run([*inside, "ip", "-batch", "-"], input="\n".join(lines), text=True, check=True, capture_output=True)
