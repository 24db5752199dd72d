import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Peer, Port, Secret, ServiceTier, SshPlatform, VirtualIp } from "cdktf-ha-clusters";
import type { TerraformStack } from "cdktf";
import { DrbdNfsPair } from "../../../../lib/drbd-nfs-pair/drbd-nfs-pair";
import type { DrbdNfsPairProps } from "../../../../lib/drbd-nfs-pair/pair-props";
import { Fencing } from "../../../../lib/drbd-nfs-pair/fencing";
import { Lab, type LabMachine, type MachineSpec } from "../../../../machines/lab";
import { waitUntil } from "../../../../machines/run";
import { OPERATOR, VIP } from "../site";

export const NODES = ["nfs-1", "nfs-2"] as const;
/** The clients' network, and one between the nodes alone, on which the power switch is too. */
const ADDRESSES: Readonly<Record<string, string>> = {
  "nfs-1": "10.77.0.11",
  "nfs-2": "10.77.0.12",
  vote: "10.77.0.13",
  client: "10.77.0.31",
};
const SECOND_LINK = { "nfs-1": "10.78.0.11", "nfs-2": "10.78.0.12" };
export const SWITCH = "10.78.0.1";
export const SECRETS = {
  "pair-secret": "what-both-nodes-prove-to-know",
  "switch-password": "what only root may know",
};
/** The client's rpc.statd: it is told there that the server was started anew. */
export const STATUS_PORT = 4000;
/** Where the client has the export. */
export const MOUNTED = "/srv/assets";

export type NodeName = (typeof NODES)[number];

/** MiB; XFS wants 300, and DRBD has its notes behind. Only what is written counts. */
const DISK = 384;

/** A node's machine, with an empty disk. */
export const nodeMachine = (name: NodeName, sizeMiB = DISK): MachineSpec => ({
  address: `${ADDRESSES[name]}/24`,
  moreAddresses: [`${SECOND_LINK[name]}/24`],
  vm: { dataDisks: [{ sizeMiB }] },
});

export function startNfsLab(): Promise<Lab> {
  return Lab.start(
    {
      "nfs-1": nodeMachine("nfs-1"),
      "nfs-2": nodeMachine("nfs-2"),
      vote: { address: `${ADDRESSES.vote}/24` },
      client: { address: `${ADDRESSES.client}/24`, vm: { memoryMiB: 320 } },
    },
    { flavour: "vms" },
  );
}

export interface NfsSiteProps extends Partial<DrbdNfsPairProps> {
  /** Counted up with a new secret of the pair. */
  readonly secretVersion?: string;
  /** A machine that was put in another one's place. */
  readonly generations?: Partial<Record<NodeName, string>>;
}

/** As a user would write it. */
export const nfsSite =
  (lab: Lab, { secretVersion: version, generations = {}, ...props }: NfsSiteProps = {}) =>
  (stack: TerraformStack): void => {
    const rack = new SshPlatform(stack, "rack", {
      hosts: Object.fromEntries(
        Object.entries(ADDRESSES).map(([name, address], index) => [
          name,
          { address: `${address}/24`, zone: `rack-${index + 1}`, generation: generations[name as NodeName] },
        ]),
      ),
      ssh: { user: "admin", privateKeyFile: lab.privateKeyFile, timeoutSeconds: 60 },
      admins: [Peer.cidr(OPERATOR)],
    });
    const apps = new ServiceTier(stack, "apps", {
      platform: rack,
      nodes: ["client"],
      port: 8080,
      services: [],
    });
    const nfs = new DrbdNfsPair(stack, "nfs", {
      platform: rack,
      quorum: ["vote"],
      fencing: Fencing.command({
        name: "fence_lab_switch",
        program: readFileSync(join(__dirname, "fence_lab_switch"), "utf8"),
        parameters: { ip: SWITCH },
        password: Secret.variable(stack, "switch-password"),
      }),
      virtualIp: VirtualIp.layer2(`${VIP}/24`),
      secondLink: SECOND_LINK,
      disk: "/dev/vdb",
      fileSystem: "ext4", // XFS wants 300 MiB
      secret: Secret.variable(stack, "pair-secret", { version }),
      exports: [{ name: "assets", squash: "none" }],
      // translated machines, some ten times slower than real ones, on a computer that has other work
      token: 9,
      operationTimeout: 120,
      threads: 4,
      ...props,
    });
    nfs.export("assets").mountOn(apps, MOUNTED);
    if (props.version3)
      apps.connections.allowFrom(Peer.cidr("10.77.0.0/24"), Port.udp(111), Port.udp(STATUS_PORT));
  };

export function other(node: LabMachine, lab: Lab): LabMachine {
  return lab.machine(NODES.find((name) => name !== node.name)!);
}

/** Does the node have the volume? */
export async function hasVolume(node: LabMachine): Promise<boolean> {
  return (await node.ssh("mountpoint --quiet /srv/nfs", { allowFailure: true })).code === 0;
}

/** The node that has the volume. */
export async function serving(lab: Lab): Promise<LabMachine> {
  let found: string[] = [];
  await waitUntil(
    async () => {
      const has = await Promise.all(
        NODES.map(async (name) => {
          const machine = lab.machine(name);
          return machine.isOn && (await hasVolume(machine));
        }),
      );
      found = NODES.filter((_, index) => has[index]);
      return found.length === 1;
    },
    120,
    () => `nodes with the volume: ${found.join(", ") || "none"}`,
    1000,
  );
  return lab.machine(found[0]!);
}
