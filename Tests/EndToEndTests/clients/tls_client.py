"""A WebSocket client that checks the server's certificate: tls_client.py URL CA-FILE.

Prints `connected` when Herald says so, and at SIGUSR1 asks for a pong and prints `pong` when it came.
"""
import asyncio, json, signal, ssl, sys

import websockets


async def main():
    trust = ssl.create_default_context(cafile=sys.argv[2])
    async with websockets.connect(sys.argv[1], ssl=trust) as socket:
        assert "connected" in json.loads(await socket.recv())
        asked = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, asked.set)
        print("connected", flush=True)
        await asked.wait()
        await socket.send('{"id":1,"ping":{}}')
        assert json.loads(await socket.recv()) == {"id": 1, "pong": {}}
        print("pong", flush=True)


asyncio.run(main())
