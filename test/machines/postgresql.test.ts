import { HealthCheck, HaproxyKeepalivedPair, Peer, Servers, VirtualIp } from "cdktf-ha-clusters";
import type { Lab, LabMachine } from "../../machines/lab";
import { waitUntil } from "../../machines/run";
import { Deployment } from "../support/deployment";
import { counted } from "./support/ask";
import { filesThatHold } from "./support/disclosure";
import { awaitServers, report } from "./support/haproxy";
import { PLAIN_PORT, startReplicas } from "./support/replicas";
import { ADDRESSES, rackOf, roles, startSite, VIP } from "./support/site";
import { psql } from "./support/sql-client";

/** PostgreSQL's replicas behind the pair, for reading: nobody manages them, the load balancer asks them itself. */
let lab: Lab;
const REPLICAS = ["db-2", "db-3"] as const;
const PASSWORD = "0123456789abcdef";

const nodes = (): LabMachine[] => ["lb-1", "lb-2"].map((name) => lab.machine(name));

beforeAll(async () => {
  lab = await startSite(["lb-1", "lb-2", "db-1", "db-2", "db-3", "client"], "tests");
  const deployment = new Deployment(`${lab.directory}/deployment`, (stack) => {
    const lb = new HaproxyKeepalivedPair(stack, "lb", {
      platform: rackOf(stack, lab),
      virtualIp: VirtualIp.layer2(`${VIP}/24`),
      maximumConnections: 1000,
    });
    lb.balance("reads", {
      port: 5432,
      to: Servers.at(Object.fromEntries(REPLICAS.map((name) => [name, `${ADDRESSES[name]}:${PLAIN_PORT}`]))),
      mode: "tcp",
      check: HealthCheck.postgresql(),
      clients: [Peer.cidr(ADDRESSES.client)],
    });
  });
  await Promise.all([
    startReplicas(
      lab.machine("db-1"),
      REPLICAS.map((name) => lab.machine(name)),
      PASSWORD,
    ),
    deployment.deploy(),
  ]);
  await roles(lab);
  await awaitServers(nodes(), { "reads/db-2": "UP", "reads/db-3": "UP" });
});
afterAll(() => lab.stop());

/** Which server answers a new client, whether it is a replica, and what it holds. */
const read = (): Promise<string> =>
  psql(
    lab.machine("client"),
    { host: VIP, port: 5432, password: PASSWORD },
    "select host(inet_server_addr()), pg_is_in_recovery(), count(*) from things",
  );

/** Output of a query on the machine itself. */
async function sqlOn(machine: LabMachine, query: string): Promise<string> {
  const psql = `sudo -u postgres psql -XAt --port ${PLAIN_PORT}`;
  return (await machine.ssh(`cd /; ${psql}`, { input: query })).stdout.trim();
}

test("clients come to each replica in turn", async () => {
  const answers: string[] = [];
  for (let i = 0; i < 6; i++) answers.push(await read());
  expect(counted(answers)).toEqual({ "10.77.0.52|t|10": 3, "10.77.0.53|t|10": 3 });
});

test("one that crashes is left out, noticed or not, and comes back when it has started", async () => {
  const replica = lab.machine("db-2");
  await replica.ssh("pg_ctlcluster 15 plain stop --mode=immediate");
  for (let i = 0; i < 4; i++) expect(await read()).toBe("10.77.0.53|t|10");
  await awaitServers(nodes(), { "reads/db-2": "DOWN" });
  for (let i = 0; i < 4; i++) expect(await read()).toBe("10.77.0.53|t|10");
  await replica.ssh("pg_ctlcluster 15 plain start");
  await awaitServers(nodes(), { "reads/db-2": "UP" });
  expect(new Set([await read(), await read()]).size).toBe(2);
});

test("one that loses power: new clients are handed to the other one, those who were connected are told", async () => {
  const [client, replica] = [lab.machine("client"), lab.machine("db-2")];
  // two sessions at once, so that one of them is at the replica
  const session = `psql -XAtq --host ${VIP} --username app -c "select host(inet_server_addr())" -c "select pg_sleep(25)" postgres`;
  const sessions = client.ssh(
    `export PGPASSWORD=${PASSWORD}; for i in 1 2; do timeout 50 ${session} 2>&1 & done; wait`,
    { timeoutSeconds: 70 },
  );
  await waitUntil(
    async () =>
      (await sqlOn(replica, "select count(*) from pg_stat_activity where query ~ '^select pg_sleep'")) ===
      "1",
    20,
    () => "no session at the replica",
    200,
  );
  await replica.cutPower();
  const noticed = awaitServers(nodes(), { "reads/db-2": "DOWN" });
  const answers: string[] = [];
  for (let i = 0; i < 10; i++) answers.push(await read().catch(String));
  report("replica's power cut, noticed after", `${await noticed} ms`);
  // whoever is just being connected to it when it is found dead is cut off, too
  const failed = answers.filter((answer) => answer !== "10.77.0.53|t|10");
  expect(failed).toEqual(failed.length ? [expect.stringContaining("server closed the connection")] : []);
  const { stdout } = await sessions;
  expect(stdout).toMatch(/EOF detected|server closed the connection unexpectedly/);
  expect(stdout.match(/^10.77.0.5[23]$/gm)?.sort()).toEqual(["10.77.0.52", "10.77.0.53"]);
});

test("one whose pg_hba.conf does not let the load balancers in is left out", async () => {
  const replica = lab.machine("db-3");
  const letIn = (who: string): Promise<unknown> =>
    replica.ssh(
      `sed -i 's|^host all all 10.*|host all all ${who} scram-sha-256|' /etc/postgresql/15/plain/pg_hba.conf
      pg_ctlcluster 15 plain reload`,
    );
  await letIn(`${ADDRESSES.client}/32`); // who never comes from there: it comes by the load balancers
  await awaitServers(nodes(), { "reads/db-3": "DOWN" });
  await letIn("10.77.0.0/24");
  await awaitServers(nodes(), { "reads/db-3": "UP" });
});

test("the user of the checks is nobody: no such role, no file that anybody may read", async () => {
  const role = "select count(*) from pg_roles where rolname = 'haproxy_check'";
  expect(await psql(lab.machine("client"), { host: VIP, port: 5432, password: PASSWORD }, role)).toBe("0");
  for (const node of nodes()) {
    expect(await filesThatHold(node, "haproxy_check", "root")).toContain("/etc/haproxy/haproxy.cfg");
    expect(await filesThatHold(node, "haproxy_check", "anybody")).toEqual([]);
  }
});
