"""``Credentials``: a user's JWT and nkey of a credentials file, which signs what the server asks for at the log-in.

A file of credentials (``nsc generate creds``) holds a JWT and the seed of an nkey; a file of a seed alone holds an nkey that the
server's configuration names. A seed is an Ed25519 key in base 32, with two bytes before it that say whose it is, and a CRC behind.
"""

from __future__ import annotations

import base64
import binascii
import re
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from chest.errors import MissingDependencyError, SettingsError
from chest.record.encoding import decode

__all__ = ["Credentials"]

_JWT: Final = re.compile(r"-----BEGIN NATS USER JWT-----\s*(\S+)\s*-+END NATS USER JWT")
_SEED: Final = re.compile(r"\bSU[A-Z2-7]{56}\b")
_USER: Final = 20 << 3
_SEED_OF_USER: Final = bytes(((18 << 3) | (_USER >> 5), (_USER & 31) << 3))


class Credentials(NamedTuple):
    """What a user has in the place of a password."""

    jwt: str | None
    """None: the nkey alone is known to the server."""
    key: Any
    """PyNaCl's ``SigningKey``."""

    @classmethod
    def of_file(cls, path: str) -> Self:
        """What the file holds.

        :raises SettingsError: it cannot be read, or holds no seed of a user.
        :raises MissingDependencyError: PyNaCl is not installed.
        """
        try:
            from nacl.signing import SigningKey  # so that only who signs has to install it
        except ImportError as error:
            raise MissingDependencyError(
                "?credentials=: the log-in is signed with the package PyNaCl: pip install 'wsgi-chest[nats]'"
            ) from error
        try:
            text = Path(path).read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not text"
            raise SettingsError(f"?credentials={path}: the file cannot be read: {why}.") from error
        jwt, seed = _JWT.search(text), _SEED.search(text)
        raw = b"" if seed is None else base64.b32decode(seed[0] + "======")
        if not raw.startswith(_SEED_OF_USER) or _crc(raw[:-2]) != raw[-2:]:
            raise SettingsError(f"?credentials={path}: the file holds no seed of a user (SU…).")
        return cls(jwt[1] if jwt else None, SigningKey(raw[2:-2]))

    @property
    def public_key(self) -> str:
        """As the server's configuration names the user: ``U…``."""
        raw = bytes((_USER,)) + bytes(self.key.verify_key)
        return base64.b32encode(raw + _crc(raw)).decode().rstrip("=")

    @property
    def account(self) -> str:
        """Whose streams the user sees: the account that the JWT names (``A…``); of an nkey alone, the user."""
        try:
            _, claims, _ = (self.jwt or "").split(".")
            said = decode(base64.urlsafe_b64decode(claims + "=="))
            return str(said.get("nats", {}).get("issuer_account") or said["iss"])
        except (ValueError, LookupError, AttributeError, TypeError):
            return self.public_key

    def answer(self, nonce: str) -> dict[str, str]:
        """The fields of CONNECT that answer the server's nonce."""
        signature = base64.urlsafe_b64encode(self.key.sign(nonce.encode()).signature).decode().rstrip("=")
        who = {"nkey": self.public_key} if self.jwt is None else {"jwt": self.jwt}
        return {**who, "sig": signature}


def _crc(raw: bytes) -> bytes:
    return binascii.crc_hqx(raw, 0).to_bytes(2, "little")
