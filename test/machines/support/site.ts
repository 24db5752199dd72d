import {
  HaproxyKeepalivedPair,
  HealthCheck,
  Peer,
  ServiceTier,
  SshPlatform,
  VirtualIp,
  type BalanceProps,
  type HaproxyKeepalivedPairProps,
  type Machine,
  type Service,
  type SshPlatformProps,
} from "cdktf-ha-clusters";
import type { TerraformStack } from "cdktf";
import { Lab, type Flavour, type LabMachine } from "../../../machines/lab";
import { waitUntil } from "../../../machines/run";

/** Addresses of the small site that most tests use; the operator's computer, which runs the tests, is 10.77.0.1. */
export const ADDRESSES = {
  "lb-1": "10.77.0.11",
  "lb-2": "10.77.0.12",
  "web-1": "10.77.0.21",
  "web-2": "10.77.0.22",
  client: "10.77.0.31",
  stranger: "10.77.0.41",
  "web-3": "10.77.0.23",
  "db-1": "10.77.0.51",
  "db-2": "10.77.0.52",
  "db-3": "10.77.0.53",
  "db-4": "10.77.0.54",
  "db-5": "10.77.0.55",
  "db-6": "10.77.0.56",
} as const;
export type Name = keyof typeof ADDRESSES;

export const OPERATOR = "10.77.0.1";
export const VIP = "10.77.0.100";

export function startSite(names: readonly Name[], flavour: Flavour = "demo"): Promise<Lab> {
  return Lab.start(Object.fromEntries(names.map((name) => [name, { address: `${ADDRESSES[name]}/24` }])), {
    flavour,
  });
}

/** The hosts as a user would write them, reached as an ordinary user with sudo. */
export function rackOf(
  stack: TerraformStack,
  lab: Lab,
  props: Partial<SshPlatformProps> = {},
  id = "rack",
): SshPlatform {
  return new SshPlatform(stack, id, {
    hosts: Object.fromEntries(
      Object.entries(ADDRESSES).map(([name, address], index) => [
        name,
        { address: `${address}/24`, zone: index % 2 ? "rack-2" : "rack-1" },
      ]),
    ),
    ssh: { user: "admin", privateKeyFile: lab.privateKeyFile, timeoutSeconds: 20 },
    admins: [Peer.cidr(OPERATOR)],
    ...props,
  });
}

/** A web server that says who it is. */
export function siteService(page: (machine: Machine) => string = ({ name }) => `${name}\n`): Service {
  return {
    name: "site",
    describe: (machine) => ({
      packages: [{ name: "nginx-light" }],
      files: [
        { path: "/var/www/site/index.html", text: page(machine), onChange: "restart" },
        {
          path: "/etc/nginx/sites-enabled/site",
          text: "server {\n  listen 80 default_server;\n  root /var/www/site;\n}\n",
        },
      ],
      absent: ["/etc/nginx/sites-enabled/default"],
      units: ["nginx.service"],
      checker: "nginx -t",
      hooks: { check: "nginx -t -q", healthy: "exec 3<>/dev/tcp/127.0.0.1/80" },
    }),
  };
}

export interface SiteProps {
  readonly pair?: Partial<HaproxyKeepalivedPairProps>;
  readonly checkPath?: string;
  /** Seconds. @default 0.5 */
  readonly checkInterval?: number;
  readonly stickiness?: BalanceProps["stickiness"];
  readonly page?: (machine: Machine) => string;
  /** More of the stack. */
  readonly also?: (lb: HaproxyKeepalivedPair, web: ServiceTier, stack: TerraformStack) => void;
}

/** Two load balancers with a virtual IP, two web servers. */
export function site(lab: Lab, props: SiteProps = {}): (stack: TerraformStack) => void {
  return (stack) => {
    const rack = rackOf(stack, lab);
    const web = new ServiceTier(stack, "web", {
      platform: rack,
      nodes: ["web-1", "web-2"],
      port: 80,
      services: [siteService(props.page)],
    });
    const lb = new HaproxyKeepalivedPair(stack, "lb", {
      platform: rack,
      virtualIp: VirtualIp.layer2(`${VIP}/24`),
      maximumConnections: 4000,
      ...props.pair,
    });
    lb.balance("web", {
      port: 80,
      to: web,
      check: HealthCheck.http(props.checkPath ?? "/"),
      checkInterval: props.checkInterval ?? 0.5,
      stickiness: props.stickiness,
      clients: [Peer.cidr(OPERATOR), Peer.cidr(ADDRESSES.client)],
    });
    props.also?.(lb, web, stack);
  };
}

/** Names of the load balancers that have the address on their interface right now. */
export async function holders(lab: Lab, address: string = VIP): Promise<string[]> {
  const names = ["lb-1", "lb-2"];
  const held = await Promise.all(
    names.map(async (name) => {
      const machine = lab.machine(name);
      return machine.isOn && (await hasAddress(machine, address));
    }),
  );
  return names.filter((_, index) => held[index]);
}

export async function hasAddress(machine: LabMachine, address: string): Promise<boolean> {
  const { stdout } = await machine.ssh(`ip -oneline address show to ${address}`, { allowFailure: true });
  return stdout.trim() !== "";
}

/** The one that serves and the one that stands by, once there is exactly one holder. */
export async function roles(lab: Lab): Promise<{ active: LabMachine; standby: LabMachine }> {
  let found: string[] = [];
  await waitUntil(
    async () => (found = await holders(lab)).length === 1,
    15,
    () => `holders of ${VIP}: ${found.join(", ") || "nobody"}`,
    200,
  );
  const [active] = found;
  return { active: lab.machine(active!), standby: lab.machine(active === "lb-1" ? "lb-2" : "lb-1") };
}
