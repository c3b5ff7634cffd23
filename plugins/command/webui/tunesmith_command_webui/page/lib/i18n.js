// The words of the page, from languages/LANGUAGE.json; whoever adds a file adds a language.
import { useEffect, useState } from "preact/hooks";

export let languages = {}; // each with its own name, as the server finds their files
let words = {};
let fallback = {};
export let language = "en";
const redraw = new Set();
const learnt = new Set(); // sections in files of their own that were asked for

const load = async (file) => (await fetch(`languages/${file}.json`)).json();

/** Load the words before anything is drawn. */
export async function begin() {
  [languages, fallback] = await Promise.all([load("index"), load("en")]);
  await speak(preferred());
}

/** Load a language; English words stand in for those that it lacks. */
export async function speak(name) {
  words = name === "en" ? fallback : await load(name);
  language = name;
  await Promise.all([...learnt].map(read));
  document.documentElement.lang = name === "zh" ? "zh-CN" : name;
  localStorage.setItem("language", name);
  redraw.forEach((again) => again({}));
}

/** Words of a section in a file of its own, languages/SECTION/LANGUAGE.json. Its English stands elsewhere. */
async function read(section) {
  if (language === "en" || words[section]) return;
  const response = await fetch(`languages/${section}/${language}.json`);
  words[section] = response.ok ? await response.json() : {};
}

/** Load a section that is not needed on every page, such as "options": what plugins and their options are called. */
export async function learn(section) {
  if (learnt.has(section)) return;
  learnt.add(section);
  await read(section);
  redraw.forEach((again) => again({}));
}

/** The language that was chosen last, else the browser's, else English. */
function preferred() {
  const known = (name) => name && [name, name.split("-")[0]].find((tag) => tag in languages);
  return [localStorage.getItem("language"), ...navigator.languages, "en"].map(known).find(Boolean);
}

const find = (tree, key) => key.split(".").reduce((node, part) => node?.[part], tree);

/**
 * The words for a key such as "train.start"; {name} in them stands for a value.
 * Words for numbers have the forms "one" and "other", chosen by the value `count`.
 */
export function t(key, values = {}) {
  let text = find(words, key) ?? find(fallback, key);
  if (typeof text === "object" && text !== null) {
    text = text[new Intl.PluralRules(language).select(values.count ?? 0)] ?? text.other;
  }
  if (text === undefined) return key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

/** Words that may be missing, such as those of a third party's option: null then. */
export const maybe = (key) => find(words, key) ?? null;

/** Draw a component again when the language changes. */
export function useLanguage() {
  const [, again] = useState({});
  useEffect(() => {
    redraw.add(again);
    return () => redraw.delete(again);
  }, []);
  return language;
}
