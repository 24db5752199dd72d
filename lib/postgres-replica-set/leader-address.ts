import { Construct } from "constructs";
import { Keepalived } from "../keepalived/keepalived";
import { addressesOf } from "../keepalived/topology";
import { warnOfLoneNode, type VirtualIpGroup } from "../keepalived/virtual-ip-group";
import { bracketed } from "../net";
import type { Connections } from "../firewall/connections";
import type { Machine } from "../platform/machine";
import { isToken, refuse, refuseToken } from "../problem";
import { Rollout } from "../push/rollout";
import type { ClusterTopology, TopologyTimer } from "../topology/topology";
import type { VirtualIp } from "../virtual-ip/virtual-ip";
import { PROGRAMS, script } from "./patroni-service";

export interface LeaderAddressProps {
  readonly machines: readonly Machine[];
  readonly connections: Connections;
  readonly virtualIp: VirtualIp;
  /** The one group that has it. */
  readonly groups: Readonly<Record<string, VirtualIpGroup>>;
  /** Does Patroni's REST interface speak TLS? */
  readonly restTls: boolean;
}

/** Who holds the address is Patroni's choice: there is nothing to prefer. */
export interface LeaderVrrpProps {
  /** Seconds between adverts, as of any group. @default 0.2 on a plain network; 0.3 where an address moves by a cloud's API */
  readonly advertInterval?: number;
  /** 1 to 255, unique on a segment. @default - from the construct's path, so it never changes */
  readonly virtualRouterId?: number;
}

const PROGRAM = `${PROGRAMS}/leads`;
const INTERVAL = 1;
/** A Patroni that is slow once keeps the address. */
const FALL = 2;

/** An address that is where the primary is: keepalived asks the machine's own Patroni. */
export class LeaderAddress extends Construct {
  private readonly keepalived: Keepalived;

  constructor(
    scope: Construct,
    id: string,
    private readonly props: LeaderAddressProps,
  ) {
    super(scope, id);
    const { machines, connections, virtualIp, groups } = props;
    // servers listen on it: what stands in their files has to be known
    if (virtualIp.mode === "layer2") refuseToken(scope, "virtualIp", virtualIp.address);
    const other = machines.find(
      ({ subnet }) => subnet !== undefined && !isToken(subnet) && subnet.includes(":") !== virtualIp.isIpv6,
    );
    if (other && virtualIp.mode === "layer2") {
      refuse(scope, {
        code: "virtual-ip-mode",
        what: `the virtual IP ${virtualIp.address}, and ${other.name} is in ${other.subnet}`,
        allowed:
          "an address of the members' own family: keepalived's adverts, and Patroni's choice, go by one",
        fix: "choose a free address of that network",
      });
    }
    warnOfLoneNode(scope, machines, groups);
    this.keepalived = new Keepalived(this, "keepalived", {
      machines,
      groups,
      connections,
      follows: ({ privateAddress }) => ({
        name: "leads",
        command: `${PROGRAM} ${bracketed(privateAddress)} ${props.restTls ? "https http" : "http https"}`,
        interval: INTERVAL,
        fall: FALL,
        files: [{ path: PROGRAM, text: script("leads.sh"), mode: "0755", onChange: "none" }],
        packages: [{ name: "curl", unlessCommand: "curl" }],
      }),
    });
  }

  get address(): string {
    return this.props.virtualIp.address;
  }

  /** What a server on the machine has to listen on besides the machine's own address: nothing where AWS translates the address. */
  on(machine: Machine): string[] {
    return this.props.virtualIp.on(machine).cidr === undefined ? [] : [this.address];
  }

  rollOut(dependsOn: Rollout["last"]): Rollout["last"] {
    return new Rollout(this, "rollout", {
      nodes: this.props.machines.map((machine) => ({ machine, services: [this.keepalived] })),
      standbyFirst: true,
      dependsOn, // while nobody leads nobody has the address
    }).last;
  }

  get addresses(): ClusterTopology["addresses"] {
    return addressesOf(this.props.groups);
  }

  get timer(): TopologyTimer {
    return {
      name: "the address leaves a member that leads no more",
      seconds: INTERVAL * (FALL + 1),
      because: `asked every ${INTERVAL} s, ${FALL} times in a row`,
    };
  }
}
