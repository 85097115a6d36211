"""Masking: the secret parts of a request, and the request without them. In doubt a part counts as a secret."""

from __future__ import annotations

import base64
import binascii
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

MASK = "***"
"""Stands in place of a secret."""

MAX_DEPTH = 50
"""Objects within objects, and JSON texts within JSON texts, that are read; deeper values are masked."""

MAX_TEXT = 16_384
"""Characters of a text that are searched for secrets; a longer one that is no JSON is masked."""

MIN_SECRET = 5
"""Characters of a secret that is searched for in other texts. Shorter secrets are not masked by other tools, either."""

_COMMON = re.compile(r"true|false|null|none|default|basic|bearer|auto(matic)?|(en|dis)abled?|[\s*]*", re.IGNORECASE)
"""Values that are no secret although they stand under the name of one."""

_ALWAYS = re.compile(
    "secret|passw[do]|passphrase|passcode|pwd|rootpw|token|accesskey|privatekey|privkey|credential|apikey|sshkey"
    "|licen[cs]ekey|keymaterial|authori[sz]ation|connectionstring|密码|口令|密钥|令牌"
)
"""Within a name, whatever else the name says."""

_MOSTLY = re.compile("certificate|keypair|cookie|signature|bearer|userdata|customdata|cloudinit|cloudconfig")
"""Within a name, unless its last word says that it holds something else."""

_LAST = re.compile(r"(pw|pin|otp|psk|pem|pfx|cert|crt|jwt|sas|sig|auth|licen[cs]e|key)s?")
"""The last word of a name."""

_PASS = re.compile(r"(?<!by)(?<!com)(?<!tres)(?<!over)(?<!under)(?<!sur)pass[0-9]*\Z")
"""The end of a name: ``dbpass`` and ``UserPass2``, not ``bypass``."""

_HARMLESS_KEY = re.compile("public|primary|foreign|partition|sort|tag|label|object|cache|routing|purchase|unique|group")
"""The word before a last word *key*, with which it is none that opens anything."""

_ABOUT = re.compile("(id|name|type)s?|format|count|size|length|algorithm|method|mode|status")
"""The last word of a name whose value only describes a secret."""

_NAMING = re.compile("name|key|field|param|parameter|attribute|header|variable|var|property|option|label")
"""The last word of a name such as ``ParamName``, whose value names the field beside it."""

_VALUE = re.compile("values?|val|v|content|data|text|default|body|string")
"""The last word of a name whose value belongs to the name that stands beside it."""

_NAME = re.compile(r"[\w.-][\w .-]{0,63}")
"""The form of a field's name that is a value itself."""

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_ARMOUR = re.compile("---- ?BEGIN ")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")


def without_secrets(value: Any) -> Any:
    """Return JSON data with :data:`MASK` in place of each secret, within JSON text too. Masked twice is masked once."""
    return _masked(value, [], 0)


def payload_without_secrets(payload: Any) -> Any:
    """
    Return a request's JSON object for its record: only the parameter of the product, which is JSON text, is masked.

    Nothing else may be: product and zone decide which orders match this purchase, and those of others.
    """
    if not isinstance(payload, Mapping):
        return payload
    return {name: without_secrets(v) if _is_object_text(v) else v for name, v in payload.items()}


def secrets_in(value: Any) -> list[str]:
    """Return the texts that :func:`without_secrets` hides."""
    hidden: list[Any] = []
    _masked(value, hidden, 0)
    return _texts_in(hidden)


def without_these(secrets: Iterable[str], text: str) -> str:
    """Return a text in which these secrets are masked, except those that are too short or too common."""
    for secret in sorted(filter(is_told_apart, secrets), key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text


def is_told_apart(secret: str) -> bool:
    """Whether a text that holds this can be taken to hold a secret, and not any word."""
    return len(secret) >= MIN_SECRET and not _COMMON.fullmatch(secret)


def is_masked(value: Any) -> bool:
    """Whether JSON data has something masked."""
    return MASK in json.dumps(value)


@lru_cache(4096)
def is_secret_name(name: str) -> bool:
    """Whether a field of this name holds a secret: in camel, snake or kebab case, or none at all."""
    plain = unicodedata.normalize("NFKD", name)
    compact = "".join(filter(str.isalnum, plain)).casefold()
    if _ALWAYS.search(compact):
        return True
    *before, last = [word.lower() for word in _WORDS.findall(plain)] or [""]
    if _ABOUT.fullmatch(last):
        return False
    if _MOSTLY.search(compact) or _PASS.search(compact):
        return True
    is_harmless_key = last.startswith("key") and (not before or bool(_HARMLESS_KEY.fullmatch(before[-1])))
    return bool(_LAST.fullmatch(last)) and not is_harmless_key


def _masked(value: Any, hidden: list[Any], depth: int) -> Any:
    if depth > MAX_DEPTH:
        return _hide(value, hidden)
    if isinstance(value, str):
        return _masked_text(value, hidden, depth)
    if isinstance(value, Mapping):
        return _masked_fields(value, hidden, depth)
    if isinstance(value, (list, tuple)):
        return _masked_items(value, hidden, depth)
    return value


def _masked_fields(fields: Mapping[Any, Any], hidden: list[Any], depth: int) -> dict[Any, Any]:
    """Return an object in which the values of secret names are masked, and the values beside the name of a secret."""
    is_pair = any(_names_a_secret(name, value) for name, value in fields.items())
    return {
        name: _hide(value, hidden)
        if (isinstance(name, str) and is_secret_name(name)) or (is_pair and _ends_with(_VALUE, name))
        else _masked(value, hidden, depth + 1)
        for name, value in fields.items()
    }


def _masked_items(items: Sequence[Any], hidden: list[Any], depth: int) -> list[Any]:
    """Return a list in which the items after the name of a secret are masked: it may be a pair, or a command line."""
    masked: list[Any] = []
    follows = False
    for item in items:
        masked.append(_hide(item, hidden) if follows else _masked(item, hidden, depth + 1))
        follows = follows or _is_name_of_a_secret(item)
    return masked


def _masked_text(text: str, hidden: list[Any], depth: int) -> str:
    if text.lstrip()[:1] in ("{", "[", '"'):
        try:
            read = json.loads(text, object_pairs_hook=_unambiguous)
        except ValueError:
            pass
        except (LookupError, RecursionError):
            return _hide(text, hidden)
        else:
            masked = _masked(read, hidden, depth + 1)
            return str(text) if masked == read else json.dumps(masked, sort_keys=True, separators=(",", ":"))
    return _hide(text, hidden) if _tells_a_secret(text, hidden, depth) else str(text)


def _tells_a_secret(text: str, hidden: list[Any], depth: int) -> bool:
    """Whether a text holds a secret by itself: a name and its value, an address with a user, a PEM block."""
    if len(text) > MAX_TEXT or _ARMOUR.search(text):
        return True
    parts = text.split()
    if any(-1 < part.find(":") < part.rfind("@") for part in parts):
        return True
    parts_of_names = [word for word in re.split(r"[^\w-]+", text) if word]
    return any(map(is_secret_name, parts_of_names[:-1])) or _hides_in_base64("".join(parts), hidden, depth)


def _hides_in_base64(text: str, hidden: list[Any], depth: int) -> bool:
    if not _BASE64.fullmatch(text):
        return False
    digits = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        decoded = base64.b64decode(digits + "=" * (-len(digits) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError):
        return False
    return bool(_masked(decoded, hidden, depth + 1) != decoded)


def _hide(value: Any, hidden: list[Any]) -> str:
    hidden.append(value)
    return MASK


def _ends_with(pattern: re.Pattern[str], name: Any) -> bool:
    *_, last = (isinstance(name, str) and _WORDS.findall(name)) or [""]
    return bool(pattern.fullmatch(last.lower()))


def _is_object_text(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("{")


def _is_name_of_a_secret(value: Any) -> bool:
    return isinstance(value, str) and bool(_NAME.fullmatch(value)) and is_secret_name(value)


def _names_a_secret(name: Any, value: Any) -> bool:
    """Whether a field names a secret that stands beside it, as in ``{"Name": "password", "Value": "..."}``."""
    return _is_name_of_a_secret(value) and _ends_with(_NAMING, name) and not is_secret_name(name)


def _unambiguous(pairs: list[tuple[str, Any]]) -> Any:
    """
    Return the object of these pairs.

    :raises LookupError: A name stands twice, so one of its values would not be searched.
    """
    read = dict(pairs)
    if len(read) < len(pairs):
        raise LookupError
    return read


def _texts_in(value: Any) -> list[str]:
    texts, parts = [], [value]
    while parts:
        part = parts.pop()
        if isinstance(part, (str, int, float)) and not isinstance(part, bool):
            texts.append(str(part))
        elif isinstance(part, Mapping):
            parts += part.values()
        elif isinstance(part, (list, tuple)):
            parts += part
    return texts
