// The files of a run: texts and pictures are shown, all can be downloaded.
import { html, useState } from "../../lib/html.js";
import { get } from "../../lib/api.js";
import { bytes, moment } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { Dialog } from "../../components/dialog.js";
import { Table } from "../../components/table.js";
import { attempt } from "../../components/toast.js";

const address = (run, path, what = "") => `run-files${what}?${new URLSearchParams({ run, path })}`;

export function Files({ run }) {
  const [open, setOpen] = useState(null);
  const show = (file) =>
    attempt(async () => {
      const told = file.kind === "picture" ? null : await get(address(run.name, file.path));
      setOpen({ ...file, text: told?.text });
    });
  const name = (file) =>
    file.kind === "other"
      ? file.path
      : html`<button type="button" class="plain link" onClick=${() => show(file)}>${file.path}</button>`;
  const down = ({ path }) => html`<a href=${`api/${address(run.name, path, "/download")}`} download>
    ${t("runs.download")}<span class="unseen"> ${path}</span></a>`;
  const columns = [
    { key: "path", label: t("runs.fields.name"), head: true, cell: name },
    { key: "size", label: t("runs.fields.size"), number: true, cell: (file) => bytes(file.size) },
    { key: "modified", label: t("runs.written"), number: true, cell: (file) => moment(file.modified) },
    { key: "acts", label: t("runs.acts"), cell: down },
  ];
  return html`<div>
    <${Table} caption=${t("runs.files")} columns=${columns} rows=${run.files} rowKey=${(file) => file.path} />
    ${run.more_files ? html`<p class="soft">${t("runs.more_files", { count: run.files.length })}</p>` : null}
    ${open
      ? html`<${Dialog} wide title=${open.path} onClose=${() => setOpen(null)}>
          ${open.kind === "picture"
            ? html`<img class="shown" alt=${open.path} src=${`api/${address(run.name, open.path, "/picture")}`} />`
            : html`<pre class="code shown" tabindex="0">${open.text}</pre>`}
        </${Dialog}>`
      : null}
  </div>`;
}
