"""Crashes: a process that dies, or stands still, at a checkpoint of a purchase."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from airflow_provider_tcbilling.purchasing.purchase import Purchase


class Died(BaseException):
    """What no handler catches, like the end of the process."""


def dies(*args: object, **kwargs: object) -> None:
    raise Died


def at(name: str, act: Callable[[], None] = dies, turn: int = 1) -> Callable[[str], None]:
    """
    Return a checkpoint that acts when a purchase comes to a name for the *turn*-th time.

    :param name: One of ``Purchase.CHECKPOINTS``.
    """
    assert name in Purchase.CHECKPOINTS
    visits = []

    def checkpoint(reached: str) -> None:
        if reached == name:
            visits.append(reached)
            if len(visits) == turn:
                act()

    return checkpoint


@contextmanager
def dying_at(name: str) -> Iterator[None]:
    """Let each purchase within the block die at a checkpoint, and see that one did."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Purchase, "checkpoint", staticmethod(at(name)))
        with pytest.raises(Died):
            yield


@contextmanager
def dying_in(*functions: str) -> Iterator[None]:
    """Let the process die in a public function of the client, or of a library, and see that it did."""
    with pytest.MonkeyPatch.context() as patch:
        for function in functions:
            patch.setattr(function, dies)
        with pytest.raises(Died):
            yield


@contextmanager
def dying_before_the_answer_is_read() -> Iterator[None]:
    """Let the process die when the server has carried the request out and nothing of the answer was read."""
    import requests

    post = requests.Session.post

    def posted(*args: object, **kwargs: object) -> None:
        post(*args, **kwargs).close()
        raise Died

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(requests.Session, "post", posted)
        with pytest.raises(Died):
            yield
