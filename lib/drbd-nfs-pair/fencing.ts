import { join } from "node:path";
import type { Construct } from "constructs";
import type { Machine } from "../platform/machine";
import { checkCount, checkRange, isToken, refuse } from "../problem";
import { shellQuoted } from "../script-text";
import type { ServiceFile, ServicePackage } from "../push/service";
import type { Secret } from "../secret/secret";
import { AWS_PACKAGES, awsProgram } from "../virtual-ip/aws-program";
import type { FenceDevice } from "./cib";
import { syncTimeout } from "./corosync-conf";

/** A machine's management board, which has power while the machine has none. */
export interface ManagementBoard {
  /** Address or name of the board, as the other node reaches it. */
  readonly address: string;
  readonly user: string;
  readonly password: Secret;
}

export interface CommandFencingProps {
  /** Name of the program: `fence_` and letters, digits or underscores; it becomes /usr/sbin/NAME. */
  readonly name: string;
  /**
   * The agent's text, from its `#!` line on. It speaks ClusterLabs' fence agent API: `key=value` lines on standard input, the
   * actions on, off, reboot, status, monitor and metadata. "Off" must be told only once it is certain.
   */
  readonly program: string;
  /** Told to the agent at each call, besides the node's name as `port`. Never a password: the cluster shows them. @default none */
  readonly parameters?: Readonly<Record<string, string>>;
  /** The agent is told as `password_script` which program, for root alone, prints it. @default none */
  readonly password?: Secret;
}

export interface AwsFencingProps {
  /**
   * Seconds that the call against the node which serves is held back, so that it wins should each one be about to stop the other.
   * @default 3 - a call takes about one
   */
  readonly delay?: number;
}

export interface WatchdogFencingProps {
  /** @default "/dev/watchdog" - the first one that the kernel has */
  readonly device?: string;
  /**
   * The machines have none, so the kernel's own timer (softdog) is used. It switches off a node that is cut off or whose programs hang, and not one
   * whose kernel hangs: that one may wake up later and write what it had under way.
   * @default false
   */
  readonly software?: boolean;
  /**
   * Seconds without a sign of life from SBD after which the watchdog resets the machine. The other node takes over after twice of it.
   * @default - five times the pair's `token`, and 10: for five times of it a membership that changes may wait for the quorum host, and until Pacemaker
   * and SBD have noticed what came of it a few more pass
   */
  readonly timeout?: number;
}

/** How a node that may still be writing is made to stop, before the other one begins: its power is cut. */
export abstract class Fencing {
  /** Boards that speak IPMI 2.0, by node. A board that has its power from its own machine dies with it. */
  static ipmi(boards: Readonly<Record<string, ManagementBoard>>): Fencing {
    return new BoardFencing("fence_ipmilan", boards, { lanplus: "1" });
  }

  /** Boards that speak Redfish, by node. */
  static redfish(boards: Readonly<Record<string, ManagementBoard>>): Fencing {
    return new BoardFencing("fence_redfish", boards, { ssl_insecure: "1" });
  }

  /** AWS: each node stops the other one's instance by its own role, which allows nothing else, and starts it again. */
  static aws(props: AwsFencingProps = {}): Fencing {
    return new AwsFencing(props);
  }

  /**
   * Nobody else switches a node off: it does so itself, by its watchdog, when it has lost the quorum or its cluster software hangs (SBD without a
   * disk). For machines whose power nothing else can be asked to cut. The other node waits until that has certainly happened.
   */
  static watchdog(props: WatchdogFencingProps = {}): Fencing {
    return new WatchdogFencing(props);
  }

  /** A program of your own that switches each node's power. */
  static command(props: CommandFencingProps): Fencing {
    return new CommandFencing(props);
  }

  /** Nobody is switched off. What can be lost then is told at every synth. */
  static none(_accept: { readonly iAcceptSplitBrain: true }): Fencing {
    return new NoFencing();
  }

  /** False: nobody is switched off. */
  readonly isCertain: boolean = true;
  readonly packages: readonly ServicePackage[] = [];
  /** Seconds that the node which serves is ahead, should each node be about to switch the other one off. */
  readonly delay: number = 0;

  /** Is a node stopped by nothing but its own kernel? */
  readonly isSoftware: boolean = false;

  /** Seconds after which a node that is not heard has switched itself off; nothing where others do that. */
  offAfter(_token: number): number | undefined {
    return undefined;
  }

  /** Refuses nodes that nobody could switch off; `token` in seconds. */
  abstract check(
    scope: Construct,
    nodes: readonly string[],
    machines: readonly Machine[],
    token: number,
  ): void;

  /** Gives the machines what they need for it. */
  prepare(_machines: readonly Machine[]): void {
    // nothing but files
  }

  abstract devices(nodes: readonly string[]): FenceDevice[];

  /** Programs and passwords, on a node; `token` in seconds. */
  abstract files(machine: Machine, token: number): ServiceFile[];

  abstract readonly secrets: readonly Secret[];
}

const PASSWORDS = "/etc/cdktf-ha/drbd-nfs-fence";
const PROGRAMS = "/usr/local/lib/cdktf-ha/drbd-nfs";

/** The cluster's configuration can be read by more than root: it names who knows the password. */
function passwordScript(owner: string): string {
  return `${PROGRAMS}/fence-password-${owner}`;
}

function passwordFiles(owner: string, password: Secret): ServiceFile[] {
  const path = `${PASSWORDS}-${owner}`;
  return [
    { path, text: password.placeholder, mode: "0600", onChange: "none" },
    {
      path: passwordScript(owner),
      text: `#!/bin/sh\nexec cat ${shellQuoted(path)}\n`,
      mode: "0700",
      onChange: "none",
    },
  ];
}

class BoardFencing extends Fencing {
  override readonly packages = [{ name: "fence-agents" }];

  constructor(
    private readonly agent: string,
    private readonly boards: Readonly<Record<string, ManagementBoard>>,
    private readonly parameters: Readonly<Record<string, string>>,
  ) {
    super();
  }

  check(scope: Construct, nodes: readonly string[]): void {
    for (const node of nodes) {
      if (this.boards[node]) continue;
      refuse(scope, {
        code: "no-fencing",
        what: `node '${node}' has no board that could switch it off`,
        allowed: "one for each node: a node that nobody can stop may go on writing",
        fix: `add '${node}' to the boards`,
      });
    }
    const stranger = Object.keys(this.boards).find((name) => !nodes.includes(name));
    if (stranger === undefined) return;
    refuse(scope, {
      code: "unknown-node",
      what: `a board is that of '${stranger}'`,
      allowed: nodes.join(", "),
      fix: "name one of the nodes",
    });
  }

  devices(nodes: readonly string[]): FenceDevice[] {
    return nodes.map((node) => {
      const { address, user } = this.boards[node]!;
      return {
        name: `fence-${node}`,
        agent: this.agent,
        nodes: [node],
        parameters: {
          ip: address,
          username: user,
          password_script: passwordScript(node),
          ...this.parameters,
        },
      };
    });
  }

  files(): ServiceFile[] {
    return Object.entries(this.boards).flatMap(([node, { password }]) => passwordFiles(node, password));
  }

  get secrets(): Secret[] {
    return Object.values(this.boards).map(({ password }) => password);
  }
}

class CommandFencing extends Fencing {
  readonly secrets: readonly Secret[];

  constructor(private readonly props: CommandFencingProps) {
    super();
    const { name, program, password } = props;
    this.secrets = password ? [password] : [];
    if (!/^fence_[a-z0-9_]{1,40}$/.test(name)) {
      refuse("Fencing.command", {
        code: "bad-name",
        what: `'${name}'`,
        allowed: "fence_ and small letters, digits or underscores: Pacemaker finds agents by this beginning",
        fix: "name it like fence_our_switch",
      });
    }
    if (!isToken(program) && !program.startsWith("#!")) {
      refuse("Fencing.command", {
        code: "bad-text",
        what: `the program of '${name}' does not begin with #!`,
        allowed: "the text of a program, not its path",
        fix: 'program: readFileSync("fence_our_switch", "utf8")',
      });
    }
  }

  check(): void {
    // whom it can switch off only the program knows
  }

  devices(nodes: readonly string[]): FenceDevice[] {
    const { name, parameters = {}, password } = this.props;
    const secret = password && { password_script: passwordScript(name) };
    return [{ name: "fence", agent: name, nodes, parameters: { ...parameters, ...secret } }];
  }

  files(): ServiceFile[] {
    const { name, program, password } = this.props;
    return [
      { path: `/usr/sbin/${name}`, text: program, mode: "0755", onChange: "none" },
      ...(password ? passwordFiles(name, password) : []),
    ];
  }
}

/**
 * By ClusterLabs' own agent: StopInstances with force, and "off" is told once DescribeInstances says `stopped`. An instance that
 * is being stopped itself stops nobody.
 */
class AwsFencing extends Fencing {
  override readonly packages = [{ name: "fence-agents" }, ...AWS_PACKAGES];
  override readonly delay: number;
  readonly secrets: readonly Secret[] = [];
  private machines: readonly Machine[] = [];

  constructor({ delay }: AwsFencingProps) {
    super();
    checkRange(
      "Fencing.aws",
      "delay",
      delay,
      0,
      60,
      "seconds; each failover of the node that serves takes so much longer",
    );
    this.delay = delay ?? 3;
  }

  check(scope: Construct, _nodes: readonly string[], machines: readonly Machine[]): void {
    const other = machines.find(({ aws }) => !aws);
    if (!other) return;
    refuse(scope, {
      code: "no-fencing",
      what: `Fencing.aws cannot switch off ${other.name}: no EC2 instance`,
      allowed: "machines of an AwsPlatform",
      fix: "Fencing.ipmi, Fencing.redfish or Fencing.command",
    });
  }

  override prepare(machines: readonly Machine[]): void {
    this.machines = machines;
    for (const { aws } of machines) {
      const others = machines.filter((other) => other.aws !== aws);
      aws!.grant({
        actions: ["ec2:StopInstances", "ec2:StartInstances"],
        resources: others.map((other) => aws!.arn("ec2", `instance/${other.aws!.instanceId}`)),
      });
      // Describe calls know no resources
      aws!.grant({ actions: ["ec2:DescribeInstances"], resources: ["*"] });
    }
  }

  devices(): FenceDevice[] {
    return this.machines.map(({ name, aws }) => ({
      name: `fence-${name}`,
      agent: "fence_aws",
      nodes: [name],
      parameters: {
        region: aws!.region,
        pcmk_host_map: `${name}:${aws!.instanceId}`,
        // an instance that hangs is given minutes by AWS before it is stopped all the same
        power_timeout: "240",
        pcmk_reboot_timeout: "600s",
        pcmk_off_timeout: "300s",
      },
    }));
  }

  files(machine: Machine): ServiceFile[] {
    const peer = this.machines.find((other) => other !== machine)!;
    return [
      {
        path: `${PROGRAMS}/fence-try`,
        text: awsProgram(join(__dirname, "on-machine", "fence-try.sh"), {
          INSTANCE: peer.aws!.instanceId,
        }),
        mode: "0755",
        onChange: "none",
      },
      {
        // AWS asks the machine to shut down, and a node that is cut off may wait for its peer for ever meanwhile
        path: "/etc/systemd/system/poweroff.target.d/cdktf-ha.conf",
        text: "# Managed by cdktf-ha-clusters.\n[Unit]\nJobTimeoutSec=60s\nJobTimeoutAction=poweroff-immediate\n",
        onChange: "none",
      },
    ];
  }
}

/** Seconds from a membership without a quorum until SBD has let the watchdog go: 4 of its own loops, and Pacemaker's answer. */
const NOTICED_WITHIN = 8;

/** SBD without a disk: https://github.com/ClusterLabs/sbd, "watchdog-only". */
class WatchdogFencing extends Fencing {
  override readonly packages = [{ name: "sbd" }];
  override readonly isSoftware: boolean;
  readonly secrets: readonly Secret[] = [];

  constructor(private readonly props: WatchdogFencingProps) {
    super();
    const { device, timeout, software = false } = props;
    this.isSoftware = software;
    if (device !== undefined && !isToken(device) && !/^\/dev\/[A-Za-z0-9_/-]+$/.test(device)) {
      refuse("Fencing.watchdog", {
        code: "bad-path",
        what: `'device' is '${device}'`,
        allowed: "the path of a device, below /dev",
        fix: "leave it out for /dev/watchdog",
      });
    }
    checkCount(
      "Fencing.watchdog",
      "timeout",
      timeout,
      5,
      600,
      "seconds, of which twice pass until the other node takes over",
    );
  }

  check(scope: Construct, _nodes: readonly string[], _machines: readonly Machine[], token: number): void {
    const least = syncTimeout(token) + NOTICED_WITHIN;
    const timeout = this.timeout(token);
    if (timeout >= least) return;
    refuse(scope, {
      code: "watchdog-too-short",
      what: `the watchdog's 'timeout' is ${timeout} s`,
      allowed: `from ${least} s on: ${syncTimeout(token)} for which a node may wait for the quorum host, and ${NOTICED_WITHIN} until Pacemaker and SBD have noticed what came of it`,
      fix: "leave it out, or choose a shorter 'token'",
    });
  }

  override offAfter(token: number): number {
    return 2 * this.timeout(token);
  }

  devices(): FenceDevice[] {
    return [];
  }

  files(_machine: Machine, token: number): ServiceFile[] {
    const { device = "/dev/watchdog", software } = this.props;
    return [
      {
        path: "/etc/default/sbd",
        text: [
          "# Managed by cdktf-ha-clusters.",
          "SBD_PACEMAKER=yes",
          "SBD_STARTMODE=always",
          // who is up again before the other one takes it for reset would be told that it is dead, and stop
          "SBD_DELAY_START=yes",
          // Pacemaker and SBD each have another default, and a Pacemaker that is stopped would not count as stopped
          "SBD_SYNC_RESOURCE_STARTUP=yes",
          `SBD_WATCHDOG_DEV=${device}`,
          `SBD_WATCHDOG_TIMEOUT=${this.timeout(token)}`,
          // to write first what is cached would wait for a volume that is frozen
          "SBD_TIMEOUT_ACTION=noflush,reboot",
          "",
        ].join("\n"),
        onChange: "restart",
      },
      {
        path: "/etc/systemd/system/sbd.service.d/cdktf-ha.conf",
        text: `# Managed by cdktf-ha-clusters.\n[Service]\nTimeoutStartSec=${this.offAfter(token) + 60}\n`,
        onChange: "none",
      },
      ...(software
        ? [
            {
              path: "/etc/modules-load.d/cdktf-ha-watchdog.conf",
              text: "# Managed by cdktf-ha-clusters.\nsoftdog\n",
              onChange: "none" as const,
            },
          ]
        : []),
    ];
  }

  private timeout(token: number): number {
    return this.props.timeout ?? syncTimeout(token) + 10;
  }
}

class NoFencing extends Fencing {
  override readonly isCertain = false;
  readonly secrets: readonly Secret[] = [];

  check(): void {
    // accepted
  }

  devices(): FenceDevice[] {
    return [];
  }

  files(): ServiceFile[] {
    return [];
  }
}
