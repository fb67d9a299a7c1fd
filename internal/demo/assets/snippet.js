// The same for one's own page and backend, as text to copy. Tokens aren't in it.

// pageSnippet is a script that connects a page of one's own.
export const pageSnippet = (address) => `// of a session: busbar session create -user alice
const token = "…";
// the last change event's: nothing is missed, nothing comes twice
let seq = 0;

function connect() {
  const url = ${JSON.stringify(address)} + "?since=" + seq;
  const ws = new WebSocket(url,
    ["bearer." + encodeURIComponent(token)]);
  ws.binaryType = "arraybuffer"; // rows
  ws.onmessage = ({ data }) => {
    if (typeof data !== "string") return;
    const message = JSON.parse(data);
    if (message.seq > seq && message.entity) seq = message.seq;
    console.log(message);
  };
  ws.onclose = ({ code, reason }) => {
    console.log(code, reason);
    if (code === 1008) return; // the token isn't good
    setTimeout(connect, 500 + 1500 * Math.random());
  };
}
connect();`;

// publishSnippet is how a backend publishes a change.
export const publishSnippet = (origin, change) => `curl -H "Authorization: Bearer $(cat busbar-data/admin-token)" \\
  ${origin}/v1/changes \\
  -d ${quoted(JSON.stringify(change))}`;

// quoted is a text as one word of a shell.
const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
