// The devices that jobs compute on: how full and how busy each is, and who has it.
import { html, useEffect, useState } from "../../lib/html.js";
import { t } from "../../lib/i18n.js";
import { bytes, percent } from "../../lib/format.js";
import { get } from "../../lib/api.js";

const PAUSE = 3000; // ms between two looks, while the page is seen

/** The devices as they are now; none until they are known. */
export function useDevices() {
  const [devices, set] = useState([]);
  useEffect(() => {
    const look = () => !document.hidden && get("devices").then(({ items }) => set(items), () => {});
    look();
    const clock = setInterval(look, PAUSE);
    return () => clearInterval(clock);
  }, []);
  return devices;
}

export function Devices({ jobs }) {
  const devices = useDevices();
  if (!devices.length) return null;
  return html`<ul class="plain-list devices" aria-label=${t("jobs.devicesTitle")}>
    ${devices.map((device) => html`<${Device} key=${device.id} device=${device} jobs=${jobs} />`)}
  </ul>`;
}

function Device({ device, jobs }) {
  const name = device.id === "cpu" ? device.name : `GPU ${device.id}: ${device.name}`;
  const having = device.jobs.map((id) => jobs[id]?.title).filter(Boolean);
  const figures = [
    device.used !== null && t("jobs.memory", { used: bytes(device.used), all: bytes(device.memory) }),
    device.utilisation !== null && t("jobs.busy", { share: percent(device.utilisation) }),
    device.temperature !== null && `${device.temperature} °C`,
    device.power !== null && `${Math.round(device.power)} W`,
  ];
  return html`<li class="device">
    <span>${name}</span>
    ${device.used !== null &&
    html`<meter aria-label=${t("jobs.memoryOf", { name })} value=${device.used / device.memory} high="0.9"></meter>`}
    <span class="soft">${figures.filter(Boolean).join(" · ")}</span>
    ${having.length > 0 && html`<span>${t("jobs.has", { titles: having.join(", ") })}</span>`}
  </li>`;
}
