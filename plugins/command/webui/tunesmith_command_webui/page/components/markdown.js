// A model's answer as it meant it to look. Its HTML stays text, and its links open elsewhere.
import MarkdownIt from "../vendor/markdown-it.mjs";
import { html, useMemo } from "../lib/html.js";

const writer = MarkdownIt({ html: false, linkify: true, breaks: true });
writer.renderer.rules.image = (tokens, index) => writer.utils.escapeHtml(tokens[index].content); // loads nothing
writer.renderer.rules.link_open = (tokens, index, options, _, self) => {
  tokens[index].attrSet("target", "_blank");
  tokens[index].attrSet("rel", "noopener noreferrer");
  return self.renderToken(tokens, index, options);
};

export function Markdown({ text }) {
  const made = useMemo(() => writer.render(text), [text]);
  return html`<div class="markdown" dangerouslySetInnerHTML=${{ __html: made }}></div>`;
}
