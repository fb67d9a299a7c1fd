// How long to wait before the next try: twice as long each time, with jitter, so that the clients of a
// server that went away don't all come back in the same instant.

const firstDelay = 500;
const maxDelay = 30_000;

// retryDelay gives milliseconds for the try that follows `failures` failures in a row (0 = the first).
// random is a number in [0, 1); the result lies in the upper half of the doubled interval.
export function retryDelay(failures, random) {
  const ceiling = Math.min(maxDelay, firstDelay * 2 ** failures);
  return Math.round(ceiling / 2 + random * ceiling / 2);
}

const serviceRestart = 1012;

// suggestedDelay gives the milliseconds that a server that drains asks for in its Close, or null.
export function suggestedDelay(code, reason) {
  const match = code === serviceRestart ? /^reconnect-after=(\d+(?:\.\d{1,3})?)s$/.exec(reason) : null;
  return match === null ? null : Math.min(Number(match[1]) * 1000, 600_000);
}
