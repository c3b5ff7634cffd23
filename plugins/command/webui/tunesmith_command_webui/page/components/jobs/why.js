// Why a job waits or failed, in the language of the page.
import { language, maybe, t } from "../../lib/i18n.js";

/** @returns {string} the words for a job's reason; the server's own where it is an error's, or has no words here */
export function whyOf({ why, reason }) {
  if (!reason?.code || !maybe(`jobs.why.${reason.code}`)) return why;
  const devices = reason.devices?.length ? listed(reason.devices.map(nameOf)) : t("jobs.waitsFor.none");
  const state = reason.state && t(`jobs.states.${reason.state}`);
  return t(`jobs.why.${reason.code}`, { ...reason, devices, state });
}

const listed = (names) => new Intl.ListFormat(language, { type: "unit" }).format(names);

function nameOf(id) {
  if (id === "any") return t("jobs.waitsFor.any");
  return id === "cpu" ? t("jobs.waitsFor.cpu") : t("jobs.waitsFor.gpu", { id });
}
