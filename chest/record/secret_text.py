"""``without_secrets``: a text without the secrets that can be told by their shape or by the name beside them.

Found are the passwords of URLs (and what stands alone before the ``@`` of an HTTP URL: a token), the values of secret names in a
query, a form body, JSON, a ``repr``, XML, ``name=value`` and ``name: value``, and what is a secret by its shape: a JWT, a password's hash, a private key, what follows ``Bearer`` or ``Basic``, a card number.
A secret with neither shape nor name is not found: what must not be stored should not be recorded.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Final
from urllib.parse import unquote

from chest import native
from chest.native import IS_NATIVE
from chest.record.secret_names import is_signature

REDACTED: Final = "[REDACTED]"
"""What stands in the place of a value that is not kept."""

_DECODINGS: Final = 3
"""How often an encoding is taken off to look for what it hides: once for each URL inside a URL."""

# Each expression below leaves out, of every run it takes, the character that ends the run, so that no text makes it try
# one run twice. In JSON a "/" may be written "\/".
_PASSWORD: Final = re.compile(
    r"""(?<![/\\])((?:\\?/){2}(?!\[)[^\s/?#"<>:\\]*:)"""  # the user, as empty as in redis://:password@host; "[" begins an IPv6 address
    r"""(?:([^\s/?#"<>\\]+)"""  # a password as it should be written: everything up to the last "@" before the path
    r"""|(?!\\?/\\?/|\d+(?:[\s/?#"<>\\]|\Z))"""  # or with a raw "/", "?" or "#" in it, and no port; or with a blank
    r"""(?:(?:(?!://)[^\s"<>]){1,128}|(?:(?!://)[^\r\n"]){1,128}?))@(?=[\w.\[\]:$-])"""
)
_WITHOUT_PASSWORD: Final = rf"\1{REDACTED}@"
_HTTP_LOGIN: Final = re.compile(r"""((?:https?|HTTPS?):(?:\\?/){2})[^\s/?#"<>:@\\]+@(?=[\w\[])""")
_KEY: Final = re.compile(r"""(?:\A|(?<=[?&;#\s"'<(,{\\=]))([^\s=&;#?"'<>(,{\\]+)(?:=|([ \t]{1,3}=[ \t]{0,3}))""")
_VALUE: Final = re.compile(
    r""""[^"]*"|'[^']*'"""
    r"""|(?:[^\s&#;"'<>\\]|["']+(?=[^\s&#;"'<>\\,.:)\]}]))+"""  # a quotation mark ends the value only at the end of a word
    r"""(?:;[^\s=&#;"'<>\\]*+(?!=))*"""  # and a ";" only if another key follows
)
# `"name": value` of JSON or a dictionary, `('name', value)` of a MultiDict or of ASGI's headers.
_MEMBER: Final = re.compile(
    r"""(?:["'](?P<key>[^"'\\=]{1,128})\\*["']\s*(?:=\s*)?:|(?<=\()b?["'](?P<first>[^"'\\=]{1,128})["'],(?=[^,\n]*\)))\s*"""
)
_STRING: Final = r"""b?(?:"(?:[^"\\]|\\.)*(?:"|\Z)|'(?:[^'\\]|\\.)*(?:'|\Z))"""  # perhaps cut off
_MEMBER_VALUE: Final = re.compile(
    r"""(?P<escaped>\\+)["'][^"'\\]*(?:\\+["']|\Z)|[\[({][^\[\](){}]*[\])}]"""
    rf"""|[\[(](?:{_STRING}\s*(?:,\s*)?)+[\])]?|{_STRING}|(?P<bare>[^\s,"'\[\](){{}}\\]+)"""
)
_NO_VALUES: Final = frozenset("true false null none undefined".split())
_HEADER: Final = re.compile(
    r"((?<![\w-])(?:(?:proxy-)?authorization|(?:set-)?cookie2?): *(?:(?:bearer|basic|token|digest|negotiate|apikey) +)?)"
    rf"(?!{re.escape(REDACTED)})[^\s\"'][^\r\n\"']*",
    re.IGNORECASE,
)
_HEADER_NAMES: Final = ("authorization:", "cookie:", "cookie2:")
# A value of one word: `password: too short` stays.
_LABELLED: Final = re.compile(
    r"""(?<![\w.\[\]-])([\w.\[\]-]{1,128})(:[ \t]{0,8})(?!\\?/)(?:"[^"]{1,256}"|'[^']{1,256}'|[^\s,;&"'()\[\]{}<>\\=]{1,256}={0,2})"""
    r"""(?=\s*(?:[,;&"')\]}<]|[\r\n]|\Z))"""
)
_ELEMENT: Final = re.compile(r"<([A-Za-z][\w.:-]{0,127})>[^<>]+(?=</)")
_CLOSING: Final = ").,:;!]}"

_SHAPES: Final = re.compile(
    r"(?<![\w-])ey[AJ][\w-]{6,}(?:\.[\w-]*){2,4}"  # JWT, JWE (RFC 7519, 7516): the header begins with {" or { and a blank
    r"|-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----(?:(?!-----END).)*(?:-----END[A-Z0-9 ]*-----)?"
    r"|\$(?:2[abxy]?|argon2(?:id|i|d)|pbkdf2[\w-]*|scrypt|bcrypt[\w-]*|apr1|y|gy|sha1|md5|[1567])\$[^\s\"'<>;)]{8,}"  # crypt(5)
    r"|\b(?:pbkdf2_sha\d+|bcrypt_sha\d+|bcrypt|argon2|scrypt|sha1|md5|unsalted_md5|unsalted_sha1)\$[^\s\"'<>,;)]{8,}"  # Django
    r"|\b(?:pbkdf2(?::\w+)*|scrypt(?::\d+)*|(?:hmac-)?sha\d+|md5)\$[^\s\"'<>,;)$]+\$[0-9a-fA-F]{16,}"  # Werkzeug
    r"|\{(?:S?SHA\d*|S?MD5|CRYPT|SSHA-\d+)\}[A-Za-z0-9+/=$.]{8,}",  # RFC 2307
    re.DOTALL,
)
_CREDENTIALS: Final = re.compile(r"(?<![\w-])(bearer|basic)(\s+)([A-Za-z0-9._~+/-]{6,}=*)", re.ASCII | re.IGNORECASE)
# A text without any of these cannot match the expressions above.
_MARKS_OF_SHAPES: Final = ("$", "{", "eyJ", "eyA", "-----BEGIN")
_SCHEMES: Final = ("bearer", "basic")
_LONGEST_WORD: Final = 20
_NO_WORD: Final = re.compile(r".[a-z]*[A-Z0-9]", re.ASCII)
_ESCAPE: Final = re.compile(
    r"""\\u00([0-7][0-9a-fA-F])|\\(["'/\\])|&(?:(amp|quot|apos|lt|gt)|#0*(\d\d)|#[xX]0*([0-7][0-9a-fA-F]));"""
)
_MARKS_OF_ENCODINGS: Final = ("%", "\\", "&")
_ENTITIES: Final = {"amp": "&", "quot": '"', "apos": "'", "lt": "<", "gt": ">"}
_DIGITS: Final = re.compile(r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w-])", re.ASCII)
_CARD: Final = re.compile(
    r"4\d{15}|4\d{18}|(?:5[1-5]|2[2-7])\d{14}|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11}|6(?:011|5\d\d|4[4-9]\d)\d{12}|35\d{14}|62\d{14,17}"
)
_MAY_HOLD: Final = re.compile(
    r"[=@%$]|ey[AJ]|-----BEGIN|\{S|\{M|\{C|[Bb](?:earer|EARER|asic|ASIC)\s|(?<=[\w\"'\]]):(?!\\?/)|[\"']\s+:|\(b?[\"']|</|\\u00|&(?:#|quot)|\d(?:[ -]?\d){12}",
    re.ASCII,
)
SMALLEST_CARD: Final = 10**13
LARGEST_CARD: Final = 10**16
native.agree(SMALLEST_CARD=SMALLEST_CARD, LARGEST_CARD=LARGEST_CARD)
"""A whole number is looked at as a card number from the one on, and below the other: of longer ones most are times and ids."""


def may_hold_secret_in_python(text: str) -> bool:
    """:func:`may_hold_secret` of an interpreter without the compiled part; the one in C must not find less."""
    return _MAY_HOLD.search(text) is not None


may_hold_secret: Callable[[str], bool] = native.may_hold_secret if IS_NATIVE else may_hold_secret_in_python
"""False if no secret can be in the text: cheaper than to look for one."""


def is_card_number(digits: str) -> bool:
    """True if these digits begin as the large card networks' numbers do, are as many, and pass the check of Luhn (ISO/IEC 7812)."""
    if _CARD.fullmatch(digits) is None:
        return False
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits))]
    return sum(number - 9 if number > 9 else number for number in doubled) % 10 == 0


def without_secrets(text: str, is_secret: Callable[[str], bool], keeps_shapes: bool = False) -> str:
    """The text, in which each secret that is found is replaced; everything else stays as it was.

    ``scheme://user:[REDACTED]@host/path?sig=REDACTED``. A user name without a password stays. If percent-encoding hides a
    secret, or JSON's or HTML's escapes do, the text comes back without that encoding. Takes time in proportion to the length of the text.

    :param text: any text.
    :param is_secret: whether the value of a parameter of this name is hidden.
    :param keeps_shapes: leave what is only by its shape a secret.
    """
    if not may_hold_secret(text):
        return text
    cleaned = decoded = _cleaned(text, is_secret, keeps_shapes)
    for _ in range(_DECODINGS if _has_any(_MARKS_OF_ENCODINGS, cleaned) else 0):
        before, decoded = decoded, _ESCAPE.sub(_unescaped, unquote(decoded))
        if decoded == before:
            break
        once_more = _cleaned(decoded, is_secret, keeps_shapes)
        if once_more != decoded:
            cleaned = decoded = once_more
    return cleaned


def _has_any(marks: tuple[str, ...], text: str) -> bool:
    for mark in marks:  # noqa: SIM110 - a generator costs more than all the looks
        if mark in text:
            return True
    return False


def _cleaned(text: str, is_secret: Callable[[str], bool], keeps_shapes: bool) -> str:
    def is_named(name: str) -> bool:
        # "key: value" is common outside of URLs.
        return is_secret(name) and not is_signature(name)

    if "@" in text and ":" in text:
        text = _PASSWORD.sub(_WITHOUT_PASSWORD, text)
        text = _HTTP_LOGIN.sub(_WITHOUT_PASSWORD, text)
    if "=" in text:
        text = _without_parameters(text, is_secret)
    if '"' in text or "'" in text:
        text = _without_members(text, is_secret)
    if ":" in text:
        if _has_any(_HEADER_NAMES, text.lower()):
            text = _HEADER.sub(rf"\1{REDACTED}", text)
        text = _LABELLED.sub(lambda found: f"{found[1]}{found[2]}{REDACTED}" if is_named(found[1]) else found[0], text)
    if "</" in text:
        text = _ELEMENT.sub(lambda found: f"<{found[1]}>{REDACTED}" if is_named(found[1]) else found[0], text)
    return text if keeps_shapes else _without_shapes(text)


def _unescaped(match: re.Match[str]) -> str:
    json_code, json_mark, entity, decimal, hexadecimal = match.groups()
    if json_code or hexadecimal:
        return chr(int(json_code or hexadecimal, 16))
    return json_mark or (chr(int(decimal)) if decimal else _ENTITIES[entity])


def _without_parameters(text: str, is_secret: Callable[[str], bool]) -> str:
    pieces: list[str] = []
    kept_to = at = 0
    while (found := _KEY.search(text, at)) is not None:
        at = found.end()
        name = _decoded(found[1])
        if not is_secret(name) or (found[2] and is_signature(name)):
            continue  # its value may be a URL with parameters of its own
        value = _VALUE.match(text, at)
        if value is None or value[0].startswith(REDACTED):
            continue
        is_quoted = value[0][0] in "\"'"
        closing = "" if is_quoted else value[0][len(value[0].rstrip(_CLOSING)) :]  # of the sentence around the URL
        pieces += text[kept_to:at], REDACTED if is_quoted else "REDACTED", closing
        kept_to = at = value.end()
    return "".join((*pieces, text[kept_to:])) if pieces else text


def _without_members(text: str, is_secret: Callable[[str], bool]) -> str:
    pieces: list[str] = []
    kept_to = at = 0
    while (found := _MEMBER.search(text, at)) is not None:
        at = found.end()
        name = found["key"] or found["first"]
        if not is_secret(name):
            continue  # its value may have members of its own
        value = _MEMBER_VALUE.match(text, at)
        if value is None:
            continue
        bare = value["bare"]
        if bare is not None and (bare.lower() in _NO_VALUES or is_signature(name)):
            continue
        quote = (value["escaped"] or "") + ("'" if "'" in found[0] else '"')
        pieces += text[kept_to:at], f"{quote}{REDACTED}{quote}"
        kept_to = at = value.end()
    return "".join((*pieces, text[kept_to:])) if pieces else text


def _without_shapes(text: str) -> str:
    if _has_any(_MARKS_OF_SHAPES, text):
        text = _SHAPES.sub(REDACTED, text)
    if _has_any(_SCHEMES, text.lower()):
        text = _CREDENTIALS.sub(_without_credentials, text)
    return _DIGITS.sub(_without_card, text)


def _without_credentials(match: re.Match[str]) -> str:
    scheme, blanks, said = match.groups()
    if scheme.lower() == "basic":
        is_credential = _is_login(said)
    else:
        is_whole = match[0] == match.string.strip()
        is_credential = is_whole or len(said) > _LONGEST_WORD or _NO_WORD.match(said) is not None
    return f"{scheme}{blanks}{REDACTED}" if is_credential else match[0]


def _is_login(encoded: str) -> bool:
    """True if this is ``user:password`` in Base64 (RFC 7617), and no word after "basic"."""
    encoded = encoded.rstrip("=")
    try:
        return b":" in base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except binascii.Error:
        return False


def _without_card(match: re.Match[str]) -> str:
    return REDACTED if is_card_number(match[0].replace(" ", "").replace("-", "")) else match[0]


def _decoded(key: str) -> str:
    for _ in range(_DECODINGS):
        if "%" not in key:
            break
        key = unquote(key)
    return key
