// An answer token by token, each with how likely it was and what else could have come.
import { html, useState } from "../../lib/html.js";
import { percent } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";

const LEVELS = [0.9, 0.5, 0.1];

const level = (probability) => LEVELS.findIndex((least) => probability >= least);

/** The token that was taken, and the others that could have come. */
const choices = ({ token, logprob, top }) => [[token, logprob], ...top.filter(([other]) => other !== token)];

const choice = ([token, logprob], index) =>
  html`<code class=${index ? "" : "taken"}>${JSON.stringify(token)}</code> ${percent(Math.exp(logprob))}${" "}`;

/** @param {{tokens: {token: string, logprob: number, top: [string, number][]}[]}} properties */
export function Probabilities({ tokens }) {
  const [at, set] = useState(null);
  const now = at === null ? null : tokens[at];
  const chip = ({ token, logprob }, index) => {
    const found = level(Math.exp(logprob));
    return html`<span class=${`chance-${found < 0 ? "low" : found}`} title=${percent(Math.exp(logprob))}
      onMouseEnter=${() => set(index)} onClick=${() => set(index)}>${token}</span>`;
  };
  const step = (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    set(Math.min(tokens.length - 1, Math.max(0, (at ?? -1) + by)));
  };
  return html`<div>
    <div class="chances" role="group" tabindex="0" aria-label=${t("chat.probabilities_keys")} onKeyDown=${step}>
      ${tokens.map(chip)}
    </div>
    <p class="help" aria-live="polite">${now ? choices(now).map(choice) : t("chat.probabilities_help")}</p>
  </div>`;
}
