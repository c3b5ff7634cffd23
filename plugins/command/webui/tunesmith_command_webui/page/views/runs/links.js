// Addresses of the page for runs.

/** The address of a view with a run: #watch/NAME */
export const link = (view, name) => `#${view}/${encodeURIComponent(name)}`;

/** That of a comparison, which can be shared: names are written so that none of their characters is taken for a comma. */
export const compareLink = (names) => `#runs/compare/${encodeURIComponent(names.map(encodeURIComponent).join(","))}`;

/** The names of a comparison's address; null for any other. */
export function comparedIn(detail) {
  const [first, ...rest] = detail.split("/");
  const names = rest.join("/").split(",");
  return first === "compare" && names.length > 1 ? names.map(decodeURIComponent) : null;
}
