import { PowerSwitch } from "../../../../machines/power-switch";
import type { Lab, LabMachine } from "../../../../machines/lab";
import { waitUntil } from "../../../../machines/run";
import { Deployment } from "../../../support/deployment";
import { figure } from "../ring-site";
import {
  hasVolume,
  nfsSite,
  NODES,
  other,
  SECRETS,
  serving,
  startNfsLab,
  SWITCH,
  type NfsSiteProps,
} from "./nfs-site";
import { NfsWriter, type Written } from "./nfs-writer";
import { NodeWatch } from "./node-watch";

export interface Trial {
  readonly active: LabMachine;
  readonly standby: LabMachine;
  readonly written: Written;
  /** What the power switch did since. */
  readonly switched: readonly string[];
}

/** The pair on its machines, a power switch that switches them, and who looks at both all along. */
export class NfsLab {
  static async start(props: NfsSiteProps = {}): Promise<NfsLab> {
    const lab = await startNfsLab();
    const power = await PowerSwitch.start(lab, {
      address: SWITCH,
      password: SECRETS["switch-password"],
      machines: NODES,
      // a node that boots at once takes the processor from the one that takes over
      firmwareSeconds: 25,
    });
    const watch = await NodeWatch.start(NODES.map((name) => lab.machine(name)));
    return new NfsLab(lab, power, watch, props);
  }

  readonly deployment: Deployment;

  private constructor(
    readonly lab: Lab,
    readonly power: PowerSwitch,
    readonly watch: NodeWatch,
    props: NfsSiteProps,
  ) {
    this.deployment = new Deployment(`${lab.directory}/deployment`, nfsSite(lab, props), SECRETS);
  }

  async stop(): Promise<void> {
    this.watch.stop();
    await this.power.stop();
    await this.lab.stop();
  }

  get nodes(): LabMachine[] {
    return NODES.map((name) => this.lab.machine(name));
  }

  /** What a node knows of both copies: `Connected UpToDate/UpToDate`. */
  async copies(node: LabMachine): Promise<string> {
    const { stdout } = await node.ssh("drbdadm cstate nfs; drbdadm dstate nfs", { allowFailure: true });
    return stdout.trim().replace("\n", " ");
  }

  /** Waits until both nodes are members, both copies are good, and everything runs again. */
  async settled(): Promise<void> {
    const active = await serving(this.lab);
    let seen = "";
    await waitUntil(
      async () => {
        const { stdout } = await active.ssh("crm_mon --one-shot --inactive", { allowFailure: true });
        seen = `${await this.copies(active)}\n${stdout}`;
        return (
          seen.startsWith("Connected UpToDate/UpToDate") &&
          stdout.includes("Online: [ nfs-1 nfs-2 ]") &&
          !stdout.includes("Stopped") &&
          !(await active.ssh("cibadmin --query --scope constraints", { allowFailure: true })).stdout.includes(
            "drbd-fence-by-handler",
          )
        );
      },
      600,
      () => `not settled: ${seen}`,
      3000,
    );
  }

  /** The same bytes on both, besides DRBD's own notes behind them. */
  async copiesAreEqual(): Promise<void> {
    const { lab } = this;
    const active = await serving(lab);
    const { stdout } = await active.ssh("sync; cat /sys/block/drbd0/size");
    const [one, two] = NODES.map((name) => `${lab.directory}/machines/${name}/data1.raw`);
    const compare = async (): Promise<boolean> =>
      (await lab.run("cmp", ["-n", `${512 * Number(stdout)}`, one!, two!], { allowFailure: true })).code ===
      0;
    await waitUntil(compare, 30, () => "the copies differ", 1000);
  }

  /** Something happens to the node that serves while the client writes. Whatever it is, nothing may be lost, and never may both write. */
  async trial(
    what: string,
    happens: (active: LabMachine, standby: LabMachine, writer: NfsWriter) => Promise<unknown>,
  ): Promise<Trial> {
    const { lab, power, watch } = this;
    const active = await serving(lab);
    const standby = other(active, lab);
    const writer = await NfsWriter.start(lab.machine("client"));
    const [since, asked] = [Date.now(), power.requests.length];
    await happens(active, standby, writer);
    await writer.untilWrites(400);
    const written = await writer.stop();
    const { acknowledged, longestGap, lost } = written;
    figure(
      `${what}: gap ${longestGap.toFixed(1)} s, ${lost.length} of ${acknowledged} acknowledged writes lost, ` +
        `two writers for ${watch.secondsOfTwoWriters(since)} s\n  ${watch.changes(since).join("\n  ")}`,
    );
    expect(written.error).toBe("");
    expect(lost).toEqual([]);
    expect(watch.secondsOfTwoWriters(since)).toBe(0);
    const switched = power.requests
      .slice(asked)
      .filter(({ request, answer }) => request.startsWith("off") && answer === "ok")
      .map(({ request }) => request);
    return { active, standby, written, switched };
  }

  /** It is this node that serves; else it is told what Pacemaker has decided, and by what. */
  async servesNow(node: LabMachine): Promise<void> {
    const found = await serving(this.lab);
    if (found.name === node.name) return;
    const words = await Promise.all(
      this.nodes.map(async (one) => {
        const { stdout } = await one.ssh(
          "journalctl --no-pager --output short-precise --lines 4000 --grep 'Actions:|Setting|Result of|aborted|drbd nfs:' | grep -vE 'monitor.*: ok' | tail -n 150",
          { allowFailure: true, timeoutSeconds: 60 },
        );
        return `${one.name}:\n${stdout}`;
      }),
    );
    throw new Error(`${found.name} serves, and not ${node.name}\n${words.join("\n")}`);
  }

  /** Waits until a node serves. */
  async serves(node: LabMachine): Promise<void> {
    await waitUntil(
      () => hasVolume(node),
      300,
      () => `${node.name} does not serve`,
      1000,
    );
  }

  /** Waits until the power switch has switched a node off. */
  async switchedOff(node: LabMachine, since: number, seconds = 300): Promise<void> {
    await waitUntil(
      () =>
        this.power.requests.some(
          ({ at, request, answer }) => at >= since && request === `off ${node.name}` && answer === "ok",
        ),
      seconds,
      () => `${node.name} is not switched off`,
      500,
    );
  }
}
