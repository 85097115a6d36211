"""How an action of the API is described, and how arguments are checked against the description."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any

from airflow_provider_tcbilling.api.errors import InvalidRequest


class Kind(Enum):
    """The type of a field on the wire."""

    TEXT = "string"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    TEXTS = "array of string"
    INTEGERS = "array of integer"
    OBJECTS = "array of object"
    JSON = "string holding a JSON object"

    @property
    def is_list(self) -> bool:
        """The field holds several values of one type."""
        return self in (Kind.TEXTS, Kind.INTEGERS, Kind.OBJECTS)


class Replay(Enum):
    """What sending the same request again means."""

    SAFE = "reads, or sets what is set already: send it as often as you like"
    WITH_TOKEN = "moves money: send it again only with the same client token and a byte-identical body"
    NEVER = "moves money: after an unknown outcome look first, do not send it again"


class Fault(Enum):
    """The sort of a mistake, which a server names in its error code."""

    MISSING = "missing"
    UNKNOWN = "unknown"
    TYPE = "type"
    VALUE = "value"


@dataclass(frozen=True)
class Mistake:
    """One thing that is wrong with a request."""

    fault: Fault
    field: str
    text: str


_ABSENT = (None, "")


@dataclass(frozen=True)
class Field:
    """
    One parameter of an action, or one field of its answer.

    :param name: Its name on the wire.
    :param about: What it means, for people.
    :param default: What the *server* assumes when the field is absent. It is never sent by us.
    :param minimum: Smallest integer.
    :param maximum: Largest integer.
    :param max_length: Most characters.
    :param max_items: Most items of a list.
    :param choices: The only values there are.
    :param is_ascii: Only ASCII characters.
    :param pattern: What the text must look like, and *pattern_name* how people call it.
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
    pattern: str = ""
    pattern_name: str = ""
    mirrors: Mapping[str, str] | None = None

    @cached_property
    def arg(self) -> str:
        """The field's name in Python: ``SubProductCode`` is ``sub_product_code``."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", self.name).lower()

    def parse(self, value: Any) -> Any:
        """
        Turn an argument into what goes on the wire; rendered templates are text, so ``"12"`` is read as 12.

        :raises ValueError: It cannot be read as this field's type.
        """
        if self.kind.is_list:
            if isinstance(value, str) or not isinstance(value, (list, tuple, set, frozenset)):
                raise ValueError(f"{value!r} is not a list")
            return [_parse_integer(v) if self.kind is Kind.INTEGERS else _parse_text(v) for v in value]
        return _PARSERS[self.kind](value)

    def faults(self, wire: Any) -> Iterator[tuple[Fault, str]]:
        """Yield what is wrong with a value as it stands on the wire, with the type exactly as described."""
        values = wire if self.kind.is_list and isinstance(wire, list) else [wire]
        if (self.kind.is_list and values is not wire) or not all(_has_kind(self.kind, v) for v in values):
            yield Fault.TYPE, f"{wire!r} is not of type {self.kind.value}"
            return
        if self.max_items is not None and len(values) > self.max_items:
            yield Fault.VALUE, f"{len(values)} items are more than {self.max_items}"
        for value in values:
            yield from ((Fault.VALUE, text) for text in self._limits_broken_by(value))

    def _limits_broken_by(self, value: Any) -> Iterator[str]:
        if self.minimum is not None and value < self.minimum:
            yield f"{value} is below the minimum, {self.minimum}"
        if self.maximum is not None and value > self.maximum:
            yield f"{value} is above the maximum, {self.maximum}"
        if self.max_length is not None and len(value) > self.max_length:
            yield f"{len(value)} characters are more than {self.max_length}"
        if self.choices and value not in self.choices:
            yield f"{value!r} is not one of {', '.join(self.choices)}"
        if self.is_ascii and not value.isascii():
            yield f"{value!r} holds characters outside ASCII"
        if self.pattern and not re.fullmatch(self.pattern, value):
            yield f"{value!r} is not {self.pattern_name}"


@dataclass(frozen=True)
class Action:
    """
    One operation of the API.

    :param name: ``X-TC-Action``.
    :param about: What it does, in one sentence.
    :param replay: What sending it again means.
    :param permission: What the key needs in CAM (Tencent's access management).
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

    def payload(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """
        Read Python arguments into the request's JSON object; ``None`` and ``""`` mean *not given*.

        :param arguments: By Python name, for example ``{"sub_product_code": "sp_x"}``.
        :raises InvalidRequest: With every mistake at once. Nothing was sent.
        """
        unknown = sorted(arguments.keys() - self._by_arg.keys())
        mistakes = {name: f"{self.name} has no such field" for name in unknown}
        payload = {}
        for field in self.fields:
            value = arguments.get(field.arg)
            value = value.strip() if isinstance(value, str) else value
            if value in _ABSENT:
                continue
            try:
                payload[field.name] = field.parse(value)
            except ValueError as error:
                mistakes[field.arg] = str(error)
        unread = frozenset(field.name for field in self.fields if field.arg in mistakes)
        lines = [f"{arg}: {text}" for arg, text in mistakes.items()]
        lines += [f"{self._by_name[m.field].arg}: {m.text}" for m in self.check(payload, unread)]
        if lines:
            raise InvalidRequest(self.name, lines)
        return payload

    def check(self, payload: Mapping[str, Any], unread: frozenset[str] = frozenset()) -> list[Mistake]:
        """
        Return every mistake in a request's JSON object, as a server sees it.

        :param unread: Fields of which nothing is known; nothing is said about them.
        """
        unknown = sorted(payload.keys() - self._by_name.keys())
        mistakes = [Mistake(Fault.UNKNOWN, name, f"{self.name} has no such field") for name in unknown]
        for field in self.fields:
            if field.name not in unread:
                mistakes += self._mistakes_in(field, payload, unread)
        return mistakes

    def check_answer(self, answer: Mapping[str, Any]) -> list[Mistake]:
        """Return what is wrong with the required fields of a successful answer; nothing is asked of the others."""
        required = [field for field in self.answer if field.required]
        return [m for field in required for m in self._mistakes_in(field, answer, frozenset())]

    def _mistakes_in(self, field: Field, payload: Mapping[str, Any], unread: frozenset[str]) -> list[Mistake]:
        value = payload.get(field.name)
        if value in _ABSENT:
            missing = Mistake(Fault.MISSING, field.name, f"missing: {field.about}")
            return [missing] if field.required else []
        faults = [Mistake(fault, field.name, text) for fault, text in field.faults(value)]
        return faults or list(self._disagreements(field, payload, unread))

    def _disagreements(self, field: Field, payload: Mapping[str, Any], unread: frozenset[str]) -> Iterator[Mistake]:
        inner = json.loads(payload[field.name]) if field.mirrors else {}
        for key, name in (field.mirrors or {}).items():
            if key not in inner or name in unread:
                continue
            outer = payload.get(name)
            if outer is None:
                outer = self._by_name[name].default
            if str(inner[key]) != str(outer):
                text = f"its {key} is {inner[key]!r}, but {self._by_name[name].arg} is {outer!r}"
                yield Mistake(Fault.VALUE, field.name, text)

    @cached_property
    def _by_arg(self) -> Mapping[str, Field]:
        return {field.arg: field for field in self.fields}

    @cached_property
    def _by_name(self) -> Mapping[str, Field]:
        return {field.name: field for field in self.fields}


def canonical_json(value: Any) -> str:
    """Serialise so that the same value always gives the same bytes: sorted keys, no blanks, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _parse_text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not text")
    return value


def _parse_integer(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]+", value.strip()):
        return int(value)
    raise ValueError(f"{value!r} is not a whole number")


def _parse_boolean(value: Any) -> bool:
    read = {"true": True, "false": False}.get(str(value).lower())
    if read is None:
        raise ValueError(f"{value!r} is neither true nor false")
    return read


def _parse_json_object(value: Any) -> str:
    if not isinstance(value, (str, Mapping)):
        raise ValueError(f"{value!r} is neither a mapping nor JSON text")
    try:
        read = json.loads(value) if isinstance(value, str) else value
        text = canonical_json(read)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from error
    if not isinstance(read, Mapping):
        raise ValueError(f"JSON, but not an object: {value!r}")
    return text


_PARSERS = {
    Kind.TEXT: _parse_text,
    Kind.INTEGER: _parse_integer,
    Kind.BOOLEAN: _parse_boolean,
    Kind.JSON: _parse_json_object,
}


def _is_json_object(value: Any) -> bool:
    try:
        return isinstance(value, str) and isinstance(json.loads(value), dict)
    except ValueError:
        return False


def _has_kind(kind: Kind, value: Any) -> bool:
    if kind is Kind.JSON:
        return _is_json_object(value)
    if kind in (Kind.INTEGER, Kind.INTEGERS):
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, _TYPES.get(kind, str))


_TYPES = {Kind.BOOLEAN: bool, Kind.OBJECTS: dict}
