import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { DrbdNfsPair, Manager, Peer, Secret, SshPlatform, VirtualIp } from "cdktf-ha-clusters";
import type { TerraformStack } from "cdktf";
import { Lab, type LabMachine } from "../../../machines/lab";
import { waitUntil } from "../../../machines/run";
import { Deployment } from "../../support/deployment";

export const VIP = "10.77.0.100";
export const SECRET = "moustache-of-2008-0123456789";
const OPERATOR = "10.77.0.1";
export const EXPORT = "/srv/nfs/exports/assets";
export const QUOTA_MIB = 64;
const ORDERS = `${EXPORT}/orders`;

/** What a node does, all read at once. */
export interface View {
  /** As DRBD of this node says: itself and the other one. */
  readonly roles: string;
  readonly connection: string;
  readonly disks: string;
  readonly mounted: boolean;
  readonly address: boolean;
}

export const serves = ({ roles, mounted, address }: View): boolean =>
  roles.startsWith("Primary/") && mounted && address;
export const rests = ({ roles, mounted, address }: View): boolean =>
  roles.startsWith("Secondary/") && !mounted && !address;

/** Two virtual machines on one network, and the pair of 2008 on them. */
export class HeartbeatSite {
  static async start(): Promise<HeartbeatSite> {
    const vm = { dataDisks: [{ sizeMiB: 400 }] }; // XFS takes no less than 300
    return new HeartbeatSite(
      await Lab.start({
        "nfs-1": { address: "10.77.0.11/24", vm },
        "nfs-2": { address: "10.77.0.12/24", vm },
      }),
    );
  }

  readonly one: LabMachine;
  readonly two: LabMachine;
  readonly deployment: Deployment;

  private constructor(readonly lab: Lab) {
    [this.one, this.two] = [lab.machine("nfs-1"), lab.machine("nfs-2")];
    this.deployment = new Deployment(`${lab.directory}/deployment`, (stack) => this.pair(stack), {
      secret: SECRET,
    });
  }

  private pair(stack: TerraformStack): void {
    new DrbdNfsPair(stack, "nfs", {
      platform: new SshPlatform(stack, "rack", {
        hosts: {
          "nfs-1": { address: "10.77.0.11/24", zone: "rack-1" },
          "nfs-2": { address: "10.77.0.12/24", zone: "rack-2" },
        },
        ssh: { user: "admin", privateKeyFile: this.lab.privateKeyFile, timeoutSeconds: 60 },
        admins: [Peer.cidr(OPERATOR)],
      }),
      manager: Manager.heartbeat({ iAcceptSplitBrain: true }),
      virtualIp: VirtualIp.layer2(`${VIP}/24`),
      disk: "/dev/vdb",
      secret: Secret.variable(stack, "secret"),
      exports: [{ name: "assets", quotaGiB: QUOTA_MIB / 1024, clients: [Peer.cidr(OPERATOR)] }],
    });
  }

  async view(machine: LabMachine): Promise<View> {
    const { stdout } = await machine.ssh(
      `sed -n 's/^ 0: //p' /proc/drbd; grep -c '^/dev/drbd0 /srv/nfs ' /proc/mounts; ip -oneline address show to ${VIP} | wc -l`,
      { allowFailure: true },
    );
    const [drbd = "", mounted, address] = stdout.split("\n");
    const word = (name: string): string => new RegExp(`${name}:(\\S+)`).exec(drbd)?.[1] ?? "";
    return {
      roles: word("ro"),
      connection: word("cs"),
      disks: word("ds"),
      mounted: mounted === "1",
      address: address === "1",
    };
  }

  views(): Promise<View[]> {
    return Promise.all([this.view(this.one), this.view(this.two)]);
  }

  /** What the managers wrote of late: for whoever has to find out. */
  async journals(): Promise<string> {
    const look =
      "cat /proc/drbd; cl_status rscstatus; journalctl --boot --no-pager --lines 150 --output short-monotonic --unit heartbeat";
    const texts = await Promise.all(
      [this.one, this.two].map((machine) => machine.ssh(look, { allowFailure: true })),
    );
    return texts.map(({ stdout }) => stdout).join("\n----\n");
  }

  /** The longest silence at the address, in seconds, from before `act` until `isOver` and NFS answers. */
  async gap(act: () => Promise<unknown>, isOver: () => Promise<boolean>): Promise<number> {
    let last = performance.now();
    let longest = 0;
    const over = new AbortController();
    const asks = (async () => {
      while (!over.signal.aborted) {
        if (await answersNfs()) {
          longest = Math.max(longest, performance.now() - last);
          last = performance.now();
        }
        await sleep(100);
      }
    })();
    try {
      await act();
      await waitUntil(isOver, 240, () => "the service did not move", 500);
      await waitUntil(answersNfs, 60, () => "NFS does not answer", 200);
      await sleep(1000); // so that the asking sees it as well
    } finally {
      over.abort();
      await asks;
    }
    return longest / 1000;
  }

  /** Orders are taken on the node from now on, each on disk before the next one. */
  async takeOrders(machine: LabMachine): Promise<void> {
    const script = readFileSync(join(__dirname, "heartbeat-orders.sh"), "utf8");
    const start = `cat >/run/orders.sh && systemd-run --quiet --unit=orders bash /run/orders.sh ${ORDERS}`;
    await machine.ssh(start, { input: script });
  }

  stopOrders(): Promise<unknown> {
    return Promise.all([this.one, this.two].map((machine) => machine.ssh("systemctl stop orders")));
  }

  /** The orders that this node's copy has, by the node that took them, looked at as docs/drbd-nfs-pair.md tells: nobody serves. */
  async orders(machine: LabMachine): Promise<Record<string, number>> {
    const { stdout } = await machine.ssh(
      `set -e
      drbdadm primary nfs && mount -o ro /dev/drbd0 /srv/nfs
      awk '{ n[$1]++ } END { for (node in n) print node, n[node] }' ${ORDERS}
      umount /srv/nfs && drbdadm secondary nfs`,
    );
    const lines = stdout.split("\n").filter(Boolean);
    return Object.fromEntries(
      lines.map((line) => line.split(" ")).map(([node, count]) => [node!, Number(count)]),
    );
  }
}

/** Does a server of NFS 4 answer at the address? The procedure that does nothing, by RPC. */
export function answersNfs(): Promise<boolean> {
  const call = [0x80000028, 1, 0, 2, 100003, 4, 0, 0, 0, 0, 0];
  const request = Buffer.alloc(4 * call.length);
  call.forEach((word, index) => request.writeUInt32BE(word, 4 * index));
  return new Promise((resolve) => {
    const socket = connect(2049, VIP, () => socket.write(request));
    const end = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(2000, () => end(false));
    socket.on("error", () => end(false));
    socket.on("close", () => end(false));
    // record mark, the call's number, a reply, accepted, no verifier (2 words), success
    socket.on("data", (reply: Buffer) => end(reply.length >= 28 && reply.readUInt32BE(24) === 0));
  });
}
