import {
  EtcdCluster,
  HaproxyKeepalivedPair,
  Peer,
  PostgresReplicaSet,
  Secret,
  VirtualIp,
  type PostgresReplicaSetProps,
  type SshHost,
  SshPlatform,
} from "cdktf-ha-clusters";
import type { TerraformStack } from "cdktf";
import type { Lab, LabMachine } from "../../../machines/lab";
import { waitUntil } from "../../../machines/run";
import { notesBy } from "./notes";
import { ADDRESSES, OPERATOR, VIP } from "./site";

export const MEMBERS = ["db-1", "db-2", "db-3"] as const;
/** With everything that a shell, a YAML file and a connection string may trip over. */
export const PASSWORDS = {
  "member-password": `it's a "password"; $HOME %s: #\\`,
  "numbers-password": `another 'one' "here"`,
  "reader-password": "readers-only-0123456789",
};
export const WRITES = { host: VIP, port: 5432, password: PASSWORDS["numbers-password"], database: "numbers" };
/** The same by way of the poolers. */
export const POOLED = { ...WRITES, port: 6432 };
export const READS = { ...WRITES, port: 5433 };

export interface SetProps extends Partial<PostgresReplicaSetProps> {
  /** Addresses of machines that took the place of others. */
  readonly addresses?: Readonly<Record<string, string>>;
  /** Counted up for machines that are to be pushed to as if they were new. */
  readonly generations?: Readonly<Record<string, string>>;
  /** What else is in the stack. */
  readonly also?: (stack: TerraformStack, rack: SshPlatform, db: PostgresReplicaSet) => void;
  /** Counted up with new passwords of the members and the application. */
  readonly passwords?: string;
  /** Without the pair: for tests that ask the members themselves. */
  readonly alone?: true;
  /** The same of the members and the reader. */
  readonly otherPasswords?: string;
  /** Machines of an etcd cluster that is not the set's own. */
  readonly votes?: readonly string[];
}

/** A replica set behind a pair, as a user would write it; what differs is little memory. */
export const replicaSet =
  (
    lab: Lab,
    {
      addresses = {},
      generations = {},
      passwords: version = "1",
      otherPasswords = "1",
      also,
      alone,
      votes,
      ...props
    }: SetProps = {},
  ) =>
  (stack: TerraformStack): void => {
    const all = ["lb-1", "lb-2", "db-1", "db-2", "db-3", "db-4", "db-5", "db-6"] as const;
    // who took another one's place is not there under its own name
    const names = all.filter(
      (name) => !Object.values(addresses).includes(ADDRESSES[name]) && !(alone && name.startsWith("lb")),
    );
    const rack = new SshPlatform(stack, "rack", {
      hosts: Object.fromEntries(
        names.map((name): [string, SshHost] => [
          name,
          {
            address: `${addresses[name] ?? ADDRESSES[name]}/24`,
            zone: `rack-${name.slice(-1)}`,
            generation: generations[name],
          },
        ]),
      ),
      ssh: { user: "admin", privateKeyFile: lab.privateKeyFile, timeoutSeconds: 20 },
      admins: [Peer.cidr(OPERATOR)],
    });
    const db = new PostgresReplicaSet(stack, "db", {
      platform: rack,
      members: MEMBERS,
      memberPassword: Secret.variable(stack, "member-password", {
        version: otherPasswords === "1" ? version : otherPasswords,
      }),
      databases: [{ name: "numbers", owner: "app", extensions: ["pgcrypto"] }],
      roles: [
        { name: "app", password: Secret.variable(stack, "numbers-password", { version }) },
        {
          name: "reader",
          password: Secret.variable(stack, "reader-password", { version: otherPasswords }),
          grants: { numbers: "read" },
        },
      ],
      memoryMiB: 256,
      etcd: votes && new EtcdCluster(stack, "votes", { platform: rack, nodes: votes }),
      ...props,
    });
    if (alone) {
      also?.(stack, rack, db);
      return;
    }
    const lb = new HaproxyKeepalivedPair(stack, "lb", {
      platform: rack,
      nodes: ["lb-1", "lb-2"],
      virtualIp: VirtualIp.layer2(`${VIP}/24`),
      maximumConnections: 1000,
    });
    const clients = [Peer.cidr(ADDRESSES.client)];
    const checkInterval = 1;
    lb.balance("primary", { port: 5432, to: db.primary, clients, checkInterval });
    lb.balance("replicas", { port: 5433, to: db.replicas, clients, checkInterval });
    if (db.pooler) lb.balance("pooled", { port: 6432, to: db.pooled, clients, checkInterval });
    also?.(stack, rack, db);
    if (db.synchronous !== "off")
      lb.balance("synchronous", { port: 5434, to: db.synchronousReplica, clients, checkInterval });
  };

export interface Member {
  readonly name: string;
  readonly role: "leader" | "standby_leader" | "sync_standby" | "replica";
  readonly state: string;
  readonly pending_restart?: boolean;
}

/** As Patroni of one member tells it; nobody where it does not answer. */
export async function membersOf(asked: LabMachine): Promise<Member[]> {
  const ask = (scheme: string): string =>
    `curl --silent --insecure --max-time 5 ${scheme}://${asked.address}:8008/cluster`;
  // the one who answers plainly does not speak TLS, and the other way round
  const { stdout } = await asked.ssh(`${ask("http")} || ${ask("https")}`, {
    allowFailure: true,
    timeoutSeconds: 15,
  });
  return stdout.startsWith("{") ? (JSON.parse(stdout) as { members: Member[] }).members : [];
}

/** Waits until so many members run, of which one leads and one has every commit; who they are. */
export async function awaitMembers(
  asked: LabMachine,
  count: number,
  knownLeader?: string,
): Promise<{ leader: string; standby: string }> {
  let found: Member[] = [];
  const named = (role: Member["role"]): string | undefined =>
    found.find((member) => member.role === role)?.name;
  await waitUntil(
    async () => {
      found = await membersOf(asked);
      const running = found.filter(({ state }) => state === "running" || state === "streaming");
      const leader = named("leader");
      return (
        found.length === count &&
        running.length === count &&
        leader !== undefined &&
        leader === (knownLeader ?? leader) &&
        (count === 1 || named("sync_standby") !== undefined)
      );
    },
    90,
    () => `members: ${JSON.stringify(found)}`,
    300,
  );
  return { leader: named("leader")!, standby: named("sync_standby") ?? "" };
}

/** What the members' programs noted. */
export const notes = (lab: Lab, names: readonly string[]): ReturnType<typeof notesBy> =>
  notesBy("cdktf-ha-postgres", lab, names);
