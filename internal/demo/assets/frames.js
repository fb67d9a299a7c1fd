// Row frames as docs/protocol.md section 3 lays them out:
// [type u8][entity_len u16 BE][entity UTF-8][row_id_len u16 BE][row_id UTF-8][payload …]

const kinds = new Map([[0x10, "snapshot"], [0x11, "update"]]);

// A page that shows a 16 MiB payload in full would stop responding.
const maxShownBytes = 4096;

// decodeRowFrame reads one binary message. It returns {kind, entity, rowId, payload} with payload a
// view into buffer, or null when the message is no row frame.
export function decodeRowFrame(buffer) {
  const bytes = new Uint8Array(buffer);
  const kind = kinds.get(bytes[0]);
  if (kind === undefined) return null;
  const entity = readName(bytes, 1);
  if (entity === null) return null;
  const row = readName(bytes, entity.end);
  if (row === null) return null;
  return { kind, entity: entity.text, rowId: row.text, payload: bytes.subarray(row.end) };
}

function readName(bytes, start) {
  const first = start + 2;
  if (bytes.length < first) return null;
  const end = first + (bytes[start] << 8 | bytes[start + 1]);
  if (bytes.length < end) return null;
  const text = decodeText(bytes.subarray(first, end));
  return text === null ? null : { text, end };
}

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
