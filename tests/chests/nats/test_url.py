"""What the URL of a NATS chest says, and the file of credentials that it names."""

from __future__ import annotations

import base64
import sys
from pathlib import Path

import pytest

from chest.chests.nats.credentials import Credentials
from chest.chests.nats.url import NatsTarget
from chest.chests.store_identity import store_identity
from chest.errors import MissingDependencyError, SettingsError
from tests.servers.nats.nkeys import NKey, credentials_of

SEED = "SUAIBDPBAUTWCWBKIO6XHQNINK5FWJW4OHLXC3HQ2KFE4PEJUA44CNHTC4"
PUBLIC = "UAH42UG6PV552P5SWLWTBP3H3S5BHAVCO2IEKEXUANJXR75J63RQ5WM6"
"""A pair of NATS's: its package nkeys makes the one of the other."""


def test_a_url_says_where_and_as_whom() -> None:
    target = NatsTarget.of("nats://bob:p%40ss@one,two:4333/shop?subject=a.b&replicas=3&max_age_days=7&atomic=1")
    assert target.hosts == (("one", 4222), ("two", 4333))
    assert (target.user, target.password, target.stream, target.subject) == ("bob", "p@ss", "shop", "a.b")
    assert (target.replicas, target.max_age_days, target.is_atomic, target.is_encrypted) == (3, 7, True, False)
    assert target.name == "nats://bob:***@one:4222,two:4333/shop?subject=a.b"


def test_what_is_left_out_has_a_default() -> None:
    target = NatsTarget.of("nats+tls://host")
    assert (target.stream, target.subject, target.hosts) == ("chest", "chest.records", (("host", 4222),))
    assert (target.duplicate_window_seconds, target.replicas, target.max_age_days) == (3600, 1, None)
    assert (target.is_encrypted, target.is_atomic) == (True, False)
    assert target.name == "nats+tls://host:4222/chest"
    assert NatsTarget.of("nats://host/shop").subject == "shop.records"


def test_a_token_is_shown_nowhere() -> None:
    target = NatsTarget.of("nats://t0ken@host/shop")
    assert (target.user, target.password) == ("t0ken", "")
    assert target.name == "nats://***@host:4222/shop"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nats:", "names no stream"),
        ("nats://", "names no stream"),
        ("nats://host/a.b", "names no stream"),
        ("nats://host/a b", "names no stream"),
        ("nats://host:0/shop", "names no stream"),
        ("nats://host:70000/shop", "names no stream"),
        ("nats://a,/shop", "names no stream"),
        ("nats://host/shop#x", "names no stream"),
        ("nats://host/shop?subject=a.*", "without wildcards"),
        ("nats://host/shop?subject=", "without wildcards"),
        ("nats://host/shop?subject=a..b", "without wildcards"),
        ("nats://host/shop?subject=$SYS.x", "without wildcards"),
        ("nats://host/shop?subjekt=a", "Did you mean subject"),
        ("nats://host/shop?replicas=0", "1 to 5"),
        ("nats://host/shop?duplicate_window_seconds=1h", "whole number"),
        ("nats://host/shop?tls_first=1", r"write nats\+tls://"),
        ("nats://host/shop?ca_file=/x", r"write nats\+tls://"),
        ("nats://host/shop?credentials=/no/such/file", "cannot be read: No such file"),
        ("nats://bob:x@host/shop?credentials=/no/such/file", "has a user, too"),
    ],
)
def test_an_invalid_url_is_refused_with_what_to_write(url: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        NatsTarget.of(url)


def test_a_file_with_a_seed_alone_is_an_nkey(tmp_path: Path) -> None:
    file = tmp_path / "seed"
    file.write_text(f"{SEED}\n")
    credentials = Credentials.of_file(str(file))
    assert (credentials.public_key, credentials.jwt) == (PUBLIC, None)
    assert credentials.answer("nonce").keys() == {"nkey", "sig"}


def test_a_file_of_credentials_has_a_jwt_as_well(tmp_path: Path) -> None:
    file = tmp_path / "shop.creds"
    file.write_text(
        f"-----BEGIN NATS USER JWT-----\nabc.def.ghi\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{SEED}\n------END USER NKEY SEED------\n"
    )
    answer = Credentials.of_file(str(file)).answer("nonce")
    assert answer.keys() == {"jwt", "sig"}
    assert answer["jwt"] == "abc.def.ghi"


def test_another_account_behind_the_same_address_is_another_store_and_another_file_of_it_is_not(tmp_path: Path) -> None:
    """Else the spool of one would be delivered into the stream of the other, if both have one directory."""

    def identity(account: NKey) -> str:
        file, user = tmp_path / "shop.creds", NKey("user")
        file.write_text(credentials_of(account.jwt_for(user), user))
        return store_identity(NatsTarget.of(f"nats://host/shop?credentials={file}").name)

    one, other = NKey("account"), NKey("account")
    assert identity(one) == identity(one)
    assert identity(one) != identity(other)
    shop, bank = (store_identity(NatsTarget.of(f"nats://{user}:secret@host/shop").name) for user in ("shop", "bank"))
    assert shop != bank


def test_a_jwt_that_an_account_had_another_key_sign_names_the_account(tmp_path: Path) -> None:
    claims = base64.urlsafe_b64encode(b'{"iss": "AKEY", "nats": {"issuer_account": "AACCOUNT"}}').decode()
    file = tmp_path / "shop.creds"
    file.write_text(credentials_of(f"abc.{claims}.ghi", NKey("user")))
    assert Credentials.of_file(str(file)).account == "AACCOUNT"


@pytest.mark.parametrize("claims", ["def", "e30", "W10", "bnVsbA", "eyJuYXRzIjoxfQ"])
def test_a_jwt_that_names_no_account_leaves_the_user(claims: str, tmp_path: Path) -> None:
    file, user = tmp_path / "shop.creds", NKey("user")
    file.write_text(credentials_of(f"abc.{claims}.ghi", user))
    assert Credentials.of_file(str(file)).account == user.public


@pytest.mark.parametrize("text", ["", "SUX", SEED[:9] + "A" + SEED[10:], SEED.replace("SU", "SA"), "ä"])
def test_a_file_without_a_seed_of_a_user_is_refused_and_not_shown(text: str, tmp_path: Path) -> None:
    file = tmp_path / "seed"
    file.write_text(text)
    with pytest.raises(SettingsError, match=r"no seed of a user|cannot be read") as refusal:
        NatsTarget.of(f"nats://host/shop?credentials={file}")
    assert not text or text not in str(refusal.value)


def test_without_pynacl_credentials_are_refused_at_the_start_and_all_else_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nacl.signing", None)
    assert NatsTarget.of("nats://bob:x@host/shop").user == "bob"
    with pytest.raises(MissingDependencyError, match=r"pip install 'wsgi-chest\[nats\]'"):
        NatsTarget.of(f"nats://host/shop?credentials={tmp_path}")
