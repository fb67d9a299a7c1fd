// A WebSocket client that a test drives: node client.mjs URL TOKEN header|subprotocol
//
// An empty TOKEN means no authentication. Commands come on standard input, happenings go to standard
// output, one JSON object per line each; ../python/client.py keeps to the same contract:
//   commands    {"cmd":"send","data":…} {"cmd":"close","code":…,"reason":…} {"cmd":"terminate"}
//   happenings  {"event":"open","protocol":…} {"event":"text","data":…} {"event":"binary","base64":…}
//               {"event":"error","message":…,"status":…} {"event":"close","code":…,"reason":…}
// "close" is always the last line. "status" is there when the server answered the upgrade with HTTP.
import { createInterface } from "node:readline";
import WebSocket from "ws";

const [url, token, way] = process.argv.slice(2);

const commands = {
  send: ({ data }) => ws.send(data),
  close: ({ code, reason }) => ws.close(code ?? 1000, reason ?? ""),
  terminate: () => ws.terminate(),
};

const ws = connect();
ws.on("open", () => print({ event: "open", protocol: ws.protocol }));
ws.on("message", (data, isBinary) => print(isBinary
  ? { event: "binary", base64: data.toString("base64") }
  : { event: "text", data: data.toString() }));
ws.on("error", (error) => print({ event: "error", message: error.message }));
ws.on("unexpected-response", (request, response) => {
  print({ event: "error", message: response.statusMessage, status: response.statusCode });
  ended(1006, "");
});
ws.on("close", (code, reason) => ended(code, reason.toString()));

const input = createInterface({ input: process.stdin });
input.on("line", obey);
input.on("close", () => ws.terminate());

function connect() {
  if (token === "") return new WebSocket(url);
  if (way === "header") return new WebSocket(url, { headers: { Authorization: `Bearer ${token}` } });
  if (way === "subprotocol") return new WebSocket(url, [bearerProtocol(token)]);
  throw new Error(`usage: client.mjs URL TOKEN header|subprotocol, not ${way}`);
}

// encodeURIComponent leaves parentheses alone, and they are no HTTP token characters (RFC 6455 section 4.1).
function bearerProtocol(token) {
  return "bearer." + encodeURIComponent(token).replaceAll("(", "%28").replaceAll(")", "%29");
}

function obey(line) {
  try {
    const command = JSON.parse(line);
    commands[command.cmd](command);
  } catch (error) {
    print({ event: "error", message: `${line}: ${error.message}` });
  }
}

function ended(code, reason) {
  print({ event: "close", code, reason });
  process.exit(0); // pipes are written synchronously on Linux, so nothing printed is lost
}

function print(happening) {
  process.stdout.write(JSON.stringify(happening) + "\n");
}
