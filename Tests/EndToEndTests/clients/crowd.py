"""Many sockets on one node, from one process: crowd.py PORT FIRST COUNT.

Connects u{FIRST}/k, u{FIRST+1}/k, … and stays. Prints, one line each:

    connected 5000      all are
    push u17 ID         what u17 was shown
    ended u17 4501      u17's socket is over, with its close code (0: none)
"""
import base64, json, os, select, socket, struct, sys

PORT, FIRST, COUNT = (int(word) for word in sys.argv[1:4])
AT_ONCE = 200


class Socket:
    def __init__(self, number):
        self.number, self.bytes, self.is_open, self.is_connected = number, b"", False, False
        self.socket = socket.create_connection(("127.0.0.1", PORT))
        self.socket.setblocking(False)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.send(
            f"GET /ws?user=u{number}&key=k HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )

    def read(self):
        """Yields (opcode, payload); the end of the stream is (8, b"")."""
        try:
            new = self.socket.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            new = b""
        if not new:
            yield 8, b""
            return
        self.bytes += new
        if not self.is_open:
            end = self.bytes.find(b"\r\n\r\n")
            if end < 0:
                return
            if not self.bytes.startswith(b"HTTP/1.1 101 "):
                yield 8, b""
                return
            self.is_open, self.bytes = True, self.bytes[end + 4:]
        while len(self.bytes) >= 2:
            length, start = self.bytes[1], 2
            if length == 126:
                if len(self.bytes) < 4:
                    return
                (length,), start = struct.unpack(">H", self.bytes[2:4]), 4
            if len(self.bytes) < start + length:
                return
            frame = self.bytes[0] & 15, self.bytes[start:start + length]
            self.bytes = self.bytes[start + length:]
            yield frame

    def pong(self, payload):
        self.socket.send(bytes((0x8A, 0x80 | len(payload))) + b"\0\0\0\0" + payload)


def main():
    poll, sockets, started, connected = select.epoll(), {}, 0, 0

    def start():
        nonlocal started
        new = Socket(FIRST + started)
        sockets[new.socket.fileno()] = new
        poll.register(new.socket.fileno(), select.EPOLLIN)
        started += 1

    while True:
        while started < COUNT and started - connected < AT_ONCE:
            start()
        if not sockets:
            return
        for descriptor, _ in poll.poll():
            one = sockets[descriptor]
            for opcode, payload in one.read():
                if opcode == 9:
                    one.pong(payload)
                elif opcode == 8:
                    code = struct.unpack(">H", payload[:2])[0] if len(payload) >= 2 else 0
                    print(f"ended u{one.number} {code}", flush=True)
                    poll.unregister(descriptor)
                    one.socket.close()
                    del sockets[descriptor]
                    connected += not one.is_connected
                    break
                elif opcode == 1:
                    frame = json.loads(payload)
                    if "connected" in frame:
                        one.is_connected = True
                        connected += 1
                        if connected == COUNT:
                            print(f"connected {COUNT}", flush=True)
                    elif "push" in frame:
                        print(f"push u{one.number} {frame['push']['id']}", flush=True)


main()
