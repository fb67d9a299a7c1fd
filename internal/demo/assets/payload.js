// Bytes as people read them.

// A page that shows a 16 MiB payload in full would stop responding.
const maxShownBytes = 4096;

// describePayload gives {form: "text" | "hex", shown, cut}: text when all of payload is UTF-8.
export function describePayload(payload) {
  const text = decodeText(payload);
  const cut = payload.length > maxShownBytes;
  if (text !== null) return { form: "text", shown: text.slice(0, maxShownBytes), cut };
  return { form: "hex", shown: hex(payload.subarray(0, maxShownBytes)), cut };
}

function decodeText(bytes) {
  try {
    // Without ignoreBOM a leading U+FEFF would vanish, and the name or payload shown would be another one.
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}

// hex is bytes as text.
export function hex(bytes) {
  return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join(" ");
}
