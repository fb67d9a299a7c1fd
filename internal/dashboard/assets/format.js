// Numbers, times and names as people read them. Pure.

const none = "–";
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const digits3 = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

// count writes a number of things; large ones are cut to three digits: 1,234 and 1.23 M.
export function count(n) {
  if (!Number.isFinite(n)) return none;
  if (Math.abs(n) < 1) return n === 0 ? "0" : digits3.format(n);
  return Math.abs(n) < 1e5 ? whole.format(n) : scaled(n, 1000, ["", " k", " M", " G", " T"]);
}

// number writes each digit, as for a seq.
export const number = (n) => (Number.isFinite(n) ? String(n) : none);

export const bytes = (n) => (Number.isFinite(n) ? scaled(n, 1024, [" B", " KiB", " MiB", " GiB", " TiB"]) : none);

export const percent = (n) => (Number.isFinite(n) ? `${digits3.format(100 * n)} %` : none);

// seconds writes a duration: 0.00123 is 1.23 ms.
export function seconds(s) {
  if (!Number.isFinite(s)) return none;
  if (s === 0) return "0 s";
  if (s < 1e-3) return `${digits3.format(s * 1e6)} µs`;
  if (s < 1) return `${digits3.format(s * 1e3)} ms`;
  return s < 60 ? `${digits3.format(s)} s` : span(s);
}

// span writes a long duration by its two largest units.
export function span(s) {
  if (!Number.isFinite(s)) return none;
  s = Math.max(0, Math.round(s));
  const parts = [[86_400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const first = Math.max(0, parts.findIndex(([unit]) => s >= unit));
  if (s === 0) return "0 s";
  return parts.slice(first, first + 2).map(([unit, name], i) => {
    const n = Math.floor((i === 0 ? s : s % parts[first][0]) / unit);
    return i > 0 && n === 0 ? "" : `${n} ${name}`;
  }).filter(Boolean).join(" ");
}

// cause writes a name of the API in words.
export const cause = (name) => name.replaceAll("_", " ");

export const formats = { count, number, bytes, percent, seconds };

function scaled(n, base, units) {
  let i = 0;
  while (Math.abs(n) >= base && i < units.length - 1) {
    n /= base;
    i += 1;
  }
  return (i === 0 ? whole : digits3).format(n) + units[i];
}
