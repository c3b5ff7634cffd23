// The data sets that are trained on and evaluated on.
import { html } from "../../lib/html.js";
import { kindOf, OptionField, pluginOf, selectedOf } from "../../components/options.js";

export function DataSets({ schema, draft }) {
  const kind = kindOf(schema, "data");
  const plugin = pluginOf(kind, selectedOf(kind, draft.values.data)[0]);
  const part = { kind, plugin, value: draft.values.data, problems: draft.answer?.problems };
  return ["train", "eval"].map((name) => {
    const option = plugin?.options.find((one) => one.name === name);
    return option
      ? html`<${OptionField} key=${name} ...${part} option=${option} onChange=${(value) => draft.set("data", value)} />`
      : null;
  });
}
