import { Lazy, type TerraformStack } from "cdktf";
import { Construct } from "constructs";
import {
  Algorithm,
  AwsNetwork,
  Connections,
  EtcdCluster,
  HaproxyKeepalivedPair,
  HealthCheck,
  InvalidInput,
  KeepalivedPair,
  MachineImage,
  Peer,
  Port,
  PROBLEM_CODES,
  Rollout,
  RolloutOrder,
  Secret,
  Servers,
  ServiceTier,
  Stickiness,
  Tls,
  VirtualIp,
  type Backend,
  type BalanceProps,
  type DataVolume,
  type HaproxyKeepalivedPairProps,
  type ProblemCode,
  type Service,
  type ServiceDescription,
  type SshPlatform,
} from "../lib";
import { Template } from "../lib/testing";
import { refusedRings, warnedRings } from "./cassandra-ring/wrong-rings";
import { refusedNames } from "./geo-dns/names";
import { refusedServers, warnedServers } from "./geo-dns/wrong-servers";
import { refusedSets, warnedSets } from "./postgres-replica-set/wrong-sets";
import { refusedPairs, warnedPairs } from "./drbd-nfs-pair/wrong-pairs";
import { refusedTiers, warnedTiers } from "./squid-geo-proxy-tier/wrong-tiers";
import { newAws, newRack, newStack } from "./support/stack";

/** Whatever is wrong is refused or warned of, with a stable code, who, what, what is right and what to do. */

const plain: Service = { name: "plain", describe: () => ({ files: [] }) };
const to = Servers.at({ "web-1": "10.0.1.70:80" });
const tcp = { mode: "tcp", to } as const;

function pair(stack: TerraformStack, props: Partial<HaproxyKeepalivedPairProps> = {}): HaproxyKeepalivedPair {
  return new HaproxyKeepalivedPair(stack, "lb", { ...props, platform: props.platform ?? newRack(stack) });
}
const vip = (address: string) => (stack: TerraformStack) =>
  pair(stack, { virtualIp: VirtualIp.layer2(address) });
const balance = (props: Partial<BalanceProps>) => (stack: TerraformStack) =>
  pair(stack).balance("web", { port: 80, to, ...props });
const file =
  (path: string, text = "") =>
  (stack: TerraformStack) => {
    const service: Service = { name: "s", describe: () => ({ files: [{ path, text }] }) };
    new Rollout(stack, "r", { nodes: [{ machine: newRack(stack).host("lb-1"), services: [service] }] });
  };
const pushed =
  (description: Partial<ServiceDescription>, name = "s") =>
  (stack: TerraformStack) => {
    const service: Service = { name, describe: () => ({ files: [], ...description }) };
    new Rollout(stack, "r", { nodes: [{ machine: newRack(stack).host("lb-1"), services: [service] }] });
  };
const gp3 = (volume: Partial<DataVolume>) => (stack: TerraformStack) =>
  newAws(stack).machine(stack, "a", { zone: "a", dataVolume: { sizeGiB: 10, ...volume } });
const fixed = (privateAddress: string) => (stack: TerraformStack) =>
  newAws(stack).machine(stack, "a", { zone: "a", privateAddress });
const inOneZone = { "lb-1": { zone: "a", privateAddress: "10.1.0.11" }, "lb-2": { zone: "a" } };
const secondary = (address: string) => (stack: TerraformStack) =>
  pair(stack, {
    platform: newAws(stack),
    nodes: inOneZone,
    virtualIp: VirtualIp.secondaryPrivateIp(address),
  });

function foreignBackend(stack: TerraformStack): Backend {
  const other = new Construct(stack, "other");
  return new HaproxyKeepalivedPair(other, "lb", { platform: newRack(other) }).backend("b", { to });
}

/** A pair and something else on the node lb-1. */
function beside(stack: TerraformStack, props: BalanceProps, other: (rack: SshPlatform) => unknown): void {
  const rack = newRack(stack);
  pair(stack, { platform: rack }).balance("web", props);
  other(rack);
}

const token = Lazy.stringValue({ produce: () => "a" });

/** Two pairs on platforms of their own, with one network and one virtual router id. */
function twoPlatforms(stack: TerraformStack, one: string, two: string): void {
  for (const [site, address] of Object.entries({ one, two })) {
    const scope = new Construct(stack, site);
    new HaproxyKeepalivedPair(scope, "lb", {
      platform: newRack(scope),
      virtualIp: VirtualIp.layer2(address),
      vrrp: { virtualRouterId: 51 },
    }).balance("web", { port: 80, to, clients: [Peer.anyone()] });
  }
}

function awsTier(stack: TerraformStack, name: string): ServiceTier {
  return new ServiceTier(stack, name, {
    platform: newAws(stack),
    nodes: [`${name}-1`],
    port: 80,
    services: [plain],
  });
}

/** Wrong values, by the code they are refused with. A value of the whole topology is told at synth. */
const refused: Partial<Record<ProblemCode, [string, (stack: TerraformStack) => unknown][]>> = {
  "image-not-fixed": [
    ["a node's own", (stack) => newAws(stack).machine(stack, "web-1", { image: MachineImage.debian12() })],
  ],
  "over-limit": [
    [
      "rules of a security group",
      (stack) => {
        const web = awsTier(stack, "web");
        for (let n = 0; n < 61; n++) web.connections.allowFrom(Peer.cidr(`192.0.2.${n}`), Port.tcp(80));
      },
    ],
    [
      "groups of an interface",
      (stack) => {
        const [machine] = awsTier(stack, "web").machines;
        for (let n = 1; n <= 4; n++)
          new Connections(new Construct(stack, `group-${n}`), { name: `group-${n}` }).addMachine(machine!);
      },
    ],
  ],
  "concrete-value-needed": [
    ["a port", balance({ port: Lazy.numberValue({ produce: () => 80 }) })],
    ["a zone", (stack) => newRack(stack, { hosts: { a: { address: "10.0.0.1", zone: token } } })],
  ],
  "unknown-setting": [
    ["a misspelled one", (stack) => newRack(stack, { admins: undefined, admin: [] } as never)],
  ],
  "wrong-kind": [["a port as a text", balance({ port: "80" as never })]],
  "bad-name": [
    ["a stack named like a security group's id", () => awsTier(newStack("sg-prod"), "web")],
    ["a machine", (stack) => newRack(stack, { hosts: { a_b: { address: "10.0.0.1" } } }).host("a_b")],
    ["a backend", (stack) => pair(stack).backend("a b", { to })],
    ["a listener that is ours", (stack) => pair(stack).balance("cdktf_ha_x", { port: 80, to })],
    ["a header", balance({ hideHeaders: ["X Y"] })],
    ["a header to balance by", () => Algorithm.header("")],
    ["a cookie", balance({ stickiness: Stickiness.cookie("a\nb") })],
    ["a service that is a command", pushed({}, "a;touch")],
    ["a unit that is a setting", pushed({ units: ["a.service\nconfirm=yes"] })],
    ["a package that is an option", pushed({ packages: [{ name: "-o" }] })],
    ["a user", pushed({ users: [{ name: "a b" }] })],
    ["a directory outside", pushed({ directories: [{ path: "/var/../etc" }] })],
    ["an absent path outside", pushed({ absent: ["/etc/../root"] })],
    ["a kernel setting", pushed({ sysctls: { "a\nb": 1 } })],
    ["a generated secret's version", () => Secret.generated("a", { version: "../b" })],
    ["a secret", () => Secret.generated("a/b")],
    ["a secret of AWS's", () => Secret.awsSecretsManager("")],
    ["a parameter of AWS's", () => Secret.awsParameter("a b")],
    [
      "a virtual IP group",
      (stack) => pair(stack, { virtualIps: { "a.b": { addresses: [VirtualIp.layer2("10.0.1.90/27")] } } }),
    ],
    ["an AMI", () => MachineImage.id("debian", { user: "admin" })],
    [
      "a route's host",
      (stack) => {
        const lb = pair(stack);
        const listener = lb.balance("web", { port: 80, to });
        listener.route({ host: "http://a" }, lb.backend("b", { to }));
      },
    ],
  ],
  "duplicate-name": [
    ["route tables", () => VirtualIp.routeTable("192.168.0.1", { routeTableIds: ["rtb-1", "rtb-1"] })],
    ["nodes", (stack) => pair(stack, { nodes: ["lb-1", "lb-1"] })],
    [
      "listeners",
      (stack) => {
        const lb = pair(stack);
        lb.balance("web", { port: 80, to });
        lb.listen("web", lb.backend("other", { to }), { port: 81 });
      },
    ],
    [
      "backends",
      (stack) => {
        const lb = pair(stack);
        lb.backend("web", { to });
        lb.backend("web", { to });
      },
    ],
    [
      "machines of AWS",
      (stack) => {
        const aws = newAws(stack);
        new ServiceTier(stack, "one", { platform: aws, nodes: ["web-1"], services: [plain], port: 80 });
        new ServiceTier(stack, "two", { platform: aws, nodes: ["web-1"], services: [plain], port: 80 });
      },
    ],
  ],
  "number-out-of-range": [
    ["a weight", balance({ servers: { "web-1": { weight: 257 } } })],
    ["half a weight", balance({ servers: { "web-1": { weight: 1.5 } } })],
    ["minutes of stickiness", balance({ stickiness: Stickiness.sourceAddress({ minutes: 0.5 }) })],
    ["no time to confirm the firewall", (stack) => newRack(stack, { firewallConfirmWithin: 0 })],
    ["a part of a second to be healthy", (stack) => pushed({ healthyWithin: 1.5 })(stack)],
    ["a check's interval", balance({ checkInterval: 0 })],
    [
      "an advert's interval",
      (stack) =>
        pair(stack, { virtualIp: VirtualIp.layer2("10.0.1.90/27"), vrrp: { advertInterval: 0.001 } }),
    ],
    [
      "a router id",
      (stack) => pair(stack, { virtualIp: VirtualIp.layer2("10.0.1.90/27"), vrrp: { virtualRouterId: 256 } }),
    ],
    ["a batch", () => RolloutOrder.batches(1.5)],
    ["a secret's length", () => Secret.generated("short", { bytes: 4 })],
    ["a volume without room", gp3({ sizeGiB: 0 })],
    ["a volume's operations", gp3({ iops: 10 })],
    ["a volume's throughput", gp3({ throughput: 2001 })],
    ["a volume's throughput by its operations", gp3({ throughput: 751 })],
    ["a root volume", (stack) => newAws(stack, { rootVolumeGiB: 0 })],
    ["a pair's connections", (stack) => pair(stack, { maximumConnections: 0 })],
    [
      "nodes of a spread group",
      (stack) => {
        const nodes = [...Array(8).keys()].map((n) => [`web-${n + 1}`, { zone: "a" }] as const);
        new ServiceTier(stack, "web", {
          platform: newAws(stack),
          nodes: Object.fromEntries(nodes),
          services: [plain],
          port: 80,
        });
      },
    ],
  ],
  "unknown-host": [["a node", (stack) => pair(stack, { nodes: ["lb-1", "lb-9"] })]],
  "unknown-node": [
    [
      "a preferred node",
      (stack) =>
        pair(stack, { virtualIp: VirtualIp.layer2("10.0.1.90/27"), vrrp: { preferredNode: "lb-9" } }),
    ],
  ],
  "no-nodes": [
    ["a pair", (stack) => pair(stack, { nodes: [], virtualIp: VirtualIp.layer2("10.0.1.90/27") })],
  ],
  "duplicate-address": [
    [
      "two nodes of AWS",
      (stack) => {
        const aws = newAws(stack);
        for (const name of ["a", "b"]) aws.machine(stack, name, { zone: "a", privateAddress: "10.1.0.11" });
      },
    ],
    [
      "two hosts",
      (stack) => newRack(stack, { hosts: { a: { address: "10.0.0.1" }, b: { address: "10.0.0.1/24" } } }),
    ],
  ],
  "bad-key": [
    [
      "a public key's file",
      (stack) => newAws(stack, { ssh: { publicKey: "~/.ssh/id_ed25519.pub", agent: true } }),
    ],
    [
      "a key for its file",
      (stack) => newRack(stack, { ssh: { privateKeyFile: "-----BEGIN OPENSSH PRIVATE KEY-----" } }),
    ],
    [
      "a host key's fingerprint",
      (stack) => newRack(stack, { hosts: { a: { address: "10.0.0.1", ssh: { hostKey: "SHA256:abc" } } } }),
    ],
  ],
  "unknown-zone": [
    ["of AWS", (stack) => newAws(stack).machine(stack, "web-1", { zone: "z" })],
    ["against the host's own", (stack) => newRack(stack).machine(stack, "lb-1", { zone: "rack-2" })],
    ["no subnets", (stack) => newAws(stack, { subnets: {} })],
    [
      "of a network to be made",
      (stack) => new AwsNetwork(stack, "n", { cidr: "10.1.0.0/16", zones: ["a", "1a"] }),
    ],
  ],
  "zone-needed": [
    [
      "a name without a number",
      (stack) => pair(stack, { platform: newAws(stack), nodes: ["blue", "green"] }),
    ],
  ],
  "bad-address": [
    ["the network as a virtual IP", vip("10.0.1.64/27")],
    ["its broadcast address", vip("10.0.1.95/27")],
    ["a host's name", (stack) => newRack(stack, { hosts: { a: { address: "a.example.net" } } })],
    ["a bastion", (stack) => newRack(stack, { ssh: { agent: true, bastion: "bastion:22" } })],
    ["a server", () => Servers.at({ a: "10.0.0.1" })],
    [
      "a fixed address outside of the subnet",
      (stack) => newAws(stack).machine(stack, "a", { zone: "a", privateAddress: "10.9.9.9" }),
    ],
    ["an address that AWS keeps", fixed("10.1.0.3")],
    ["a virtual IP that AWS keeps", secondary("10.1.0.255")],
    ["a secondary address", () => VirtualIp.secondaryPrivateIp("10.0.0.1/24")],
    ["an address of a route", () => VirtualIp.routeTable("nowhere", { routeTableIds: ["rtb-1"] })],
  ],
  "no-admins": [
    ["SSH", (stack) => newRack(stack, { admins: [] })],
    ["AWS", (stack) => newAws(stack, { admins: [] })],
  ],
  "ssh-access-unclear": [
    ["no key", (stack) => newRack(stack, { ssh: {} })],
    ["two keys", (stack) => newRack(stack, { ssh: { agent: true, privateKeyFile: "~/.ssh/id" } })],
    ["no key pair", (stack) => newAws(stack, { ssh: { agent: true } })],
  ],
  "bad-text": [["NUL", file("/etc/a", "\0")]],
  "bad-path": [
    ["a relative one", file("etc/a")],
    ["one that climbs", file("/etc/../a")],
    ["a secret file", () => Secret.file("relative")],
    [
      "a route's",
      (stack) => {
        const lb = pair(stack);
        lb.balance("web", { port: 80, to }).route({ path: "api" }, lb.backend("b", { to }));
      },
    ],
  ],
  "unknown-secret": [["in a text", file("/etc/a", "@@HA:secret:nobody@@")]],
  "duplicate-file": [
    [
      "of two services",
      (stack) => {
        const service = (name: string): Service => ({
          name,
          describe: () => ({ files: [{ path: "/etc/same", text: name }] }),
        });
        const machine = newRack(stack).host("lb-1");
        new Rollout(stack, "r", { nodes: [{ machine, services: [service("one"), service("two")] }] });
      },
    ],
  ],
  "duplicate-service": [
    [
      "two pairs on one host",
      (stack) => {
        const rack = newRack(stack);
        new HaproxyKeepalivedPair(stack, "one", { platform: rack, nodes: ["lb-1"] });
        new HaproxyKeepalivedPair(stack, "two", { platform: rack, nodes: ["lb-1"] });
      },
    ],
  ],
  "empty-rollout": [["no nodes", (stack) => new Rollout(stack, "r", { nodes: [] })]],
  "no-virtual-ip": [
    ["a group without addresses", (stack) => pair(stack, { virtualIps: { empty: { addresses: [] } } })],
    ["no group", (stack) => pair(stack, { virtualIps: {} })],
    ["settings alone", (stack) => pair(stack, { vrrp: { preempt: true } })],
  ],
  "virtual-ip-prefix": [["a larger network", vip("10.0.1.90/16")]],
  "bad-cidr": [
    ["host bits", () => Peer.cidr("10.0.0.1/24")],
    ["nonsense", () => Peer.cidr("10.0.0/24")],
    ["a virtual IP without a prefix", () => VirtualIp.layer2("10.0.1.90")],
    [
      "a host's subnet",
      (stack) => newRack(stack, { hosts: { a: { address: "10.0.0.1", subnet: "10.0.0" } } }),
    ],
    ["a subnet of AWS", (stack) => newAws(stack, { subnets: { a: { id: "subnet-a", cidr: "x" } } })],
  ],
  "port-out-of-range": [
    ["zero", () => Port.tcp(0)],
    ["too high", balance({ port: 70_000 })],
    ["a fraction", () => Port.udp(1.5)],
    ["a range the wrong way round", () => Port.tcpRange(20, 10)],
    ["of SSH", (stack) => newRack(stack, { ssh: { agent: true, port: 0 } })],
  ],
  "unknown-port": [["by name", (stack) => pair(stack).connections.allowFromAnyone("ftp")]],
  "virtual-ip-outside-subnet": [
    ["on the rack", vip("10.0.2.90/24")],
    [
      "in the subnet",
      (stack) =>
        pair(stack, {
          platform: newAws(stack),
          nodes: { "lb-1": { zone: "a" }, "lb-2": { zone: "a" } },
          virtualIp: VirtualIp.secondaryPrivateIp("10.1.1.90"),
        }),
    ],
  ],
  "virtual-ip-is-a-node": [
    ["the first node's", vip("10.0.1.66/27")],
    ["another host's of the platform", vip("10.0.1.71/27")],
    ["a node's of AWS", secondary("10.1.0.11")],
  ],
  "virtual-ip-mode": [
    [
      "an elastic address beside public ones",
      (stack) =>
        pair(stack, {
          platform: newAws(stack, { publicAddresses: true }),
          virtualIp: VirtualIp.elastic(),
        }),
    ],
    ["AWS's on a rack", (stack) => pair(stack, { virtualIp: VirtualIp.elastic() })],
    [
      "a secondary address over two subnets",
      (stack) =>
        pair(stack, { platform: newAws(stack), virtualIp: VirtualIp.secondaryPrivateIp("10.1.0.90") }),
    ],
    [
      "layer 2 in a cloud",
      (stack) => pair(stack, { platform: newAws(stack), virtualIp: VirtualIp.layer2("10.1.0.90/24") }),
    ],
    [
      "a listener on a group that is not there",
      (stack) => pair(stack).balance("web", { port: 80, to, virtualIp: "blue" }),
    ],
  ],
  "virtual-router-id-clash": [
    [
      "two groups",
      (stack) =>
        pair(stack, {
          virtualIps: {
            one: { addresses: [VirtualIp.layer2("10.0.1.90/27")], virtualRouterId: 7 },
            two: { addresses: [VirtualIp.layer2("10.0.1.91/27")], virtualRouterId: 7 },
          },
        }),
    ],
  ],
  "virtual-ip-taken": [
    [
      "two groups",
      (stack) =>
        pair(stack, {
          virtualIps: {
            one: { addresses: [VirtualIp.layer2("10.0.1.90/27")], virtualRouterId: 7 },
            two: { addresses: [VirtualIp.layer2("10.0.1.90/27")], virtualRouterId: 8 },
          },
        }),
    ],
    [
      "two pairs of one route table",
      (stack) => {
        const platform = newAws(stack);
        for (const [id, table] of [
          ["one", "rtb-1"],
          ["two", "rtb-2"],
          ["three", "rtb-1"],
        ] as const)
          new HaproxyKeepalivedPair(stack, id, {
            platform,
            nodes: [`${id}-1`, `${id}-2`],
            virtualIp: VirtualIp.routeTable("192.168.90.1", { routeTableIds: [table] }),
          }).balance("web", { port: 80, to });
      },
    ],
  ],
  "listener-clash": [
    ["where sshd listens", balance({ port: 22 })],
    [
      "where a tier's sshd listens",
      (stack) =>
        new ServiceTier(stack, "t", {
          platform: newRack(stack),
          nodes: ["lb-1"],
          port: 22,
          services: [plain],
        }),
    ],
    [
      "where a tier on the same machine listens",
      (stack) =>
        beside(stack, { port: 8080, to }, (platform) => {
          new ServiceTier(stack, "app", { platform, nodes: ["lb-1"], port: 8080, services: [plain] });
        }),
    ],
    [
      "where etcd on the same machine listens",
      (stack) =>
        beside(
          stack,
          { port: 2379, to },
          (platform) => new EtcdCluster(stack, "e", { platform, nodes: ["lb-1"] }),
        ),
    ],
    [
      "one port",
      (stack) => {
        const lb = pair(stack);
        lb.balance("one", { port: 80, to });
        lb.balance("two", { port: 80, to });
      },
    ],
    [
      "a redirect's port",
      (stack) => {
        const lb = pair(stack);
        lb.balance("one", {
          port: 443,
          redirectFromPort: 80,
          tls: Tls.certificate(Secret.file("/a.pem")),
          to,
        });
        lb.balance("two", { port: 80, to });
      },
    ],
    ["the peers' port", (stack) => pair(stack, { peersPort: 80 }).balance("one", { port: 80, to })],
  ],
  "no-servers": [["a backend", balance({ to: Servers.at({}) })]],
  "no-listener": [["a pair", (stack) => pair(stack)]],
  "cookie-needs-http": [["tcp", balance({ ...tcp, stickiness: Stickiness.cookie() })]],
  "http-only": [
    ["an algorithm", balance({ ...tcp, algorithm: Algorithm.uri() })],
    [
      "a path",
      (stack) => {
        const lb = pair(stack);
        lb.balance("web", { port: 80, ...tcp }).route({ path: "/a" }, lb.backend("b", tcp));
      },
    ],
    [
      "a host",
      (stack) => {
        const lb = pair(stack);
        lb.balance("web", { port: 80, ...tcp }).route({ host: "a" }, lb.backend("b", tcp));
      },
    ],
    ["headers", balance({ ...tcp, hideHeaders: ["Server"] })],
    ["a redirect", balance({ ...tcp, redirectFromPort: 81, tls: Tls.certificate(Secret.file("/a.pem")) })],
  ],
  "tls-without-certificate": [
    ["none", (stack) => balance({ tls: Tls.certificates([]) })(stack)],
    ["random characters", () => Tls.certificate(Secret.generated("site"))],
  ],
  "unknown-server": [["a setting", balance({ servers: { "web-9": { weight: 1 } } })]],
  "foreign-backend": [
    ["a listener's", (stack) => pair(stack).listen("web", foreignBackend(stack), { port: 80 })],
    [
      "a route's",
      (stack) => pair(stack).balance("web", { port: 80, to }).route({ path: "/" }, foreignBackend(stack)),
    ],
  ],
  "mode-mismatch": [
    [
      "listener and backend",
      (stack) => {
        const lb = pair(stack);
        lb.listen("web", lb.backend("b", tcp), { port: 80, mode: "http" });
      },
    ],
    ["passthrough as http", balance({ tls: Tls.passthrough() })],
    ["PostgreSQL as http", balance({ check: HealthCheck.postgresql() })],
  ],
  "bad-check": [
    ["a check's lag", () => HealthCheck.patroniReplica({ maximumLag: "much" })],
    ["a check's status", () => HealthCheck.http("/", { status: "good" })],
  ],
  "bad-arn": [
    [
      "a parameter's for a secret",
      () => Secret.awsSecretsManager("arn:aws:ssm:eu-west-1:123456789012:parameter/a"),
    ],
    [
      "no account",
      () => Secret.awsSecretsManager("a", { arn: "arn:aws:secretsmanager:eu-west-1::secret:a" }),
    ],
    ["a boundary's name", (stack) => newAws(stack, { permissionsBoundary: "machines" })],
    [
      "an alias for volumes",
      (stack) => newAws(stack, { kmsKeyArn: "arn:aws:kms:eu-west-1:123456789012:alias/a" }),
    ],
    ["an alias", () => Secret.awsParameter("a", { kmsKeyArn: "arn:aws:kms:eu-west-1:123456789012:alias/a" })],
  ],
  "conflicting-setting": [
    ["our tag", (stack) => newAws(stack, { tags: { ManagedBy: "somebody" } })],
    [
      "our tag of the network",
      (stack) => new AwsNetwork(stack, "n", { cidr: "10.1.0.0/16", tags: { ManagedBy: "somebody" } }),
    ],
    [
      "a region that is not the ARN's",
      () =>
        Secret.awsSecretsManager("arn:aws:secretsmanager:eu-west-1:123456789012:secret:a-123456", {
          region: "eu-west-2",
        }),
    ],
    [
      "virtualIp and virtualIps",
      (stack) =>
        pair(stack, {
          virtualIp: VirtualIp.layer2("10.0.1.90/27"),
          virtualIps: { a: { addresses: [VirtualIp.layer2("10.0.1.91/27")] } },
        }),
    ],
    ["a redirect without TLS", balance({ redirectFromPort: 81 })],
    [
      "a route without a condition",
      (stack) => {
        const lb = pair(stack);
        lb.balance("web", { port: 80, to }).route({}, lb.backend("b", { to }));
      },
    ],
    [
      "an instance type for a host",
      (stack) => newRack(stack).machine(stack, "lb-1", { instanceType: "t3.small" }),
    ],
    ["no route tables", () => VirtualIp.routeTable("192.168.0.1", { routeTableIds: [] })],
    [
      "a carrier",
      (stack) => {
        stack.node.setContext("cdktf-ha-clusters:carrier", "pigeon");
        newRack(stack, { carrier: undefined });
      },
    ],
  ],
};

/** What works, but not as well as its author may think. */
const warned: Partial<Record<ProblemCode, (stack: TerraformStack) => unknown>> = {
  "nobody-admitted": balance({}),
  "virtual-router-id-clash": (stack) => twoPlatforms(stack, "10.0.1.90/27", "10.0.1.91/27"),
  "virtual-ip-taken": (stack) => twoPlatforms(stack, "10.0.1.90/27", "10.0.1.90/27"),
  "no-virtual-ip": balance({}),
  "memory-above-machine": (stack) =>
    pair(stack, { platform: newAws(stack), maximumConnections: 100_000 }).balance("web", { port: 80, to }),
  "one-zone": (stack) => pair(stack, { nodes: ["lb-1", "web-1"] }).balance("web", { port: 80, to }),
  "no-host-firewall": (stack) => newRack(stack, { hostFirewall: false }),
  "too-few-nodes": (stack) =>
    pair(stack, { nodes: ["lb-1"], virtualIp: VirtualIp.layer2("10.0.1.90/27") }).balance("web", {
      port: 80,
      to,
    }),
  "no-instance-role": (stack) =>
    balance({ tls: Tls.certificate(Secret.awsParameter("/site/tls")), clients: [Peer.anyone()] })(stack),
  "removal-needs-key": (stack) => newRack(stack, { ssh: { privateKey: Secret.variable(stack, "key") } }),
};

/** What only AWS knows is compared while Terraform plans: test/aws applies these. */
const refusedAtPlan: Partial<Record<ProblemCode, (stack: TerraformStack) => unknown>> = {
  "subnet-outside-vpc": (stack) => newAws(stack),
  "bad-cidr": (stack) => newAws(stack),
  "one-zone": (stack) => newAws(stack),
  "wrong-architecture": (stack) => newAws(stack).machine(stack, "web-1", {}),
  "all-at-once": (stack) => newAws(stack).machine(stack, "web-1", {}),
  "placement-kept": (stack) => newAws(stack, { spread: false }).machine(stack, "web-1", {}),
  "over-limit": (stack) => {
    const nodes = { "lb-1": { zone: "a" }, "lb-2": { zone: "a" } };
    pair(stack, { platform: newAws(stack), nodes, virtualIp: VirtualIp.secondaryPrivateIp("10.1.0.90") });
  },
  "virtual-ip-inside-vpc": (stack) =>
    pair(stack, {
      platform: newAws(stack),
      virtualIp: VirtualIp.routeTable("10.1.9.1", { routeTableIds: ["rtb-1"] }),
    }),
  "unknown-zone": (stack) => {
    newAws(stack);
    new AwsNetwork(stack, "n", { cidr: "10.1.0.0/16" });
  },
};

/** Not to be had by wrong input in a test: two names with one hash. */
const unreachable: ProblemCode[] = ["server-id-clash"];

const allRefused = [
  refused,
  refusedRings(),
  refusedSets(),
  refusedTiers(),
  refusedPairs(),
  refusedNames(),
  refusedServers(),
].flatMap((cases) => Object.entries(cases));
const allWarned = [
  warned,
  warnedRings(),
  warnedSets(),
  warnedTiers(),
  warnedServers(),
  warnedPairs(),
].flatMap((cases) => Object.entries(cases));

describe.each(allRefused)("%s", (code, cases) => {
  test.each(cases)("%s", (_, build) => {
    const stack = newStack();
    let error: unknown;
    try {
      build(stack);
      const { errors } = Template.synth(stack);
      error = errors.find((text) => text.includes(`[${code}]`));
    } catch (thrown) {
      error = thrown;
    }
    const text = error instanceof Error ? error.message : String(error);
    if (error instanceof InvalidInput) expect(error.code).toBe(code);
    expect(text).toMatch(new RegExp(`^\\S.*: .+ \\[${code}\\]\\n  allowed: .+\\n  fix: .+$`, "s"));
  });
});

test.each(allWarned)("%s is warned of", (code, build) => {
  const stack = newStack();
  build(stack);
  Template.synth(stack).hasWarning(code as ProblemCode);
});

test.each(Object.entries(refusedAtPlan))("%s is refused while Terraform plans", (code, build) => {
  const stack = newStack();
  build(stack);
  const { data = {}, resource = {} } = Template.synth(stack).json;
  const sources = [...Object.values(data), ...Object.values(resource)].flatMap((all) => Object.values(all));
  const texts = sources.flatMap(({ lifecycle }) =>
    ((lifecycle as { postcondition?: { error_message: string }[] } | undefined)?.postcondition ?? []).map(
      ({ error_message }) => error_message,
    ),
  );
  const text = texts.find((message) => message.includes(`[${code}]`));
  expect(text).toMatch(/^\S.*: .+ \[[\w-]+\]\n {2}allowed: .+\n {2}fix: .+$/s);
});

test("every code is tried", () => {
  const tried = [...allRefused, ...allWarned, ...Object.entries(refusedAtPlan)].map(([code]) => code);
  expect([...new Set([...tried, ...unreachable])].sort()).toEqual(Object.keys(PROBLEM_CODES).sort());
});

test("problems of the whole topology are told together", () => {
  const stack = newStack();
  const lb = pair(stack);
  lb.balance("one", { port: 80, to });
  lb.balance("two", { port: 80, to });
  lb.balance("three", { port: 80, to });
  expect(Template.synth(stack).errors).toHaveLength(2);
});

test("two daemons share a port where they are bound to different addresses", () => {
  const stack = newStack();
  const rack = newRack(stack);
  pair(stack, { platform: rack, virtualIp: VirtualIp.layer2("10.0.1.90/27") }).balance("web", {
    port: 8080,
    virtualIp: "main",
    to,
  });
  new ServiceTier(stack, "app", { platform: rack, nodes: ["lb-1"], port: 8080, services: [plain] });
  Template.synth(stack).hasNoErrors();
});

test("a pair whose address is another construct's is not warned of", () => {
  const stack = newStack();
  const lb = pair(stack);
  lb.balance("web", { port: 80, to, clients: [Peer.anyone()] });
  new KeepalivedPair(stack, "address", {
    platform: lb.machines[0]!.platform,
    nodes: Object.fromEntries(lb.machines.map((machine) => [machine.name, machine])),
    virtualIps: { main: { addresses: [VirtualIp.layer2("10.0.1.90/27")] } },
  });
  expect(Template.synth(stack).warnings).toEqual([]);
});

test("a token is never judged", () => {
  const stack = newStack();
  const address = Lazy.stringValue({ produce: () => "10.0.0.1" });
  const rack = newRack(stack, { hosts: { "lb-1": { address }, "lb-2": { address: "10.0.0.2" } } });
  new HaproxyKeepalivedPair(stack, "lb", {
    platform: rack,
    virtualIp: VirtualIp.layer2("192.0.2.1/24"),
  }).balance("web", { port: 80, to });
  Template.synth(stack).hasNoErrors();
});
