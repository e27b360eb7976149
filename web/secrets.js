/** Tokens in the fragment of an address: no server sees a fragment, and it is gone before anything else is loaded. */

/** @param {string} name @returns {string} */
export function takeFromAddress(name) {
  const found = new URLSearchParams(location.hash.slice(1)).get(name) ?? "";
  if (found) history.replaceState(null, "", location.pathname);
  return found;
}
