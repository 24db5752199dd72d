import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import {
  CassandraInstallation,
  CassandraRing,
  CassandraVersion,
  Peer,
  Secret,
  SshPlatform,
  type CassandraRingProps,
  type SshHost,
} from "cdktf-ha-clusters";
import type { TerraformStack } from "cdktf";
import {
  Lab,
  type LabMachine,
  type MachineSpec,
  type RunResult,
  type SshOptions,
} from "../../../machines/lab";
import { waitUntil } from "../../../machines/run";
import type { Outcome } from "../../support/deployment";
import { notesBy } from "./notes";
import { OPERATOR } from "./site";

export const RELEASE = "5.0.6";
export const CLIENT = "10.77.0.31";
export const VARIABLES = { "ring-password": 'it\'s a "password"; $HOME', "esmond-password": "another one" };

/** Addresses of a ring's machines. */
export const NODES = {
  "cassandra-1": "10.77.0.61",
  "cassandra-2": "10.77.0.62",
  "cassandra-3": "10.77.0.63",
  "cassandra-4": "10.77.0.64",
} as const;
export type NodeName = keyof typeof NODES;
export const FIRST_THREE: readonly NodeName[] = ["cassandra-1", "cassandra-2", "cassandra-3"];
export const ALL_UP = { "cassandra-1": "UN", "cassandra-2": "UN", "cassandra-3": "UN" };

/** The operator's computer has fetched it before: there is no network in here. */
function cassandraLayers(releases: readonly string[]): string[] {
  const output = execFileSync(join(__dirname, "cassandra/fetch.sh"), releases, { encoding: "utf8" });
  return output.trim().split("\n");
}

/** A machine with Cassandra's software. */
export function nodeSpec(address: string, releases: readonly string[] = [RELEASE]): MachineSpec {
  return { address: `${address}/24`, layers: cassandraLayers(releases), diskMiB: 2048 };
}

/** The agent's jar, as the operator's computer has fetched it. */
export function agentJar(): string {
  const output = execFileSync(join(__dirname, "cassandra/fetch.sh"), ["agent"], { encoding: "utf8" });
  const [jar] = readdirSync(output.trim()).filter((name) => name.endsWith(".jar"));
  return join(output.trim(), jar!);
}

/** A release that is there already, as `nodeSpec` brings it. */
export function installed(release: string): CassandraInstallation {
  return CassandraInstallation.directory(release, `/opt/cassandra-${release}`);
}

/** Machines with Cassandra on them, not started, and a client and a stranger without. */
export function startRingSite(
  nodes: Readonly<Record<string, string>>,
  releases?: readonly string[],
): Promise<Lab> {
  return Lab.start(
    {
      ...Object.fromEntries(
        Object.entries(nodes).map(([name, address]) => [name, nodeSpec(address, releases)]),
      ),
      client: { address: `${CLIENT}/24` },
      stranger: { address: "10.77.0.41/24" },
    },
    { flavour: "tests" },
  );
}

/** A ring as a user would write it, of the first three nodes in three racks unless it says otherwise. */
export const ringOf =
  (lab: Lab, props: Partial<CassandraRingProps> = {}, addresses: Partial<Record<NodeName, string>> = {}) =>
  (stack: TerraformStack): void => {
    const hosts = Object.entries({ ...NODES, ...addresses }).map(
      ([name, address], index): [string, SshHost] => [
        name,
        { address: `${address}/24`, zone: `rack-${(index % 3) + 1}` },
      ],
    );
    const platform = ringRack(stack, lab, Object.fromEntries(hosts));
    smallRing(stack, { platform, nodes: FIRST_THREE, ...props });
  };

/** Hosts as a user would write them. */
export function ringRack(
  stack: TerraformStack,
  lab: Lab,
  hosts: Readonly<Record<string, SshHost>>,
  id = "rack",
  operator = OPERATOR,
): SshPlatform {
  return new SshPlatform(stack, id, {
    hosts,
    ssh: { user: "admin", privateKeyFile: lab.privateKeyFile, timeoutSeconds: 20 },
    admins: [Peer.cidr(operator)],
  });
}

/**
 * Options of tests only: a ring delay of 5 s instead of 30 s, gossip that counts as settled after 1.1 s instead of 8 s, and half the
 * work of a start and of idling. Java does not verify Cassandra's classes and has one thread for garbage; Cassandra does not measure how
 * much memory a row takes (3 s of a start), and looks at the clock 20 times a second instead of 500.
 */
export const QUICK = [
  "-Dcassandra.ring_delay_ms=5000",
  "-Dcassandra.gossip_settle_min_wait_ms=500",
  "-Dcassandra.gossip_settle_interval_ms=200",
  "-Dcassandra.memtable.row_overhead_size=180",
  "-Dcassandra.approximate_time_precision_ms=50",
  "-XX:-AlwaysPreTouch",
  "-XX:TieredStopAtLevel=1",
  "-XX:-UseG1GC",
  "-XX:+UseSerialGC",
  "-XX:+UnlockDiagnosticVMOptions",
  "-XX:-BytecodeVerificationRemote",
];

/** What differs from a user's ring: small heaps, and no patience. */
export function smallRing(
  stack: TerraformStack,
  props: Partial<CassandraRingProps> & Pick<CassandraRingProps, "platform" | "nodes" | "datacenters">,
): CassandraRing {
  return new CassandraRing(stack, "ring", {
    clusterName: "Esmond Cluster",
    version: CassandraVersion.V5_0,
    installation: installed(RELEASE),
    superuser: { password: Secret.variable(stack, "ring-password") },
    keyspaces: [{ name: "esmond", replicationFactor: 2 }],
    roles: [
      {
        name: "esmond",
        password: Secret.variable(stack, "esmond-password"),
        grants: { esmond: ["ALL PERMISSIONS"] },
      },
    ],
    clients: [Peer.cidr(CLIENT)],
    heapMiB: 400,
    openFiles: 20_000,
    jvmOptions: QUICK,
    ...props,
  });
}

export interface LoadOutcome {
  readonly operations: number;
  readonly failed: readonly string[];
  readonly wrong: number;
  readonly lost: number | null;
  readonly acknowledged: number;
  readonly slowestMs: number;
  readonly running: boolean;
}

/** A real client on a machine of its own. */
export class CqlLoad {
  static async start(
    client: LabMachine,
    settings: {
      readonly contactPoints: readonly string[];
      readonly consistency?: "QUORUM" | "LOCAL_QUORUM";
      readonly datacenter?: string;
      readonly perSecond?: number;
      /** With TLS: whose certificates the client trusts, and its own with its key. */
      readonly trusted?: string;
      readonly certificate?: string;
    },
  ): Promise<CqlLoad> {
    const all = {
      user: "esmond",
      password: VARIABLES["esmond-password"],
      keyspace: "esmond",
      consistency: "LOCAL_QUORUM",
      datacenter: "datacenter1",
      workers: 4,
      perSecond: 20,
      ...settings,
    };
    const encoded = (text: string): string => Buffer.from(text).toString("base64");
    const program = readFileSync(join(__dirname, "cassandra/load.py"), "utf8");
    await client.ssh(
      `set -e; rm -f /root/result.json; base64 -d <<<${encoded(program)} >/root/load.py; base64 -d <<<${encoded(JSON.stringify(all))} >/root/settings.json; ` +
        "systemctl reset-failed cql-load 2>/dev/null || true; systemd-run --quiet --unit=cql-load --collect python3 /root/load.py /root/settings.json /root/result.json",
    );
    const load = new CqlLoad(client);
    await waitUntil(
      async () => ((await load.now())?.operations ?? 0) > 10,
      60,
      () => "the client's first operations do not come",
      500,
    ).catch(async (error: unknown) => {
      const { stdout } = await client.ssh("journalctl -u cql-load --output=cat --no-pager | tail -20");
      throw new Error(`${String(error)}\n${stdout}`);
    });
    return load;
  }

  private constructor(private readonly client: LabMachine) {}

  async now(): Promise<LoadOutcome | undefined> {
    const { stdout } = await this.client.ssh("cat /root/result.json 2>/dev/null || true");
    return stdout ? (JSON.parse(stdout) as LoadOutcome) : undefined;
  }

  /** Ends it, and has every acknowledged row read again. */
  async stop(): Promise<LoadOutcome> {
    await this.client.ssh("systemctl kill --signal=TERM cql-load", { allowFailure: true });
    await waitUntil(
      async () => (await this.now())?.running === false,
      900, // it reads thousands of rows
      () => "the client does not end",
      500,
    );
    return (await this.now())!;
  }
}

export interface LoadSettings extends Partial<Parameters<typeof CqlLoad.start>[1]> {
  /**
   * Nodes come or go. They learn of it one after the other, within a second or so, in which two of them take different nodes for a row's owners:
   * a read may miss what was just written by way of another one, though later ones find it. No Cassandra up to 5.0 agrees on that first.
   */
  readonly nodesChange?: true;
}

/** The action while a client writes and reads at LOCAL_QUORUM all along: nothing may fail, nothing may be lost. */
export async function underLoad(
  lab: Lab,
  what: string,
  action: () => Promise<Outcome>,
  { nodesChange, ...settings }: LoadSettings = {},
): Promise<Outcome> {
  const contactPoints = FIRST_THREE.map((name) => NODES[name]);
  const load = await CqlLoad.start(lab.machine("client"), { contactPoints, ...settings });
  let outcome: Outcome;
  let result: LoadOutcome;
  try {
    outcome = await action();
  } finally {
    result = await load.stop();
  }
  const { operations, failed, wrong, lost, slowestMs, acknowledged } = result;
  figure(
    `${what}: ${outcome.seconds.toFixed(0)} s; ${operations} operations, ${failed.length} failed; ${acknowledged} rows acknowledged, ${lost} lost, ${wrong} not seen at once; slowest ${slowestMs} ms`,
  );
  expect(failed).toEqual([]);
  expect(lost).toBe(0);
  expect(wrong).toBeLessThanOrEqual(nodesChange ? 3 : 0);
  expect(operations).toBeGreaterThan(50);
  return outcome;
}

/** What the nodes noted, with the seconds at which they did, in the order of time. */
export async function notesOf(
  lab: Lab,
  names: readonly string[],
): Promise<{ at: number; node: string; text: string }[]> {
  const all = await notesBy("cdktf-ha-cassandra", lab, names);
  return all.map(({ at, name, text }) => ({ at, node: name, text }));
}

/** From when to when each node did something, by what it noted; fails where two did it at once. */
export function oneAfterTheOther(
  notes: Awaited<ReturnType<typeof notesOf>>,
  what: string,
): { node: string; from: number; to: number }[] {
  const spans: { node: string; from: number; to: number }[] = [];
  let open: { node: string; at: number } | undefined;
  for (const { node, at, text } of notes.filter((note) => note.text.includes(what))) {
    if (text.includes(" begins")) {
      expect([what, "while", open?.node]).toEqual([what, "while", undefined]);
      open = { node, at };
    } else if (text.includes(" done")) {
      expect(open?.node).toBe(node);
      spans.push({ node, from: open!.at, to: at });
      open = undefined;
    }
  }
  expect(open).toBeUndefined();
  return spans;
}

/** Does somebody listen there, who lets this machine in? */
export async function isOpen(from: LabMachine, address: string, port: number): Promise<boolean> {
  const { code } = await from.ssh(`timeout 2 bash -c 'exec 3<>/dev/tcp/${address}/${port}'`, {
    allowFailure: true,
  });
  return code === 0;
}

/** STATE by name, as one node sees the ring. */
export async function statesOf(
  node: LabMachine,
  names: Readonly<Record<string, string>> = NODES,
): Promise<Record<string, string>> {
  const { stdout } = await node.ssh("nodetool status 2>/dev/null | awk '/^[UD][NJLM] /{print $1, $2}'", {
    allowFailure: true,
  });
  const byAddress = Object.fromEntries(Object.entries(names).map(([name, address]) => [address, name]));
  return Object.fromEntries(
    stdout
      .trim()
      .split("\n")
      .filter(Boolean)
      .map((line) => line.split(" "))
      .map(([state, address]) => [byAddress[address!] ?? address!, state!]),
  );
}

/** Waits for it: the last node of a rollout is up in its own eyes when the push ends, and the others learn of it within seconds. */
export async function untilStates(
  node: LabMachine,
  wanted: Readonly<Record<string, string>>,
  names: Readonly<Record<string, string>> = NODES,
): Promise<void> {
  let states: Record<string, string> = {};
  await waitUntil(
    async () => isDeepStrictEqual((states = await statesOf(node, names)), wanted),
    60,
    () => `${node.name} sees ${JSON.stringify(states)}`,
    1000,
  );
}

/**
 * Nothing differs between the copies. A node that was too busy to take a write, which a quorum had acknowledged, has it from the hints
 * some seconds later; rows that a repair should have brought never come that way.
 */
export async function untilInSync(node: LabMachine, keyspace: string): Promise<void> {
  let words = "";
  await waitUntil(
    async () => {
      // it ends at once where another node is out of sight for a moment
      ({ stdout: words } = await node.ssh(`nodetool repair -full --preview ${keyspace} 2>&1`, {
        allowFailure: true,
        timeoutSeconds: 300,
      }));
      return words.includes("Previewed data was in sync");
    },
    300,
    () => words,
    5000,
  );
}

/** Which start of Cassandra each node is in: another value after a restart. */
export function startsOf(lab: Lab, names: readonly string[]): Promise<string[]> {
  const show = "systemctl show --property=ActiveEnterTimestampMonotonic cassandra";
  return Promise.all(names.map(async (name) => (await lab.machine(name).ssh(show)).stdout));
}

/** When the daemon of a node last said this, in seconds. */
export async function saidAt(node: LabMachine, words: string): Promise<number> {
  const { stdout } = await node.ssh(
    `journalctl --unit=cassandra --output=short-unix --no-pager --quiet --grep='${words}' | tail -n 1 | cut -d ' ' -f 1`,
  );
  return Number(stdout.trim() || NaN);
}

/** Runs a program in the words of ring.py, as root on a node. */
export function ringPython(node: LabMachine, program: string, options?: SshOptions): Promise<RunResult> {
  const text = `import os, sys\nsys.path.insert(0, "/usr/local/lib/cdktf-ha/cassandra")\nimport ring\n${program}`;
  return node.ssh(`base64 -d <<<${Buffer.from(text).toString("base64")} | python3 -B -`, {
    timeoutSeconds: 120,
    ...options,
  });
}

export const HEAVY_ROWS = 128;

/** Rows of 64 MiB in a table of their own: at 1 Mbit/s they take minutes to go anywhere. */
export async function heavyRows(node: LabMachine, keyspace: string): Promise<void> {
  await cql(node, `CREATE TABLE ${keyspace}.heavy (id int PRIMARY KEY, value blob)`);
  await insertBlobs(node, `${keyspace}.heavy`, HEAVY_ROWS, 1 << 19);
  await node.ssh("nodetool flush");
}

/** Rows of so many bytes, into a table of an `id` and a `value`. */
export async function insertBlobs(
  node: LabMachine,
  table: string,
  rows: number,
  bytes: number,
): Promise<void> {
  await ringPython(
    node,
    `with ring.here() as session:
    for id in range(${rows}):
        session.run("INSERT INTO ${table} (id, value) VALUES (%s, %s)", (id, os.urandom(${bytes})))
`,
  );
}

/** Rows leave a node at 1 Mbit/s, or as fast as they can. */
export async function throttle(node: LabMachine, slow: boolean): Promise<void> {
  const rate = slow ? 1 : 0;
  await node.ssh(`set -e; nodetool setstreamthroughput ${rate}; nodetool setstreamthroughput -e ${rate}`);
}

/** What a node says that is to be stopped: who is not there; empty where all are. */
export async function whoIsNotNormal(node: LabMachine): Promise<string> {
  const { stdout, stderr } = await node.ssh(
    "bash -uo pipefail -c '. /usr/local/lib/cdktf-ha/cassandra/functions.sh; ring_wait_until_normal 0 stop'",
    { allowFailure: true, timeoutSeconds: 60 },
  );
  return stdout + stderr;
}

/** Runs statements as the superuser, by way of a node; rows with their columns parted by tabs. */
export async function cql(node: LabMachine, ...statements: readonly string[]): Promise<string[]> {
  const words = statements.map((text) => `'${text.replaceAll("'", "'\\''")}'`).join(" ");
  const { stdout } = await node.ssh(`python3 -B /usr/local/lib/cdktf-ha/cassandra/ring.py cql ${words}`);
  return stdout.split("\n").filter(Boolean);
}

export function figure(text: string): void {
  process.stderr.write(`[figure] ${text}\n`);
}
