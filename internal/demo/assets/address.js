// Where the WebSocket is: the page's guess, unless its visitor has typed another address.

const storageKey = "busbar-demo-address";

// guess is the WebSocket's address for a page at `page` (a Location or URL), when the WebSocket is on a port of that
// host. Behind HTTPS there is a proxy, which most often serves both under one name (docs/proxies.md).
export function guess(page, port) {
  return page.protocol === "https:" ? `wss://${page.host}/` : `ws://${page.hostname}:${port}/`;
}

// socketURL is an address with the cursor since, 0 for all that there is. It throws TypeError for what isn't one.
export function socketURL(address, since) {
  const url = new URL(address);
  if (url.protocol !== "ws:" && url.protocol !== "wss:") throw new TypeError("an address begins with ws:// or wss://");
  url.hash = "";
  url.searchParams.set("since", since);
  return url.href;
}

// kept is the address that was typed into this tab, or "". No link sets it: the page presents its token there.
export const kept = () => sessionStorage.getItem(storageKey) ?? "";

// keep keeps it until the tab is closed; "" forgets it.
export function keep(address) {
  if (address === "") sessionStorage.removeItem(storageKey);
  else sessionStorage.setItem(storageKey, address);
}
