"""A WebSocket client that a test drives: python3 client.py URL TOKEN header|subprotocol

It keeps to the contract at the top of ../node/client.mjs. Written for the websockets package that
Debian 12 ships (10.4, the asyncio API of that time); later versions renamed extra_headers.
"""

import asyncio
import base64
import json
import sys
import urllib.parse

import websockets

MAX_LINE = 32 << 20


def emit(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


def connect(url, token, way):
    # Its own keepalive would add pings, and its size limit would close connections, that no test asked for.
    options = {"ping_interval": None, "max_size": None}
    if token == "":
        return websockets.connect(url, **options)
    if way == "header":
        return websockets.connect(url, extra_headers={"Authorization": f"Bearer {token}"}, **options)
    if way == "subprotocol":
        offered = "bearer." + urllib.parse.quote(token, safe="")
        return websockets.connect(url, subprotocols=[offered], **options)
    raise SystemExit(f"usage: client.py URL TOKEN header|subprotocol, not {way}")


class Commands:
    """What a line on standard input may ask for. Used from the event loop only."""

    def __init__(self, ws):
        self.ws = ws
        self.closing = None

    async def obey(self, command):
        match command["cmd"]:
            case "send":
                await self.ws.send(command["data"])
            case "close":
                # It returns when the server has answered, so it must not hold up the next command. The event loop keeps
                # weak references only.
                self.closing = asyncio.ensure_future(self.ws.close(command.get("code", 1000), command.get("reason", "")))
            case "terminate":
                self.ws.transport.abort()
            case other:
                raise ValueError(f"no such command: {other}")


async def read_commands(ws):
    reader = asyncio.StreamReader(limit=MAX_LINE)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    commands = Commands(ws)
    while line := await reader.readline():
        try:
            await commands.obey(json.loads(line))
        except Exception as error:  # whatever went wrong, the test is told
            emit("error", message=f"{line.decode(errors='replace').strip()}: {error}")
    ws.transport.abort()


async def receive(ws):
    try:
        while True:
            message = await ws.recv()
            if isinstance(message, str):
                emit("text", data=message)
            else:
                emit("binary", base64=base64.b64encode(message).decode())
    except websockets.ConnectionClosed:
        emit("close", code=ws.close_code, reason=ws.close_reason or "")


async def main(url, token, way):
    try:
        ws = await connect(url, token, way)
    except websockets.InvalidStatusCode as error:
        emit("error", message=str(error), status=error.status_code)
        emit("close", code=1006, reason="")
        return
    except (OSError, websockets.WebSocketException) as error:
        emit("error", message=str(error))
        emit("close", code=1006, reason="")
        return
    emit("open", protocol=ws.subprotocol or "")
    commands = asyncio.ensure_future(read_commands(ws))
    await receive(ws)
    commands.cancel()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
