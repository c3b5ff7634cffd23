// Values and texts of options: what was typed becomes a value, and what is wrong with it is said.

const NUMBER = /^[-+]?(\d[\d_]*\.?\d*|\.\d+)(e[-+]?\d+)?$/i;

/** A value as it stands in a text field. */
export function shown(value) {
  if (value === undefined) return "";
  if (value === null) return "null";
  return typeof value === "object" ? JSON.stringify(value) : plain(value);
}

const plain = (value) =>
  typeof value === "number" && value !== 0 && Math.abs(value) < 1e-3 ? value.toExponential() : String(value);

/** Whether a shape is of one value that fits a line. */
export const isScalar = (shape) => ["integer", "number", "text", "choice", "union", "any"].includes(shape.kind);

/**
 * The value that a text stands for.
 * @returns {{value?: any, fault?: [string, Record<string, any>]}} a fault is a key of the section "field", with values
 */
export function read(text, shape) {
  const trimmed = text.trim();
  if (trimmed === "null" && shape.optional) return { value: null };
  if (shape.kind === "integer" || shape.kind === "number") return readNumber(trimmed, shape);
  if (shape.kind === "union") return readUnion(trimmed, shape);
  if (shape.kind === "any") return { value: readAny(trimmed) };
  if (shape.kind === "choice") return readChoice(trimmed, shape);
  return { value: text };
}

function readNumber(text, shape) {
  const value = NUMBER.test(text) ? Number(text.replaceAll("_", "")) : NaN;
  if (!Number.isFinite(value)) return { value: text, fault: ["number", {}] };
  if (shape.kind === "integer" && !Number.isInteger(value)) return { value, fault: ["whole", {}] };
  return { value, ...outside(value, shape) };
}

/** The fault of a number that is out of its range. */
function outside(value, shape) {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum } = shape;
  if (minimum !== undefined && value < minimum) return { fault: ["least", { limit: plain(minimum) }] };
  if (maximum !== undefined && value > maximum) return { fault: ["most", { limit: plain(maximum) }] };
  if (exclusiveMinimum !== undefined && value <= exclusiveMinimum) {
    return { fault: ["above", { limit: plain(exclusiveMinimum) }] };
  }
  if (exclusiveMaximum !== undefined && value >= exclusiveMaximum) {
    return { fault: ["below", { limit: plain(exclusiveMaximum) }] };
  }
  return {};
}

function readChoice(text, shape) {
  const found = shape.choices.find((choice) => String(choice) === text);
  if (found !== undefined) return { value: found };
  return { value: text, fault: ["choices", { choices: shape.choices.join(", ") }] };
}

/** The first member that a text suits; a text where one is possible, whatever it is. */
function readUnion(text, shape) {
  const kinds = Object.fromEntries(shape.members.map((member) => [member.kind, member]));
  if (kinds.boolean && (text === "true" || text === "false")) return { value: text === "true" };
  if (kinds.choice && !readChoice(text, kinds.choice).fault) return readChoice(text, kinds.choice);
  const number = kinds.integer ?? kinds.number;
  if (number && NUMBER.test(text)) return readNumber(text, number);
  if (kinds.list && text.includes(",")) return { value: items(text) };
  if (kinds.text) return { value: text };
  if (kinds.list) return { value: items(text) };
  return { value: text, fault: ["choices", { choices: possible(shape) }] };
}

const items = (text) => text.replace(/^\[|\]$/g, "").split(",").map((item) => item.trim()).filter(Boolean);

function possible(shape) {
  const values = ({ kind, choices }) => (kind === "boolean" ? ["true", "false"] : choices ?? [`(${kind})`]);
  return shape.members.flatMap(values).join(", ");
}

/** What is possible in a union, to choose from as it is typed. */
export const suggestions = (shape) =>
  shape.members.flatMap(({ kind, choices }) => (kind === "boolean" ? ["true", "false"] : (choices ?? []).map(String)));

function readAny(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** A list from lines, empty ones left out. */
export function readLines(text, shape) {
  const found = text.split("\n").filter((line) => line.trim()).map((line) => read(line, shape.item));
  const fault = found.find((one) => one.fault)?.fault;
  return { value: found.map((one) => one.value), ...(fault ? { fault } : {}) };
}
