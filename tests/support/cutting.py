"""A proxy before a database server that cuts the connection at a chosen message of the client."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Literal


class CuttingProxy:
    """
    Forwards connections to a server on this machine until a message of the client is reached.

    :param port: Of the server.
    :param at: Which message, from 1; 0 cuts nothing.
    :param when: *before* the server gets the message, or *after* it has answered it. The client gets no answer.
    :param is_away: From then on no connection is accepted, until :meth:`back`.
    """

    def __init__(
        self, port: int, at: int = 0, when: Literal["before", "after"] = "before", *, is_away: bool = False
    ) -> None:
        self.messages = 0
        self.has_cut = False
        self._server, self._at, self._when, self._is_away = port, at, when, is_away
        self._lock = threading.Lock()
        self._open = True
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def back(self) -> None:
        """Let the server be reached again, and cut nothing more."""
        self._at, self._is_away = 0, False

    def close(self) -> None:
        self._open = False
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while self._open:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.has_cut and self._is_away:
                client.close()
                continue
            threading.Thread(target=self._forward, args=(client,), daemon=True).start()

    def _forward(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._server)) as server:
            swallow = threading.Event()
            threading.Thread(target=self._answer, args=(server, client, swallow), daemon=True).start()
            with contextlib.suppress(OSError):
                while message := client.recv(65_536):
                    if self._is_cut():
                        if self._when == "after":
                            swallow.set()
                            server.sendall(message)
                            self._answered.wait(10)
                        break
                    server.sendall(message)
            for end in (client, server):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def _is_cut(self) -> bool:
        with self._lock:
            self.messages += 1
            if self._at and self.messages == self._at:
                self._answered = threading.Event()
                self.has_cut = True
                return True
        return False

    def _answer(self, server: socket.socket, client: socket.socket, swallow: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while answer := server.recv(65_536):
                if swallow.is_set():
                    self._answered.set()
                    return
                client.sendall(answer)
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)
        if swallow.is_set():
            self._answered.set()
