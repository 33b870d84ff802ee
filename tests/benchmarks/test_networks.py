"""The networks of a fleet: what a cut does, and that nothing of it is left."""

from __future__ import annotations

import socket

import pytest

from benchmarks.endurance.networks import PROXY
from tests.processes import run_python

_IN_NAMESPACES = """
    import socket, subprocess, sys
    from benchmarks.endurance.networks import enter_new_namespace, network_kind
    from tests.processes import running_python

    HOST = '''
        import socket, sys
        from benchmarks.endurance.networks import enter_new_namespace

        enter_new_namespace()
        print("ready", flush=True)
        for line in sys.stdin:
            try:
                socket.create_connection(("10.77.0.1", int(sys.argv[1])), float(line)).close()
                print("connected", flush=True)
            except OSError as error:
                print(type(error).__name__, flush=True)
    '''

    def can_connect(process, seconds):
        process.stdin.write(f"{seconds}\\n")
        process.stdin.flush()
        return process.stdout.readline().strip()

    kind = network_kind()
    if kind.listen != "0.0.0.0":
        sys.exit("none")
    with socket.create_server((kind.listen, 0)) as engine:
        port = engine.getsockname()[1]
        with running_python(HOST, port) as first, running_python(HOST, port) as second, kind.to(port) as network:
            assert first.stdout.readline() == second.stdout.readline() == "ready\\n"
            network.join(0, first.pid)
            print(can_connect(first, 60))
            network.cut()
            network.join(0, second.pid)
            print(can_connect(first, 0.5), can_connect(second, 0.5))
            first.kill()
            first.wait()
            network.heal()
            print(can_connect(second, 60))
"""


def _devices() -> set[str]:
    return {name for _, name in socket.if_nameindex()}


def test_a_host_in_a_namespace_hears_nothing_while_it_is_cut_off_and_nothing_is_left_of_its_network() -> None:
    before = _devices()
    try:
        found = run_python(_IN_NAMESPACES)
    except AssertionError as error:
        if str(error).endswith("none"):
            pytest.skip("no network namespaces here: they need root, ip and nsenter")
        raise
    assert found.splitlines() == ["connected", "TimeoutError TimeoutError", "connected"]
    assert _devices() == before


def test_a_proxy_swallows_what_comes_while_its_network_is_cut() -> None:
    with socket.create_server(("127.0.0.1", 0)) as engine, PROXY.to(engine.getsockname()[1]) as network:
        network.cut()
        with socket.create_connection((network.address, network.port)) as host:
            host.sendall(b"hello")
            taken, _ = engine.accept()
            with taken:
                taken.settimeout(0.2)
                with pytest.raises(TimeoutError):
                    taken.recv(5)
                network.heal()
                with pytest.raises(ConnectionResetError):
                    host.recv(1)
