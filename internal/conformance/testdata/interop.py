"""Talks to an echo server with the websockets package that Debian ships: python3 interop.py URL

The package checks what a server sends for itself: masks, lengths, reserved bits, UTF-8, close codes.
The last line of what is printed says how many exchanges came out right.
"""

import asyncio
import sys

import websockets

OPTIONS = {"ping_interval": None, "max_size": None, "compression": None}
SIZES = [0, 1, 125, 126, 127, 1000, 65535, 65536]
TEXTS = ["", "κόσμε", "\u0000", "\ufffd\uffff", "\U0010ffff", "🚌" * 1000]
CODES = [1000, 1001, 1011, 3000, 4999]


async def same(ws, message, whole):
    await ws.send(message)
    answer = await asyncio.wait_for(ws.recv(), 20)
    assert answer == whole and type(answer) is type(whole), (len(answer), len(whole))
    return 1


async def messages(url):
    right = 0
    async with websockets.connect(url, **OPTIONS) as ws:
        for size in SIZES:
            binary = bytes(i * 7 % 256 for i in range(size))
            right += await same(ws, binary, binary)
            right += await same(ws, "x" * size, "x" * size)
            # A list is sent as a fragment for each item.
            right += await same(ws, [binary[: size // 2], b"", binary[size // 2 :]], binary)
        for text in TEXTS:
            right += await same(ws, text, text)
            right += await same(ws, list(text) or [""], text)
        for payload in [b"", b"p", bytes(125)]:
            await asyncio.wait_for(await ws.ping(payload), 20)
            right += 1
    assert ws.close_code == 1000, ws.close_code
    return right


async def at_once(url):
    """Many messages on the way at a time, with pings between them."""
    async with websockets.connect(url, **OPTIONS) as ws:

        async def send():
            for i in range(2000):
                await ws.send(str(i))
                if i % 10 == 0:
                    await ws.ping(f"ping {i}")

        sending = asyncio.ensure_future(send())
        for i in range(2000):
            answer = await asyncio.wait_for(ws.recv(), 20)
            assert answer == str(i), (answer, i)
        await sending
    return 2000


async def closes(url):
    for code in CODES:
        async with websockets.connect(url, **OPTIONS) as ws:
            await ws.close(code, "Grüße")
        assert ws.close_code == code, (ws.close_code, code)
    return len(CODES)


async def main(url):
    print(await messages(url) + await at_once(url) + await closes(url), "exchanges")


asyncio.run(main(sys.argv[1]))
