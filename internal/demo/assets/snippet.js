// The same for one's own page and backend, as text to copy. Tokens aren't in it.

// pageSnippet is a script of a page of one's own, with the client that this server has.
export const pageSnippet = (origin, address) => `<script type="module">
import { Client } from ${JSON.stringify(`${origin}/busbar.js`)};

const client = new Client({
  url: ${JSON.stringify(address)},
  token: "…", // the user's
  since: 0,   // all that there is
});
client.on("state", (state) => console.log(state));
client.on("change", (change) => console.log(change));
client.connect();
</script>`;

// socketSnippet is the same without the client: whoever reconnects does it with the last seq as since.
export const socketSnippet = (address) => `const token = "…";
const ws = new WebSocket(${JSON.stringify(address)} + "?since=0",
  ["bearer." + encodeURIComponent(token)]);
ws.binaryType = "arraybuffer"; // rows
ws.onmessage = ({ data }) => console.log(data);
ws.onclose = ({ code, reason }) => console.log(code, reason);`;

// publishSnippet is how a backend publishes a change.
export const publishSnippet = (origin, change) => `curl -H "Authorization: Bearer $(cat busbar-data/admin-token)" \\
  ${origin}/v1/changes \\
  -d ${quoted(JSON.stringify(change))}`;

// quoted is a text as one word of a shell.
const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
