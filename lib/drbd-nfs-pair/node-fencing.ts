import type { Construct } from "constructs";
import { refuse } from "../problem";
import type { ServiceFile, ServicePackage } from "../push/service";
import type { Secret } from "../secret/secret";
import type { FenceDevice } from "./cib";
import { FenceMethod } from "./fence-method";

/**
 * A node that does not come back after it was switched off has been switched off all the same. So an agent gives up waiting for it, after some 40 looks;
 * as Pacemaker calls it, it would wait until it is ended, which counts as a failure, and nobody would ever take over from a machine that is broken.
 * It is also the seconds that `ipmitool` has, which needs 28 until it gives up itself.
 */
const PATIENCE = { disable_timeout: "0", power_timeout: "40", pcmk_reboot_timeout: "120s" };

/** What of each node's is told to switch it off is said by node: a board, a hypervisor. */
export abstract class NodeFencing<Switch> extends FenceMethod {
  override readonly packages: readonly ServicePackage[];

  constructor(
    private readonly agent: string,
    private readonly noun: string,
    protected readonly switches: Readonly<Record<string, Switch>>,
    /** What the agent calls: fence-agents does without it. */
    ...called: readonly string[]
  ) {
    super();
    this.packages = ["fence-agents", ...called].map((name) => ({ name }));
  }

  check(scope: Construct, nodes: readonly string[]): void {
    for (const node of nodes) {
      if (this.switches[node]) continue;
      refuse(scope, {
        code: "no-fencing",
        what: `node '${node}' has no ${this.noun} that could switch it off`,
        allowed: "one for each node: a node that nobody can stop may go on writing",
        fix: `add '${node}'`,
      });
    }
    const stranger = Object.keys(this.switches).find((name) => !nodes.includes(name));
    if (stranger !== undefined) {
      refuse(scope, {
        code: "unknown-node",
        what: `a ${this.noun} is that of '${stranger}'`,
        allowed: nodes.join(", "),
        fix: "name one of the nodes",
      });
    }
    const [one, other] = nodes.map((node) => this.place(this.switches[node]!));
    if (one === other) {
      refuse(scope, {
        code: "no-fencing",
        what: `${nodes.join(" and ")} have the same ${this.noun}: ${one}`,
        allowed: "each node's own: the wrong one would be switched off, and its peer go on writing",
        fix: "give each node its own",
      });
    }
    const made = this.secrets.find(({ source }) => source.kind === "generated");
    if (!made) return;
    refuse(scope, {
      code: "secret-not-shared",
      what: `the generated secret '${made.name}' is to open a ${this.noun}, which has never heard of it`,
      allowed: "a secret that it knows",
      fix: "Secret.variable(...), Secret.file(...) or a secret of AWS's",
    });
  }

  devices(nodes: readonly string[]): FenceDevice[] {
    return nodes.map((node) => ({
      name: `fence-${node}`,
      agent: this.agent,
      nodes: [node],
      parameters: { ...PATIENCE, ...this.parameters(node, this.switches[node]!) },
    }));
  }

  files(): ServiceFile[] {
    return Object.entries(this.switches).flatMap(([node, each]) => this.filesFor(node, each));
  }

  get secrets(): Secret[] {
    return Object.values(this.switches).flatMap((each) => this.secretsOf(each));
  }

  /** Where it is; no two nodes' are at the same place. */
  protected abstract place(each: Switch): string;

  protected abstract secretsOf(each: Switch): readonly Secret[];

  /** What the agent is told. */
  protected abstract parameters(node: string, each: Switch): Readonly<Record<string, string>>;

  protected abstract filesFor(node: string, each: Switch): ServiceFile[];
}
