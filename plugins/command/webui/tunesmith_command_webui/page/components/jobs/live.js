// The jobs as they change.
import { useState } from "../../lib/html.js";
import { useTopic } from "../../lib/events.js";

export const ACTIVE = ["running", "stopping"];

/** All jobs by id; null until they are known. */
export function useJobs() {
  const [jobs, set] = useState(null);
  useTopic("jobs", (type, data) => {
    if (type === "jobs") set(Object.fromEntries(data.map((job) => [job.id, job])));
    if (type === "job") set((others) => ({ ...others, [data.id]: data }));
    if (type === "removed") set(({ [data]: _, ...others }) => others);
  });
  return jobs;
}
