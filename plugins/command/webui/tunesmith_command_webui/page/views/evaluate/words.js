// How numbers of evaluations are shown.
import { number } from "../../lib/format.js";

/** 0.812 ± 0.012 */
export function measured(what) {
  if (!what || what.value === null) return "–";
  const error = what.standard_error === null ? "" : ` ± ${number(what.standard_error, 2)}`;
  return `${number(what.value)}${error}`;
}

/** What a record was asked, and what was answered, as text. */
export function text(what) {
  if (what === null || what === undefined) return "–";
  if (typeof what === "string") return what;
  if (Array.isArray(what) && what.every((each) => each?.role)) return what.map(turn).join("\n\n");
  return JSON.stringify(what, null, 1);
}

function turn({ role, content, tool_calls: calls }) {
  const said = typeof content === "string" ? content : content ? JSON.stringify(content) : "";
  return `${role}: ${said}${calls ? ` ${JSON.stringify(calls)}` : ""}`;
}
