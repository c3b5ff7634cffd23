// Images, sounds and videos of a message: kept on the server once, shown from there, named in messages.
import { html } from "../../lib/html.js";
import { request } from "../../lib/api.js";
import { t } from "../../lib/i18n.js";

export const SUFFIXES = [
  ...["image/png", "image/jpeg", "image/webp", "image/gif"],
  ...["audio/wav", "audio/mpeg", "audio/flac", "audio/ogg"],
  ...["video/mp4", "video/webm"],
].join(",");

const place = (address) => `api/chats/media/${address.replace("media:", "")}`;

/** A file as the user sees it. */
export function Medium({ kind, address, onRemove }) {
  const label = t(`chat.media.${kind}`);
  const shown = {
    image: () => html`<img src=${place(address)} alt=${label} />`,
    audio: () => html`<audio controls src=${place(address)} aria-label=${label}></audio>`,
    video: () => html`<video controls src=${place(address)} aria-label=${label}></video>`,
  };
  return html`<span class="medium">
    ${shown[kind]()}
    ${onRemove
      ? html`<button type="button" aria-label=${t("chat.remove_medium")} onClick=${onRemove}>×</button>`
      : null}
  </span>`;
}

/**
 * Keep files on the server, and give what stands for them in a message.
 * @param {Iterable<File>} files
 * @param {string[]} kinds that the model takes; others are refused, in words
 */
export async function kept(files, kinds) {
  const found = [];
  for (const file of files) {
    const kind = file.type.split("/")[0];
    if (!kinds.includes(kind)) {
      const taken = kinds.length ? kinds.map((each) => t(`chat.media.${each}`)).join(", ") : t("chat.text_alone");
      throw new Error(t("chat.not_taken", { name: file.name, taken }));
    }
    const { address } = await (await request("POST", "chats/media", file)).json();
    found.push({ kind, address });
  }
  return found;
}
