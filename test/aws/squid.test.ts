import {
  GeoDns,
  GeoDnsService,
  NameServers,
  Peer,
  Secret,
  ServiceTier,
  SplashPage,
  SquidGeoProxyTier,
  VirtualIp,
  type NodeProps,
} from "cdktf-ha-clusters";
import type { TerraformStack } from "cdktf";
import { Resolver } from "node:dns/promises";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { CLIENT, type Cloud } from "../../machines/aws/cloud";
import type { Lab } from "../../machines/lab";
import { Load, type LoadResult } from "../../machines/load";
import { waitUntil } from "../../machines/run";
import { ask, type Answer } from "../machines/support/ask";
import { Authority } from "../machines/support/certificates";
import { report } from "../machines/support/haproxy";
import { originService, SITE, SPLASH } from "../machines/support/squid-site";
import { Account } from "./support/account";
import { DeployerPolicy, refusals } from "./support/deployer";
import { AwsDeployment } from "./support/deployment";
import { rightsOf } from "./support/rights";
import { ADMINISTRATION, platformOf, startCloud, type Network } from "./support/site";

/** The life of a front at AWS: proxies in two zones with an elastic address, names in Route 53 and at a name server of its own. */
const PAIR: Record<string, NodeProps> = {
  "front-uk-1": { zone: "a", privateAddress: "10.77.1.11" },
  "front-uk-2": { zone: "b", privateAddress: "10.77.2.12" },
};
const THIRD: NodeProps = { zone: "c", privateAddress: "10.77.3.13" };
const NAME_SERVER = "10.77.3.53";
/** Of the name server's name; Route 53 has {@link SITE}. */
const OWN_NAME = "own.site.example";
/** Proxies of another region, which do not answer: documentation's addresses are nobody's. */
const ELSEWHERE = "192.0.2.90";
let lab: Lab;
let cloud: Cloud;
let network: Network;
let account: Account;
let authority: Authority;
let deployment: AwsDeployment;
let policy: DeployerPolicy;
let zoneId: string;
let before: object;
let serial = 0;

interface FrontProps {
  readonly nodes?: Record<string, NodeProps>;
  readonly failureThreshold?: number;
}

const front =
  ({ nodes = PAIR, failureThreshold = 3 }: FrontProps = {}) =>
  (stack: TerraformStack): void => {
    const platform = platformOf(stack, lab, network);
    const web = new ServiceTier(stack, "web", {
      platform,
      nodes: { "web-1": { zone: "b", privateAddress: "10.77.2.21" } },
      port: 8080,
      services: [originService],
    });
    const tier = new SquidGeoProxyTier(stack, "front", {
      regions: { uk: { platform, nodes, virtualIp: VirtualIp.elastic() } },
      sites: [".site.example"],
      defaultSite: SITE,
      origins: web,
      https: { certificates: [{ certificate: Secret.awsSecretsManager("site/certificate") }] },
      cache: { memoryMiB: 32, disk: false },
      splashPage: SplashPage.html(SPLASH),
      purgers: [Peer.cidr("10.77.1.1/32")],
      openFiles: 4096,
    });
    const { publicPorts, ready } = tier;
    const regions = { uk: tier.regions.uk!, au: { addresses: [ELSEWHERE] } };
    const everywhere = {
      tier: { regions, publicPorts, ready },
      defaultRegion: "uk",
      checkPath: "/static/alive",
    };
    new GeoDns(stack, "dns", {
      name: SITE,
      ...everywhere,
      serves: { au: ["AU", "NZ"] },
      via: GeoDnsService.route53({ zoneId, failureThreshold }),
    });
    const servers = new NameServers(stack, "ns", {
      servers: {
        "ns-1": {
          platform,
          node: { zone: "c", privateAddress: NAME_SERVER },
          hostName: "ns1.site.example",
        },
      },
      clients: [Peer.anyone()],
    });
    new GeoDns(stack, "own-dns", {
      name: OWN_NAME,
      ...everywhere,
      serves: {},
      via: GeoDnsService.powerDns({
        servers,
        ttl: 5,
        checkInterval: 1,
        networks: { "10.77.3.0/24": "au" },
      }),
    });
  };

async function elastic(): Promise<string> {
  const [address] = await account.all<{ PublicIp: string }>("addresses");
  return address!.PublicIp;
}
/** Where no address is said AWS is asked for it, which a load must not do each time. */
const get = async (path: string, more: Parameters<typeof ask>[0] = {}): Promise<Answer> =>
  ask({ from: CLIENT, path, name: SITE, ...more, address: more.address ?? (await elastic()) });
/** A path that nobody asked for before. */
const fresh = (below: string): string => `${below}${++serial}`;

async function counts(): Promise<object> {
  const [checks, records] = [
    await cloud.call<{ HealthChecks: object[] }>("route53", "list_health_checks"),
    await cloud.call<{ ResourceRecordSets: object[] }>("route53", "list_resource_record_sets", {
      HostedZoneId: zoneId,
    }),
  ];
  return {
    ...(await account.counts()),
    checks: checks.HealthChecks.length,
    records: records.ResourceRecordSets.length,
  };
}

/** Patient visitors, each on a connection of its own, while something is done. */
async function underLoad(action: () => Promise<unknown>): Promise<LoadResult> {
  const address = await elastic();
  const load = Load.start({
    request: async (signal) => {
      const { status } = await get(fresh("/page/"), { address, signal, timeoutSeconds: 30 });
      return { ok: status === 200, status };
    },
    perSecond: 10,
    timeoutMs: 30_000,
  });
  try {
    await delay(300);
    await action();
    await delay(1000);
  } finally {
    await load.stop();
  }
  return load.stop();
}

const ids = async (): Promise<Record<string, string>> =>
  Object.fromEntries(
    Object.entries(await account.instances()).map(([name, { InstanceId }]) => [name, InstanceId]),
  );
/** When each Squid began. */
const starts = (): Promise<string[]> =>
  Promise.all(
    Object.keys(PAIR).map(
      async (name) =>
        (await lab.machine(name).ssh("systemctl show --property=ActiveEnterTimestampMonotonic squid")).stdout,
    ),
  );

beforeAll(async () => {
  ({ lab, cloud, network } = await startCloud());
  await mkdir(join(lab.directory, "certificates"));
  authority = await Authority.create(join(lab.directory, "certificates"), "public");
  await cloud.call("secretsmanager", "create_secret", {
    Name: "site/certificate",
    SecretString: (await authority.issue(SITE)).bundle,
  });
  const { HostedZone } = await cloud.call<{ HostedZone: { Id: string } }>("route53", "create_hosted_zone", {
    Name: "site.example",
    CallerReference: "1",
  });
  zoneId = HostedZone.Id.replace("/hostedzone/", "");
  account = new Account(cloud);
  before = await counts();
  policy = new DeployerPolicy([...DeployerPolicy.MACHINES, ...DeployerPolicy.NAMES], network, zoneId);
  deployment = await AwsDeployment.create(lab, cloud, front(), { policy: policy.document });
}, 300_000);
afterAll(async () => {
  await cloud.stop();
  await lab.stop();
});

test("one apply: proxies behind an elastic address answer on both ports, and names lead to them", async () => {
  const { seconds, added, steps } = await deployment.deploy();
  report("AWS: a front", `${seconds.toFixed(0)} s, ${added} resources`);
  for (const name of Object.keys(PAIR))
    expect(steps).toContainEqual(expect.stringMatching(new RegExp(`\\[${name} squid\\] .*healthy after`)));
  await waitUntil(
    async () => (await get("/static/first").catch(() => undefined))?.status === 200,
    300, // a claim is several calls of AWS's program, which take long on a busy computer
    () => "the elastic address does not answer",
  );
  const seen = JSON.parse(
    (await get(fresh("/page/"), { tls: { ca: authority.certificate } })).body,
  ) as object;
  expect(seen).toMatchObject({ for: CLIENT, proto: "https", host: SITE });
  const { ResourceRecordSets } = await cloud.call<{ ResourceRecordSets: { Type: string }[] }>(
    "route53",
    "list_resource_record_sets",
    { HostedZoneId: zoneId },
  );
  const address = await elastic();
  const record = { Name: `${SITE}.`, TTL: 60, HealthCheckId: expect.any(String) as unknown };
  expect(ResourceRecordSets.filter(({ Type }) => Type === "A")).toEqual(
    expect.arrayContaining([
      expect.objectContaining({
        ...record,
        GeoLocation: { CountryCode: "*" },
        ResourceRecords: [{ Value: address }],
      }),
      ...["AU", "NZ"].map((CountryCode): unknown =>
        expect.objectContaining({
          ...record,
          GeoLocation: { CountryCode },
          ResourceRecords: [{ Value: ELSEWHERE }],
        }),
      ),
    ]),
  );
}, 800_000);

test("the name server sends everybody to the region that answers, by the elastic address", async () => {
  const resolver = new Resolver({ timeout: 1000, tries: 3 });
  resolver.setServers([NAME_SERVER]);
  const address = await elastic();
  let found: string[] = [];
  await waitUntil(
    async () => {
      found = await resolver.resolve4(OWN_NAME).catch(() => []);
      return found.join() === address;
    },
    30,
    () => `the name server answers ${found.join()}, not ${address}`,
  );
  expect((await get("/static/first", { address: found[0], name: OWN_NAME })).status).toBe(200);
});

test("planned again, there is nothing to do", async () => {
  expect((await deployment.plan()).actions).toEqual({});
});

test("the groups are the declared matrix, and nothing else", async () => {
  const anyone = ["0.0.0.0/0", "::/0"];
  expect(await account.inboundRules()).toEqual(
    [
      ...ADMINISTRATION,
      ...anyone.flatMap((from) => [
        `front-uk: tcp 80-80 from ${from}`,
        `front-uk: tcp 443-443 from ${from}`,
        `ns: udp 53-53 from ${from}`,
        `ns: tcp 53-53 from ${from}`,
      ]),
      "front-uk: 112 from front-uk",
      "front-uk: tcp 3128-3128 from front-uk",
      "front-uk: udp 3130-3130 from front-uk",
      "front-uk: tcp 3128-3128 from 10.77.1.1/32",
      "web: tcp 8080-8080 from front-uk",
    ].sort(),
  );
});

test("a node more in a third zone, and gone again: visitors miss nothing, no other Squid starts anew", async () => {
  const [had, ran] = [await ids(), await starts()];
  deployment = deployment.changed(front({ nodes: { ...PAIR, "front-uk-3": THIRD }, failureThreshold: 2 }));
  const { actions } = await deployment.plan();
  const checks = Object.entries(actions).filter(([each]) => each.startsWith("aws_route53_health_check."));
  expect(checks.map(([, action]) => action)).toEqual(["update", "update"]);
  const others = Object.entries(actions).filter(([each]) => !each.startsWith("aws_route53_health_check."));
  expect(new Set(others.map(([, action]) => action))).toEqual(new Set(["create"]));
  expect(others.filter(([each]) => !each.includes("_front-uk-3_"))).toEqual([]);
  const more = await underLoad(() => deployment.carryOut());
  report("AWS: a proxy more", more);
  expect(more.failed).toEqual([]);
  expect(await ids()).toEqual({ ...had, "front-uk-3": expect.stringMatching(/^i-/) as unknown });
  // what an older node has, the new one gets from it
  await waitUntil(
    async () => {
      // a Squid just started waits 5 ms for its sibling and then asks the origin, which a busy computer exceeds
      const shared = fresh("/static/shared-");
      for (const address of [PAIR["front-uk-1"]!.privateAddress, THIRD.privateAddress])
        expect((await get(shared, { address, from: undefined })).status).toBe(200);
      const log = `sudo grep -F ${shared} /var/log/squid/access.log || true`;
      return (await lab.machine("front-uk-3").ssh(log)).stdout.includes("SIBLING_HIT");
    },
    30,
    () => "front-uk-3 gets nothing from its sibling",
  );
  deployment = deployment.changed(front());
  const less = await underLoad(() => deployment.deploy());
  report("AWS: a proxy less", less);
  expect(less.failed).toEqual([]);
  expect(await ids()).toEqual(had);
  expect(await starts()).toEqual(ran);
  expect((await deployment.plan()).actions).toEqual({});
}, 1_200_000);

test("each proxy may call what it has called, on what is its own, and nothing else; others have no rights", async () => {
  // the address is claimed by whichever node becomes master: both do, in turn
  for (const name of Object.keys(PAIR)) {
    const squid = (action: string): Promise<unknown> =>
      lab.machine(name).ssh(`sudo systemctl ${action} squid`, { timeoutSeconds: 60 });
    await squid("stop");
    await waitUntil(
      async () => (await get(fresh("/page/"), { timeoutSeconds: 2 }).catch(() => undefined))?.status === 200,
      300,
      () => `without ${name} nobody answers`,
    );
    await squid("start");
  }
  for (const name of Object.keys(PAIR))
    expect([name, await rightsOf(cloud, `stack-front-uk-${name}`)]).toEqual([
      name,
      { stray: [], unused: [] },
    ]);
  const { Roles } = await cloud.call<{ Roles: { RoleName: string }[] }>("iam", "list_roles");
  expect(
    Roles.map(({ RoleName }) => RoleName)
      .filter((role) => role.startsWith("stack-"))
      .sort(),
  ).toEqual(Object.keys(PAIR).map((name) => `stack-front-uk-${name}`));
}, 600_000);

test("destroyed: nothing is left, and the deployer's policy allowed all of this and of names nothing more", async () => {
  const { ok, seconds, output } = await deployment.destroy();
  if (!ok) throw new Error(output.slice(-3000));
  report("AWS: destroy", `${seconds.toFixed(0)} s`);
  await cloud.settled();
  expect(await counts()).toEqual(before);
  expect(lab.names).toEqual([]);
  expect(refusals(cloud)).toEqual([]);
  expect(policy.unused(cloud, DeployerPolicy.NAMES)).toEqual([]);
}, 600_000);
