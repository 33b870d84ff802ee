"""nkeys and JWTs as ``nsc`` makes them: an operator that signs an account, which signs a user (NATS's decentralized log-in)."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from nacl.signing import SigningKey

_PREFIXES = {"operator": 14 << 3, "account": 0, "user": 20 << 3}
_SEED = 18 << 3
_NO_LIMITS = dict.fromkeys(("subs", "data", "payload"), -1)
_OF_ACCOUNT = dict.fromkeys(("imports", "exports", "conn", "leaf"), -1)
_JETSTREAM = dict.fromkeys(("mem_storage", "disk_storage", "streams", "consumer"), -1)


class NKey:
    """A new key of an ``operator``, an ``account`` or a ``user``."""

    def __init__(self, kind: str) -> None:
        self._kind, self._key = kind, SigningKey.generate()

    @property
    def public(self) -> str:
        return _encoded(bytes((_PREFIXES[self._kind],)) + bytes(self._key.verify_key))

    @property
    def seed(self) -> str:
        prefix = _PREFIXES[self._kind]
        return _encoded(bytes((_SEED | prefix >> 5, (prefix & 31) << 3)) + bytes(self._key))

    def jwt_for(self, subject: NKey, *, jetstream: bool = False) -> str:
        """What this key says of another one, signed."""
        claims: dict[str, Any] = {"type": subject._kind, "version": 2}
        if subject._kind == "user":
            claims |= {"pub": {}, "sub": {}, **_NO_LIMITS}
        if subject._kind == "account":
            claims["limits"] = {**_NO_LIMITS, **_OF_ACCOUNT, **(_JETSTREAM if jetstream else {}), "wildcards": True}
        said = {"jti": "x", "iat": 1, "iss": self.public, "sub": subject.public, "name": "chest", "nats": claims}
        text = f"{_part({'typ': 'JWT', 'alg': 'ed25519-nkey'})}.{_part(said)}"
        return f"{text}.{_base64(self._key.sign(text.encode()).signature)}"


def credentials_of(jwt: str, user: NKey) -> str:
    """The text of a file of credentials."""
    return (
        f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
        f"************************* IMPORTANT *************************\nNKEYs are sensitive.\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user.seed}\n------END USER NKEY SEED------\n"
    )


def _encoded(raw: bytes) -> str:
    return base64.b32encode(raw + binascii.crc_hqx(raw, 0).to_bytes(2, "little")).decode().rstrip("=")


def _part(value: dict[str, Any]) -> str:
    return _base64(json.dumps(value).encode())


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
