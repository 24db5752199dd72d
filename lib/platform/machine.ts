import { TerraformStack, type ITerraformDependable } from "cdktf";
import { Construct } from "constructs";
import { inboundRules, outboundRules, type Connections } from "../firewall/connections";
import type { HostRules, MovingServer } from "../firewall/nftables";
import { Peer } from "../firewall/peer";
import { Port } from "../firewall/port";
import type { Rule } from "../firewall/rule-set";
import { isIp, LOCALHOST } from "../net";
import { checkAtSynth, refuse, whenAllIsSaid, type Problem } from "../problem";
import { Push } from "../push/push";
import type { Service } from "../push/service";
import type { AwsMachine } from "./aws/instance";
import { BASE_SERVICE, BaseService } from "./base-service";
import { warnWithoutRole } from "./instance-role";
import type { Platform } from "./platform";
import type { Connection } from "./ssh-access";
import { VolumeService } from "./volume-service";

export interface MachineProps {
  readonly name: string;
  readonly platform: Platform;
  readonly zone?: string;
  /** May be a token. */
  readonly privateAddress: string;
  /** Network of the machine's interface in CIDR notation, where the code knows it. */
  readonly subnet?: string;
  readonly connection: Connection;
  /** Changes when the machine is another one: everything is pushed again then. */
  readonly identity: string;
  /** What must exist before anything can be pushed: gates, rights, volumes. Asked at synth. */
  readonly readiness?: () => readonly ITerraformDependable[];
  /** Told of every group the machine joins. */
  readonly joined?: (connections: Connections) => void;
  readonly aws?: AwsMachine;
}

/** Where a daemon of a machine listens. */
export interface Listening {
  readonly port: Port;
  /** @default - every address of the machine */
  readonly address?: string;
}

/** One machine of a platform. Services are pushed to it; it has its own firewall, with the union of their rules. */
export class Machine extends Construct {
  readonly name: string;
  readonly platform: Platform;
  readonly zone?: string;
  readonly privateAddress: string;
  readonly subnet?: string;
  readonly connection: Connection;
  readonly identity: string;
  /** Firewall, the `cdktf-ha` command and the list of services; pushed before any service. */
  readonly base: Push;
  /** What must exist before anything can be pushed. Asked at synth. */
  readonly readiness: () => readonly ITerraformDependable[];
  /** Present on EC2. */
  readonly aws?: AwsMachine;
  /** Groups whose rules hold for this machine. */
  readonly groups: Connections[] = [];
  /** What was pushed here before, by whichever cluster: whoever builds on it comes after. */
  readonly pushes: Push[] = [];
  private readonly joined?: (connections: Connections) => void;
  private readonly services = new Map<string, Service>();
  private readonly kept = new Set<string>();
  private volume?: Push;
  private readonly moving: MovingServer[] = [];
  private readonly daemons: { readonly of: string; readonly listening: () => readonly Listening[] }[] = [];

  /** Is it a machine, and not the description of a new node? By a symbol: several copies of this package may be loaded. */
  static isMachine(value: unknown): value is Machine {
    return typeof value === "object" && value !== null && MACHINE in value;
  }

  constructor(scope: Construct, id: string, props: MachineProps) {
    super(scope, id);
    Object.defineProperty(this, MACHINE, { value: true });
    this.name = checkMachineName(scope, props.name);
    this.platform = props.platform;
    this.zone = props.zone;
    this.privateAddress = props.privateAddress;
    this.subnet = props.subnet;
    this.connection = props.connection;
    this.identity = props.identity;
    this.aws = props.aws;
    this.joined = props.joined;
    this.readiness = props.readiness ?? (() => []);
    this.base = new Push(this, "base", { machine: this, service: new BaseService() });
    checkAtSynth(this, () => this.problems());
    whenAllIsSaid(this, () => this.grantSecrets());
  }

  /** Who manages the machine, as the machine remembers it. */
  get owner(): string {
    return `${TerraformStack.of(this).node.id}/${this.platform.node.id}`;
  }

  /** Names of everything that is pushed here. */
  get serviceNames(): string[] {
    return [BASE_SERVICE, ...this.services.keys()];
  }

  /** Names of its services that have something to hand over before they leave. */
  get handovers(): string[] {
    return [...this.services.values()].flatMap(({ name, handsOver }) => (handsOver ? [name] : []));
  }

  /** A group whose rules hold for this machine too. */
  join(connections: Connections): void {
    this.groups.push(connections);
    this.joined?.(connections);
  }

  /**
   * A directory that lies on the data volume, where the machine has one: whoever puts something there comes after what is
   * returned.
   */
  keep(scope: Construct, path: string): readonly ITerraformDependable[] {
    if (!this.aws?.dataVolume) return [this.base.resource];
    this.kept.add(path);
    this.volume ??= this.mountVolume(scope);
    return [this.base.resource, this.volume.resource];
  }

  private mountVolume(scope: Construct): Push {
    const service = new VolumeService(() => [...this.kept]);
    this.register(scope, service);
    const push = new Push(this, "volume", { machine: this, service });
    this.pushes.push(push);
    return push;
  }

  /** Takes a service in, under a name that is its own on this machine. */
  register(scope: Construct, service: Service): void {
    if (service.name === BASE_SERVICE || this.services.has(service.name)) {
      refuse(scope, {
        code: "duplicate-service",
        what: `a second service '${service.name}' on ${this.name}`,
        allowed: "one service of a name on a machine: the second would replace the first one's files",
        fix: "put the second cluster on other machines",
      });
    }
    this.services.set(service.name, service);
  }

  /** Ports that a cluster's daemons take here, each once; asked at synth. */
  listens(cluster: Construct, listening: () => readonly Listening[]): void {
    this.daemons.push({ of: cluster.node.path, listening });
  }

  /** The machine is a client of a server whose address moves between machines. */
  follows(server: MovingServer): void {
    this.moving.push(server);
  }

  /** Lets the machine read the secrets that its services fetch by themselves. */
  private grantSecrets(): void {
    const services = [...this.services.values()];
    const secrets = services.flatMap((service) => service.describe(this).secrets ?? []);
    const rights = secrets.flatMap(({ right }) => (right ? [right] : []));
    const { aws } = this;
    if (!aws && rights.length) {
      const instead = "Secret.variable(...) or Secret.file(...)";
      warnWithoutRole(this, "secrets are read from AWS", [this], instead);
    }
    if (!aws) return;
    for (const right of rights) {
      const { action, resource, region, kmsKeyArn } = right;
      const service = action.split(":")[0]!;
      const isArn = !/^(secret:|parameter\/)/.test(resource); // it may be a token
      aws.grant({
        actions: [action],
        resources: [isArn ? resource : aws.arn(service, resource, region)],
      });
      if (kmsKeyArn === undefined) continue;
      const via = `${service}.${region ?? aws.region}.amazonaws.com`;
      aws.grant({
        actions: ["kms:Decrypt"],
        resources: [kmsKeyArn],
        condition: { test: "StringEquals", variable: "kms:ViaService", values: [via] },
      });
    }
  }

  /** Where sshd listens. */
  get sshPort(): number {
    return (this.connection.port as number | undefined) ?? 22;
  }

  /** Everything that the machine's own firewall says, of all groups it belongs to. */
  hostRules(): HostRules {
    const ssh = this.sshPort;
    const admins = [...this.platform.admins, ...bastionPeer(this.connection)];
    const inbound: Rule[] = admins.flatMap(({ cidrs, description }) =>
      cidrs.map((network) => ({
        protocol: "tcp" as const,
        first: ssh,
        last: ssh,
        network,
        purpose: `ssh from ${description}`,
      })),
    );
    inbound.push(...this.groups.flatMap((group) => inboundRules(group, this)));
    const outbound = this.platform.outgoing && [
      ...this.platform.outgoing,
      ...(this.aws ? [INSTANCE_METADATA] : []),
      ...this.groups.flatMap((group) => outboundRules(group, this)),
    ];
    const localhostOnly = this.groups.flatMap((group) =>
      group.localhostOnly.map(({ port, purpose }) => ({
        protocol: port.protocol,
        first: port.first,
        last: port.last,
        purpose,
      })),
    );
    return { inbound, outbound, localhostOnly, moving: this.moving };
  }

  private problems(): Problem[] {
    return [...this.fileProblems(), ...this.portProblems()];
  }

  /** Ports that two clusters' daemons want: the second one would not start. */
  private portProblems(): Problem[] {
    const taken: (Listening & { readonly by: string })[] = [{ port: Port.tcp(this.sshPort), by: "sshd" }];
    const problems: Problem[] = [];
    for (const { of, listening } of this.daemons) {
      for (const { port, address } of listening()) {
        const other = taken.find(
          (one) =>
            one.by !== of &&
            one.port.overlaps(port) &&
            (one.address === undefined || address === undefined || one.address === address),
        );
        if (other) {
          problems.push({
            code: "listener-clash",
            what: `${of} and ${other.by} both listen on ${port.toString()} of ${this.name}`,
            allowed: "one daemon for a port of an address",
            fix: "change a port, bind a listener to a virtual IP, or put one of them on other machines",
          });
        }
        taken.push({ port, address, by: of });
      }
    }
    return problems;
  }

  /** Files that two services would write in turn. */
  private fileProblems(): Problem[] {
    const owners = new Map<string, string>();
    const problems: Problem[] = [];
    for (const service of this.services.values()) {
      for (const { path } of service.describe(this).files) {
        const owner = owners.get(path);
        if (owner !== undefined) {
          problems.push({
            code: "duplicate-file",
            what: `'${owner}' and '${service.name}' both push ${path} to ${this.name}`,
            allowed: "one service for a file: else the last one that was pushed wins",
            fix: "leave it to one of them, or put them on different machines",
          });
        }
        owners.set(path, service.name);
      }
    }
    return problems;
  }
}

/** Where an instance learns who it is and gets its credentials; no gate of AWS's stands in between. */
const INSTANCE_METADATA: Rule = {
  protocol: "tcp",
  first: 80,
  last: 80,
  network: "169.254.169.254/32",
  purpose: "instance metadata",
};

const MACHINE = Symbol.for("cdktf-ha-clusters/Machine");

/** A bastion named by its address comes from that address; one named or forwarded otherwise has to be among the admins. */
function bastionPeer(connection: Connection): Peer[] {
  const host = connection.bastion_host;
  const isAddress = typeof host === "string" && isIp(host) && host !== LOCALHOST;
  return isAddress ? [Peer.cidr(host)] : [];
}

function checkMachineName(scope: Construct, name: string): string {
  if (/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/i.test(name)) return name;
  return refuse(scope, {
    code: "bad-name",
    what: `machine '${name}'`,
    allowed:
      "letters, digits and dashes, at most 63, no dash at the ends: it becomes a host name and a word of configs",
    fix: "choose such a name",
  });
}
