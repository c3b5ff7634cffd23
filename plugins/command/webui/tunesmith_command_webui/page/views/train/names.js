// Names of runs, examined as they are typed.

const LONGEST = 200; // bytes of a folder's name

/** What is wrong with the name of a run, as a key of the words; none where it is well. */
export function faultOf(name) {
  const parts = name.trim().split("/");
  if (!name.trim()) return null;
  if (parts.some((part) => !part.trim() || part.startsWith(".") || part.includes("\\"))) return "train.nameWrong";
  return parts.some((part) => new Blob([part]).size > LONGEST) ? "train.nameLong" : null;
}
