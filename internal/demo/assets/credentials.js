// The session token: where it comes from, where it is kept.

const storageKey = "busbar-demo-token";

// tokenFromFragment reads "#token=…". It returns "" when there is none. "+" stays "+", because a
// fragment isn't form data and a token may hold one.
export function tokenFromFragment(fragment) {
  for (const pair of fragment.replace(/^#/, "").split("&")) {
    if (!pair.startsWith("token=")) continue;
    const raw = pair.slice("token=".length);
    try {
      return decodeURIComponent(raw);
    } catch {
      return raw;
    }
  }
  return "";
}

// takeToken gives the token of the address bar, and takes it out of there so that it gets into no
// bookmark, screenshot or shared link; or else the token that this tab kept; or "".
export function takeToken() {
  const token = tokenFromFragment(location.hash);
  if (token === "") return sessionStorage.getItem(storageKey) ?? "";
  history.replaceState(null, "", location.pathname + location.search);
  keepToken(token);
  return token;
}

// keepToken makes token survive a reload of this tab, and nothing more.
export function keepToken(token) {
  sessionStorage.setItem(storageKey, token);
}

// forgetToken undoes keepToken.
export function forgetToken() {
  sessionStorage.removeItem(storageKey);
}
