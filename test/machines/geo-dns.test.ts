import { Fn } from "cdktf";
import { readFileSync } from "node:fs";
import { Resolver } from "node:dns/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Lab } from "../../machines/lab";
import { Load, type LoadResult } from "../../machines/load";
import { portScan } from "../../machines/ports";
import { waitUntil } from "../../machines/run";
import { Deployment } from "../support/deployment";
import {
  addressOf,
  DATABASE,
  geoSite,
  NAME,
  REGIONS,
  type GeoSiteProps,
  type Region,
} from "./support/geo-site";
import { report } from "./support/haproxy";
import { ADDRESSES, startSite, type Name } from "./support/site";

/** Own name servers send visitors to the nearest region that answers; regions and name servers come, go and die. */
let lab: Lab;
let first: Deployment;
const SERVERS = ["lb-1", "lb-2"] as const;
/** Networks of test/geo-dns/database/countries.mmdb. */
const FROM = {
  britain: "198.51.100.0/26",
  france: "198.51.100.64/26",
  states: "203.0.113.0/25",
  canada: "203.0.113.128/25",
  australia: "192.0.2.0/25",
  norway: "198.19.1.0/24",
  africa: "198.18.1.0/24",
  nowhere: "100.64.0.0/24",
  office: "198.18.7.0/24",
} as const;
type Country = keyof typeof FROM;

beforeAll(async () => {
  lab = await startSite(["lb-1", "lb-2", "web-1", "web-2", "web-3", "client", "stranger"], "tests");
  for (const server of SERVERS) await bringDatabase(server);
  first = new Deployment(`${lab.directory}/deployment`, geoSite(lab));
});
afterAll(() => lab.stop());

const site = (props: GeoSiteProps): Deployment => first.changed(geoSite(lab, props));

async function bringDatabase(server: Name): Promise<void> {
  const input = readFileSync(join(__dirname, "../geo-dns/database/countries.mmdb")).toString("base64");
  await lab
    .machine(server)
    .ssh(`mkdir -p /var/lib/GeoIP && base64 -d >${DATABASE}.new && mv ${DATABASE}.new ${DATABASE}`, {
      input,
    });
}

/** What dig prints on a machine of the lab; nothing where nobody answers. */
async function dig(server: Name, more: string, from: Name = "client"): Promise<string> {
  const { stdout } = await lab
    .machine(from)
    .ssh(`dig @${ADDRESSES[server]} +tries=1 +time=2 ${more}`, { allowFailure: true });
  return stdout;
}

/** Addresses that a resolver is told for visitors of a network. */
async function answer(country: Country, server: Name = "lb-1", type = "A"): Promise<string[]> {
  const text = await dig(server, `${NAME} ${type} +subnet=${FROM[country]} +noall +answer`);
  return [...text.matchAll(/\sIN\s+A+\s+(\S+)/g)].map(([, address]) => address!).sort();
}

/** Which region each country is sent to by one server. */
async function world(
  server: Name,
  countries: readonly Country[] = Object.keys(FROM) as Country[],
): Promise<object> {
  const found: Record<string, string> = {};
  for (const country of countries) {
    const addresses = await answer(country, server);
    found[country] = addresses
      .map((address) => Object.keys(REGIONS).find((region) => addressOf(region as Region) === address))
      .join(" ");
  }
  return found;
}

const HEALTHY = {
  britain: "uk",
  france: "au",
  states: "us",
  canada: "us",
  australia: "au",
  norway: "au",
  africa: "us",
  nowhere: "us",
  office: "uk",
};

/** Seconds until a server answers a country with exactly this region. */
async function secondsUntil(country: Country, region: Region, server: Name = "lb-1"): Promise<number> {
  const start = performance.now();
  let last: string[] = [];
  await waitUntil(
    async () => (last = await answer(country, server)).join() === addressOf(region),
    30,
    () => `${country} is sent to ${last.join() || "nobody"}`,
    100,
  );
  return (performance.now() - start) / 1000;
}

/** Visitors who ask one server each time anew, and may ask once only. */
function questions(server: Name, perSecond = 50): Load {
  return Load.start({
    perSecond,
    timeoutMs: 15_000,
    request: async () => {
      // one that has had answers waits for five times their mean only, a quarter of a second at least, whatever it is told
      const resolver = new Resolver({ timeout: 5000, tries: 1 });
      resolver.setServers([ADDRESSES[server]]);
      const addresses = await resolver.resolve4(NAME);
      return { ok: addresses.length > 0, body: addresses.join() };
    },
  });
}

async function underQuestions(action: () => Promise<unknown>): Promise<LoadResult[]> {
  const loads = SERVERS.map((server) => questions(server));
  try {
    await delay(300);
    await action();
    await delay(500);
  } finally {
    await Promise.all(loads.map((load) => load.stop()));
  }
  return Promise.all(loads.map((load) => load.stop()));
}

test("deployed: each country gets its region, its continent's, or the default one; applied again: nothing to do", async () => {
  const { steps } = await first.deploy();
  for (const server of SERVERS)
    expect(steps).toContainEqual(
      expect.stringMatching(new RegExp(`\\[${server} powerdns\\] .*healthy after`)),
    );
  // web servers that came after the name servers were away until then
  for (const server of SERVERS) {
    for (const [country, region] of [
      ["britain", "uk"],
      ["states", "us"],
      ["australia", "au"],
    ] as const)
      await secondsUntil(country, region, server);
    expect(await world(server)).toEqual(HEALTHY);
  }
  expect(await first.isUpToDate()).toBe(true);
}, 600_000);

test("resolvers learn for whom an answer is good, and for how long", async () => {
  const text = await dig("lb-1", `${NAME} A +subnet=${FROM.britain}`);
  expect(text).toContain("CLIENT-SUBNET: 198.51.100.0/26/26");
  expect(text).toMatch(/www\.movember\.com\.\s+5\s+IN\s+A/);
  expect((await dig("lb-1", `${NAME} NS +short`)).split("\n").sort().join(" ").trim()).toBe(
    `ns1.movember.com. ns2.${NAME}.`,
  );
  expect(await dig("lb-1", `ns2.${NAME} A +short`)).toBe(`${ADDRESSES["lb-2"]}\n`);
  expect(await dig("lb-1", `${NAME} A +tcp +short +subnet=${FROM.australia}`)).toBe(`${addressOf("au")}\n`);
});

test("no recursion, no transfer, no version, no name of the machine", async () => {
  for (const more of [
    "www.example.net A",
    "movember.com A",
    "version.bind CH TXT",
    "id.server CH TXT",
    "hostname.bind CH TXT",
  ]) {
    const text = await dig("lb-1", more);
    expect([more, text]).toEqual([more, expect.stringMatching(/status: (REFUSED|SERVFAIL|NOTIMP)/)]);
    expect(text).toContain("ANSWER: 0");
    expect(text.toLowerCase()).not.toMatch(/powerdns|4\.7/);
  }
  expect(await dig("lb-1", `${NAME} AXFR`)).toContain("Transfer failed");
  const { stdout } = await lab
    .machine("lb-1")
    .ssh("ss --no-header --listening --tcp --udp --numeric --processes | grep pdns");
  const listens = [...stdout.matchAll(/(\S+):(\d+)\s+\S+:\*/g)].map(([, host, port]) => `${host}:${port}`);
  expect([...new Set(listens)].sort()).toEqual([`${ADDRESSES["lb-1"]}:53`, "127.0.0.1:53"].sort());
});

test("who was not named reaches no port 53", async () => {
  const { tcp } = await portScan(lab.machine("stranger"), ADDRESSES["lb-1"], { tcp: [53, 8081] });
  expect(tcp).toEqual({ open: [], closed: [], filtered: [53, 8081] });
  for (const by of ["+notcp", "+tcp"])
    expect(await dig("lb-1", `${NAME} A ${by}`, "stranger")).toContain("timed out");
  expect(await dig("lb-1", `${NAME} A`)).toContain("status: NOERROR");
  const seen = await portScan(lab.machine("client"), ADDRESSES["lb-1"], { tcp: "all" });
  expect({ open: seen.tcp.open, closed: seen.tcp.closed }).toEqual({ open: [53], closed: [] });
});

test("a region dies: its visitors are sent to their continent's, then to the default one; it comes back", async () => {
  await lab.machine("web-1").cutPower();
  const gone = await secondsUntil("britain", "au");
  process.stderr.write(`uk gone after ${gone.toFixed(1)} s: 3 checks, every 1 s, the last one 1 s long\n`);
  await secondsUntil("office", "us", "lb-2");
  expect(await world("lb-2")).toEqual({ ...HEALTHY, britain: "au", office: "us" });
  await lab.machine("web-3").cutPower();
  await secondsUntil("britain", "us");
  expect(await world("lb-1", ["france", "australia"])).toEqual({ france: "us", australia: "us" });
  await Promise.all([lab.machine("web-1").powerOn(), lab.machine("web-3").powerOn()]);
  for (const server of SERVERS) {
    await secondsUntil("britain", "uk", server);
    await secondsUntil("australia", "au", server);
    expect(await world(server)).toEqual(HEALTHY);
  }
});

test("the default region dies: everybody else's visitors come to one that answers", async () => {
  await lab.machine("web-2").ssh("systemctl stop nginx");
  await secondsUntil("nowhere", "uk");
  expect(await world("lb-1")).toEqual({
    ...HEALTHY,
    states: "uk",
    canada: "uk",
    africa: "uk",
    nowhere: "uk",
  });
  await lab.machine("web-2").ssh("systemctl start nginx");
  for (const server of SERVERS) await secondsUntil("nowhere", "us", server);
});

test("a site that answers errors is as gone as one that does not answer", async () => {
  await lab.machine("web-3").ssh("mv /var/www/site/index.html /var/www/site/away.html");
  await secondsUntil("australia", "us");
  await lab.machine("web-3").ssh("mv /var/www/site/away.html /var/www/site/index.html");
  await secondsUntil("australia", "au");
});

test("no region answers: every one stays in, since it may be the name server that sees nothing", async () => {
  for (const name of Object.values(REGIONS)) await lab.machine(name).ssh("systemctl stop nginx");
  const told = async (): Promise<string> =>
    (await lab.machine("lb-1").ssh("journalctl --unit cdktf-ha-geo-dns --output cat")).stdout;
  await waitUntil(
    async () => (await told()).includes("no address answers, so all of them stay"),
    30,
    () => "the checks did not notice",
    200,
  );
  await waitUntil(
    async () => JSON.stringify(await world("lb-1")) === JSON.stringify(HEALTHY),
    15,
    () => "not every region is answered",
    200,
  );
  for (const name of Object.values(REGIONS)) await lab.machine(name).ssh("systemctl start nginx");
  for (const server of SERVERS) {
    await secondsUntil("britain", "uk", server);
    await secondsUntil("australia", "au", server);
    await secondsUntil("nowhere", "us", server);
  }
});

test("a name server loses power: the other one answers; what it knew it knows again", async () => {
  await lab.machine("web-1").ssh("systemctl stop nginx");
  await secondsUntil("britain", "au", "lb-1");
  await lab.machine("lb-1").cutPower();
  expect(await answer("australia", "lb-2")).toEqual([addressOf("au")]);
  const resolver = new Resolver({ timeout: 500, tries: 2 });
  resolver.setServers(SERVERS.map((server) => ADDRESSES[server]));
  expect(await resolver.resolve4(NAME)).toEqual([addressOf("us")]);
  await lab.machine("lb-1").powerOn();
  await waitUntil(
    async () => (await answer("states")).length === 1,
    30,
    () => "PowerDNS does not come back by itself",
    200,
  );
  let units = "";
  await waitUntil(
    async () => {
      ({ stdout: units } = await lab
        .machine("lb-1")
        .ssh("systemctl is-active pdns cdktf-ha-geo-dns || true"));
      return units === "active\nactive\n";
    },
    30,
    () => `not both active: ${units}`,
  );
  expect(await answer("britain")).toEqual([addressOf("au")]);
  await lab.machine("web-1").ssh("systemctl start nginx");
  for (const server of SERVERS) await secondsUntil("britain", "uk", server);
});

test("a region is removed and added while visitors ask: no question without an answer", async () => {
  const fewer = await site({ regions: ["us", "au"] }).prepare();
  const removed = await underQuestions(() => fewer.deploy());
  for (const [index, load] of removed.entries()) report(`a region removed, ${SERVERS[index]}`, load);
  expect(removed.flatMap(({ failed }) => failed)).toEqual([]);
  expect(await world("lb-1", ["britain", "australia", "nowhere"])).toEqual({
    britain: "au",
    australia: "au",
    nowhere: "us",
  });
  const all = await first.prepare();
  const added = await underQuestions(() => all.deploy());
  for (const [index, load] of added.entries()) report(`a region added, ${SERVERS[index]}`, load);
  expect(added.flatMap(({ failed }) => failed)).toEqual([]);
  for (const server of SERVERS) expect(await world(server)).toEqual(HEALTHY);
}, 600_000);

test("a zone that PowerDNS refuses reaches nobody", async () => {
  // only Terraform knows that it is no address
  const nonsense = Fn.format("10.77.0.%d", [999]) as string;
  const bad = await site({ address: (region) => (region === "uk" ? nonsense : addressOf(region)) }).prepare();
  const results = await underQuestions(async () => {
    const outcome = await bad.apply();
    expect(outcome.ok).toBe(false);
    expect(outcome.output).toContain("uk._geo.www.movember.com A: no answers, wanted 1");
    expect(outcome.output).toContain("refused by PowerDNS; nothing was changed");
  });
  expect(results.flatMap(({ failed }) => failed)).toEqual([]);
  for (const server of SERVERS)
    expect(await world(server, ["britain", "states"])).toEqual({ britain: "uk", states: "us" });
  // nor one that somebody wrote by hand: PowerDNS goes on with what it has, and the next apply puts the right ones back
  await lab
    .machine("lb-1")
    .ssh("echo 'domains: [' >/var/lib/cdktf-ha-geo-dns/zones.yaml && pdns_control reload");
  expect(await answer("britain")).toEqual([addressOf("uk")]);
  await first.deploy();
}, 600_000);

test("signed by choice: a resolver that validates believes the answers; the key is nobody else's to read", async () => {
  const { stdout: made } = await lab.machine("lb-1").ssh(MAKE_KEY);
  for (const server of SERVERS)
    await lab.machine(server).ssh("cat >/root/dnssec.key && chmod 600 /root/dnssec.key", { input: made });
  await site({ keyFile: "/root/dnssec.key" }).deploy();
  const { stdout: mode } = await lab
    .machine("lb-1")
    .ssh("stat --format='%a %U:%G' /etc/powerdns/cdktf-ha-keys/*");
  expect(mode).toBe("640 root:pdns\n");
  const keys = await Promise.all(SERVERS.map((server) => dig(server, `${NAME} DNSKEY +short`)));
  expect(keys[0]).toMatch(/^257 3 13 /);
  expect(keys[1]).toBe(keys[0]);
  const [, , , ...key] = keys[0]!.trim().split(" ");
  const anchor = `trust-anchors { "${NAME}" static-key 257 3 13 "${key.join("")}"; };`;
  await lab.machine("client").ssh("cat >/root/anchor", { input: anchor });
  const { stdout } = await lab
    .machine("client")
    .ssh(`delv @${ADDRESSES["lb-2"]} -a /root/anchor +root=${NAME} ${NAME} A 2>&1`);
  expect(stdout).toContain("; fully validated");
  await first.deploy();
  expect(await dig("lb-1", `${NAME} DNSKEY +short`)).toBe("");
}, 600_000);

/** As the documentation says. */
const MAKE_KEY = `cd $(mktemp -d) && mkdir keys
printf 'launch=geoip\\ngeoip-zones-file=/var/lib/cdktf-ha-geo-dns/zones.yaml\\ngeoip-dnssec-keydir=keys\\n' >pdns.conf
pdnsutil --config-dir=. add-zone-key ${NAME} ksk active ecdsa256 >/dev/null 2>&1 && cat keys/*`;
