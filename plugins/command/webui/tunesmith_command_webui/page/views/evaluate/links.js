// Addresses of the page for evaluations: #evaluate/MODEL, #evaluate//results/FOLDER, #evaluate//compare/FIRST/SECOND.

export const PARTS = ["new", "results", "compare", "predictions"];

/** That of a part of the view, with what is open in it; two slashes, for a model may have the name of a part. */
export const partLink = (part, ...open) => ["#evaluate/", part, ...open.map(encodeURIComponent)].join("/");

/**
 * The part of the view that an address asks for, and what is open in it; null where it names none.
 * @param {string} [address] as it is written, in which no name has a slash
 */
export function partOf(address = location.hash) {
  if (!address.startsWith("#evaluate//")) return null;
  const [part, ...open] = address.slice("#evaluate//".length).split("/").map(plain);
  return PARTS.includes(part) ? { part, open } : null;
}

function plain(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // written by hand
  }
}
