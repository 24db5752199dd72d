import { createSocket } from "node:dgram";
import { mkdir } from "node:fs/promises";
import * as https from "node:https";
import * as net from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import type { Lab, LabMachine } from "../../machines/lab";
import { Load, type LoadResult } from "../../machines/load";
import { portScan } from "../../machines/ports";
import { waitUntil } from "../../machines/run";
import { Deployment } from "../support/deployment";
import { ask, type Answer } from "./support/ask";
import { Authority, type KeyPair } from "./support/certificates";
import { report } from "./support/haproxy";
import { ADDRESSES, hasAddress, OPERATOR, roles, startSite, VIP, type Name } from "./support/site";
import { LOG_PORT, SITE, SPLASH, squidSite, type SquidSiteProps } from "./support/squid-site";

/** The life of a tier of caching proxies: deployed, changed, attacked, broken, healed; visitors go on. */
let lab: Lab;
let authority: Authority;
let certificates: KeyPair[];
let first: Deployment;
let serial = 0;

beforeAll(async () => {
  lab = await startSite(["lb-1", "lb-2", "web-1", "web-2", "web-3", "client", "stranger"], "tests");
  await mkdir(`${lab.directory}/certificates`);
  authority = await Authority.create(`${lab.directory}/certificates`, "public");
  certificates = [await authority.issue(SITE), await authority.issue(SITE)];
  first = new Deployment(`${lab.directory}/deployment`, squidSite(lab), variables(0));
});
afterAll(() => lab.stop());

/** Processes that share a cache: rock. */
const WORKERS = { memoryMiB: 48, workers: 2, disk: { sizeMiB: 256, directory: "/var/spool/squid-2" } };
const variables = (index: number): { certificate: string } => ({ certificate: certificates[index]!.bundle });
const site = (props: SquidSiteProps = {}, certificate = 0): Deployment =>
  first.changed(squidSite(lab, props), variables(certificate));
const get = (path: string, more: Parameters<typeof ask>[0] = {}): Promise<Answer> =>
  ask({ path, name: SITE, ...more });
/** A path that nobody asked for before. */
const fresh = (below: string): string => `${below}${++serial}`;

/** Visitors that each ask over a new connection; they are patient, as browsers are. With TLS their certificate is told. */
async function underLoad(
  path: string | (() => string),
  action: () => Promise<unknown>,
  perSecond = 40,
  tls?: https.RequestOptions,
): Promise<LoadResult> {
  const load = Load.start({
    request: async (signal) => {
      const { status, body, certificate } = await ask({
        path: typeof path === "string" ? path : path(),
        name: SITE,
        tls,
        signal,
        timeoutSeconds: 30,
      });
      return { ok: status === 200, status, body: certificate?.fingerprint256 ?? body };
    },
    perSecond,
    timeoutMs: 30_000,
  });
  try {
    await delay(300);
    await action();
    await delay(1500);
  } finally {
    await load.stop();
  }
  return load.stop();
}

/**
 * Asks on one of the connections that an agent keeps open, and tells which one by its port here. As every browser does, it asks once
 * more where a connection that was kept is closed at the very moment of a request.
 */
function onStandingConnection(
  agent: https.Agent,
  path: string,
  signal: AbortSignal,
  again?: () => void,
): Promise<{ ok: boolean; status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const request = https.get({ host: VIP, path, headers: { Host: SITE }, agent, signal }, (response) => {
      const status = response.statusCode ?? 0;
      const body = String(response.socket.localPort);
      response.on("error", reject);
      response.on("end", () => resolve({ ok: status === 200, status, body }));
      response.resume();
    });
    request.on("error", (error: NodeJS.ErrnoException) => {
      if (again && request.reusedSocket && error.code === "ECONNRESET") {
        again();
        onStandingConnection(agent, path, signal).then(resolve, reject);
      } else {
        reject(error);
      }
    });
  });
}

/** How often origins were asked for a path. */
async function fetches(path: string): Promise<number> {
  const counts = await Promise.all(
    (["web-1", "web-2"] as const).map(async (name) => {
      const { stdout } = await lab.machine(name).ssh(`grep -cF ' ${path} ' /var/log/nginx/seen.log || true`);
      return Number(stdout);
    }),
  );
  return counts.reduce((sum, count) => sum + count, 0);
}

const slowest = ({ requests }: LoadResult): number => Math.max(...requests.map(({ ms }) => ms));

/** What is answered to a request that no HTTP library would send. */
function raw(text: string, port = 80): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, VIP, () => socket.write(text));
    let answer = "";
    socket.setTimeout(10_000, () => socket.destroy(new Error(`no answer to ${JSON.stringify(text)}`)));
    socket.on("data", (data) => {
      answer += String(data);
      if (answer.includes("\r\n")) socket.destroy();
    });
    socket.on("error", reject);
    socket.on("close", () => resolve(answer.split("\r\n")[0]!));
  });
}

/** How many answers with 200 come on one connection for what is written at once. */
function answersWith200(text: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(80, VIP, () => socket.write(text));
    let answers = "";
    socket.setTimeout(5000, () => socket.destroy()); // longer than a sibling is waited for
    socket.on("data", (data) => (answers += String(data)));
    socket.on("error", reject);
    socket.on("close", () => resolve(answers.match(/HTTP\/1\.1 200/g)?.length ?? 0));
  });
}

/** A line is written when a request has ended, which may be after its visitor has the answer. */
async function untilSiblingHits(machine: LabMachine, path: string, count: number): Promise<void> {
  let lines = "";
  await waitUntil(
    async () => {
      ({ stdout: lines } = await machine.ssh(`grep -F ${path} /var/log/squid/access.log || true`));
      return lines.split("SIBLING_HIT").length - 1 === count;
    },
    20,
    () => `not ${count} from a sibling: ${lines}`,
  );
}

/** Both proxies and the address answer. */
async function settle(): Promise<{ active: LabMachine; standby: LabMachine }> {
  for (const name of ["lb-1", "lb-2", "web-1", "web-2"])
    if (!lab.machine(name).isOn) await lab.machine(name).powerOn();
  for (const address of [VIP, ADDRESSES["lb-1"], ADDRESSES["lb-2"]])
    await waitUntil(
      async () => (await get(fresh("/page/"), { address }).catch(() => undefined))?.status === 200,
      60,
      () => `${address} does not answer`,
      200,
    );
  return roles(lab);
}

test("deployed: both nodes are healthy, one has the address, origins take turns; applied again: nothing to do", async () => {
  const { steps } = await first.deploy();
  for (const node of ["lb-1", "lb-2"])
    expect(steps).toContainEqual(expect.stringMatching(new RegExp(`\\[${node} squid\\] .*healthy after`)));
  await settle();
  for (const name of ["web-1", "web-2"])
    await waitUntil(
      async () => (await get(fresh("/page/")).catch(() => undefined))?.body.includes(`"${name}"`) === true,
      30,
      () => `${name} is not asked`,
    );
  expect(await first.isUpToDate()).toBe(true);
}, 600_000);

test("a new node has pages before it has visitors, who fetch none of them again", async () => {
  const lookups = await fetches("/static/warm");
  for (const name of ["lb-1", "lb-2"] as const)
    for (const tls of [undefined, { ca: authority.certificate }])
      expect((await get("/static/warm", { address: ADDRESSES[name], tls })).status).toBe(200);
  expect(await fetches("/static/warm")).toBe(lookups);
  // by HTTP and by HTTPS; once for both nodes, or where both are new at once by each of them
  expect([2, 3, 4]).toContain(lookups);
  // a page that fails stops nothing, and by hand the list is fetched again
  const { stdout } = await lab.machine("lb-1").ssh("/usr/local/lib/cdktf-ha/squid-warm --again");
  expect(stdout).toBe("cache warmed: 2 of 3 URLs\n");
  expect((await lab.machine("lb-1").ssh("/usr/local/lib/cdktf-ha/squid-warm")).stdout).toBe("");
});

test("counters are in a file for the node exporter, and say when Squid does not answer", async () => {
  const machine = (await settle()).standby;
  const values = async (): Promise<Record<string, number>> => {
    const { stdout } = await machine.ssh("cat /var/lib/prometheus/node-exporter/squid.prom");
    return Object.fromEntries(
      stdout
        .split("\n")
        .filter((line) => line && !line.startsWith("#"))
        .map((line): [string, number] => [line.split(" ")[0]!, Number(line.split(" ")[1])]),
    );
  };
  const until = (is: (found: Record<string, number>) => boolean): Promise<void> =>
    waitUntil(
      async () => is(await values()),
      30,
      () => "the file does not follow",
    );
  await until(({ squid_up }) => squid_up === 1);
  const before = await values();
  expect(before).toMatchObject({
    squid_client_http_hits_total: expect.any(Number) as unknown,
    squid_server_all_requests_total: expect.any(Number) as unknown,
    squid_cpu_time_total: expect.any(Number) as unknown,
    squid_memory_cache_bytes: expect.any(Number) as unknown,
    squid_disk_cache_bytes: expect.any(Number) as unknown,
    squid_open_files: expect.any(Number) as unknown,
    squid_open_files_limit: 4096,
  });
  expect(Object.values(before).filter(Number.isNaN)).toEqual([]);
  for (let i = 0; i < 5; i++) await get("/static/warm", { address: machine.address });
  await until((now) => now.squid_client_http_hits_total! >= before.squid_client_http_hits_total! + 5);
  await machine.ssh("systemctl stop squid");
  await until(({ squid_up }) => squid_up === 0);
  await machine.ssh("systemctl start squid");
  await until(({ squid_up }) => squid_up === 1);
});

test("what one node has cached the other one gets from it by ICP: one fetch from an origin in all", async () => {
  const { active, standby } = await settle();
  const path = fresh("/static/shared-");
  for (const address of [active.address, active.address, standby.address, standby.address])
    expect((await get(path, { address })).status).toBe(200);
  expect(await fetches(path)).toBe(1);
  await untilSiblingHits(standby, path, 1);
  // neither asks the other in turn: what nobody has is fetched once, too
  const unknown = fresh("/static/unknown-");
  await get(unknown, { address: standby.address });
  expect(await fetches(unknown)).toBe(1);
});

test("the access log, here and at who collects it, has visitors and neither siblings nor monitoring", async () => {
  const { active, standby } = await settle();
  const senders = new Set<string>();
  let collected = "";
  const collector = createSocket("udp4", (data, { address }) => {
    senders.add(address);
    collected += String(data);
  });
  await new Promise<void>((resolve) => collector.bind(LOG_PORT, OPERATOR, resolve));
  /** A datagram goes when some ten lines fill it: there are requests until enough has come. */
  const untilCollected = (is: () => boolean): Promise<void> =>
    waitUntil(
      async () => {
        for (const { address } of [active, standby]) await get("/static/wire", { address });
        return is();
      },
      60,
      () => `from ${[...senders].join(", ")} collected: ${collected}`,
      20,
    );
  try {
    // nobody listened until now: by the first datagram Squid learns of that, and the next one is lost
    await untilCollected(() => senders.size === 2);
    const path = fresh("/static/logged-");
    const watched = fresh("/static/watched-");
    await lab.machine("client").ssh(`curl --silent --fail --header 'Host: ${SITE}' http://${VIP}${watched}`);
    for (const { address } of [active, standby]) await get(path, { address });
    await untilCollected(() => collected.split(path).length - 1 === 2);
    const own = async (machine: LabMachine): Promise<string> =>
      (await machine.ssh(`grep -E '${path}|${watched}' /var/log/squid/access.log`)).stdout;
    for (const machine of [active, standby])
      expect((await own(machine)).trim().split("\n")).toEqual([
        expect.stringMatching(new RegExp(` ${OPERATOR} .* GET http://${SITE}${path} `)),
      ]);
    expect(collected).not.toContain(watched);
  } finally {
    collector.close();
  }
});

test("many visitors at once for what is not there: one fetch", async () => {
  const path = fresh("/static/collapsed-");
  const answers = await Promise.all([...Array(20)].map(() => get(path)));
  expect(answers.map(({ status }) => status)).toEqual(Array(20).fill(200));
  expect(await fetches(path)).toBeLessThanOrEqual(2);
});

test("on the wire: no word of Squid's own in an answer, honest words to the origins", async () => {
  const claims = {
    "X-Forwarded-For": "6.6.6.6",
    "X-Forwarded-Proto": "https",
    "Front-End-Https": "On",
    Forwarded: "for=6.6.6.6;proto=https",
    // what CGI and its like take for the same names
    X_Forwarded_For: "6.6.6.6",
    X_Forwarded_Proto: "https",
    Front_End_Https: "On",
    "X-Real-IP": "6.6.6.6",
    "X-Forwarded-Host": "evil.example",
    "X-Original-URL": "/admin",
    "X-HTTP-Method-Override": "DELETE",
    Proxy: "evil.example:8080",
  };
  const plain = await get(fresh("/page/"), { headers: claims });
  const again = await get("/static/wire");
  const cached = await get("/static/wire");
  const tls = await get(fresh("/page/"), {
    tls: { ca: authority.certificate },
    headers: { ...claims, "Front-End-Https": "Off" },
  });
  for (const { headers } of [plain, again, cached, tls]) {
    const text = JSON.stringify(headers).toLowerCase();
    expect(text).not.toMatch(/squid|x-cache|cache-status|"via"/);
  }
  const seen = (answer: Answer): unknown => JSON.parse(answer.body);
  const from = { for: "10.77.0.1", forwarded: "", host: SITE, claims: "" };
  expect(seen(plain)).toMatchObject({ ...from, proto: "http", frontEnd: "" });
  expect(seen(tls)).toMatchObject({ ...from, proto: "https", frontEnd: "On" });
});

test("strangers' tricks: other sites, other ports, other protocols, the manager, PURGE, and requests in two readings", async () => {
  const request = (line: string, host = SITE, more = ""): string => `${line}\r\nHost: ${host}\r\n${more}\r\n`;
  const refused: [string, RegExp][] = [
    [request("GET / HTTP/1.1", "www.example.net"), /403/],
    [request(`GET / HTTP/1.1`, `${SITE}:8080`), /403/],
    [request("GET http://www.example.net/ HTTP/1.1"), /403/],
    [request(`GET http://${ADDRESSES["web-1"]}:8080/ HTTP/1.1`), /403/],
    [request(`GET https://${SITE}/ HTTP/1.1`), /403/],
    [request("CONNECT 10.77.0.21:8080 HTTP/1.1"), /40[035]/],
    [request("TRACE / HTTP/1.1"), /403/],
    [request("TRACK / HTTP/1.1"), /403/],
    [request("GET /squid-internal-mgr/info HTTP/1.1"), /403/],
    [request("GET /squid-internal-mgr/info HTTP/1.1", "front"), /403/],
    [request("GET cache_object://front/info HTTP/1.1"), /403/],
    [request("PURGE /static/wire HTTP/1.1"), /403/],
    [request("GET /cdktf-ha-state HTTP/1.1", "front"), /403/],
    [request("GET / HTTP/1.1", SITE, "Content-Length: 5\r\nContent-Length: 6\r\n"), /40[0-9]|411/],
    [request("POST / HTTP/1.1", SITE, "Transfer-Encoding: chunked, identity\r\n"), /40[0-9]|411|501/],
  ];
  // a body that asks for something, and an answer that would be kept for everybody
  const kept = `/static/kept HTTP/1.1\r\nHost: ${SITE}\r\n`;
  refused.push([`GET ${kept}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`, /403/]);
  refused.push([`GET ${kept}Content-Length: 5\r\n\r\nhello`, /403|411/]);
  const found: [string, string][] = [];
  for (const [text] of refused) found.push([text, await raw(text)]);
  for (const [index, [text, pattern]] of refused.entries())
    expect([text, found[index]![1]]).toEqual([text, expect.stringMatching(pattern)]);
  // a visitor cannot make others see what was meant for another name
  const path = fresh("/static/poison-");
  await get(path, { headers: { "X-Forwarded-Host": "evil.example" } });
  expect((await get(path)).body).not.toContain("evil");
});

test("request smuggling: origins see as many requests as were answered, each with one length", async () => {
  const chunked = "Transfer-Encoding: chunked";
  const end = "0\r\n\r\n";
  let sample = 0;
  /** A request with both, whose body is or is followed by another request. */
  const both = (build: (inner: string) => [headers: string, body: string], version = "1.1"): string => {
    const inner = `GET /inner-${++sample} HTTP/1.1\r\nHost: ${SITE}\r\n\r\n`;
    const [headers, body] = build(inner);
    return `POST /outer-${sample} HTTP/${version}\r\nHost: ${SITE}\r\n${headers}\r\n\r\n${body}`;
  };
  const length = (text: string): string => `Content-Length: ${text.length}`;
  const follows =
    (encoding: string) =>
    (inner: string): [string, string] => [`${length(end + inner)}\r\n${encoding}`, end + inner];
  const samples = [
    both(follows(chunked)),
    both((inner) => [
      `${chunked}\r\nContent-Length: 4`,
      `${inner.length.toString(16)}\r\n${inner}\r\n${end}`,
    ]),
    both(follows("Transfer-Encoding:\tchunked")),
    both(follows("Transfer-Encoding: \x0bchunked")),
    both(follows("Transfer-Encoding:\r\n chunked")),
    both(follows("Transfer-Encoding : chunked")),
    both(follows("Transfer-Encoding: xchunked")),
    both(follows(`${chunked}\r\nTransfer-Encoding: identity`)),
    both(follows("X: y\rTransfer-Encoding: chunked")),
    both(follows(chunked), "1.0"),
    both((inner) => ["Content-Length: +5", `abcde${inner}`]),
    both((inner) => [`${length(inner)}\r\nContent-Length: 0`, inner]),
  ];
  const answers: number[] = [];
  for (const text of samples) answers.push(await answersWith200(text));
  const honest = `POST /honest HTTP/1.1\r\nHost: ${SITE}\r\n${chunked}\r\n\r\n5\r\nhello\r\n${end}`;
  expect(await answersWith200(honest)).toBe(1);
  const logs = await Promise.all(
    ["web-1", "web-2"].map(
      async (name) =>
        (await lab.machine(name).ssh("grep -E ' /(inner|outer|honest)' /var/log/nginx/seen.log || true"))
          .stdout,
    ),
  );
  const seen = logs.join("").trim().split("\n");
  for (const [index, answered] of answers.entries()) {
    const number = index + 1;
    const requests = seen.filter((line) => new RegExp(` /(inner|outer)-${number} `).test(line));
    expect([samples[index], requests.length]).toEqual([samples[index], answered]);
  }
  // the one whose chunks hold a request: it stays a body
  expect(seen.filter((line) => line.includes(" /inner-2 "))).toEqual([]);
  expect(seen.filter((line) => line.includes(" /outer-2 "))).toHaveLength(1);
  expect(seen.filter((line) => line.includes(" /honest "))).toHaveLength(1);
  for (const line of seen) expect(line).not.toMatch(/length=\d+ encoding=[^-]/);
});

test("those who are named may purge, on each node, and nobody else reaches that port", async () => {
  const { active } = await settle();
  const path = fresh("/static/purged-");
  await get(path);
  await get(path);
  expect(await fetches(path)).toBe(1);
  const purge = (): Promise<Answer> => get(path, { method: "PURGE", port: 3128, address: active.address });
  expect((await purge()).status).toBe(200);
  expect((await purge()).status).toBe(404);
  await get(path);
  expect(await fetches(path)).toBe(2);
  expect((await get("/squid-internal-mgr/info", { port: 3128, address: active.address })).status).toBe(403);
  const { stdout } = await active.ssh("curl -s http://127.0.0.1:3128/squid-internal-mgr/info | head -1");
  expect(stdout).toContain("Squid Object Cache");
});

test("everything below a path is removed at once, by HTTP and by HTTPS, and variants are fetched anew", async () => {
  const { active } = await settle();
  const tls = { ca: authority.certificate };
  const [shop, other] = [fresh("/static/shop-"), fresh("/static/other-")];
  const varied = fresh("/vary/");
  const at = (path: string, more: Parameters<typeof ask>[0] = {}): Promise<Answer> =>
    get(path, { address: active.address, ...more });
  const all = async (): Promise<number[]> => {
    for (const each of [undefined, tls])
      for (const path of [`${shop}/a?b=1`, other]) await at(path, { tls: each });
    for (const encoding of ["gzip, br", "br"]) await at(varied, { headers: { "Accept-Encoding": encoding } });
    await at(varied);
    return Promise.all([`${shop}/a?b=1`, other, varied].map(fetches));
  };
  expect(await all()).toEqual([2, 2, 3]);
  expect(await all()).toEqual([2, 2, 3]);
  const purge = async (urls: string): Promise<string> =>
    (await active.ssh(`/usr/local/lib/cdktf-ha/squid-purge ${urls}`)).stdout;
  // what was fetched a moment ago is on its way to the disk
  await waitUntil(
    async () => {
      const { stdout } = await active.ssh(
        `grep -rlaE '${shop}/a|${varied}' /var/spool/squid --include='0*' | wc -l`,
      );
      return Number(stdout) >= 5;
    },
    20,
    () => "objects are not on the disk",
  );
  expect(await purge(`'https://${SITE}${shop}/*' http://${SITE}${varied}`)).toBe(
    "1 objects removed, 3 fetched anew\n",
  );
  expect(await all()).toEqual([3, 2, 6]);
  expect(await purge(`'http://${SITE}${shop}*'`)).toBe("1 objects removed, 0 fetched anew\n");
  expect(await all()).toEqual([4, 2, 6]);
  await expect(active.ssh("/usr/local/lib/cdktf-ha/squid-purge http://www.example.net/")).rejects.toThrow(
    "answers 403",
  );
});

test("open ports are those of the matrix", async () => {
  const letIn = async (from: Name, to: Name): Promise<unknown> => {
    const { tcp, udp, protocols } = await portScan(lab.machine(from), ADDRESSES[to], {
      tcp: [22, 80, 443, 3128, 3130, 8080],
      udp: [3130, 4827],
      protocols: [112],
    });
    const both = ({ open, closed }: { open: number[]; closed: number[] }): number[] =>
      [...open, ...closed].sort((a, b) => a - b);
    const silent = udp as unknown as { filtered: number[] };
    return { tcp: both(tcp), udpFiltered: silent.filtered, protocols: both(protocols) };
  };
  const nothing = { tcp: [], udpFiltered: [3130, 4827], protocols: [] };
  expect(await letIn("stranger", "lb-1")).toEqual(nothing);
  expect(await letIn("client", "lb-1")).toEqual({ ...nothing, tcp: [80, 443] });
  expect(await letIn("web-2", "lb-1")).toEqual(nothing);
  expect(await letIn("client", "web-1")).toEqual(nothing);
  expect(await letIn("lb-2", "web-1")).toEqual({ ...nothing, tcp: [8080] });
  // a standby says nothing of protocol 112
  const { active, standby } = await settle();
  expect(await letIn(standby.name as Name, active.name as Name)).toMatchObject({
    tcp: [3128],
    protocols: [112],
  });
}, 600_000);

test("an origin added and removed under traffic: no request fails, the cache stays", async () => {
  const kept = fresh("/static/kept-");
  await get(kept);
  const more = await site({ origins: ["web-1", "web-2", "web-3"] }).prepare();
  const added = await underLoad(
    () => fresh("/page/"),
    () => more.deploy(),
  );
  report("an origin added", added);
  expect(added.failed).toEqual([]);
  const fewer = await site().prepare();
  const removed = await underLoad(
    () => fresh("/page/"),
    () => fewer.deploy(),
  );
  report("an origin removed", removed);
  expect(removed.failed).toEqual([]);
  expect(added.succeeded.some(({ body }) => body?.includes("web-3"))).toBe(true);
  await get(kept);
  expect(await fetches(kept)).toBe(1);
}, 600_000);

test("the configuration is read anew while visitors wait for a sibling that says nothing: none fails", async () => {
  const { active, standby } = await settle();
  const rules = "add table inet silent; add chain inet silent in { type filter hook input priority -300; }";
  const result = await underLoad(
    () => fresh("/page/"),
    async () => {
      await standby.ssh(`nft '${rules}; add rule inet silent in udp dport 3130 drop'`);
      // the first ones that wait give the sibling up in the moment in which it is read
      await delay(1600);
      await active.ssh("systemctl reload squid");
    },
  );
  await standby.ssh("nft delete table inet silent");
  report("a sibling that says nothing", result);
  expect(result.failed).toEqual([]);
  // they were many who waited in vain
  const { stdout } = await active.ssh("tail -n 1000 /var/log/squid/access.log | grep -c TIMEOUT_");
  expect(Number(stdout)).toBeGreaterThan(10);
});

test("a configuration that the parser refuses reaches nobody", async () => {
  const bad = await site({ tier: { extraLines: ["no_such_directive 1"] } }).prepare();
  const result = await underLoad("/static/wire", async () => {
    const outcome = await bad.apply();
    expect(outcome.ok).toBe(false);
    expect(outcome.output).toContain("unrecognized: 'no_such_directive'");
    expect(outcome.output).toContain("refused by squid -k parse; nothing was changed");
  });
  expect(result.failed).toEqual([]);
  await first.deploy();
}, 600_000);

test("two workers, another cache directory and another form: the standby first, the address moves, no request fails", async () => {
  const { active } = await settle();
  const changed = await site({ tier: { cache: WORKERS } }).prepare();
  const result = await underLoad(
    () => fresh("/page/"),
    () => changed.deploy(),
  );
  report("another cache directory", result);
  expect(result.failed).toEqual([]);
  for (const name of ["lb-1", "lb-2"]) {
    const { stdout } = await lab
      .machine(name)
      .ssh("ls /var/spool/squid-2; pgrep --count --full '^.squid-[0-9]'");
    expect(stdout).toBe("rock\n2\n");
  }
  const now = await settle();
  expect(now.active.name).not.toBe(active.name);
  // whichever process asks hears the sibling's answer, so that none waits in vain or takes it for dead; while it comes back some do
  let heard = "";
  await waitUntil(
    async () => {
      const below = fresh("/static/shared-");
      for (let i = 0; i < 40; i++) await get(fresh(`${below}/`), { address: now.active.address });
      ({ stdout: heard } = await now.active.ssh(
        `awk -v below=${below}/ 'index($0, below) { asked++ } index($0, below) && /TIMEOUT_/ { waited++ } END { print asked, waited + 0 }' /var/log/squid/access.log
        awk '/Starting Squid/ { split("", is) } /Detected (DEAD|REVIVED) Sibling/ { is[$3] = $5 } END { for (kid in is) if (is[kid] == "DEAD") print kid }' /var/log/squid/cache.log`,
      ));
      return heard === "40 0\n";
    },
    120,
    () => `asked, waited in vain, taken for dead by: ${heard}`,
    1000,
  );
}, 600_000);

test("a new certificate: shown to the next visitor, and of HTTPS, on new connections and on standing ones, no request fails", async () => {
  const tls = { ca: authority.certificate };
  const before = (await get("/static/wire", { tls })).certificate!.fingerprint256;
  const changed = await site({ version: "2", tier: { cache: WORKERS } }, 1).prepare();
  const agent = new https.Agent({ ...tls, keepAlive: true, maxSockets: 5, servername: SITE });
  let asked = 0;
  const kept = Load.start({
    request: (signal) => onStandingConnection(agent, "/static/wire", signal, () => asked++),
    perSecond: 10,
    timeoutMs: 30_000,
  });
  const result = await underLoad("/static/wire", () => changed.deploy(), 20, tls);
  const standing = await kept.stop();
  agent.destroy();
  report("a new certificate, each on a connection of its own", result);
  report("a new certificate, on standing connections", standing);
  const connections = new Set(standing.succeeded.map(({ body }) => body)).size;
  report("standing connections", `${connections} in all, 5 at a time; ${asked} requests asked once more`);
  expect(result.failed).toEqual([]);
  expect(standing.failed).toEqual([]);
  // both certificates were seen: the change was within the load
  expect(new Set(result.succeeded.map(({ body }) => body)).size).toBe(2);
  expect((await get("/static/wire", { tls })).certificate!.fingerprint256).not.toBe(before);
  const { stdout } = await lab.machine("lb-1").ssh("stat --format='%a %U:%G' /etc/squid/tls/site-1.pem");
  expect(stdout).toBe("640 root:proxy\n");
  await first.deploy();
}, 600_000);

test("an origin without power: some wait, none fails, and soon nobody waits", async () => {
  await settle();
  const result = await underLoad(
    () => fresh("/page/"),
    async () => {
      await lab.machine("web-2").cutPower();
      await delay(8000);
    },
  );
  report("an origin without power", result);
  process.stderr.write(`slowest answer ${Math.round(slowest(result))} ms\n`);
  expect(result.failed).toEqual([]);
  expect(slowest(result)).toBeLessThan(20_000); // 4 s by the settings; the rest is this computer's own slowness
  const after = await underLoad(
    () => fresh("/page/"),
    () => delay(3000),
  );
  report("afterwards", after);
  expect(after.failed).toEqual([]);
  // of two origins one has no power: else about every second request would wait
  expect(after.requests.filter(({ ms }) => ms > 2000).length).toBeLessThan(after.requests.length / 10);
});

test("an origin that accepts and never answers: found out by its path, and back when it answers", async () => {
  await settle();
  await site({ checkPath: "/alive" }).deploy();
  const hung = lab.machine("web-2");
  const result = await underLoad(
    () => fresh("/page/"),
    async () => {
      await hung.ssh("pkill -STOP -x nginx");
      let without = 0;
      await waitUntil(
        async () => {
          const started = performance.now();
          const { body } = await get(fresh("/page/"));
          // who waits is waiting for it
          without = body.includes("web-2") || performance.now() - started > 2000 ? 0 : without + 1;
          return without === 20;
        },
        60,
        () => "the origin that hangs is asked all the same",
      );
      await delay(2000);
    },
  );
  report("an origin that hangs", result);
  expect(result.failed).toEqual([]);
  const others = new Set(result.requests.slice(-40).map(({ body }) => body?.includes("web-2")));
  expect([...others]).toEqual([false]);
  await hung.ssh("pkill -CONT -x nginx");
  await waitUntil(
    async () => (await get(fresh("/page/")).catch(() => undefined))?.body.includes("web-2") === true,
    30,
    () => "the origin did not come back",
    200,
  );
  await first.deploy();
}, 600_000);

test("no origin at all: cached pages go on, others see the splash page; it recovers without a restart", async () => {
  const { active } = await settle();
  const [kept, stale] = [fresh("/static/kept-"), fresh("/short/stale-")];
  for (const path of [kept, stale]) expect((await get(path)).status).toBe(200);
  const started = async (): Promise<string> =>
    (await active.ssh("systemctl show --property=ActiveEnterTimestampMonotonic squid")).stdout;
  const before = await started();
  for (const name of ["web-1", "web-2"]) await lab.machine(name).cutPower();
  await delay(1500);
  const start = performance.now();
  const other = await get(fresh("/page/"), { timeoutSeconds: 60 });
  const took = Math.round(performance.now() - start);
  process.stderr.write(`no origin: the splash page after ${took} ms\n`);
  expect([502, 503, 504]).toContain(other.status);
  expect(other.body).toBe(SPLASH);
  expect(took).toBeLessThan(45_000); // 20 s by the settings
  expect((await get(kept)).status).toBe(200);
  expect((await get(stale, { timeoutSeconds: 30 })).status).toBe(200); // stale-if-error
  for (const name of ["web-1", "web-2"]) await lab.machine(name).powerOn();
  await settle();
  expect(await started()).toBe(before);
  const down = await get("/down");
  expect([down.status, down.body]).toEqual([503, SPLASH]);
}, 600_000);

test("squid killed: the address moves at once", async () => {
  const { active, standby } = await settle();
  await get("/static/wire", { address: standby.address }); // else it would ask for it at its dead sibling first
  const result = await underLoad(
    "/static/wire",
    async () => {
      await active.ssh("pkill -KILL -x squid");
      await waitUntil(
        () => hasAddress(standby, VIP),
        30,
        () => "the address did not move",
      );
    },
    100,
  );
  report("squid killed", result);
  expect(result.longestGapMs).toBeLessThan(20_000);
  await settle();
});

test("a squid that hangs: the address moves to one that answers", async () => {
  const { active, standby } = await settle();
  await active.ssh("pkill -STOP -x squid");
  await waitUntil(
    () => hasAddress(standby, VIP),
    40,
    () => "the address did not move",
  );
  await active.ssh("pkill -CONT -x squid");
  await settle();
});

test("power cut of the active proxy: the other one takes over; it comes back as standby", async () => {
  const { active, standby } = await settle();
  const kept = fresh("/static/kept-");
  await get(kept, { address: standby.address }); // else it would ask for it at its dead sibling first
  const load = Load.start({ url: `http://${VIP}${kept}`, perSecond: 100, headers: { Host: SITE } });
  await delay(500);
  await active.cutPower();
  await waitUntil(
    () => hasAddress(standby, VIP),
    30,
    () => "the address did not move",
  );
  await delay(1500);
  const result = await load.stop();
  report("power cut of the active proxy", result);
  expect(result.longestGapMs).toBeLessThan(20_000);
  await active.powerOn();
  expect((await settle()).active.name).toBe(standby.name);
});

test("a node that lost its cache is filled by its sibling: no origin is asked again", async () => {
  const { active, standby } = await settle();
  const paths = [...Array(5)].map(() => fresh("/static/lost-"));
  for (const path of paths) for (const { address } of [active, standby]) await get(path, { address });
  await standby.ssh(
    "systemctl stop squid && find /var/spool/squid -mindepth 1 -delete && systemctl start squid",
  );
  // systemd takes Squid for started a moment before it listens
  const listens = (): Promise<boolean> =>
    get("/static/alive", { address: standby.address }).then(
      () => true,
      () => false,
    );
  await waitUntil(listens, 30, () => "Squid does not come back", 200);
  for (const path of paths) expect((await get(path, { address: standby.address })).status).toBe(200);
  expect(await Promise.all(paths.map(fetches))).toEqual([1, 1, 1, 1, 1]);
  // the first time too, the standby had them from the active one
  await untilSiblingHits(standby, "/static/lost-", 10);
});
