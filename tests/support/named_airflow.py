"""NamedAirflow: an Airflow whose users log in, for what depends on the user who does it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from tests.support.real_airflow import HTTP_SECONDS, RealAirflow


def wait_until_left(airflow: RealAirflow, run_id: str) -> None:
    """
    Return when the scheduler knows that the worker of a waiting task has ended.

    An answer before that fails the task: the scheduler takes the end of the first worker for that of the second one.

    :raises AirflowTrouble: It does not know it after the time for a start.
    """
    ended = "Received executor event with state success"

    def has_left() -> bool:
        with airflow.processes["scheduler"].log.open(errors="replace") as lines:
            return any(ended in line and run_id in line for line in lines)

    airflow.wait("the end of the first worker", has_left)


class NamedAirflow(RealAirflow):
    """
    An Airflow whose users have names and passwords. All of them may do everything.

    :param users: Their passwords by their names; the first one calls the API.
    :param arguments: As for :class:`RealAirflow`.
    """

    def __init__(self, users: Mapping[str, str], *arguments: Any) -> None:
        super().__init__(*arguments)
        self._users = dict(users)
        self._name = next(iter(users))

    @contextlib.contextmanager
    def logged_in(self, name: str) -> Iterator[None]:
        """Call the API as another user for a while."""
        before = self._name
        self._become(name)
        try:
            yield
        finally:
            self._become(before)

    def _become(self, name: str) -> None:
        self._name = name
        self._session.headers.pop("Authorization", None)

    def _token(self) -> str:
        body = {"username": self._name, "password": self._users[self._name]}
        return str(self._session.post(f"{self.url}/auth/token", json=body, timeout=HTTP_SECONDS).json()["access_token"])

    def _settings(self, port: int) -> dict[str, str]:
        passwords = self.home / "passwords.json"
        passwords.write_text(json.dumps(self._users) + "\n", encoding="utf-8")
        return {
            **super()._settings(port),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{name}:admin" for name in self._users),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        }
