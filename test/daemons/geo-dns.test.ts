import { spawn, spawnSync } from "node:child_process";
import * as http from "node:http";
import * as net from "node:net";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { renderChecks, renderZones, type GeoZone } from "../../lib/geo-dns/geo-zone";
import { planOf } from "../../lib/geo-dns/geo-plan";
import { testWithNeeds } from "../support/needs";

/** What the name servers' own program takes out of a zone, and when. */
const PYTHON = "/usr/bin/python3"; // the computer's own, which has the packages
const withPython = testWithNeeds([
  () => (spawnSync(PYTHON, ["-c", "import yaml"]).status === 0 ? undefined : "python3-yaml is not installed"),
]);
const PROGRAM = join(__dirname, "../../lib/geo-dns/on-machine/geo-dns.py");
const PRELUDE = `
import importlib.util, json, sys
spec = importlib.util.spec_from_file_location("geo_dns", ${JSON.stringify(PROGRAM)})
geo = importlib.util.module_from_spec(spec)
spec.loader.exec_module(geo)
given = json.load(sys.stdin)
`;
let directory: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "cdktf-ha-geo-"));
  writeFileSync(join(directory, "cdktf-ha-zones.yaml"), renderZones([ZONE]));
  writeFileSync(join(directory, "cdktf-ha-checks.json"), renderChecks([ZONE], []));
});
afterAll(() => rmSync(directory, { recursive: true }));

const NAME = "www.movember.com";
const ZONE: GeoZone = {
  site: { name: NAME, protocol: "HTTP", port: 80, path: "/" },
  ttl: 30,
  plan: planOf(
    [
      { name: "uk", addresses: ["10.1.0.90"], places: [{ kind: "country", code: "GB" }] },
      {
        name: "us",
        addresses: ["10.2.0.90", "2001:db8:2::90"],
        places: [{ kind: "continent", code: "NA" }],
      },
      { name: "au", addresses: ["10.3.0.90"], places: [{ kind: "country", code: "AU" }] },
    ],
    "us",
  ),
  networks: { "10.9.0.0/16": "au" },
  nextNearest: { au: ["uk"] },
  check: { interval: 1, timeout: 1, fall: 3, rise: 2 },
  nameServers: [{ hostName: "ns1.movember.com", address: "10.1.0.53" }],
};

/** Runs Python that has the program as `geo` and prints JSON; a process of its own, so that servers of this one can answer. */
function python<Result>(code: string, given: unknown): Promise<Result> {
  return new Promise((resolve, reject) => {
    const child = spawn(PYTHON, ["-c", PRELUDE + code], { stdio: ["pipe", "pipe", "pipe"] });
    let out = "";
    let words = "";
    child.stdout.on("data", (data) => (out += String(data)));
    child.stderr.on("data", (data) => (words += String(data)));
    child.on("close", (status) =>
      status === 0 ? resolve(JSON.parse(out) as Result) : reject(new Error(words)),
    );
    child.stdin.end(JSON.stringify(given));
  });
}

interface Domain {
  readonly records: Readonly<Record<string, Readonly<Record<string, string>>[]>>;
  readonly custom_mapping: Readonly<Record<string, string>>;
}

/** Places by region, and addresses by region, while these addresses are down. */
async function without(down: readonly string[]): Promise<{ mapping: object; addresses: object }> {
  const { domains } = await python<{ domains: [Domain] }>(
    `geo.ETC = ${JSON.stringify(directory)}\nprint(json.dumps(geo.zones_without({${JSON.stringify(NAME)}: given})))`,
    down,
  );
  const { records, custom_mapping: mapping } = domains[0];
  const regional = Object.entries(records).filter(([name]) => name.includes("._geo."));
  return {
    mapping,
    addresses: Object.fromEntries(
      regional.map(([name, own]) => [name.split(".")[0], own.flatMap((record) => Object.values(record))]),
    ),
  };
}

const MAPPING = { "country-gb": "uk", "continent-na": "us", "country-au": "au" };
const [UK, US, US6, AU] = ["10.1.0.90", "10.2.0.90", "2001:db8:2::90", "10.3.0.90"];
const ADDRESSES = { uk: [UK], us: [US, US6], au: [AU], unknown: [US, US6] };

withPython.each([
  ["nothing", [], MAPPING, ADDRESSES],
  [
    "a region: its place is nobody's, so the continent's or the default one is next",
    [UK],
    { "continent-na": "us", "country-au": "au" },
    { ...ADDRESSES, uk: [US, US6] },
  ],
  ["a region with a next nearest one", [AU], { ...MAPPING, "country-au": "uk" }, { ...ADDRESSES, au: [UK] }],
  ["that one too", [AU, UK], { "continent-na": "us" }, { ...ADDRESSES, uk: [US, US6], au: [US, US6] }],
  ["one address of two", [US6], MAPPING, { ...ADDRESSES, us: [US], unknown: [US] }],
  [
    "the default region",
    [US, US6],
    { "country-gb": "uk", "country-au": "au" },
    { ...ADDRESSES, us: [UK], unknown: [UK] },
  ],
  ["everything: then it stays", [UK, US, US6, AU], MAPPING, ADDRESSES],
  ["what is there no longer", ["10.8.0.90"], MAPPING, ADDRESSES],
] as const)("down: %s", async (_, down, mapping, addresses) => {
  expect(await without(down)).toEqual({ mapping, addresses });
});

const BOTH = { uk: ["1.1.1.1", "2001:db8::1"], us: ["2.2.2.2", "2001:db8::2"] };
const FOUR = { uk: ["1.1.1.1", "2001:db8::1"], us: ["2.2.2.2"] };

withPython.each([
  ["the IPv4 of a region: its visitors would have none", BOTH, ["1.1.1.1"], {}, BOTH.us],
  ["the IPv6 of a region", BOTH, ["2001:db8::1"], {}, BOTH.us],
  [
    "all of the IPv6: every region is without it",
    BOTH,
    ["2001:db8::1", "2001:db8::2"],
    { gb: "uk" },
    ["1.1.1.1"],
  ],
  [
    "half of each: together they have both",
    BOTH,
    ["1.1.1.1", "2001:db8::2"],
    { gb: "uk" },
    ["2001:db8::1", "2.2.2.2"],
  ],
  ["the IPv4 of the default region, where others have only that", FOUR, ["1.1.1.1"], {}, ["2.2.2.2"]],
  ["the only IPv6", FOUR, ["2001:db8::1"], { gb: "uk" }, ["1.1.1.1"]],
] as const)("down, with two families: %s", async (_, regions, down, mapping, addresses) => {
  const domain = { domain: NAME, records: {}, custom_mapping: { gb: "uk" } };
  const found = await python<Domain>(
    `domain, check, down = given
geo.take_out(domain, check, down)
print(json.dumps(domain))`,
    [domain, { regions, next_nearest: {}, default: "uk" }, down],
  );
  const own = (name: string): string[] =>
    found.records[`${name}._geo.${NAME}`]!.flatMap((record) => Object.values(record));
  expect([found.custom_mapping, own("uk"), own("unknown")]).toEqual([mapping, addresses, addresses]);
});

withPython("a round of checks that fails is not the last one", async () => {
  const found = await python<{ rounds: number; words: string[] }>(
    `
rounds, words = [], []
def start(self):
    rounds.append(self)
    if len(rounds) == 3: raise SystemExit
    raise RuntimeError("can't start new thread")
geo.threading.Thread.start, geo.note, geo.time.sleep = start, words.append, lambda seconds: None
check = {"name": "www", "regions": {"uk": ["a"]}, "fall": 3, "rise": 2, "interval": 1, "timeout": 1}
try:
    geo.Watch(check, [], lambda: None).run()
except SystemExit:
    print(json.dumps({"rounds": len(rounds), "words": words}))`,
    {},
  );
  expect(found.rounds).toBe(3);
  expect(found.words[0]).toBe(`www: not checked, tried again: RuntimeError("can't start new thread")`);
});

withPython("so many checks in a row, and not before: down after three, up after two", async () => {
  // 1 is a good answer; after each check, is the address down?
  const rows: [checks: string, down: string][] = [
    ["1111", "...."],
    ["1001", "...."],
    ["10001", "...x" + "x"],
    ["00011", "..xx."],
    ["0001010", "..xxxxx"],
    ["00100", "....."],
  ];
  const found = await python<string[]>(
    `
check = {"name": "www", "regions": {"uk": ["a"]}, "fall": 3, "rise": 2}
def run(checks):
    watch = geo.Watch(check, [], lambda: None)
    geo.note = lambda text: None
    down = ""
    for each in checks:
        watch.judge({"a": each == "1"})
        down += "x" if watch.down else "."
    return down
print(json.dumps([run(checks) for checks in given]))`,
    rows.map(([checks]) => checks),
  );
  expect(found).toEqual(rows.map(([, down]) => down));
});

withPython("an answer in time with 2xx or 3xx is a good one, and nothing else is", async () => {
  const status = (code: number): net.Server =>
    http.createServer((request, response) => {
      const isRight = request.headers.host === NAME && request.url === "/alive" && request.method === "GET";
      response.writeHead(isRight ? code : 500, { Location: "https://www.movember.com/" }).end();
    });
  const saying = (talk: (socket: net.Socket) => void): net.Server =>
    net.createServer((socket) => {
      socket.on("error", () => undefined);
      talk(socket);
    });
  const drips = saying((socket) => {
    const timer = setInterval(() => socket.write("X"), 100);
    socket.on("close", () => clearInterval(timer));
  });
  const cases: [net.Server, boolean][] = [
    [status(200), true],
    [status(204), true],
    [status(302), true],
    [status(404), false],
    [status(503), false],
    [saying((socket) => socket.end("SSH-2.0-OpenSSH\r\n")), false],
    [saying(() => undefined), false],
    [saying((socket) => socket.destroy()), false],
    [drips, false],
  ];
  const ports: number[] = [];
  for (const [server] of cases) {
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    ports.push((server.address() as net.AddressInfo).port);
  }
  try {
    const found = await python<{ good: boolean; seconds: number }[]>(
      `
import time
def run(port):
    start = time.monotonic()
    check = {"name": "www.movember.com", "protocol": "http", "path": "/alive", "timeout": 2, "port": port}
    return {"good": geo.answers("127.0.0.1", check), "seconds": time.monotonic() - start}
print(json.dumps([run(port) for port in given]))`,
      ports,
    );
    expect(found.map(({ good }) => good)).toEqual(cases.map(([, good]) => good));
    // two seconds, and what a busy computer adds
    expect(Math.max(...found.map(({ seconds }) => seconds))).toBeLessThan(20);
  } finally {
    for (const [server] of cases) server.close();
  }
});
