import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
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
import { Lab, type LabMachine } from "../../../machines/lab";
import { waitUntil } from "../../../machines/run";
import { OPERATOR } from "./site";

export const RELEASE = "5.0.6";
export const CLIENT = "10.77.0.31";
export const VARIABLES = { "ring-password": "it's a \"password\"; $HOME", "esmond-password": "another one" };

/** The operator's computer has fetched it before: there is no network in here. */
function cassandraLayer(): string {
  return execFileSync(join(__dirname, "cassandra/fetch.sh"), [RELEASE], { encoding: "utf8" }).trim();
}

/** Machines with Cassandra on them, not started, and a client and a stranger without. */
export function startRingSite(nodes: Readonly<Record<string, string>>): Promise<Lab> {
  const layers = [cassandraLayer()];
  return Lab.start(
    {
      ...Object.fromEntries(
        Object.entries(nodes).map(([name, address]) => [name, { address: `${address}/24`, layers, diskMiB: 2048 }]),
      ),
      client: { address: `${CLIENT}/24` },
      stranger: { address: "10.77.0.41/24" },
    },
    { flavour: "tests" },
  );
}

/** Hosts as a user would write them. */
export function ringRack(
  stack: TerraformStack,
  lab: Lab,
  hosts: Readonly<Record<string, SshHost>>,
  id = "rack",
): SshPlatform {
  return new SshPlatform(stack, id, {
    hosts,
    ssh: { user: "admin", privateKeyFile: lab.privateKeyFile, timeoutSeconds: 20 },
    admins: [Peer.cidr(OPERATOR)],
  });
}

/** A ring delay of 5 s instead of 30 s, and gossip that counts as settled after 1.1 s instead of 8 s: options of tests only. */
export const QUICK = [
  "-Dcassandra.ring_delay_ms=5000",
  "-Dcassandra.gossip_settle_min_wait_ms=500",
  "-Dcassandra.gossip_settle_interval_ms=200",
  "-XX:-AlwaysPreTouch",
  "-XX:TieredStopAtLevel=1",
];

/** What differs from a user's ring: small heaps, and no patience. */
export function smallRing(
  stack: TerraformStack,
  props: Partial<CassandraRingProps> & Pick<CassandraRingProps, "platform" | "nodes" | "datacenters">,
): CassandraRing {
  return new CassandraRing(stack, "ring", {
    clusterName: "Esmond Cluster",
    version: CassandraVersion.V5_0,
    installation: CassandraInstallation.directory(RELEASE, `/opt/cassandra-${RELEASE}`),
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
      120,
      () => "the client does not end",
      500,
    );
    return (await this.now())!;
  }
}

/** STATE by name, as one node sees the ring. */
export async function statesOf(
  node: LabMachine,
  names: Readonly<Record<string, string>>,
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

/** Runs statements as the superuser, by way of a node; rows with their columns parted by tabs. */
export async function cql(node: LabMachine, ...statements: readonly string[]): Promise<string[]> {
  const words = statements.map((text) => `'${text.replaceAll("'", "'\\''")}'`).join(" ");
  const { stdout } = await node.ssh(`python3 -B /usr/local/lib/cdktf-ha/cassandra/ring.py cql ${words}`);
  return stdout.split("\n").filter(Boolean);
}

export function figure(text: string): void {
  process.stderr.write(`[figure] ${text}\n`);
}
