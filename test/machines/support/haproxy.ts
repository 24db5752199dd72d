import type { LabMachine, SshOptions } from "../../../machines/lab";
import type { LoadResult } from "../../../machines/load";
import { waitUntil } from "../../../machines/run";

/** Rows of the statistics, by the names that HAProxy's first line has. */
async function statistics(node: LabMachine, options?: SshOptions): Promise<Record<string, string>[]> {
  const { stdout } = await node.ssh("echo 'show stat' | socat - /run/haproxy/admin.sock", options);
  const [header = "", ...rows] = stdout.trim().split("\n");
  const names = header.replace(/^# /, "").split(",");
  return rows.map((row) => Object.fromEntries(row.split(",").map((field, index) => [names[index]!, field])));
}

/** What a node thinks of each server, by `backend/server`: UP, DOWN, DRAIN, MAINT, without the count of checks. */
export async function serverStates(node: LabMachine, options?: SshOptions): Promise<Record<string, string>> {
  return Object.fromEntries(
    (await statistics(node, options))
      .filter(({ svname }) => !["FRONTEND", "BACKEND"].includes(svname!))
      .map(({ pxname, svname, status }) => [`${pxname}/${svname}`, status!.split(" ")[0]!]),
  );
}

/** How often the nodes have tried once more to reach a server of a backend, each time a second later. */
export async function connectionRetries(nodes: readonly LabMachine[], backend: string): Promise<number> {
  const rows = await Promise.all(nodes.map((node) => statistics(node)));
  const ofBackend = rows.map((all) =>
    all.find(({ pxname, svname }) => pxname === backend && svname === "BACKEND")!,
  );
  return ofBackend.reduce((sum, { wretr }) => sum + Number(wretr), 0);
}

/** Waits until the nodes agree about servers: `{ "web/web-1": "DOWN" }`. Returns the milliseconds it took. */
export async function awaitServers(
  nodes: readonly LabMachine[],
  wanted: Readonly<Record<string, string>>,
  seconds = 30,
): Promise<number> {
  const start = performance.now();
  for (const node of nodes) {
    let states: Record<string, string> = {};
    await waitUntil(
      async () => {
        // one that has just come back may not have its socket yet
        states = await serverStates(node, { allowFailure: true });
        return Object.entries(wanted).every(([server, state]) => states[server] === state);
      },
      seconds,
      () => `servers of ${node.name}: ${JSON.stringify(states)}, wanted ${JSON.stringify(wanted)}`,
    );
  }
  return Math.round(performance.now() - start);
}

/** One line of figures, for whoever reads along. */
export function report(what: string, figures: string | LoadResult): void {
  process.stderr.write(`${what}: ${typeof figures === "string" ? figures : figuresOf(figures)}\n`);
}

function figuresOf({ requests, failed, longestGapMs }: LoadResult): string {
  const times = requests.map(({ ms }) => ms).sort((a, b) => a - b);
  const quantile = (part: number): number => Math.round(times[Math.floor(times.length * part)] ?? NaN);
  const reasons = new Set(failed.map(({ status, error }) => error ?? String(status)));
  return (
    `${failed.length} of ${requests.length} requests failed${failed.length ? ` (${[...reasons].join("; ")})` : ""}, ` +
    `longest gap ${Math.round(longestGapMs)} ms, half answered in ${quantile(0.5)} ms, 99 % in ${quantile(0.99)} ms, ` +
    `all in ${Math.round(times.at(-1) ?? NaN)} ms`
  );
}
