import type { Construct } from "constructs";
import { isToken, refuse } from "../problem";
import type { ServiceFile } from "../push/service";
import type { Secret } from "../secret/secret";
import { agentName, passwordFiles, passwordScript } from "./fence-method";
import { NodeFencing } from "./node-fencing";

/** How an agent switches a node. */
export interface AgentSwitch {
  /** What the agent calls the node: the number or name of a virtual machine, an outlet. */
  readonly plug: string;
  /** What else the agent is told: `ip`, `username` and so on, as its metadata has it (`fence_pve -o metadata`). Never a password: the cluster shows them. */
  readonly parameters: Readonly<Record<string, string>>;
  /** @default - the agent needs none */
  readonly password?: Secret;
}

const BESIDE = "beside the parameters";
const NEVER = "leave it out";

/** Said by the pair itself, or never. */
const RESERVED: readonly (readonly [RegExp, string])[] = [
  [/^(password|passwd)(_script)?$/, `'password' ${BESIDE}`],
  [
    /^(?!.*_script$).*(passw|secret|token|apikey|community|hexadecimal_kg)/,
    `${NEVER}: everybody in the cluster can read it`,
  ],
  [/^(plug|pcmk_host_map)$/, `'plug' ${BESIDE}`],
  [/^port$/, `'plug' ${BESIDE}; a network port is 'ipport'`],
  [/^(nodename|node_name|pcmk_host_.*|.*separator)$/, `${NEVER}: Pacemaker says which node it is`],
  [/^(action|pcmk_.*_action|method)$/, `${NEVER}: a node is switched off, then on`],
  [/^missing_as_off$/, `${NEVER}: who is not found may be writing`],
  [
    /^(verbose|verbose_level|debug|debug_file)$/,
    `${NEVER}: agents write what they are answered into logs, with tickets that open everything`,
  ],
];

/** They say that a node is off without it, leave it running, or want more than a plug. */
const REFUSED: readonly (readonly [RegExp, string])[] = [
  [/^fence_(heuristics_ping|legacy|ack_manual)$/, "it switches nobody off"],
  [
    /^fence_(scsi|mpath|brocade|cisco_mds|ifmib|sanbox2|compute|evacuate)$/,
    "it cuts a node off from shared storage or its network, and the node goes on with its own disk",
  ],
  [/^fence_(ovh|rcd_serial|gce)$/, "it does not look whether the node is off"],
  [/^fence_virsh$/, "it takes what it does not understand for off: Fencing.libvirt"],
  [/^fence_(sbd|watchdog)$/, "Fencing.watchdog"],
  [
    /^fence_(ipmilan|ilo3|ilo4|ilo5|idrac|imm|ipmilanplus)$/,
    "it has the password on a command line: Fencing.ipmi",
  ],
];

/** By another agent of Debian's fence-agents. */
export class AgentFencing extends NodeFencing<AgentSwitch> {
  constructor(agent: string, switches: Readonly<Record<string, AgentSwitch>>, called: readonly string[]) {
    super(agentName("Fencing.agent", agent), "switch", switches, ...called);
    const because = REFUSED.find(([names]) => names.test(agent))?.[1];
    if (because === undefined) return;
    refuse("Fencing.agent", {
      code: "no-fencing",
      what: `'${agent}'`,
      allowed: "an agent that has switched the node off when it says so",
      fix: because,
    });
  }

  override check(scope: Construct, nodes: readonly string[]): void {
    super.check(scope, nodes);
    for (const node of nodes) {
      const { plug, parameters } = this.switches[node]!;
      if (!isToken(plug) && !/^[\w./@-]{1,200}$/.test(plug)) {
        refuse(scope, {
          code: "bad-name",
          what: `the plug of '${node}' is '${plug}'`,
          allowed: "letters, digits and ./@_-: Pacemaker's list of plugs has its own use of others",
          fix: "give its number or UUID, if the agent takes one",
        });
      }
      for (const [name, value] of Object.entries(parameters)) {
        const instead = RESERVED.find(([names]) => names.test(name))?.[1];
        if (instead !== undefined) {
          refuse(scope, {
            code: "conflicting-setting",
            what: `the parameter '${name}' of '${node}'`,
            allowed:
              "what the pair does not say itself, and does not make the agent believe that a node is off",
            fix: instead,
          });
        }
        if (/^[a-z][a-z0-9_]*$/.test(name) && (isToken(value) || !/\p{Cc}/u.test(value))) continue;
        refuse(scope, {
          code: "bad-text",
          what: `the parameter '${name}' of '${node}' is '${value}'`,
          allowed: "a name of small letters, digits and underscores, and a line of text",
          fix: "write it as the agent's metadata does",
        });
      }
    }
  }

  protected place({ plug, parameters }: AgentSwitch): string {
    const at = Object.keys(parameters)
      .sort()
      .map((name) => `${name}=${parameters[name]}`);
    return [plug, ...at].join(" ");
  }

  protected secretsOf({ password }: AgentSwitch): readonly Secret[] {
    return password ? [password] : [];
  }

  protected parameters(node: string, { plug, parameters, password }: AgentSwitch): Record<string, string> {
    return {
      // agents have 3 or 5 s for an answer; Pacemaker's own default switches that off, and with it what ends the wait for a node that does not come back
      shell_timeout: "30",
      login_timeout: "30",
      pcmk_reboot_timeout: "300s",
      ...parameters,
      ...(password ? { password_script: passwordScript(node) } : {}),
      pcmk_host_map: `${node}:${plug}`,
    };
  }

  protected filesFor(node: string, { password }: AgentSwitch): ServiceFile[] {
    return password ? passwordFiles(node, password) : [];
  }
}
