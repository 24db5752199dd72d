import type { Construct } from "constructs";
import type { Machine } from "../platform/machine";
import { checkCount, checkRange, refuse, warn } from "../problem";
import type { VirtualIp } from "../virtual-ip/virtual-ip";

/** Addresses that move together, and when they do. */
export interface VirtualIpGroup {
  readonly addresses: readonly VirtualIp[];
  /** Name of the node that serves when all are there from the beginning. @default - the first node */
  readonly preferredNode?: string;
  /**
   * Does the preferred node take the addresses back when it returns?
   * @default false - each move costs a gap; who serves well goes on serving
   */
  readonly preempt?: boolean;
  /** Seconds a returned node waits before it takes them back, for its services to be ready. @default 5 */
  readonly preemptDelay?: number;
  /**
   * Seconds between adverts. A node that loses power is missed after three of them and a skew of at most a tenth of one:
   * 0.2 s gives 0.62 s; 1 s gives 3.1 s.
   * @default 0.2 on a plain network; 0.3 where an address moves by a cloud's API
   */
  readonly advertInterval?: number;
  /** 1 to 255, unique on a segment. @default - from the construct's path, so it never changes */
  readonly virtualRouterId?: number;
}

/** Addresses of a cluster: one, or groups of them. */
export interface VirtualIpProps {
  /** The address that clients know. @default - none: with one node, or behind somebody else's balancing */
  readonly virtualIp?: VirtualIp;
  /**
   * Several addresses, by a name of your own. Groups that prefer different nodes make both nodes active.
   * @default - `virtualIp` alone, in the group `main`
   */
  readonly virtualIps?: Readonly<Record<string, VirtualIpGroup>>;
  /** How addresses move, where `virtualIp` is given: see {@link VirtualIpGroup}. */
  readonly vrrp?: Omit<VirtualIpGroup, "addresses">;
}

/** Seconds between the group's adverts. */
export function advertIntervalOf({ advertInterval, addresses }: VirtualIpGroup): number {
  return advertInterval ?? Math.max(...addresses.map((address) => address.advertInterval));
}

/** The groups by name; none where there is no address. */
export function groupsOf(
  scope: Construct,
  { virtualIp, virtualIps, vrrp }: VirtualIpProps,
): Readonly<Record<string, VirtualIpGroup>> {
  if (virtualIps && (virtualIp || vrrp)) {
    refuse(scope, {
      code: "conflicting-setting",
      what: "'virtualIps' besides 'virtualIp' or 'vrrp'",
      allowed: "one form: a single address with 'vrrp', or groups with settings of their own",
      fix: "move the single address into 'virtualIps'",
    });
  }
  if (virtualIps ? !Object.keys(virtualIps).length : vrrp && !virtualIp) {
    refuse(scope, {
      code: "no-virtual-ip",
      what: virtualIps ? "'virtualIps' is empty" : "'vrrp' without 'virtualIp'",
      allowed: "an address that moves, with its settings; or neither",
      fix: "give the address, or leave this out: clients then know every node, by DNS or another balancer",
    });
  }
  return virtualIps ?? (virtualIp ? { main: { ...vrrp, addresses: [virtualIp] } } : {});
}

/** What moves needs somebody to move to. */
export function warnOfLoneNode(
  scope: Construct,
  machines: readonly Machine[],
  groups: Readonly<Record<string, VirtualIpGroup>>,
): void {
  if (machines.length !== 1 || !Object.keys(groups).length) return;
  warn(scope, {
    code: "too-few-nodes",
    what: "a virtual IP with one node",
    allowed: "two nodes or more: with one there is nobody to take the address over",
    fix: "add a node, or leave the virtual IP out",
  });
}

/** Refuses what can never work. */
export function checkGroup(
  scope: Construct,
  name: string,
  group: VirtualIpGroup,
  machines: readonly Machine[],
): void {
  if (!/^[A-Za-z0-9_-]{1,30}$/.test(name)) {
    refuse(scope, {
      code: "bad-name",
      what: `virtual IP group '${name}'`,
      allowed: "letters, digits, dash and underscore, at most 30: it becomes the name of a VRRP instance",
      fix: "choose such a name",
    });
  }
  const setting = (key: string): string => `${key}' of the virtual IP group '${name}`;
  checkRange(
    scope,
    setting("advertInterval"),
    group.advertInterval,
    0.05,
    40,
    "VRRP counts hundredths of a second in twelve bits",
  );
  checkRange(scope, setting("preemptDelay"), group.preemptDelay, 0, 1000, "keepalived's own limit");
  checkCount(scope, setting("virtualRouterId"), group.virtualRouterId, 1, 255, "one byte of the advert");
  if (!group.addresses.length) {
    refuse(scope, {
      code: "no-virtual-ip",
      what: `the virtual IP group '${name}' has no address`,
      allowed: "one address at least",
      fix: "give it a VirtualIp, or leave the group out",
    });
  }
  if (
    group.preferredNode !== undefined &&
    !machines.some((machine) => machine.name === group.preferredNode)
  ) {
    refuse(scope, {
      code: "unknown-node",
      what: `'preferredNode' of '${name}' is '${group.preferredNode}'`,
      allowed: machines.map((machine) => machine.name).join(", "),
      fix: "name one of the nodes",
    });
  }
}
