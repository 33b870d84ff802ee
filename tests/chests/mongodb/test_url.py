"""What the URL of a MongoDB chest says; nothing is connected to."""

from __future__ import annotations

import socket
from typing import Any

import dns.message
import dns.resolver
import pytest

from chest.chests.mongodb.chest import MongoChest
from chest.chests.mongodb.url import MongoTarget
from chest.chests.registry import open_chest
from chest.errors import SettingsError, UnknownHost
from chest.testing.records import make_record
from tests.servers import HOST, Server


@pytest.mark.parametrize(
    "url", ["mongodb://host/shop", "mongodb+srv://cluster.example.net/shop", "MONGODB://host/shop"]
)
def test_both_schemes_are_known_and_making_a_chest_asks_no_server(url: str) -> None:
    chest = open_chest(url)
    assert isinstance(chest, MongoChest)
    chest.close()


def test_the_chests_own_options_are_not_the_drivers() -> None:
    target = MongoTarget.of(
        "mongodb://me:p%40ss@a:27017,b:27018/shop?collection=requests&w=majority&ttl_days=1.5&index=request_id"
        "&timeout_seconds=3&replicaSet=rs0"
    )
    assert target.url == "mongodb://me:p%40ss@a:27017,b:27018/shop?w=majority&replicaSet=rs0"
    assert target.name == "mongodb://me:***@a:27017,b:27018/shop?collection=requests"
    assert (target.database, target.collection) == ("shop", "requests")
    assert (target.ttl_seconds, target.has_request_id_index, target.timeout_seconds) == (129_600, True, 3.0)
    assert target.without_secrets("p@ss p%40ss") == "*** ***"


@pytest.mark.parametrize(
    ("options", "milliseconds"),
    [
        ("", [3000, 5000, 10_000]),
        ("?timeout_seconds=2", [2000, 2000, 2000]),
        ("?socketTimeoutMS=0&connecttimeoutms=700&serverSelectionTimeoutMS=900", [900, 700, 10_000]),
    ],
)
def test_every_wait_of_the_driver_has_an_end(options: str, milliseconds: list[int]) -> None:
    with MongoTarget.of(f"mongodb://host/shop{options}").new_client() as client:
        pool = client.options.pool_options
        waits = [client.options.server_selection_timeout, pool.connect_timeout, pool.socket_timeout]
        assert waits == [each / 1000 for each in milliseconds]


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("mongodb://host", "names no database"),
        ("mongodb://host/", "names no database"),
        ("mongodb:///shop", "names no database"),
        ("mongodb://host/a.b", "names no database"),
        ("mongodb://host/shop#1", "names no database"),
        ("mongodb://me:hunter2/x@host/shop", "%-code"),
        ("mongodb://me:hunter2?x@host/shop", "%-code"),
        ("mongodb://me:hunter2@x@host/shop", "@ is %40"),
        ("mongodb://host:port/shop", "Port"),
        ("mongodb+srv://a.b.example:27017/shop", "port"),
        ("mongodb+srv://a.b.example,c.d.example/shop", "only one, hostname"),
        ("mongodb://host/shop?ttl_day=3", r"Did you mean ttl_days\?"),
        ("mongodb://host/shop?replicaset_=x", r"Did you mean replicaset\?"),
        ("mongodb://host/shop?nothing_like_it=x", "collection, index, timeout_seconds, ttl_days"),
        ("mongodb://host/shop?w=0", "w=0"),
        ("mongodb://host/shop?journal=perhaps", "journal"),
        ("mongodb://host/shop?connectTimeoutMS=soon", "connecttimeoutms"),
        ("mongodb://me:hunter2@host/shop?authMechanism=HUNCH", "authmechanism"),
        ("mongodb://host/shop?tls=true&tlsCertificateKeyFile=/no/such&tlsCertificateKeyFilePassword=hunter2", "readable|No such file"),
        ("mongodb://host/shop?ttl_days=0", "ttl_days"),
        ("mongodb://host/shop?ttl_days=nan", "ttl_days"),
        ("mongodb://host/shop?ttl_days=99999", "at most 24855"),
        ("mongodb://host/shop?ttl_days=soon", "ttl_days"),
        ("mongodb://host/shop?timeout_seconds=0", "timeout_seconds"),
        ("mongodb://host/shop?timeout_seconds=x", "timeout_seconds"),
        ("mongodb://host/shop?index=path", "index=request_id"),
        ("mongodb://host/shop?collection=$x", "collection"),
        ("mongodb://host/shop?collection=system.users", "collection"),
    ],
)  # fmt: skip
def test_what_is_invalid_is_refused_without_its_secrets(url: str, why: str) -> None:
    with pytest.raises(SettingsError, match=why) as refusal:
        open_chest(url)
    assert "hunter2" not in str(refusal.value)


def test_a_secret_among_the_options_is_one() -> None:
    target = MongoTarget.of(
        "mongodb://host/shop?authMechanism=MONGODB-AWS&authMechanismProperties=AWS_SESSION_TOKEN:hunter2"
    )
    assert "hunter2" not in target.name
    assert target.without_secrets("of hunter2") == "of ***"


class _Answers:
    """A name server for one cluster."""

    def __init__(self, port: int) -> None:
        self._port = port

    def __call__(self, name: Any, kind: Any, *args: Any, **kwargs: Any) -> Any:
        if str(kind) == "TXT":
            raise dns.resolver.NoAnswer
        if "unknown" in str(name):
            raise dns.resolver.NXDOMAIN
        answer = dns.message.from_text(
            f"id 1\nopcode QUERY\nrcode NOERROR\nflags QR\n;QUESTION\n{name}. IN SRV\n;ANSWER\n"
            f"{name}. 60 IN SRV 0 0 {self._port} one.cluster.example.\n"
        )
        return dns.resolver.Answer(dns.name.from_text(f"{name}."), dns.rdatatype.SRV, dns.rdataclass.IN, answer)


def test_the_servers_of_an_srv_url_are_looked_up_when_they_are_needed(
    mongodb: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dns.resolver, "resolve", _Answers(mongodb.port))
    looked_up = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *more, **named: looked_up(HOST if host == "one.cluster.example" else host, *more, **named),
    )
    with MongoChest("mongodb+srv://shop.cluster.example/shop_srv?tls=false") as chest:
        chest.write([make_record()])
        assert len(chest.read()) == 1
    with MongoChest("mongodb+srv://unknown.cluster.example/shop?timeout_seconds=1") as chest:
        for act in (chest.open, chest.check):
            with pytest.raises(UnknownHost):
                act()
