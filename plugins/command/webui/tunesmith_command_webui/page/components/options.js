// A kind of plugin as a form: which plugin, and its options, the common ones first.
import { html, useEffect, useId, useMemo, useState } from "../lib/html.js";
import { get } from "../lib/api.js";
import { learn, maybe, t } from "../lib/i18n.js";
import { Field, helpOf, labelOf } from "./field.js";
import { Sentence } from "./words.js";

let asked = null; // one request for all forms of the page
let read = 0; // when it was answered

/** The form of everything that is installed, asked for again when a view is opened later. */
async function schema() {
  if (!asked || (read && Date.now() - read > 5000)) {
    read = 0;
    const both = Promise.all([get("schema"), fetch("common.json").then((response) => response.json())]);
    asked = both.then(([form, common]) => ((read = Date.now()), { ...form, common }));
    asked.catch(() => (asked = null));
  }
  return asked;
}

/** @returns {{schema: object | null, error: Error | null}} what GET /api/schema answers, with `common` beside it */
export function useSchema() {
  const [state, set] = useState({ schema: null, error: null });
  useEffect(() => {
    learn("options");
    schema().then((found) => set({ schema: found, error: null }), (error) => set({ schema: null, error }));
  }, []);
  return state;
}

export const kindOf = (schema, name) => schema.kinds.find((kind) => kind.name === name);

/** The form with plugins in files of the user's own beside the installed ones: `own` of POST /api/compose. */
export function withOwn(schema, own) {
  if (!own?.length) return schema;
  const of = (kind) => own.filter((plugin) => plugin.kind === kind.name);
  const plus = (kind) => ({ ...kind, plugins: [...kind.plugins, ...of(kind)] });
  return { ...schema, kinds: schema.kinds.map(plus) };
}

export const pluginOf = (kind, name) => kind.plugins.find((plugin) => plugin.name === name);

/** The names of what a value selects of a kind; the default where it says nothing. */
export function selectedOf(kind, value) {
  if (kind.many && (value === undefined || value === null)) return kind.default;
  if (kind.many) return Object.keys(value).filter((name) => value[name] !== false);
  const name = value?.name ?? kind.default[0];
  return name ? [name] : [];
}

/** Names of options that most people need, in their order. */
export const commonOf = (schema, kind, plugin) => schema.common[kind]?.[plugin] ?? schema.common[kind]?.["*"] ?? [];

const without = (mapping, name) => Object.fromEntries(Object.entries(mapping).filter(([key]) => key !== name));
const summaryOf = (kind, plugin) =>
  plugin ? maybe(`options.${kind.name}.${plugin.name}.summary`) ?? plugin.summary : aboutOf(kind);
const aboutOf = (kind) => maybe(`options.${kind.name}.summary`) ?? kind.summary;

/** The value of a kind with one option of one plugin set, or taken away where it is undefined. */
export function withOption(kind, value, plugin, name, item) {
  const now = kind.many ? (value ?? Object.fromEntries(kind.default.map((one) => [one, {}]))) : (value ?? {});
  const inner = kind.many ? (now[plugin] && now[plugin] !== true ? now[plugin] : {}) : now;
  const changed = item === undefined ? without(inner, name) : { ...inner, [name]: item };
  if (kind.many) return { ...now, [plugin]: changed };
  return Object.keys(changed).length ? changed : undefined;
}

/**
 * @param {object} properties
 * @param {string} properties.kind
 * @param {any} properties.value as a configuration has it: {name, options…}; of a kind with many, names with options
 * @param {(value: any) => void} properties.onChange undefined where nothing is said
 * @param {object[]} [properties.problems] of POST /api/compose
 * @param {Record<string, number>} [properties.origins] of POST /api/compose: the line of each value
 * @param {object[]} [properties.own] of POST /api/compose: plugins in files of the user's own
 * @param {string[]} [properties.hidden] options that something else on the page sets
 */
export function Options({ kind: name, value, onChange, problems = [], origins = {}, own, hidden = [] }) {
  const { schema, error } = useSchema();
  if (error) return html`<p role="alert" class="bad">${error.message}</p>`;
  if (!schema) return html`<p aria-busy="true">${t("page.loading")}</p>`;
  const kind = kindOf(withOwn(schema, own), name);
  const part = { schema, kind, value, onChange, problems, origins, hidden };
  return kind.many ? html`<${Many} ...${part} />` : html`<${One} ...${part} />`;
}

function One({ schema, kind, value, onChange, problems, origins, hidden }) {
  const id = useId();
  const [name] = selectedOf(kind, value);
  const choose = (chosen) => onChange(chosen === "" ? undefined : { name: chosen });
  const wrong = problems.filter((problem) => [kind.name, `${kind.name}.name`].includes(problem.key));
  const plugin = name && pluginOf(kind, name);
  const form = html`<${PluginForm} ...${{ schema, kind, plugin, value, onChange, problems, origins, hidden }} />`;
  if (kind.plugins.length === 1 && kind.default[0] === plugin?.name && !plugin.broken && !value?.name) {
    return html`<div class="options">${form}</div>`;
  }
  return html`<div class="options">
    <label for=${id}>${t(`kinds.${kind.name}`)} <code>${kind.name}</code></label>
    <select id=${id} value=${value?.name ?? ""} onChange=${({ target }) => choose(target.value)}
      aria-describedby=${`${id}-help`} aria-invalid=${wrong.length > 0}>
      <option value="">
        ${kind.default.length ? t("field.default", { value: kind.default[0] }) : t("field.none")}</option>
      ${kind.plugins.map((one) => html`<${Choosable} plugin=${one} />`)}
      ${name && !plugin ? html`<option value=${name}>${name}</option>` : null}
    </select>
    <p class="help" id=${`${id}-help`}><${Sentence} text=${summaryOf(kind, plugin)} /></p>
    <${OwnFile} plugin=${plugin} />
    ${wrong.map((problem) => html`<p class="bad help">${problem.message}</p>`)}
    <${Broken} kind=${kind} />
    ${plugin ? form : null}
  </div>`;
}

const Choosable = ({ plugin: { name, broken } }) => html`<option value=${name} disabled=${Boolean(broken)}>
  ${broken ? `${name} (${t("field.broken")})` : name}</option>`;

function Many({ schema, kind, value, onChange, problems, origins, hidden }) {
  const id = useId();
  const chosen = selectedOf(kind, value);
  const now = value ?? Object.fromEntries(kind.default.map((one) => [one, {}]));
  const left = kind.plugins.filter((plugin) => !chosen.includes(plugin.name));
  const drop = (name) => {
    const rest = without(now, name);
    onChange(Object.keys(rest).length || kind.default.length ? rest : undefined);
  };
  return html`<div class="options">
    <label for=${id}>${t(`kinds.${kind.name}`)} <code>${kind.name}</code></label>
    <div class="row">
      <select id=${id} value="" onChange=${({ target }) => target.value && onChange({ ...now, [target.value]: {} })}>
        <option value="">${t("field.add")} …</option>
        ${left.map((one) => html`<${Choosable} plugin=${one} />`)}
      </select>
      ${value === undefined || value === null
        ? null
        : html`<button type="button" class="plain small" onClick=${() => onChange(undefined)}>
            ${t("field.reset")}</button>`}
    </div>
    <p class="help"><${Sentence} text=${aboutOf(kind)} /></p>
    <${Broken} kind=${kind} />
    ${chosen.map((name) => {
      const plugin = pluginOf(kind, name) ?? { name, summary: "", options: [] };
      return html`<details key=${name} class="nested">
        <summary><code>${name}</code>${" "}
          <span class="soft"><${Sentence} text=${summaryOf(kind, plugin)} /></span></summary>
        <${OwnFile} plugin=${plugin} />
        <${PluginForm} ...${{ schema, kind, plugin, value, onChange, problems, origins, hidden }} />
        <button type="button" onClick=${() => drop(name)}>${t("field.remove")}</button>
      </details>`;
    })}
  </div>`;
}

/** That a plugin is in a file, which is run as soon as a draft names it. */
const OwnFile = ({ plugin }) =>
  plugin?.file ? html`<p class="help">${t("field.ownFile", { file: plugin.file })}</p>` : null;

/** What is installed and cannot be imported, with the cause. */
function Broken({ kind }) {
  const found = kind.plugins.filter((plugin) => plugin.broken);
  if (!found.length) return null;
  return html`<details class="warning"><summary>${t("field.brokenOnes", { count: found.length })}</summary>
    ${found.map((plugin) => html`<pre>${plugin.broken}</pre>`)}</details>`;
}

/** The options of one plugin: the common ones, what was set, and the others when they are opened. */
function PluginForm({ schema, kind, plugin, value, onChange, problems, origins, hidden }) {
  const [open, setOpen] = useState(false);
  const given = kind.many ? (value?.[plugin.name] ?? {}) : (value ?? {});
  const [first, rest] = useMemo(() => {
    const common = commonOf(schema, kind.name, plugin.name);
    const visible = plugin.options.filter((option) => !hidden.includes(option.name));
    const isFirst = (option) => option.required || common.includes(option.name);
    const rank = (option) => (common.includes(option.name) ? common.indexOf(option.name) : -1);
    return [visible.filter(isFirst).sort((a, b) => rank(a) - rank(b)), visible.filter((option) => !isFirst(option))];
  }, [schema, plugin, hidden.join()]);
  const set = rest.filter((option) => given[option.name] !== undefined).length;
  const field = (option) =>
    html`<${OptionField} key=${option.name} ...${{ kind, plugin, option, value, onChange, problems, origins }} />`;
  return html`<div class="fields">${first.map(field)}</div>
    ${rest.length
      ? html`<details onToggle=${({ target, currentTarget }) => target === currentTarget && setOpen(target.open)}>
          <summary>${t("field.more", { count: rest.length })}
            ${set ? ` · ${t("field.set", { count: set })}` : ""}</summary>
          ${open ? html`<div class="fields">${rest.map(field)}</div>` : null}
        </details>`
      : null}`;
}

/** One option of a plugin, where it stands in a configuration. */
export function OptionField({ kind, plugin, option, value, onChange, problems = [], origins = {} }) {
  const at = kind.many ? `${kind.name}.${plugin.name}.${option.name}` : `${kind.name}.${option.name}`;
  const given = kind.many ? value?.[plugin.name]?.[option.name] : value?.[option.name];
  const mine = problems.filter(({ key }) => key === at || key.startsWith(`${at}.`) || key.startsWith(`${at}[`));
  const line = origins[at] ? t("field.line", { line: origins[at] }) : undefined;
  return html`<${Field} option=${option} path=${at} value=${given} problems=${mine} origin=${line}
    words=${`options.${kind.name}.${plugin.name}.${option.name}`}
    onChange=${(item) => onChange(withOption(kind, value, plugin.name, option.name, item))} />`;
}

/** All options of what is selected, for a search: {kind, plugin, option, text}. */
export function searchable(schema, values) {
  return schema.kinds.flatMap((kind) =>
    selectedOf(kind, values[kind.name]).flatMap((name) => {
      const plugin = pluginOf(kind, name);
      return (plugin?.options ?? []).map((option) => {
        const words = `options.${kind.name}.${name}.${option.name}`;
        const elsewhere = Object.entries(plugin.known_as ?? {}).filter(([, ours]) => ours === option.name);
        const known = elsewhere.map(([other]) => other);
        const at = kind.many ? `${kind.name}.${name}.${option.name}` : `${kind.name}.${option.name}`;
        const text = [at, helpOf(option, words), option.help, labelOf(option, words), ...known].join(" ").toLowerCase();
        return { kind, plugin, option, at, text };
      });
    }),
  );
}
