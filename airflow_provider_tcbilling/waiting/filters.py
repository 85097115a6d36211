"""Filters: a selection of instances, as a user or a template writes it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from airflow_provider_tcbilling.api.actions import RENEW_FLAGS
from airflow_provider_tcbilling.api.check import Check
from airflow_provider_tcbilling.api.errors import InvalidRequest
from airflow_provider_tcbilling.api.text import folded, harmless, says_nothing, shown, visible

if TYPE_CHECKING:
    from airflow_provider_tcbilling.api.models import RenewableInstance

ALL = "*"
"""The filter that lets every instance pass. A template that rendered to nothing selects nothing."""

LISTED = 20
"""Values that a message lists."""

_CODE = r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}"
_ITEM = r"""(?:'[^'"\\]*'|"[^'"\\]*")"""
_LIST = rf"[\[(]\s*{_ITEM}(?:\s*,\s*{_ITEM})*\s*,?\s*[\])]"
"""The text of a list of texts, as Python or JSON write it."""


@dataclass(frozen=True)
class Wanted:
    """
    A selection of instances; an empty filter is not compared.

    :param name: Pattern for the instance's name, with ``*`` and ``?``, upper and lower case differ.
    """

    product_codes: Sequence[str] = ()
    sub_product_codes: Sequence[str] = ()
    region_codes: Sequence[str] = ()
    renew_flags: Sequence[str] = ()
    name: str = ALL

    def as_json(self) -> dict[str, Any]:
        """Return the filters as plain JSON types, as :meth:`read` reads them."""
        codes = {name: list(codes) for name, codes, _ in self._compared()}
        return {**codes, "name": self.name}

    @classmethod
    def read(cls, filters: Mapping[str, Any]) -> Wanted:
        """
        Read filters as a user or a template writes them.

        :raises InvalidRequest: With every mistake at once.
        """
        names = ", ".join(READERS)
        mistakes = [f"{name}: there is no such filter; there are {names}" for name in {*filters} - {*READERS}]
        understood: dict[str, Any] = {}
        for name, check in READERS.items():
            value = filters.get(name, ALL)
            if mistake := check.mistake(name, value):
                mistakes.append(mistake)
            else:
                understood[name] = check.read(value)
        if mistakes:
            raise InvalidRequest("the filters", mistakes)
        return cls(**understood)

    def includes(self, instance: RenewableInstance) -> bool:
        """Whether the filters let an instance pass."""
        return bool(self.narrow([instance]).instances)

    def narrow(self, instances: Sequence[RenewableInstance]) -> Narrowed:
        """Return the instances that pass, and how many of them each filter left."""
        left, steps, is_odd = list(instances), list[str](), False
        for name, codes, attribute in self._compared():
            values = {getattr(instance, attribute) for instance in instances}
            wanted, listed = {folded(code) for code in codes}, {folded(value) for value in values}
            before, left = len(left), [one for one in left if folded(getattr(one, attribute)) in wanted]
            step = f"{name} {shown(list(codes))} leaves {len(left)} of {before}"
            if not wanted <= listed:
                unknown = shown([code for code in codes if folded(code) not in listed])
                step, is_odd = f"{step}, and nothing listed has {unknown} (listed: {_some(values)})", True
            steps.append(step)
        if self.name != ALL:
            before, left = len(left), [one for one in left if like(one.instance_name, visible(self.name))]
            steps.append(f"name {shown(self.name)} leaves {len(left)} of {before}")
        return Narrowed(left, "; ".join(steps), is_odd=bool(instances) and (is_odd or not left))

    def _compared(self) -> list[tuple[str, Sequence[str], str]]:
        compared = [
            ("product_codes", self.product_codes, "product_code"),
            ("sub_product_codes", self.sub_product_codes, "sub_product_code"),
            ("region_codes", self.region_codes, "region_code"),
            ("renew_flags", self.renew_flags, "renew_flag"),
        ]
        return [(name, codes, attribute) for name, codes, attribute in compared if codes]


@dataclass(frozen=True)
class Narrowed:
    """
    The instances that the filters left.

    :param steps: The number of instances that each filter left, as a text; empty if there was no filter.
    :param is_odd: The filters left no instance, or name a value that no listed instance has: perhaps misspelt.
    """

    instances: list[RenewableInstance]
    steps: str
    is_odd: bool


def like(text: str, pattern: str) -> bool:
    """Whether a text matches a pattern, in which only ``*`` and ``?`` mean more than themselves."""
    return fnmatchcase(text, pattern.replace("[", "[[]"))


def codes_of(given: Any) -> tuple[str, ...]:
    """
    Return the codes that a filter lets pass; none if it lets every one pass.

    :param given: ``*``, a code, or a list of codes; a template may have written the list as text.
    :raises ValueError: It is something else, such as nothing, an empty list, or a text that cannot be a code.
    """
    if isinstance(given, str):
        text = given.strip()
        if text == ALL:
            return ()
        given = [item[1:-1] for item in re.findall(_ITEM, text)] if re.fullmatch(_LIST, text) else [text]
    codes = list(given) if isinstance(given, (Sequence, Set)) and not isinstance(given, (bytes, bytearray)) else []
    if not codes or not all(map(_is_code, codes)):
        raise ValueError("not codes")
    return tuple(dict.fromkeys(str(code.strip()) for code in codes))


def flags_of(given: Any) -> tuple[str, ...]:
    """
    Return the renew flags that a filter lets pass, as the API writes them; none if it lets every one pass.

    :raises ValueError: It is something else than ``*``, a flag or a list of flags.
    """
    flags = {folded(flag): flag for flag in RENEW_FLAGS}
    codes = codes_of(given)
    if not all(folded(code) in flags for code in codes):
        raise ValueError("not flags")
    return tuple(flags[folded(code)] for code in codes)


def pattern_of(given: Any) -> str:
    """
    Return the pattern of a name.

    :raises ValueError: It is no text, or the text of a template that rendered to nothing.
    """
    if not isinstance(given, str) or says_nothing(given):
        raise ValueError("not a pattern")
    return str(given)


def _is_code(code: Any) -> bool:
    return isinstance(code, str) and bool(re.fullmatch(_CODE, code.strip())) and not says_nothing(code)


def _some(values: Iterable[str]) -> str:
    names = sorted(harmless(value) or "none" for value in values)
    return ", ".join(names[:LISTED]) + ", ..." * (len(names) > LISTED)


def _codes(example: str) -> str:
    return f"a code such as {example}, or a list of codes; left out, or '*', it lets every one pass"


READERS: Mapping[str, Check] = MappingProxyType(
    {
        "product_codes": Check(codes_of, _codes("p_cloudfirewall")),
        "sub_product_codes": Check(codes_of, _codes("sp_cloudfirewall_svv1")),
        "region_codes": Check(codes_of, _codes("ap-guangzhou")),
        "renew_flags": Check(
            flags_of, f"one of {', '.join(RENEW_FLAGS)}, or a list of them; left out, or '*', it is any"
        ),
        "name": Check(pattern_of, "a pattern of a name, with * and ?"),
    }
)
"""The function that reads each filter, and its rule for a message."""
