"""How an action of the API is described, and how arguments are checked against the description."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, fields
from enum import Enum
from functools import cached_property
from typing import Any

from airflow_provider_tcbilling.api.errors import InvalidRequest
from airflow_provider_tcbilling.api.json_text import JsonText, is_json_object, json_object, type_of
from airflow_provider_tcbilling.api.masking import without_secrets
from airflow_provider_tcbilling.api.text import says_nothing, shown

MOST = 2**63
"""Numbers from here on are no whole numbers of an API."""


TOKEN = "ClientToken"
"""The field that names a request that moves money. It is no part of the thing that is bought."""


class Kind(Enum):
    """The type of a field on the wire."""

    TEXT = "string"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    OBJECT = "object"
    TEXTS = "array of string"
    INTEGERS = "array of integer"
    OBJECTS = "array of object"
    JSON = "string holding a JSON object"


class Replay(Enum):
    """The meaning of a repeated request."""

    SAFE = "reads, or sets a value to the same value: send it as often as you like"
    WITH_TOKEN = "moves money: send it again only with the same client token and a byte-identical body"
    AFTER_A_LOOK = (
        "moves money: after an unknown outcome query the order book and the instance first; send it again only if "
        "neither shows that it was carried out, with the same client token and a byte-identical body"
    )
    NEVER = AFTER_A_LOOK  # Its name before.


class MistakeKind(Enum):
    """The sort of a mistake, which a server names in its error code."""

    MISSING = "missing"
    UNKNOWN = "unknown"
    TYPE = "type"
    VALUE = "value"


@dataclass(frozen=True)
class Mistake:
    """One thing that is wrong with a request."""

    kind: MistakeKind
    field: str
    text: str


@dataclass(frozen=True)
class Field:
    """
    One parameter of an action, or one field of its answer.

    :param name: Its name on the wire.
    :param about: Its meaning, for the documentation and for messages.
    :param default: The value that the *server* assumes when the field is absent. It is never sent by us.
    :param minimum: Smallest integer.
    :param maximum: Largest integer.
    :param max_length: Most characters.
    :param max_items: Most items of a list.
    :param choices: The only values there are.
    :param is_ascii: Only ASCII characters.
    :param pattern: The form of the text, as a regular expression and as a text for a message.
    :param mirrors: For a JSON field: its keys that repeat other fields of the action and must agree with them.
    """

    name: str
    kind: Kind
    about: str
    required: bool = False
    default: Any = None
    minimum: int | None = None
    maximum: int | None = None
    max_length: int | None = None
    max_items: int | None = None
    choices: tuple[str, ...] = ()
    is_ascii: bool = False
    pattern: tuple[str, str] | None = None
    mirrors: Mapping[str, str] | None = None

    @cached_property
    def arg(self) -> str:
        """The field's name in Python: ``SubProductCode`` is ``sub_product_code``."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", self.name).lower()

    def read(self, value: Any) -> Any:
        """
        Turn an argument into a value for the wire; rendered templates are text, so ``"12"`` is read as 12.

        :return: ``None`` if it is not given, which ``""`` means as well.
        :raises ValueError: With every mistake in its ``args``.
        """
        value = value.strip() if isinstance(value, str) else value
        if value is None or (isinstance(value, str) and not value):
            if self.required:
                raise ValueError(f"missing: {self.about}")
            return None
        if isinstance(value, str) and says_nothing(value):
            raise ValueError("given, but its template rendered to 'None'")
        wire = self._parse(value)
        if self._limits and (broken := self.limits_broken_by(wire)):
            raise ValueError(*broken)
        return wire

    @cached_property
    def is_list(self) -> bool:
        """The field holds several values of one type."""
        return self.kind in (Kind.TEXTS, Kind.INTEGERS, Kind.OBJECTS)

    def has_kind(self, wire: Any) -> bool:
        """Whether a value is of the field's type, as it stands on the wire."""
        if self.is_list:
            return isinstance(wire, list) and all(_is_of(self.kind, value) for value in wire)
        return _is_of(self.kind, wire)

    def limits_broken_by(self, wire: Any) -> list[str]:
        """Return a text for each limit that a value of the right type breaks."""
        return [
            text
            for is_of_each, rule, limit in self._limits
            for value in (wire if is_of_each else (wire,))
            if (text := rule(value, limit))
        ]

    @cached_property
    def _parse(self) -> Callable[[Any], Any]:
        return _PARSERS[self.kind]

    @cached_property
    def _limits(self) -> list[tuple[bool, Callable[[Any, Any], str], Any]]:
        limited = [attribute for attribute in fields(self) if self._is_limited_by(attribute)]
        return [(self.is_list and a.name != "max_items", _LIMITS[a.name], getattr(self, a.name)) for a in limited]

    def _is_limited_by(self, attribute: dataclasses.Field[Any]) -> bool:
        return attribute.name in _LIMITS and getattr(self, attribute.name) != attribute.default


@dataclass(frozen=True)
class Action:
    """
    One operation of the API.

    :param name: ``X-TC-Action``.
    :param about: Its effect, in one sentence.
    :param replay: The meaning of a repeat.
    :param permission: The permission of the key in CAM (Tencent's access management).
    :param url: The page that all of this was read from.
    :param fields: Its parameters.
    :param answer: The fields of a successful answer that this package relies on.
    """

    name: str
    about: str
    replay: Replay
    permission: str
    url: str
    fields: tuple[Field, ...]
    answer: tuple[Field, ...]

    @property
    def moves_money(self) -> bool:
        """Whether carrying it out charges or credits the account."""
        return self.replay is not Replay.SAFE

    @property
    def only_reads(self) -> bool:
        """Whether carrying it out changes nothing."""
        return self.name.startswith("Describe")

    def payload(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """
        Read Python arguments into the request's JSON object; ``None`` and ``""`` mean *not given*.

        :param arguments: By Python name, for example ``{"sub_product_code": "sp_x"}``.
        :raises InvalidRequest: With every mistake at once. Nothing was sent.
        """
        return self._payload(arguments, self._by_arg)

    def payload_without_token(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the same but for the client token, which :meth:`with_token` adds when the request is sent."""
        return self._payload(arguments, {arg: field for arg, field in self._by_arg.items() if field.name != TOKEN})

    def _payload(self, arguments: Mapping[str, Any], by_arg: Mapping[str, Field]) -> dict[str, Any]:
        mistakes = {name: [f"{self.name} has no such field"] for name in arguments if name not in by_arg}
        payload: dict[str, Any] = {}
        for arg, field in by_arg.items():
            try:
                wire = field.read(arguments.get(arg))
            except ValueError as error:
                mistakes[arg] = list(error.args)
            else:
                if wire is not None:
                    payload[field.name] = wire
        for field, text in self._disagreements(payload, unread=mistakes):
            mistakes.setdefault(field.arg, []).append(text)
        if mistakes:
            raise InvalidRequest(self.name, [f"{arg}: {text}" for arg in sorted(mistakes) for text in mistakes[arg]])
        return payload

    def field(self, arg: str) -> Field:
        """Return the parameter with this Python name."""
        return self._by_arg[arg]

    def with_defaults(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Return a request's JSON object as the server reads it: with its defaults in place of absent fields."""
        given = {name: value for name, value in payload.items() if value not in (None, "")}
        return {**self._defaults, **given}

    def with_token(self, payload: Mapping[str, Any], client_token: str) -> dict[str, Any]:
        """
        Return a payload with its client token.

        :raises InvalidRequest: The token is not one. Nothing was sent.
        """
        try:
            whole = {**payload, TOKEN: self._by_name[TOKEN].read(client_token)}
        except ValueError as error:
            raise InvalidRequest(self.name, [f"{self._by_name[TOKEN].arg}: {text}" for text in error.args]) from None
        # In the order of the table, as ever: a repeat is byte-identical, whichever release sends it.
        return {name: whole[name] for name in self._by_name if name in whole}

    def named(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Return a request's JSON object by Python names: the arguments as they were read."""
        return {field.arg: payload[field.name] for field in self.fields if field.name in payload}

    def check(self, payload: Mapping[str, Any]) -> list[Mistake]:
        """Return every mistake in a request's JSON object, as a server checks it: types exactly as described."""
        unknown = sorted(payload.keys() - self._by_name.keys())
        mistakes = [Mistake(MistakeKind.UNKNOWN, name, f"{self.name} has no such field") for name in unknown]
        for field in self.fields:
            mistakes += _mistakes_in(field, payload)
        unread = {self._by_name[m.field].arg for m in mistakes if m.kind is not MistakeKind.UNKNOWN}
        texts = self._disagreements(payload, unread)
        return mistakes + [Mistake(MistakeKind.VALUE, field.name, text) for field, text in texts]

    def check_answer(self, answer: Mapping[str, Any]) -> list[Mistake]:
        """
        Return every mistake in the required fields of a successful answer; the others are not checked.

        The rows of a list are not checked, either: a broken row must not hide the others.
        """
        required = [field for field in self.answer if field.required]
        of_rows = {
            field for field in required if field.kind is Kind.OBJECTS and isinstance(answer.get(field.name), list)
        }
        return [mistake for field in required if field not in of_rows for mistake in _mistakes_in(field, answer)]

    def _disagreements(self, payload: Mapping[str, Any], unread: Container[str]) -> Iterator[tuple[Field, str]]:
        """Yield where a JSON field repeats another field and says something else; *unread* fields say nothing."""
        for field in self._mirroring:
            if field.arg in unread or field.name not in payload:
                continue
            text = payload[field.name]
            inner = text.read if isinstance(text, JsonText) else json.loads(text)
            for key, name in (field.mirrors or {}).items():
                other = self._by_name[name]
                outer = payload.get(name, other.default)
                value = inner.get(key, outer)
                if value is not outer and str(value) != str(outer) and other.arg not in unread:
                    yield field, f"its {key} is {_shown(value)}, but {other.arg} is {_shown(outer)}"

    @cached_property
    def _defaults(self) -> Mapping[str, Any]:
        return {field.name: field.default for field in self.fields if field.default is not None}

    @cached_property
    def _mirroring(self) -> list[Field]:
        return [field for field in self.fields if field.mirrors]

    @cached_property
    def _by_arg(self) -> Mapping[str, Field]:
        return {field.arg: field for field in self.fields}

    @cached_property
    def _by_name(self) -> Mapping[str, Field]:
        return {field.name: field for field in self.fields}


def _mistakes_in(field: Field, wire: Mapping[str, Any]) -> list[Mistake]:
    value = wire.get(field.name)
    if value is None or value == "":
        return [Mistake(MistakeKind.MISSING, field.name, f"missing: {field.about}")] if field.required else []
    if not field.has_kind(value):
        # The product's parameter may hold passwords.
        described = type_of(value) if field.kind is Kind.JSON else _shown(value)
        return [Mistake(MistakeKind.TYPE, field.name, f"{described} is not of type {field.kind.value}")]
    return [Mistake(MistakeKind.VALUE, field.name, text) for text in field.limits_broken_by(value)]


def _parse_text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{_shown(value)} is not text")
    return value


def whole_number(value: Any) -> int:
    """
    Return a whole number: 2, 2.0, "2" and "2.0" are the same one, so that they send the same bytes.

    :raises ValueError: It is something else, such as 2.5, True or NaN, or needs more than 64 bits.
    """
    number = value.strip() if isinstance(value, str) else value
    if isinstance(number, str) and re.fullmatch(r"[+-]?[0-9]{1,19}(\.0+)?", number):
        number = int(number.partition(".")[0])
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    if isinstance(number, bool) or not isinstance(number, int) or not -MOST <= number < MOST:
        raise ValueError(f"{_shown(value)} is not a whole number")
    return int(number)


def _parse_boolean(value: Any) -> bool:
    read = {"true": True, "false": False}.get(str(value).lower())
    if read is None:
        raise ValueError(f"{_shown(value)} is neither true nor false")
    return read


def _list_of(parse: Callable[[Any], Any]) -> Callable[[Any], list[Any]]:
    def parse_list(value: Any) -> list[Any]:
        if not isinstance(value, (list, tuple, set, frozenset)):
            raise ValueError(f"{_shown(value)} is not a list")
        return [parse(item) for item in value]

    return parse_list


_PARSERS: Mapping[Kind, Callable[[Any], Any]] = {
    Kind.TEXT: _parse_text,
    Kind.INTEGER: whole_number,
    Kind.BOOLEAN: _parse_boolean,
    Kind.JSON: json_object,
    Kind.TEXTS: _list_of(_parse_text),
    Kind.INTEGERS: _list_of(whole_number),
}

_LIMITS: Mapping[str, Callable[[Any, Any], str]] = {
    "minimum": lambda value, limit: f"{value} is below the minimum, {limit}" if value < limit else "",
    "maximum": lambda value, limit: f"{value} is above the maximum, {limit}" if value > limit else "",
    "max_length": lambda text, limit: f"{len(text)} characters are more than {limit}" if len(text) > limit else "",
    "max_items": lambda items, limit: f"{len(items)} items are more than {limit}" if len(items) > limit else "",
    "choices": lambda text, all_: "" if text in all_ else f"{_shown(text)} is not one of {', '.join(all_)}",
    "is_ascii": lambda text, _: "" if text.isascii() else f"{_shown(text)} holds characters outside ASCII",
    "pattern": lambda text, pattern: "" if re.fullmatch(pattern[0], text) else f"{_shown(text)} is not {pattern[1]}",
}
"""The check of each limit of a field, and its message for a value that breaks it."""


def _shown(value: Any) -> str:
    """Return a value for a message; a user may have given a secret to the wrong field."""
    return shown(without_secrets(value))


def _is_of(kind: Kind, value: Any) -> bool:
    if kind is Kind.JSON:
        return is_json_object(value)
    if kind in (Kind.INTEGER, Kind.INTEGERS):
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, {Kind.BOOLEAN: bool, Kind.OBJECT: dict, Kind.OBJECTS: dict}.get(kind, str))
