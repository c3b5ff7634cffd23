// What became of a text: the words that went and those that came.

const MOST = 600; // words of either text that are compared

/**
 * The parts of a text beside those of a former one, by the longest common subsequence of words.
 * @returns {{kind: "same" | "gone" | "new", text: string}[]}
 */
export function differences(before, after) {
  const [a, b] = [before, after].map((text) => text.match(/\s+|[\p{L}\p{N}_]+|[^\s\p{L}\p{N}_]/gu) ?? []);
  if (a.length > MOST || b.length > MOST) return [{ kind: "same", text: after }];
  const lengths = table(a, b);
  const parts = [];
  const add = (kind, text) => {
    const last = parts[parts.length - 1];
    if (last?.kind === kind) last.text += text;
    else parts.push({ kind, text });
  };
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) (add("same", a[i]), i++, j++);
    else if (j >= b.length || (i < a.length && lengths[i + 1][j] >= lengths[i][j + 1])) add("gone", a[i++]);
    else add("new", b[j++]);
  }
  return parts;
}

function table(a, b) {
  const lengths = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      lengths[i][j] = a[i] === b[j] ? lengths[i + 1][j + 1] + 1 : Math.max(lengths[i + 1][j], lengths[i][j + 1]);
    }
  }
  return lengths;
}
