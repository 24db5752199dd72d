import { CassandraInstallation, CassandraVersion, Java, Secret, Snapshots } from "cdktf-ha-clusters";
import type { CassandraRingProps } from "cdktf-ha-clusters";
import type { TerraformStack } from "cdktf";
import type { Lab } from "../../machines/lab";
import { Deployment } from "../support/deployment";
import {
  cql,
  CLIENT,
  figure,
  installed,
  isOpen,
  NODES,
  notesOf,
  RELEASE,
  ringOf,
  startRingSite,
  statesOf,
  VARIABLES,
} from "./support/ring-site";

/** A ring of one node: what it does by itself, and what it refuses to become. */
let lab: Lab;
let deployment: Deployment;
const NAME = "cassandra-1";
/** Days away: the test begins everything itself, whenever it runs. */
const DAY = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"][(new Date().getUTCDay() + 3) % 7]!;
const one: Partial<CassandraRingProps> = {
  nodes: [NAME],
  keyspaces: [{ name: "esmond", replicationFactor: 1 }],
  snapshots: Snapshots.directory("/srv/snapshots", { keep: 2, schedule: `${DAY} 05:00` }),
  repair: `${DAY} 03:00`,
};
const node = (): ReturnType<Lab["machine"]> => lab.machine(NAME);
const ring = (props: Partial<CassandraRingProps> = {}): Deployment =>
  deployment.changed(ringOf(lab, { ...one, ...props }));
const start = async (): Promise<string> =>
  (await node().ssh("systemctl show --property=ActiveEnterTimestampMonotonic cassandra")).stdout;

beforeAll(async () => {
  lab = await startRingSite({ [NAME]: NODES[NAME], "cassandra-2": NODES["cassandra-2"] });
  deployment = new Deployment(`${lab.directory}/deployment`, ringOf(lab, one), VARIABLES);
});
afterAll(() => lab.stop());

test("an archive that is not the one that was checked is not unpacked; the right one is run", async () => {
  const archive = "/srv/apache-cassandra-bin.tar.gz";
  const { stdout } = await node().ssh(
    `tar --create --gzip --directory /opt --file ${archive} cassandra-${RELEASE} && sha256sum ${archive} | cut -d ' ' -f 1`,
    { timeoutSeconds: 120 },
  );
  const wrong = await ring({
    installation: CassandraInstallation.archive(RELEASE, archive, { sha256: "0".repeat(64) }),
  }).apply();
  expect(wrong.ok).toBe(false);
  expect(wrong.output).toContain("has not the SHA-256");
  const right = { installation: CassandraInstallation.archive(RELEASE, archive, { sha256: stdout.trim() }) };
  const { seconds } = await ring(right).deploy();
  figure(`deploy of one node from an archive: ${seconds.toFixed(0)} s`);
  expect(await statesOf(node())).toEqual({ [NAME]: "UN" });
  const { stdout: command } = await node().ssh("ps -o args= -C java");
  expect(command).toContain(`/opt/cassandra/${RELEASE}/lib`);
  Object.assign(one, right);
}, 1_200_000);

test.each<[string, Partial<CassandraRingProps>, RegExp]>([
  ["another cluster name", { clusterName: "Other Cluster" }, /belongs to the cluster 'Esmond Cluster'/],
  ["another datacenter", { datacenter: "elsewhere" }, /is in datacenter datacenter1, rack rack-1/],
  ["another number of tokens", { numTokens: 4 }, /has 16 tokens/],
  ["a heap that does not fit", { heapMiB: 900_000 }, /does not fit into this machine's/],
  ["a Java that is not there", { java: Java.openjdk(11) }, /runs on Java|openjdk-11/],
  [
    "a directory without Java",
    { java: Java.at("/opt/none") },
    /runs on Java 17 or 11; this machine has none/,
  ],
  [
    "a day that no week has",
    { repair: "Sonday 03:00" },
    /refused by systemd[^]*Sonday|Sonday[^]*refused by systemd/,
  ],
])("%s is refused on the machine, before anything is touched", async (_, props, words) => {
  const before = await start();
  const outcome = await ring(props).apply();
  expect(outcome.ok).toBe(false);
  expect(outcome.output).toMatch(words);
  expect(await start()).toBe(before);
});

test("a snapshot is restored, rows and schema; older ones go", async () => {
  await cql(
    node(),
    "CREATE TABLE esmond.measured (id int PRIMARY KEY, value text)",
    ...[...Array(50).keys()].map((id) => `INSERT INTO esmond.measured (id, value) VALUES (${id}, 'v${id}')`),
  );
  await ring().deploy();
  for (let count = 0; count < 3; count++) {
    await node().ssh("sleep 1; systemctl start cassandra-snapshot.service");
  }
  const { stdout } = await node().ssh(`ls /srv/snapshots/${NAME}`);
  const tags = stdout.trim().split("\n");
  expect(tags).toHaveLength(2);
  // hard links of finished snapshots would keep deleted files for ever
  expect((await node().ssh("nodetool listsnapshots")).stdout).toContain("There are no snapshots");
  await cql(node(), "DROP TABLE esmond.measured");
  expect(await restored(tags[1]!)).toMatch(/there is no table esmond.measured/);
  await node().ssh(
    `sed -n '/CREATE TABLE esmond.measured/,/;$/p' /srv/snapshots/${NAME}/${tags[1]}/schema.cql >/root/measured.cql && ` +
      'python3 -B /usr/local/lib/cdktf-ha/cassandra/ring.py cql "$(cat /root/measured.cql)"',
  );
  expect(await restored(tags[1]!)).toContain(`restored esmond.measured of ${tags[1]}`);
  const rows = await cql(node(), "SELECT id, value FROM esmond.measured");
  expect(rows).toHaveLength(50);
  expect(rows).toContain("7\tv7");
}, 400_000);

async function restored(tag: string): Promise<string> {
  const { stdout, stderr } = await node().ssh(
    `/usr/local/lib/cdktf-ha/cassandra/restore ${tag} esmond 2>&1`,
    {
      allowFailure: true,
    },
  );
  return stdout + stderr;
}

test("the weekly repair is a timer; a node whose turn it is not waits", async () => {
  const { stdout } = await node().ssh(
    "systemctl show --property=TimersCalendar,Persistent cassandra-repair.timer",
  );
  expect(stdout).toContain(`OnCalendar=${DAY} *-*-* 03:00:00`);
  await cql(
    node(),
    "INSERT INTO cdktf_ha.locks (name, holder) VALUES ('upkeep', 'cassandra-9 1') USING TTL 45",
  );
  await node().ssh("systemctl start cassandra-repair.service", { timeoutSeconds: 200 });
  const notes = (await notesOf(lab, [NAME])).map(({ text }) => text);
  expect(notes).toContainEqual("waits for cassandra-9, which holds the lock 'upkeep'");
  expect(notes).toContainEqual("weekly repair of esmond done");
}, 360_000);

test("a weekly repair that fails is tried again", async () => {
  const run = "/usr/local/lib/cdktf-ha/cassandra";
  await node().ssh(
    `set -e; mv ${run}/nodetool ${run}/nodetool.away; printf '#!/bin/bash\nexit 1\n' >${run}/nodetool; chmod 755 ${run}/nodetool`,
  );
  const { stdout } = await node().ssh(
    "systemctl start cassandra-repair.service; systemctl show --property=ActiveState,SubState,RestartUSec cassandra-repair.service",
    { timeoutSeconds: 120 },
  );
  await node().ssh(`mv ${run}/nodetool.away ${run}/nodetool; systemctl stop cassandra-repair.service`);
  expect(stdout.trim().split("\n").sort()).toEqual([
    "ActiveState=activating",
    "RestartUSec=30min",
    "SubState=auto-restart",
  ]);
}, 360_000);

test("a new password of the superuser, a role that leaves the code, writes that need no log", async () => {
  const durable = (): Promise<string[]> =>
    cql(node(), "SELECT durable_writes FROM system_schema.keyspaces WHERE keyspace_name = 'esmond'");
  expect(await durable()).toEqual([expect.stringMatching(/^true$/i)]);
  const changed = (stack: TerraformStack): void =>
    ringOf(lab, {
      ...one,
      keyspaces: [{ name: "esmond", replicationFactor: 1, durableWrites: false }],
      roles: [],
      superuser: { password: Secret.variable(stack, "ring-password-2") },
    })(stack);
  await deployment.changed(changed, { ...VARIABLES, "ring-password-2": "a new 'one'" }).deploy();
  expect(await cql(node(), "SELECT role FROM system_auth.roles")).toEqual(
    expect.not.arrayContaining(["esmond"]),
  );
  expect(await cql(node(), "SELECT role FROM system_auth.roles")).toContain("admin");
  expect(await durable()).toEqual([expect.stringMatching(/^false$/i)]);
}, 400_000);

test("data of some other life are not joined over", async () => {
  await lab.machine("cassandra-2").ssh("mkdir -p /var/lib/cassandra/data/precious/rows-1");
  const build = (stack: TerraformStack): void =>
    ringOf(lab, {
      ...one,
      nodes: [NAME, "cassandra-2"],
      installation: installed(RELEASE),
      roles: [],
      superuser: { password: Secret.variable(stack, "ring-password-2") },
    })(stack);
  const outcome = await deployment.changed(build, { ...VARIABLES, "ring-password-2": "a new 'one'" }).apply();
  expect(outcome.ok).toBe(false);
  expect(outcome.output).toMatch(/holds keyspaces of some other life \(precious\)/);
  expect((await lab.machine("cassandra-2").ssh("ls /var/lib/cassandra/data")).stdout).toBe("precious\n");
  expect(await statesOf(node())).toEqual({ [NAME]: "UN" });
}, 600_000);

test("3.11 with Thrift: 9160 is open to declared clients, and to nobody else", async () => {
  const other = new Deployment(
    `${lab.directory}/thrift`,
    ringOf(lab, {
      nodes: ["cassandra-2"],
      version: CassandraVersion.V3_11,
      installation: CassandraInstallation.directory("3.11.19", "/opt/cassandra-3.11.19"),
      thrift: true,
      keyspaces: [],
      roles: [],
    }),
    VARIABLES,
  );
  const machine = lab.machine("cassandra-2");
  await machine.ssh(
    "cdktf-ha release; systemd-run --quiet --unit=thrift socat TCP-LISTEN:9160,fork,reuseaddr -",
  );
  await other.prepare();
  const base = /terraform_data\.(\S*cassandra-2_base_run_\w+)/.exec(
    (await other.terraform("plan", "-input=false")).output,
  );
  await other.terraform("apply", "-auto-approve", "-input=false", `-target=terraform_data.${base![1]}`);
  const address = NODES["cassandra-2"];
  expect(await isOpen(lab.machine("client"), address, 9160)).toBe(true);
  expect(await isOpen(node(), address, 9160)).toBe(false);
  expect(await isOpen(lab.machine("stranger"), address, 9160)).toBe(false);
  expect(CLIENT).toBe(lab.machine("client").address);
});
