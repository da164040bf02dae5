# SPDX-License-Identifier: GPL-2.0-only
"""The outside world for guest/net.c: a TCP server that returns what it gets.

Happy path: with Echo() as echo: the guest connects to echo.port on the host's
address.  One thread per connection; connections that break are the guest
witness' to report.
"""

import socket
import threading


class Echo:
    """Listens on a free port of the loopback interface until closed."""

    def __init__(self):
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        self.accepted = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.sock.close()

    def _accept(self):
        while True:
            try:
                peer, _ = self.sock.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self._serve, args=(peer,),
                             daemon=True).start()

    @staticmethod
    def _serve(peer):
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with peer:
            try:
                while data := peer.recv(65536):
                    peer.sendall(data)
            except OSError:
                pass
