// New sets out of this one: another format, a sample, two parts, several as one.
import { html, useState } from "../../lib/html.js";
import { post } from "../../lib/api.js";
import { integer } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { DataPicker } from "../../components/data_picker.js";
import { Failed, beside, linkTo, useAnswer } from "./words.js";

const WAYS = ["convert", "sample", "split", "merge", "fetch"];

export function Make({ data, about }) {
  const [how, setHow] = useState(about.saveable ? "convert" : "fetch");
  const [format, setFormat] = useState("openai");
  const [count, setCount] = useState({ sample: 100, split: 0.1, fetch: 1000 });
  const [others, setOthers] = useState([]);
  const [named, setNamed] = useState({});
  const [state, setState] = useState({});
  const formats = useAnswer("data/formats").answer?.items ?? [];
  const base = about.saveable ? about.path : `data/${data.split("/").at(-1)}`;
  const out = named[how] ?? (how === "split" ? beside(base, "train") : beside(base, how === "convert" ? format : how));
  const rest = named.rest ?? beside(base, "test");
  const make = async (event) => {
    event.preventDefault();
    setState({ busy: true });
    const sets = how === "merge" ? [data, ...others] : [data];
    const asked = { how, data: sets, out, format, rest: how === "split" ? rest : "", count: Number(count[how] ?? 0) };
    setState(await post("data/make", asked).then((made) => ({ made }), (error) => ({ error: error.message })));
  };
  const path = (key, value, label) => html`<label>${label}
    <input class="wide" value=${value}
      onInput=${(event) => setNamed({ ...named, [key]: event.target.value })} /></label>`;
  const writable = formats.filter((one) => one.writable);
  return html`<form onSubmit=${make}>
    <fieldset><legend>${t("data.make.how")}</legend>
      ${WAYS.map((way) => html`<label key=${way}><input type="radio" name="how" checked=${how === way}
        onChange=${() => (setHow(way), setState({}))} /> ${t(`data.make.ways.${way}`)}</label>`)}
    </fieldset>
    ${how === "convert"
      ? html`<label>${t("data.list.format")}
          ${" "}<select value=${format} onChange=${(event) => setFormat(event.target.value)}>
            ${writable.map(({ name }) => html`<option value=${name} key=${name}>${name}</option>`)}</select></label>`
      : null}
    ${how in count
      ? html`<label>${t(`data.make.counts.${how}`)} <input type="number" min="0" step="any" value=${count[how]}
          onInput=${(event) => setCount({ ...count, [how]: event.target.value })} /></label>`
      : null}
    ${how === "merge"
      ? html`<${DataPicker} label=${t("data.make.others")} value=${others} onChange=${setOthers} />`
      : null}
    ${path(how, out, t("data.make.out"))}
    ${how === "split" ? path("rest", rest, t("data.make.rest")) : null}
    <p><button class="main" disabled=${state.busy}>
      ${state.busy ? t("page.loading") : t("data.make.action")}</button></p>
    <${Failed} error=${state.error} />
    ${state.made ? html`<${Told} made=${state.made} />` : null}
  </form>`;
}

function Told({ made }) {
  const file = (path, rows) =>
    html`<a href=${linkTo(path)}>${path}</a>: ${t("data.rows", { count: rows, rows: integer(rows) })}`;
  return html`<p role="status" class="good">✓ ${file(made.path, made.rows)}${made.rest
      ? html`; ${file(made.rest, made.held_out)}`
      : null}</p>
    ${made.left_out ? html`<p class="warning">⚠ ${t("data.make.left_out", { count: made.left_out })}</p>` : null}`;
}
