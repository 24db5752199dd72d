interface Request {
  /** Seconds since the epoch at which it was sent. */
  readonly at: number;
  readonly milliseconds: number;
  readonly ok: boolean;
}

/**
 * What the client saw, as a line of marks, and the gap: from the start of the last request that was answered before the
 * outage to the end of the first one after it.
 * @param log lines of `time milliseconds status server`
 * @param cut when the power was pulled, in seconds since the epoch
 */
export function timeline(log: string, cut: number, machine: string): string {
  const requests = log
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .filter(([at]) => at !== undefined && /^\d+\.\d+$/.test(at))
    .map(([at, milliseconds, status]): Request => ({
      at: Number(at),
      milliseconds: Number(milliseconds),
      ok: status === "200",
    }))
    .sort((a, b) => a.at - b.at);
  const failed = requests.filter(({ ok }) => !ok);
  const lines = [
    "",
    `   each mark is 100 ms of requests: o all answered, x some failed; ^ ${machine} loses power`,
  ];
  const first = requests[0]?.at ?? cut;
  const slots = Math.ceil(((requests.at(-1)?.at ?? cut) - first) * 10);
  const marks = [...Array(slots).keys()].map((slot) => {
    const inSlot = requests.filter(({ at }) => Math.floor((at - first) * 10) === slot);
    return inSlot.length === 0 ? " " : inSlot.every(({ ok }) => ok) ? "o" : "x";
  });
  lines.push(`   ${marks.join("")}`, `   ${" ".repeat(Math.max(0, Math.floor((cut - first) * 10)))}^`, "");
  lines.push(
    `   ${requests.length} requests, ${failed.length} failed, no answer for ${gap(requests).toFixed(2)} s`,
  );
  return lines.join("\n");
}

function gap(requests: readonly Request[]): number {
  let longest = 0;
  let last: number | undefined;
  let failing = false;
  for (const { at, milliseconds, ok } of requests) {
    if (ok && failing && last !== undefined) longest = Math.max(longest, at + milliseconds / 1000 - last);
    if (ok) last = at;
    failing = !ok;
  }
  return longest;
}
