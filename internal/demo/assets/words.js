// A connection's state as a sentence.

const meanings = new Map([
  [1000, "closed normally"],
  [1001, "the other end is going away"],
  [1002, "protocol error"],
  [1005, "closed without a code"],
  [1006, "the connection broke or never came about"],
  [1007, "invalid UTF-8"],
  [1008, "refused by policy"],
  [1009, "a message was too big"],
  [1011, "the server had an internal error"],
  [1012, "the server restarts"],
  [1013, "too slow, or the server is over capacity"],
]);

// stateInWords takes a state as showState gets it.
export function stateInWords({ name, code, reason, retryIn }) {
  switch (name) {
    case "connecting": return "Connecting…";
    case "open": return "Connected";
    case "unauthorised": return `Unauthorised: ${closeInWords(code, reason)}. Not trying again`;
    case "waiting": return `Lost: ${closeInWords(code, reason)}. Next try in ${(retryIn / 1000).toFixed(1)} s`;
    default: return "Not connected";
  }
}

function closeInWords(code, reason) {
  return `close code ${code} (${reason || meanings.get(code) || "no reason given"})`;
}
