# SPDX-License-Identifier: Apache-2.0
"""A server between two others, byte for byte: what it does before that is its subclasses'."""

import socket
import threading


class Relay:
    """Listens at an address; `serve` gets each connection, in a thread of its own."""

    def __init__(self, address):
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.listener = socket.create_server(address, family=family)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)  # or accept() would go on waiting, and the port be open
        self.listener.close()

    def join(self, near, far):
        """Each gets what the other sends, until either ends."""
        threading.Thread(target=self.pump, args=(far, near), daemon=True).start()
        self.pump(near, far)

    @staticmethod
    def pump(a, b):
        try:
            while data := a.recv(65536):
                b.sendall(data)
        except OSError:
            pass
        for s in (a, b):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
