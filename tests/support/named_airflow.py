"""NamedAirflow: an Airflow whose users log in, for what depends on the user who does it."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

from tests.support.real_airflow import HTTP_SECONDS, RealAirflow

TRIGGER_SECONDS = 3.0
"""Time in which a trigger begins: before 3.3 a task waits in one, and an answer can come too soon for that, too."""

ENDED = re.compile(r"Received executor event with state (success|failed)")


def wait_until_left(airflow: RealAirflow, run_id: str) -> None:
    """
    Return when the scheduler knows that the workers have ended which it has started for a run.

    An answer to the question of a task before that fails the task: the scheduler takes the end of its first worker for
    that of the second one. On a loaded machine that takes some seconds.

    :raises AirflowTrouble: It does not know it after the time for a start.
    """

    def have_left() -> bool:
        started = ended = 0
        with airflow.processes["scheduler"].log.open(errors="replace") as lines:
            for line in lines:
                started += line.count(run_id) * ("Trying to enqueue tasks" in line)
                ended += run_id in line and bool(ENDED.search(line))
        return ended >= started > 0

    time.sleep(TRIGGER_SECONDS)
    airflow.wait(f"the end of the workers of {run_id}", have_left)


class NamedAirflow(RealAirflow):
    """
    An Airflow whose users have names and passwords. All of them may do everything.

    :param users: Their passwords by their names; the first one calls the API.
    :param arguments: As for :class:`RealAirflow`.
    """

    def __init__(self, users: Mapping[str, str], *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
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

    def token(self, name: str) -> str:
        """Return a token with which a user calls the API."""
        body = {"username": name, "password": self._users[name]}
        return str(self._session.post(f"{self.url}/auth/token", json=body, timeout=HTTP_SECONDS).json()["access_token"])

    def _token(self) -> str:
        return self.token(self._name)

    def _settings(self, port: int) -> dict[str, str]:
        passwords = self.home / "passwords.json"
        passwords.write_text(json.dumps(self._users) + "\n", encoding="utf-8")
        return {
            **super()._settings(port),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{name}:admin" for name in self._users),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        }
