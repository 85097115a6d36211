"""Where keys come from, other than STS: a fixed key, the environment, a profile file, a machine's role."""

from __future__ import annotations

import configparser
import itertools
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_tcbilling.api.credentials import FixedKey, Key, KeySource
from airflow_provider_tcbilling.api.key_reading import key_of, read_file, refused
from airflow_provider_tcbilling.api.metadata import METADATA, key_of_role
from airflow_provider_tcbilling.api.text import harmless

if TYPE_CHECKING:
    from airflow_provider_tcbilling.api.credentials import Credentials

__all__ = ["CvmRole", "Environment", "FixedKey", "Profile"]

ID_NAMES = ("TENCENTCLOUD_SECRET_ID", "TENCENTCLOUD_SECRETID")
KEY_NAMES = ("TENCENTCLOUD_SECRET_KEY", "TENCENTCLOUD_SECRETKEY")
TOKEN_NAMES = ("TENCENTCLOUD_TOKEN", "TENCENTCLOUD_SECURITY_TOKEN", "TENCENTCLOUD_SESSIONTOKEN")
"""The variables of the environment: of tccli and the SDKs, of Terraform, and of the functions' runtime."""

PROFILE_FILES = ("~/.tencentcloud/credentials", "/etc/tencentcloud/credentials")
"""The files of the official library. The first one that exists is read."""


PARTS = ("secret_id", "secret_key", "token")
"""The names of a key's parts in such a file."""


@dataclass(frozen=True)
class Environment:
    """The variables of the environment of the process, read anew for each key."""

    name: str = "environment"
    base: None = None
    is_lasting: bool = False

    @property
    def identity(self) -> str:
        """The SecretId of a permanent key; all temporary keys are counted together."""
        secret_id, _, token = (_any_of(names) for names in (ID_NAMES, KEY_NAMES, TOKEN_NAMES))
        return self.name if token or not secret_id else secret_id

    def fetch(self, within: float, base: Credentials | None = None) -> Key:
        """
        Read the variables.

        :raises CredentialsRefused: One is missing, is no key, or two names of the same have different values.
        """
        values = {names: _values_of(names) for names in (ID_NAMES, KEY_NAMES, TOKEN_NAMES)}
        mistakes = [
            f"{' and '.join(found)} have different values: leave all out but one"
            for found in values.values()
            if len(set(found.values())) > 1
        ]
        mistakes += [f"{names[0]} is not set" for names in (ID_NAMES, KEY_NAMES) if not values[names]]
        if mistakes:
            raise refused("the environment of this process", mistakes)
        return key_of(
            self.name, {next(iter(found), names[0]): next(iter(found.values()), "") for names, found in values.items()}
        )


@dataclass(frozen=True)
class Profile:
    """
    A section of a file of the official library, read anew for each key.

    :param file: The file; empty is the first of :data:`PROFILE_FILES` that exists.
    """

    file: str = ""
    section: str = "default"
    name: str = "profile"
    base: None = None
    is_lasting: bool = False

    @property
    def identity(self) -> str:
        """The place in the file, whichever key stands there."""
        return f"{self.name}:{self.file}:{self.section}"

    def fetch(self, within: float, base: Credentials | None = None) -> Key:
        """
        Read the file.

        :raises CredentialsRefused: There is no such file or section, or a part of the key is missing.
        """
        path = self._path()
        where = f"the file {harmless(path)}"
        values = self._section_of(where, read_file(path, where))
        missing = [part for part in ("secret_id", "secret_key") if not values.get(part)]
        mistakes = [f"[{harmless(self.section)}] has no {part}" for part in missing]
        quoted = [part for part in PARTS if values.get(part, "")[:1] in ("'", '"')]
        mistakes += [f"{part} has quotes around it: take them away" for part in quoted]
        if mistakes:
            raise refused(where, mistakes)
        return key_of(where, {part: values.get(part, "") for part in PARTS})

    def _path(self) -> Path:
        # Not that of Path, which raises for a user without a home, and where a folder may not be entered.
        candidates = [os.path.expanduser(name) for name in ((self.file,) if self.file else PROFILE_FILES)]
        return Path(next(itertools.filterfalse(_is_absent, candidates), candidates[0]))

    def _section_of(self, where: str, text: str) -> Mapping[str, str]:
        # No section lends its values to the others: a key is never put together of two.
        parser = configparser.RawConfigParser(default_section="")
        try:
            parser.read_string(text)
            return {part: value.strip() for part, value in parser.items(self.section)}
        except configparser.NoSectionError:
            raise refused(where, [f"it has no section [{harmless(self.section)}]"]) from None
        except (configparser.Error, AttributeError):
            # The parser's own text shows the line, which may be a secret.
            raise refused(where, ["it is no INI file, or has something twice"]) from None


@dataclass(frozen=True)
class CvmRole:
    """
    The role of the machine, whose temporary keys its metadata service gives.

    :param role: The name of the role; empty is the only one that the machine has.
    :param endpoint: The address of the metadata service.
    """

    role: str = ""
    endpoint: str = METADATA
    name: str = "cvm_role"
    base: None = None
    is_lasting: bool = False

    @property
    def identity(self) -> str:
        """The role, on whichever machine."""
        return f"{self.name}:{self.role}"

    def fetch(self, within: float, base: Credentials | None = None) -> Key:
        """
        Ask the metadata service.

        :raises CredentialsUnavailable: It does not answer with a key that is good.
        """
        return key_of_role(self.endpoint, self.role, within)


def _is_absent(path: str) -> bool:
    """Whether a file surely does not exist. One that may not be read is not left out for the next one."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        pass
    return False


def _values_of(names: Iterable[str]) -> dict[str, str]:
    return {name: value for name in names if (value := os.environ.get(name, ""))}


def _any_of(names: Iterable[str]) -> str:
    return next(iter(_values_of(names).values()), "")


_: tuple[type[KeySource], ...] = (FixedKey, Environment, Profile, CvmRole)
