"""The public Python client `websockets` against a cloud node: websockets_client.py CLOUD_URL LOGIC_URL.

Prints "ok" and ends 0, or says what was wrong.
"""
import asyncio, base64, json, sys, urllib.request

import websockets

CLOUD, LOGIC = sys.argv[1:3]


def push(body):
    request = urllib.request.Request(LOGIC + "/v1/push", json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


async def read(socket):
    return json.loads(await asyncio.wait_for(socket.recv(), 10))


async def ask(socket, frame):
    await socket.send(json.dumps(frame))
    return await read(socket)


def expect(found, wanted):
    assert found == wanted, f"found {found!r}, wanted {wanted!r}"


async def main():
    off = asyncio.get_running_loop().run_in_executor
    async with websockets.connect(CLOUD + "?user=py&key=a&room=r1") as by_query, websockets.connect(CLOUD) as by_frame:
        hello = (await read(by_query))["connected"]
        expect((hello["user"], hello["key"]), ("py", "a"))
        hello = (await ask(by_frame, {"connect": {"user": "py", "rooms": ["r1"]}}))["connected"]
        expect(hello["user"], "py")
        assert hello["key"], "a key is generated"
        other = hello["key"]

        data = {"text": "é😀", "n": 1.5, "list": [1, None]}
        answer = await off(None, push, {"users": ["py"], "event": "hi", "op": 7, "data": data})
        expect(answer["verdicts"][0]["verdict"], "routed")
        for socket in (by_query, by_frame):
            got = (await read(socket))["push"]
            expect((got["id"], got["event"], got["op"], got["data"]), (answer["id"], "hi", 7, data))

        await off(None, push, {"rooms": ["r1"], "data": 1, "exclude": ["py/a"]})
        got = (await read(by_frame))["push"]
        expect((got["room"], got["data"]), ("r1", 1))

        await off(None, push, {"keys": ["py/" + other], "data_base64": base64.b64encode(bytes(range(256))).decode()})
        expect(base64.b64decode((await read(by_frame))["push"]["data_base64"]), bytes(range(256)))

        expect(await ask(by_query, {"id": 1, "join": {"room": "r2"}}), {"id": 1, "ok": {}})
        expect(await ask(by_query, {"id": 2, "leave": {"room": "r1"}}), {"id": 2, "ok": {}})
        await off(None, push, {"rooms": ["r1", "r2"], "data": 2})
        expect((await read(by_query))["push"]["room"], "r2")
        expect((await read(by_frame))["push"]["room"], "r1")

        expect((await ask(by_query, {"id": 3, "ping": {}})), {"id": 3, "pong": {}})
        expect((await ask(by_query, {"id": 4, "join": {"room": "a b"}}))["error"]["code"], "bad_id")
        await asyncio.wait_for(await by_query.ping(), 10)

        big = "x" * 60000
        await off(None, push, {"keys": ["py/a"], "data": big})
        expect((await read(by_query))["push"]["data"], big)

        async with websockets.connect(CLOUD + "?user=py&key=a") as newer:
            await read(newer)
            try:
                await read(by_query)
                raise AssertionError("the older connection of one key stayed open")
            except websockets.ConnectionClosed as closed:
                expect(closed.code, 4501)
            await off(None, push, {"keys": ["py/a"], "data": 3})
            expect((await read(newer))["push"]["data"], 3)
    print("ok")


asyncio.run(main())
