"""Whom a NATS server lets in, and over which kind of connection."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from chest.chests.nats.chest import NatsChest
from chest.errors import ChestUnavailable, LoginRefused, TLSRefused
from tests.processes import run_python
from tests.servers.nats import Nats, nats
from tests.servers.nats.nkeys import NKey, credentials_of
from tests.servers.process import HOST, free_port
from tests.support import make_record

pytestmark = pytest.mark.server

_WRITER = NKey("user")
_MAY_PUBLISH = 'permissions: {publish: ["shop.records"], subscribe: ["_INBOX.>"]}'


@pytest.fixture(scope="module")
def users() -> Iterator[Nats]:
    """A server with an administrator, a user who may only publish, one who may do nothing, and one with an nkey."""
    nothing = 'permissions: {publish: {deny: ">"}}'
    with nats(
        f"""authorization {{ users: [
            {{user: admin, password: pw}},
            {{user: writer, password: pw, {_MAY_PUBLISH}}},
            {{user: nobody, password: pw, {nothing}}},
            {{nkey: {_WRITER.public}}} ] }}"""
    ) as server:
        yield server


def _written_and_checked(url: str) -> None:
    with NatsChest(url) as chest:
        chest.check()
        chest.write([make_record()])
        chest.check()


def test_a_user_who_may_only_publish_is_enough_if_there_is_the_stream(users: Nats) -> None:
    address = f"{HOST}:{users.port}/shop"
    with NatsChest(f"nats://writer:pw@{address}?timeout_seconds=5") as chest:
        with pytest.raises(ChestUnavailable):
            chest.write([make_record()])
        _written_and_checked(f"nats://admin:pw@{address}")
        for _ in range(3):
            chest.write([make_record()])
        chest.check()


def test_a_user_who_may_not_publish_is_told(users: Nats) -> None:
    with NatsChest(f"nats://nobody:pw@{HOST}:{users.port}/shop") as chest:
        chest.check()  # it does not tell: see is_write_checked
        with pytest.raises(LoginRefused, match="Permissions Violation for Publish"):
            chest.write([make_record()])


def test_an_nkey_signs_what_the_server_asks_for(users: Nats, tmp_path: Path) -> None:
    (tmp_path / "seed").write_text(_WRITER.seed)
    _written_and_checked(f"nats://{HOST}:{users.port}/with_nkey?credentials={tmp_path}/seed")
    (tmp_path / "seed").write_text(NKey("user").seed)
    with pytest.raises(LoginRefused):
        _written_and_checked(f"nats://{HOST}:{users.port}/with_nkey?credentials={tmp_path}/seed")


def test_a_file_of_credentials_has_a_jwt_that_an_account_signed(tmp_path: Path) -> None:
    operator, account, system, user = NKey("operator"), NKey("account"), NKey("account"), NKey("user")
    preload = "\n".join(
        f"{each.public}: {operator.jwt_for(each, jetstream=each is account)}" for each in (account, system)
    )
    configuration = f"""
        operator: {operator.jwt_for(operator)}
        system_account: {system.public}
        resolver: MEMORY
        resolver_preload: {{ {preload} }}
    """
    with nats(configuration) as server:
        file = tmp_path / "shop.creds"
        file.write_text(credentials_of(account.jwt_for(user), user))
        _written_and_checked(f"nats://{HOST}:{server.port}/shop?credentials={file}")
        file.write_text(credentials_of(NKey("account").jwt_for(user), user))
        with pytest.raises(LoginRefused):
            _written_and_checked(f"nats://{HOST}:{server.port}/shop?credentials={file}")


def test_a_token_is_a_login_and_shown_nowhere() -> None:
    with nats('authorization { token: "s3cr3t-t0ken" }') as server:
        _written_and_checked(f"nats://s3cr3t-t0ken@{HOST}:{server.port}/shop")
        with NatsChest(f"nats://s3cr3t-t1ken@{HOST}:{server.port}/shop") as chest:
            with pytest.raises(LoginRefused) as refusal:
                chest.check()
            assert "s3cr3t" not in f"{refusal.value!r} {chest!r} {refusal.value.__cause__!r}"


def test_a_server_without_jetstream_is_told(tmp_path: Path) -> None:
    with (
        nats("accounts { A { users: [{user: a, password: pw}] } }") as server,
        pytest.raises(ChestUnavailable, match="JetStream"),
    ):
        _written_and_checked(f"nats://a:pw@{HOST}:{server.port}/shop")


def test_the_next_host_is_taken_if_one_does_not_answer(users: Nats) -> None:
    _written_and_checked(f"nats://admin:pw@{HOST}:{free_port()},{HOST}:{users.port}/hosts")
    with pytest.raises(ChestUnavailable):
        _written_and_checked(f"nats://admin:pw@{HOST}:{free_port()},{HOST}:{free_port()}/hosts")


def test_a_child_has_connections_of_its_own_and_keeps_none_of_its_parents(users: Nats) -> None:
    """Else a server that was restarted would seem to be there to the child's system, and its port be taken."""
    program = """
        import os, sys
        from chest.chests.nats.chest import NatsChest
        from chest.testing.records import make_record
        def sockets():
            found = []
            for each in os.listdir("/proc/self/fd"):
                try:
                    found.append(os.readlink(f"/proc/self/fd/{each}"))
                except OSError:
                    pass
            return sorted(each for each in found if each.startswith("socket:"))
        chest = NatsChest(sys.argv[1])
        chest.write([make_record()])
        before = sockets()
        pid = os.fork()
        if pid == 0:
            chest.write([make_record()])
            os._exit(0 if len(sockets()) == 1 and sockets() != before else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        chest.write([make_record()])
        assert sockets() == before and len(before) == 1
        chest.close()
    """
    run_python(program, f"nats://admin:pw@{HOST}:{users.port}/forked")


# -- encryption ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that is its own authority; with the ending ``.both`` it has its key behind it."""
    path = tmp_path_factory.mktemp("tls") / "server"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
            "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", f"{path}.key", "-out", f"{path}.crt",
        ],
        check=True, capture_output=True, timeout=300,
    )  # fmt: skip
    path.with_suffix(".both").write_text(path.with_suffix(".crt").read_text() + path.with_suffix(".key").read_text())
    return path


@pytest.mark.parametrize("more", ["", "handshake_first: true", "verify: true, ca_file: {}.crt"])
def test_over_tls_with_a_certificate_of_one_s_own(certificate: Path, more: str) -> None:
    tls = f'tls {{ cert_file: "{certificate}.crt", key_file: "{certificate}.key", {more.format(certificate)} }}'
    url = f"nats+tls://{HOST}:{{port}}/shop?ca_file={certificate}.crt&timeout_seconds=20"
    options = {"handshake_first: true": "&tls_first=1", "": ""}.get(more, f"&cert_file={certificate}.both")
    with nats(tls) as server:
        _written_and_checked(url.format(port=server.port) + options)
        if more.startswith("verify"):
            with pytest.raises((TLSRefused, ChestUnavailable)):
                _written_and_checked(url.format(port=server.port))
        if not more:
            with pytest.raises(TLSRefused, match="certificate"):
                _written_and_checked(f"nats+tls://{HOST}:{server.port}/shop")
            with pytest.raises(TLSRefused, match=r"write nats\+tls://"):
                _written_and_checked(f"nats://{HOST}:{server.port}/shop")
            with pytest.raises(TLSRefused, match="cannot be used"):
                _written_and_checked(f"nats+tls://{HOST}:{server.port}/shop?ca_file=/no/such/file")


def test_what_a_server_says_before_it_is_encrypted_is_not_believed(certificate: Path) -> None:
    """Else who stands between could have the client log in before it knows with whom it speaks."""
    import socket
    import ssl
    import threading

    seen: list[bytes] = []

    def serve(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b'INFO {"tls_required": true, "headers": true, "nonce": "x"}\r\nPONG\r\nPONG\r\n')
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(f"{certificate}.both")
                with context.wrap_socket(connection, server_side=True) as encrypted:
                    while piece := encrypted.recv(65536):
                        seen.append(piece)

    with socket.create_server((HOST, 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        url = f"nats+tls://{HOST}:{listener.getsockname()[1]}/shop?ca_file={certificate}.crt&timeout_seconds=2"
        with pytest.raises(ChestUnavailable):
            _written_and_checked(url)
        thread.join(60)
    said = b"".join(seen)
    assert said.startswith(b"CONNECT ")
    assert b"SUB " not in said, "it took the PONG that came before for an answer"
