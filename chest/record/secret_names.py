"""``sounds_secret``: whether a name says that its value is a credential. The only list of such names.

A name is read as words: ``newPassword2``, ``NEW-PASSWORD`` and ``user[new_password]`` are ``new password``. So ``author``,
``monkey`` and ``session_count`` stay, and ``auth``, ``api_key`` and ``sessionid`` (Django's cookie) do not. ``session_id`` stays:
applications record it to follow a visitor, as Flask-Chest's own example does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

# Longer names are judged by their two ends.
_JUDGED_CHARACTERS: Final = 1024

_HUMP: Final = re.compile(r"(?<=[^\W\d_A-Z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_LETTERS: Final = re.compile(r"[^\W\d_]+")


def _words(text: str) -> str:
    return "|".join(text.split())


# A word that ends so, also one that is written together: `password`, `PGPASSWORD`, `csrftoken`.
_ENDINGS: Final = _words(
    "passwords? passwds? passphrases? passcodes? pwds? secrets? credentials? token apikeys? jwts? authorization sessionid sessid"
    " privatekeys? accesskeys? secretkeys? sessionkeys? creditcards? cardnumbers? htpasswd presharedkeys?"
    " (?:user|db|root|key|store|admin|bind|vault|sudo|u)pass (?:root|bind|db|user|admin|hashed)pw"
    " passwort kennwort wachtwoord motdepasse contrasenya lösenord passord adgangskode hasło пароль 密码 密碼 パスワード 비밀번호"
)
# A whole word.
_WORDS: Final = _words(
    "cookies? cvv cvc cvn ssns? ibans? jwts? bearer otps? totp pins? pincodes? creds? contraseña contrasena senha haslo heslo şifre"
    " pw pwhash pword passwrd passw psw pswd psk jwe kubeconfig dockerconfigjson ccnum ccnumber cpf curp aadhaar aadhar personnummer"
)
# A whole word, and the last one: `basic_auth`, but not `auth_method`; `db_pass`, but not `pass_count`.
_LAST_WORDS: Final = _words("auth pass csrf xsrf")
# Words in a row.
_PHRASES: Final = _words(
    "(?:access|secret|private|api|auth|signing|encryption|decryption|master|session|ssh|(?:pre)?shared|account|storage|client|rsa|aes"
    "|hmac|webhook|deploy|service|app|consumer|fernet|cipher|enc|sign|signature|priv|tls|ssl|pgp|gpg|host|wifi|wpa|license|activation"
    "|recovery|reset|subscription|functions|openai|anthropic|stripe)_?keys? connect_sid net_session_id auth_headers?"
    " (?:access|auth|refresh|api|bearer|csrf|xsrf|session|reset|id|oauth|security|jwt)_?tokens"
    " (?:security|recovery|backup|verification|confirmation|activation|reset|access|auth|oauth|login|sms|mfa|tfa|fa|twofa|factor|device)_codes?"
    " security_answers? one_time_code (?:code|oauth)_verifier client_assertion saml_?(?:response|request|assertion) private_pem"
    " (?:credit|debit|bank)_card (?:card|cc)_(?:number|num|no|code|csc) acc(?:oun)?t_(?:numbers?|num|no) routing_number bank_account"
    " (?:social|national)_(?:security|insurance) (?:national|tax|identity)_(?:id|number) passport_(?:number|num|no)"
    " driver_?s?_licen[cs]e driving_licen[cs]e (?:medicare|nhs)_number conn(?:ection)?_str(?:ing)? shared_access_signature"
    " mot_de_passe pass_(?:word|wd|phrase|code|hash)(?:e?s)? (?:seed|recovery|secret)_phrase"
)
_SECRET: Final = re.compile(
    rf"(?<![^_])(?:[^_]*(?:{_ENDINGS})|(?:{_WORDS})|(?:{_PHRASES})|(?:{_LAST_WORDS})(?=\Z)|password(?!less)[^_]+)(?=_|\Z)"
)
# What follows makes it something about a secret, and no secret: `token_count`, `password_changed_at`, `cookie_consent`.
_ABOUT: Final = re.compile(
    "_(?:"
    + _words(
        "counts? counter length len size bytes characters chars type kind name enabled disabled required valid invalid verified"
        " checked changed updated created rotated rotation expires expired expiry expiration expire age ttl lifetime limits?"
        " usage used uses budget bucket policy strength score attempts? failures? failed errors? status state reset present"
        " missing exists provider scopes? url uri endpoint field label consent banner accepted version method scheme mode"
        " form page santa less country manager store min max per days? hours? minutes? seconds? ms is"
        " price cost index position rate balance symbol address ids ratio logprobs delta sum avg total text throughput refresh refreshed"
        " level door room ending menu sale garden items? found area achievement boss sent clicks clicked notice recipe flavou?r dough"
        " baked sold colou?r dropped down lat lng fees? payments? surcharge algorithm issuer"
        " correct match mismatch ok change validators hashers? fields"
    )
    + r")(?=_|\Z)"
)
# What stands before makes it a thing of the same name: a place in a list, a part of a language model's text, a ticket.
_OTHERS: Final = re.compile(
    "(?<![^_])(?:(?:"
    + _words("page next continuation continue cursor sync delta stop eos bos pad unk sep mask special first last")
    + ")_token|(?:"
    + _words(
        "season battle boarding ski day week month annual bus travel train park render first second last free hall multi single forward"
    )
    + ")_pass|fortune_cookies?|(?:map|bowling|board|gpio)_pins?)(?=_|\\Z)"
)
_ASKS: Final = re.compile(r"(?<![^_])(?:is|has|have|needs?|requires?|was|num|per|first)_(?:[^_]+_)*\Z")

# OpenTelemetry, semantic conventions of `url.full`: these query parameters lose their values and keep their keys. `key` is
# what public services (maps, feeds) call the key of a user.
_SIGNATURES: Final = frozenset(
    "x-amz-signature x-amz-credential x-amz-security-token awsaccesskeyid signature sig x-goog-signature x-goog-credential"
    " key hash-key".split()
)


def sounds_secret(name: str) -> bool:
    """True if the value under this name is a credential, a cookie, or a number that identifies a person or an account.

    :param name: of a variable, a header, a parameter or an environment variable, in any spelling.
    """
    words = words_of(name)
    words = _OTHERS.sub("", words)
    return any(
        not _ABOUT.match(words, found.end()) and not _ASKS.search(words[: found.start()])
        for found in _SECRET.finditer(words)
    )


def is_signature(name: str) -> bool:
    """True if a URL's parameter of this name signs the URL, or is a key to a public service."""
    return name.lower().replace("_", "-") in _SIGNATURES


def is_secret_parameter(name: str) -> bool:
    """True if the value of a URL's parameter of this name is hidden."""
    return is_signature(name) or sounds_secret(name)


def snake_case(name: str) -> str:
    """The name in lower case, with ``_`` between the words of camel case; digits and marks stay."""
    return _HUMP.sub("_", name).lower()


def words_of(name: str) -> str:
    """The words of a name in lower case, joined by ``_``: ``accessToken2`` is ``access_token``."""
    if len(name) > _JUDGED_CHARACTERS:
        name = name[: _JUDGED_CHARACTERS // 2] + "_" + name[-_JUDGED_CHARACTERS // 2 :]
    return "_".join(_split(name)).lower()


def _split(name: str) -> Iterator[str]:
    for letters in _LETTERS.findall(name):
        yield from _HUMP.split(letters)
