// A conversation as a tree of messages: whatever is asked anew, or changed, is a branch, and none is lost.

/** A name for a message that no other has. */
export function newId() {
  const bytes = [...crypto.getRandomValues(new Uint8Array(6))];
  return bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

export const find = (nodes, id) => nodes.find((node) => node.id === id);

/** The messages of the branch that ends with `leaf`, the first one first. */
export function path(nodes, leaf) {
  const found = [];
  for (let node = find(nodes, leaf); node; node = find(nodes, node.parent)) found.unshift(node);
  return found;
}

/** The messages that stand in the place of one, itself among them. */
export const siblings = (nodes, { parent, side }) =>
  nodes.filter((other) => other.parent === parent && other.side === side);

/** The end of the newest branch below a message. */
export function lastLeaf(nodes, id) {
  const below = nodes.filter((node) => node.parent === id);
  return below.length ? lastLeaf(nodes, below.at(-1).id) : id;
}

/** Without a message and all that follows it. */
export function without(nodes, id) {
  const gone = new Set([id]);
  for (const node of nodes) if (gone.has(node.parent)) gone.add(node.id);
  return nodes.filter((node) => !gone.has(node.id));
}

/** What a message says, as plain text. */
export function textOf(content) {
  if (typeof content === "string") return content;
  return (content ?? []).map((part) => part.text ?? "").filter(Boolean).join("\n");
}

/** What a message shows beside its text: [{kind, address}] */
export function mediaOf(content) {
  if (!Array.isArray(content)) return [];
  const media = content.filter(({ type }) => type !== "text");
  return media.map((part) => ({ kind: part.type.split("_")[0], address: part[part.type].url }));
}

/** A text and what it is about, as the content of a message. */
export function contentOf(text, media = []) {
  if (!media.length) return text;
  const parts = media.map(({ kind, address }) => ({ type: `${kind}_url`, [`${kind}_url`]: { url: address } }));
  return text ? [...parts, { type: "text", text }] : parts;
}

const SENT = ["role", "content", "tool_calls", "tool_call_id", "name"];

/** Messages as OpenAI's interface has them; thoughts come along, and the template leaves out what it does not want. */
export function sent(messages, system) {
  const plain = messages.map((node) => {
    const message = Object.fromEntries(SENT.filter((key) => node[key] !== undefined).map((key) => [key, node[key]]));
    return node.reasoning ? { ...message, reasoning: node.reasoning } : message;
  });
  return system?.trim() ? [{ role: "system", content: system }, ...plain] : plain;
}
