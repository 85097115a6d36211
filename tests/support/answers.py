"""Answers without a server: each request of a client ends in ``requests.Session.post``, and a function answers it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import requests


class Answer:
    """As much of a response as a client reads."""

    def __init__(self, content: bytes, headers: Mapping[str, str] | None = None, status_code: int = 200) -> None:
        self.content, self.headers, self.status_code = content, dict(headers or {}), status_code
        self.raw = self

    def stream(self, size: int, decode_content: bool) -> Iterator[bytes]:
        yield self.content

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *error: object) -> None:
        return None


Post = Callable[[Any, str, bytes], Answer]
"""Answer a request, given the session, the name of its action and its body; or raise what a lost answer raises."""


def posting(patch: Any, answer: Post) -> None:
    """Let every request end in a function."""

    def post(session: requests.Session, url: str, *, data: bytes, headers: Mapping[str, str], **options: Any) -> Answer:
        return answer(session, headers["X-TC-Action"], data)

    patch.setattr(requests.Session, "post", post)
