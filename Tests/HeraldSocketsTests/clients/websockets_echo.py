"""The public Python client `websockets` against an echo server: websockets_echo.py URL MODE [CERTIFICATE].

MODE is plain or deflate; with a certificate the URL is wss, and it is the only one that is believed. Prints "ok" and ends 0, or says what was wrong.
"""
import asyncio, random, ssl, sys

import websockets
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory as Deflate

URL, MODE = sys.argv[1:3]
TLS = {}
SIZES = [0, 1, 125, 126, 127, 128, 65535, 65536, 65537, 1 << 20]
OFFERS = [
    [Deflate()],
    [Deflate(server_no_context_takeover=True, client_no_context_takeover=True)],
    [Deflate(server_max_window_bits=8)],
    [Deflate(server_max_window_bits=9, client_max_window_bits=9)],
    [Deflate(client_max_window_bits=True), Deflate()],
]


def expect(found, wanted, what):
    assert found == wanted, f"{what}: found {str(found)[:100]!r}, wanted {str(wanted)[:100]!r}"


async def echo(socket, message, what):
    await socket.send(message)
    found = await asyncio.wait_for(socket.recv(), 60)
    wanted = message if isinstance(message, (str, bytes)) else type(message[0])().join(message)
    expect(found, wanted, what)


def texts():
    words = ["order", "shipped", "élan", "漢字", "😀", '{"user":"alice"}']
    return "".join(random.choice(words) for _ in range(3000))


async def converse(extensions):
    settings = dict(compression=None, extensions=extensions, max_size=None, max_queue=None)
    async with websockets.connect(URL, **settings, **TLS) as socket:
        expect(bool(socket.extensions), bool(extensions), "extension agreed on")
        for size in SIZES:
            await echo(socket, bytes(size), f"{size} zeros")
            await echo(socket, "*" * size, f"{size} stars")
        for size in (1000, 65536):
            await echo(socket, random.randbytes(size), f"{size} random bytes")
        for _ in range(5):
            await echo(socket, texts(), "text")
        for pieces in (1, 2, 64, 4096):
            text = texts() * 4
            step = max(1, len(text) // pieces)
            await echo(socket, [text[at:at + step] for at in range(0, len(text), step)], f"{pieces} fragments")
        if extensions in (None, OFFERS[0]):
            await echo(socket, [bytes(65536)] * 256, "16 MiB in 256 fragments")
        await asyncio.wait_for(await socket.ping(b"x" * 125), 10)
        for number in range(1000):
            await socket.send(f"message {number}")
        for number in range(1000):
            expect(await asyncio.wait_for(socket.recv(), 10), f"message {number}", "a thousand at once")
        await socket.close(4321, "dönë")
        expect(socket.close_code, 4321, "close code")


async def main():
    random.seed(7692)
    if len(sys.argv) > 3:
        TLS["ssl"] = ssl.create_default_context(cafile=sys.argv[3])
        TLS["ssl"].check_hostname = False
    for extensions in ([None] if MODE == "plain" else OFFERS):
        await converse(extensions)
    print("ok")


asyncio.run(main())
