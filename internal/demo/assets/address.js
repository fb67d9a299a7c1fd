// Where the WebSocket is: the page's guess, unless its visitor has typed another address.

const storageKey = "busbar-demo-address";

// guess is the WebSocket's address for a page at `page` (a Location or URL), when the WebSocket is on a port of that
// host. Behind HTTPS there is a proxy, which most often serves both under one name (docs/proxies.md).
export function guess(page, port) {
  return page.protocol === "https:" ? `wss://${page.host}/` : `ws://${page.hostname}:${port}/`;
}

// checked is an address as a URL. It throws TypeError for what isn't a WebSocket's.
export function checked(address) {
  if (!/^wss?:/i.test(address.trim())) throw new TypeError("the WebSocket's address begins with ws:// or wss://");
  return new URL(address);
}

// kept is the address that was typed into this tab, or "". No link sets it: the page presents its token there.
export const kept = () => sessionStorage.getItem(storageKey) ?? "";

// keep keeps it until the tab is closed; "" forgets it.
export function keep(address) {
  if (address === "") sessionStorage.removeItem(storageKey);
  else sessionStorage.setItem(storageKey, address);
}
