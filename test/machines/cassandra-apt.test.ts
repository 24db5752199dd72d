import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import {
  CassandraInstallation,
  MetricsAgent,
  Peer,
  type AptProps,
  type CassandraRingProps,
} from "cdktf-ha-clusters";
import { Lab, type LabMachine } from "../../machines/lab";
import { waitUntil } from "../../machines/run";
import { Deployment } from "../support/deployment";
import {
  agentJar,
  CLIENT,
  cql,
  figure,
  HEAVY_ROWS,
  heavyRows,
  isOpen,
  NODES,
  RELEASE,
  ringOf,
  ringPython,
  saidAt,
  startsOf,
  statesOf,
  throttle,
  VARIABLES,
  whoIsNotNormal,
  untilStates,
} from "./support/ring-site";

/**
 * A ring without the internet: Cassandra by apt from a mirror of the site's own, the metrics' agent from there too. One token each,
 * so that nodes can move.
 */
const OLD = "5.0.5";
const MIRROR = "10.77.0.91";
const NAMES = ["cassandra-1", "cassandra-2"] as const;
const [FIRST, SECOND] = NAMES;
let lab: Lab;
let deployment: Deployment;
let keys: string;
let agent: MetricsAgent;
const node = (name: string): LabMachine => lab.machine(name);

const apt = (release: string, props: AptProps = {}): CassandraInstallation =>
  CassandraInstallation.apt(release, { mirror: `http://${MIRROR}`, keys, ...props });

const ring = (props: Partial<CassandraRingProps> = {}): Deployment =>
  deployment.changed(
    ringOf(lab, {
      nodes: [FIRST],
      numTokens: 1,
      keyspaces: [{ name: "esmond", replicationFactor: 1 }],
      installation: apt(OLD),
      metrics: { agent, clients: [Peer.cidr(CLIENT)] },
      ...props,
    }),
  );

beforeAll(async () => {
  const bare = (address: string): { address: string; diskMiB: number } => ({
    address: `${address}/24`,
    diskMiB: 2048,
  });
  lab = await Lab.start(
    {
      [FIRST]: bare(NODES[FIRST]),
      [SECOND]: bare(NODES[SECOND]),
      client: { address: `${CLIENT}/24` },
      stranger: { address: "10.77.0.41/24" },
    },
    { flavour: "tests" },
  );
  const layer = join(lab.directory, "mirror");
  const served = join(layer, "srv/mirror");
  mkdirSync(served, { recursive: true });
  execFileSync(join(__dirname, "support/cassandra/apt-repository.sh"), [served, OLD, RELEASE]);
  keys = readFileSync(join(served, "KEYS"), "utf8");
  copyFileSync(agentJar(), join(served, "agent.jar"));
  const sha256 = createHash("sha256")
    .update(readFileSync(join(served, "agent.jar")))
    .digest("hex");
  agent = MetricsAgent.download(`http://${MIRROR}/agent.jar`, { sha256 });
  const mirror = await lab.add("mirror", { address: `${MIRROR}/24`, layers: [layer] });
  await mirror.ssh("systemd-run --quiet --unit=mirror python3 -m http.server --directory /srv/mirror 80");
  // what a machine trusts for its own packages says nothing about Cassandra
  for (const name of NAMES) {
    await node(name).ssh(
      `rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*; echo 'deb [trusted=yes] http://${MIRROR}/decoy ./' >/etc/apt/sources.list.d/decoy.list`,
    );
  }
  deployment = new Deployment(`${lab.directory}/deployment`, () => undefined, VARIABLES);
}, 360_000);
afterAll(() => lab.stop());

const isThere = async (path: string): Promise<boolean> =>
  (await node(FIRST).ssh(`test -e ${path}`, { allowFailure: true })).code === 0;

test.each<[string, () => Partial<CassandraRingProps>, RegExp]>([
  [
    "an index that another key has signed",
    () => ({ installation: apt(OLD, { mirror: `http://${MIRROR}/forged` }) }),
    /NO_PUBKEY[^]*could not be read/,
  ],
  [
    "a package that is not what the index says",
    () => ({ installation: apt(OLD, { mirror: `http://${MIRROR}/damaged` }) }),
    /Hash Sum mismatch[^]*could not be downloaded/,
  ],
  [
    "a release that the repository has not",
    () => ({ installation: apt("5.0.4") }),
    /has no cassandra 5\.0\.4; it has: .*5\.0\.6/,
  ],
  [
    "a line that the repository has not",
    () => ({ installation: apt(OLD, { suite: "cassandra-5" }) }),
    /cassandra-5 could not be read/,
  ],
  [
    "an agent that is not the one that was checked",
    () => ({
      metrics: {
        agent: MetricsAgent.download(`http://${MIRROR}/agent.jar`, { sha256: "0".repeat(64) }),
        clients: [Peer.cidr(CLIENT)],
      },
    }),
    /has not the SHA-256/,
  ],
])("%s is refused, and nothing of it is there", async (_, props, words) => {
  const outcome = await ring(props()).apply();
  expect(outcome.ok).toBe(false);
  expect(outcome.output).toMatch(words);
  const { stdout } = await node(FIRST).ssh(
    `ls /opt/cassandra | grep --invert-match --fixed-strings "${basename(agent.path)}" || true`,
  );
  expect(stdout).toBe("");
  expect(await isThere("/etc/systemd/system/cassandra.service")).toBe(false);
});

test("a node from the signed index: unpacked, not installed, so no script and no upgrade of a package's touches it", async () => {
  const { seconds } = await ring().deploy();
  figure(`deploy of one node by apt: ${seconds.toFixed(0)} s`);
  expect(await statesOf(node(FIRST))).toEqual({ [FIRST]: "UN" });
  const { stdout: command } = await node(FIRST).ssh("ps -o args= -C java");
  expect(command).toContain(`/opt/cassandra/${OLD}/lib`);
  expect(await isThere(`/opt/cassandra/${OLD}/apache-cassandra-${OLD}.jar`)).toBe(true);
  for (const path of ["/etc/init.d/cassandra", "/usr/sbin/cassandra", "/run/package-was-installed"]) {
    expect([path, await isThere(path)]).toEqual([path, false]);
  }
  // an upgrade of everything, with newer ones on offer that the machine trusts
  const before = await startsOf(lab, [FIRST]);
  const { stdout } = await node(FIRST).ssh(
    "apt-get --quiet update && apt-cache policy cassandra && apt-get --yes --quiet dist-upgrade && dpkg-query --list cassandra; nodetool version",
    { timeoutSeconds: 120 },
  );
  expect(stdout).toMatch(/Installed: \(none\)\s+Candidate: 9\.9\.9/);
  expect(stdout).toContain(`ReleaseVersion: ${OLD}`);
  expect(await startsOf(lab, [FIRST])).toEqual(before);
}, 600_000);

/** What a machine reads of a node's metrics; nothing where it is not let in. */
async function metricsOf(from: string, name: string): Promise<string> {
  const { stdout } = await node(from).ssh(
    `curl --silent --max-time 60 http://${NODES[name as keyof typeof NODES]}:7070/metrics`,
    { allowFailure: true },
  );
  return stdout;
}

test("metrics are read by those who were named, and by nobody else", async () => {
  await cql(
    node(FIRST),
    "CREATE TABLE esmond.measured (id int PRIMARY KEY, value text)",
    ...[...Array(17).keys()].map((id) => `INSERT INTO esmond.measured (id, value) VALUES (${id}, 'v')`),
  );
  const text = await metricsOf("client", FIRST);
  const start = performance.now();
  await metricsOf("client", FIRST);
  figure(
    `metrics: ${text.split("\n").length} lines, ${(text.length / 1024).toFixed(0)} KiB, in ${((performance.now() - start) / 1000).toFixed(1)} s`,
  );
  expect(text).toMatch(
    /^cassandra_table_writelatency_count\{keyspace="esmond",table="measured",?\} 17(\.0)?$/m,
  );
  expect(text).toMatch(/^cassandra_clientrequest_latency_count\{scope="Write",?\} \d/m);
  expect(text).toMatch(/^cassandra_storage_load_count \d/m);
  // what Cassandra keeps under an older name as well
  expect(text).not.toContain("columnfamily");
  for (const stranger of ["stranger", SECOND]) {
    expect([stranger, await isOpen(node(stranger), NODES[FIRST], 7070)]).toEqual([stranger, false]);
  }
  const { stdout } = await node(FIRST).ssh("ss --tcp --listening --numeric --no-header 'sport = :7070'");
  expect(stdout.trim().split("\n")).toHaveLength(1);
  expect(stdout).toMatch(new RegExp(`${NODES[FIRST]}\\]?:7070`));
}, 400_000);

test("no node is stopped, and none leaves, while another one joins; the metrics' rules change without a restart", async () => {
  // a copy of each row for the second node, which comes at 1 Mbit/s
  await heavyRows(node(FIRST), "esmond");
  await cql(
    node(FIRST),
    "ALTER KEYSPACE esmond WITH replication = {'class': 'NetworkTopologyStrategy', 'datacenter1': 2}",
  );
  await throttle(node(FIRST), true);
  // somebody has started a Cassandra there before, as a cluster of its own
  await node(SECOND).ssh(
    "mkdir -p /var/lib/cassandra/data/system/local-1 /var/lib/cassandra/commitlog && touch /var/lib/cassandra/data/system/local-1/token",
  );
  const before = await startsOf(lab, [FIRST]);
  const rules = "rules:\n  - pattern: 'java.lang<type=Runtime><>Uptime'\n    name: uptime\n";
  const larger = await ring({
    nodes: NAMES,
    metrics: { agent, clients: [Peer.cidr(CLIENT)], rules },
  }).prepare();
  const joined = larger.apply();
  try {
    await waitUntil(
      async () => (await statesOf(node(FIRST)))[SECOND] === "UJ",
      240,
      () => "it never joins",
      2000,
    );
    expect(await whoIsNotNormal(node(FIRST))).toMatch(`stop: ${NODES[SECOND]} is UJ`);
    const leaving = await ringPython(node(FIRST), "ring.wait_until_others_are_normal(0)", {
      allowFailure: true,
    });
    expect(leaving.stderr).toMatch(`a node only leaves while all others are there: ${NODES[SECOND]} is UJ`);
    expect((await statesOf(node(FIRST)))[SECOND]).toBe("UJ");
  } finally {
    await throttle(node(FIRST), false);
    const outcome = await joined;
    expect([outcome.ok, outcome.ok ? "" : outcome.output.slice(-3000)]).toEqual([true, ""]);
  }
  for (const name of NAMES) expect(await statesOf(node(name))).toEqual({ [FIRST]: "UN", [SECOND]: "UN" });
  expect(await startsOf(lab, [FIRST])).toEqual(before);
  for (const name of NAMES) expect(await metricsOf("client", name)).toMatch(/^uptime \d/m);
  const { stdout: aside } = await node(SECOND).ssh("cd /var/lib/cassandra && find . -name token");
  expect(aside).toMatch(/^\.\/stray-\w+\/data\/system\/local-1\/token\n$/);
}, 1_200_000);

test("a new release is installed beside the old one, and no node changes to it while one moves", async () => {
  const installation = apt(RELEASE);
  const newer = await ring({ nodes: NAMES, installation }).prepare();
  const token = await farToken();
  await Promise.all(NAMES.map((name) => throttle(node(name), true)));
  await node(SECOND).ssh(`systemd-run --quiet --unit=moves --remain-after-exit nodetool move -- ${token}`);
  await waitUntil(
    async () => (await statesOf(node(FIRST)))[SECOND] === "UM",
    120,
    () => "it never moves",
    1000,
  );
  const [first, second, leaving] = await Promise.all([
    whoIsNotNormal(node(FIRST)),
    whoIsNotNormal(node(SECOND)),
    ringPython(node(SECOND), "ring.wait_until_others_are_normal(0)", { allowFailure: true }),
  ]);
  expect([first, second]).toEqual([
    expect.stringContaining(`stop: ${NODES[SECOND]} is UM`),
    expect.stringContaining(`stop: ${NODES[SECOND]} is UM`),
  ]);
  expect(leaving.stderr).toContain("this node is moving");
  const upgraded = newer.apply();
  let still: string | undefined;
  try {
    // the release is there, and what is left to do is to restart
    await waitUntil(
      () => isThere(`/opt/cassandra/${RELEASE}/lib`),
      240,
      () => "the release does not come",
      300,
    );
    still = (await statesOf(node(FIRST)))[SECOND];
  } finally {
    await Promise.all(NAMES.map((name) => throttle(node(name), false)));
    const outcome = await upgraded;
    figure(`the second node was ${still} when the release was there`);
    figure(`upgrade of two nodes by apt, one of them moving: ${outcome.seconds.toFixed(0)} s`);
    expect([outcome.ok, outcome.ok ? "" : outcome.output.slice(-3000)]).toEqual([true, ""]);
  }
  // it was not cut off by the other one's restart
  const { stdout: moved } = await node(SECOND).ssh("systemctl show --property=ExecMainStatus --value moves");
  expect(moved).toBe("0\n");
  const moments: number[] = [];
  for (const name of NAMES) {
    moments.push(
      await saidAt(node(name), "DRAINED"),
      await saidAt(node(name), "Starting listening for CQL clients"),
    );
  }
  expect(moments).not.toContain(NaN);
  expect(moments).toEqual([...moments].sort((a, b) => a - b));
  for (const name of NAMES) {
    expect((await node(name).ssh("nodetool version; ls /opt/cassandra")).stdout).toMatch(
      new RegExp(`ReleaseVersion: ${RELEASE}[^]*${OLD}[^]*${RELEASE}`),
    );
    await untilStates(node(name), { [FIRST]: "UN", [SECOND]: "UN" });
  }
  // each row has its one copy, wherever that is now
  expect(await cql(node(FIRST), "SELECT id FROM esmond.heavy")).toHaveLength(HEAVY_ROWS);
}, 1_200_000);

test("a node does not leave below the copies of a keyspace, nor where its rows would fill another one's disk", async () => {
  const smaller = ring({ installation: apt(RELEASE) });
  const copies = (count: number): Promise<unknown> =>
    cql(
      node(FIRST),
      `ALTER KEYSPACE esmond WITH replication = {'class': 'NetworkTopologyStrategy', 'datacenter1': ${count}}`,
    );
  const refused = async (words: RegExp): Promise<void> => {
    const outcome = await smaller.apply();
    expect(outcome.ok).toBe(false);
    expect(outcome.output).toMatch(words);
    for (const name of NAMES) expect(await statesOf(node(name))).toEqual({ [FIRST]: "UN", [SECOND]: "UN" });
  };
  await copies(2);
  await refused(/keyspace esmond has 2 copies in datacenter1, where 1 nodes would be left/);
  await copies(1);
  // as much as the node has, and half of it has to stay free; only for as long as it is noted
  await node(FIRST).ssh(
    `set -e; own=$(df --block-size=1M --output=avail /var/lib/cassandra | tail -n 1)
     fallocate --length $((own - ${await dataMiB(SECOND)}))MiB /var/lib/cassandra/full
     python3 -B /usr/local/lib/cdktf-ha/cassandra/ring.py settle; rm /var/lib/cassandra/full`,
  );
  await refused(/this node holds \d+ MiB.*one of them has \d+ MiB free, of which half has to stay free/);
}, 800_000);

async function dataMiB(name: string): Promise<number> {
  const { stdout } = await node(name).ssh(
    "du --summarize --block-size=1M /var/lib/cassandra/data | cut -f 1",
  );
  return Number(stdout);
}

/** Where the second node has to move so that half of all rows at least go with it: as close to the first one as can be. */
async function farToken(): Promise<bigint> {
  const tokenOf = async (name: string): Promise<bigint> =>
    BigInt((await node(name).ssh("nodetool info | awk '/^Token/ { print $3 }'")).stdout.trim());
  const [first, second] = [await tokenOf(FIRST), await tokenOf(SECOND)];
  // the second one has what lies between the first one and itself
  const share = BigInt.asUintN(64, second - first);
  return BigInt.asIntN(64, share > 1n << 63n ? first + 1000n : first - 1000n);
}
