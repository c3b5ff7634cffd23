// Addresses of the page for runs.

/** The address of a view with a run: #watch/NAME */
export const link = (view, name) => `#${view}/${encodeURIComponent(name)}`;

/** That of a comparison, which can be shared; a comma in a name is written so that it does not end the name. */
export function compareLink(names) {
  return `#runs/compare/${encodeURIComponent(names.map(encodeURIComponent).join(","))}`;
}

/**
 * The names of a comparison's address, one or more; null for any other.
 * @param {string} detail what follows the view in the address, decoded
 * @param {string} [address] as it is written, in which the name of a run has no slash
 */
export function comparedIn(detail, address = location.hash) {
  if (!address.startsWith("#runs/compare/")) return null;
  const names = detail.slice("compare/".length).split(",").filter(Boolean);
  return names.length ? names.map(plain) : null;
}

function plain(name) {
  try {
    return decodeURIComponent(name);
  } catch {
    return name; // written by hand
  }
}
