import { HealthCheck, Peer, Port, Servers, ServerTls } from "cdktf-ha-clusters";
import type { BackendProps } from "cdktf-ha-clusters";
import { setTimeout as delay } from "node:timers/promises";
import type { Lab, LabMachine } from "../../machines/lab";
import { Load, type LoadResult } from "../../machines/load";
import { waitUntil } from "../../machines/run";
import { Deployment } from "../support/deployment";
import { ask, counted, type Answer } from "./support/ask";
import { awaitServers, report } from "./support/haproxy";
import { OperatorServer } from "./support/operator-server";
import { ADDRESSES, OPERATOR, roles, site, startSite, VIP } from "./support/site";

/** Which server a request goes to, and what becomes of it when that one is slow, full or dead. */
let lab: Lab;
let deployment: Deployment | undefined;
const servers = Object.fromEntries(
  ["a", "b", "c", "spare-1", "spare-2"].map((name) => [name, new OperatorServer(name)]),
);
const [a, b, c] = ["a", "b", "c"].map((name) => servers[name]!) as [
  OperatorServer,
  OperatorServer,
  OperatorServer,
];
const PORTS = {
  queue: 8001,
  impatient: 8002,
  weights: 8003,
  backup: 8004,
  states: 8005,
  pair: 8006,
  silent: 8007,
};

const at = (...names: string[]): Servers =>
  Servers.at(Object.fromEntries(names.map((name) => [name, servers[name]!.address])));

/** Two web servers of the rack at port 80, and servers of the operator's at ports of their own. */
function build(changes: Partial<Record<keyof typeof PORTS, Partial<BackendProps>>> = {}): Deployment {
  const backends: Record<keyof typeof PORTS, BackendProps> = {
    queue: { to: at("a", "b"), maximumConnectionsPerServer: 2 },
    impatient: { to: at("c"), maximumConnectionsPerServer: 1, queueTimeout: 0.5 },
    weights: { to: at("a", "b", "c"), servers: { a: { weight: 200 }, c: { weight: 50 } } },
    backup: {
      to: at("c", "spare-1", "spare-2"),
      servers: { "spare-1": { backup: true }, "spare-2": { backup: true } },
    },
    states: { to: at("a", "b"), servers: { b: { state: "maintenance" } } },
    pair: { to: at("a", "b") },
    silent: {
      to: Servers.at({ "web-1": `${ADDRESSES["web-1"]}:8090`, a: a.address }),
      check: HealthCheck.tcp(),
      servers: { a: { backup: true } },
    },
  };
  const declare = site(lab, {
    also: (lb, web) => {
      web.connections.allowFrom(lb.connections, Port.tcp(8090));
      for (const [name, port] of Object.entries(PORTS) as [keyof typeof PORTS, number][])
        lb.balance(name, {
          port,
          clients: [Peer.cidr(OPERATOR)],
          check: HealthCheck.http("/health"),
          checkInterval: 0.3,
          ...backends[name],
          ...changes[name],
        });
    },
  });
  deployment ??= new Deployment(`${lab.directory}/deployment`, declare);
  return deployment.changed(declare);
}

beforeAll(async () => {
  lab = await startSite(["lb-1", "lb-2", "web-1", "web-2"]);
  for (const server of Object.values(servers)) await server.start();
  // reads requests, and never answers
  await lab
    .machine("web-1")
    .ssh("systemd-run --quiet --unit=silent socat TCP-LISTEN:8090,fork,reuseaddr 'EXEC:sleep 300'");
  await build().deploy();
  await ready();
});
afterAll(async () => {
  for (const server of Object.values(servers)) server.stop();
  await lab.stop();
});
afterEach(() => {
  for (const server of Object.values(servers))
    Object.assign(server, { milliseconds: 0, healthy: true, breaks: undefined, arrived: 0, most: 0 });
});

const nodes = (): LabMachine[] => ["lb-1", "lb-2"].map((name) => lab.machine(name));

/** Everybody is up, and one node serves. */
async function ready(): Promise<void> {
  await roles(lab);
  await awaitServers(nodes(), {
    ...Object.fromEntries(["web/web-1", "web/web-2", "queue/a", "queue/b", "backup/c"].map((s) => [s, "UP"])),
  });
}

const many = (count: number, port: number): Promise<Answer[]> =>
  Promise.all([...Array(count)].map(() => ask({ port })));
const bodies = (answers: readonly Answer[]): Record<string, number> =>
  counted(answers.map(({ status, body }) => (status === 200 ? body.trim() : String(status))));

test("no server gets more requests at a time than it may; the others wait for their turn", async () => {
  a.milliseconds = b.milliseconds = 100;
  const answers = bodies(await many(40, PORTS.queue));
  expect(answers).toEqual({ a: expect.any(Number), b: expect.any(Number) });
  expect([a.most, b.most]).toEqual([2, 2]);
});

test("whoever waits too long for a free server is told so", async () => {
  c.milliseconds = 3000;
  const first = ask({ port: PORTS.impatient });
  await waitUntil(
    () => c.arrived === 1,
    5,
    () => "the first request did not arrive",
  );
  const start = performance.now();
  const second = await ask({ port: PORTS.impatient });
  const waited = performance.now() - start;
  expect(second.status).toBe(503);
  expect(waited).toBeGreaterThanOrEqual(450);
  expect(waited).toBeLessThan(2900); // not only when the first one was done
  expect((await first).status).toBe(200);
  expect(c.arrived).toBe(1);
});

test("weights are shares; a server without one has 100", async () => {
  const answers: Answer[] = [];
  for (let i = 0; i < 14; i++) answers.push(...(await many(25, PORTS.weights)));
  const shares = bodies(answers);
  report("weights 200, 100, 50", JSON.stringify(shares));
  expect(shares.a).toBeCloseTo(200, -1);
  expect(shares.b).toBeCloseTo(100, -1);
  expect(shares.c).toBeCloseTo(50, -1);
});

test("backup servers get requests, all of them, only while every other server is down", async () => {
  expect(bodies(await many(10, PORTS.backup))).toEqual({ c: 10 });
  c.healthy = false;
  await awaitServers(nodes(), { "backup/c": "DOWN" });
  expect(bodies(await many(10, PORTS.backup))).toEqual({ "spare-1": 5, "spare-2": 5 });
  c.healthy = true;
  await awaitServers(nodes(), { "backup/c": "UP" });
  expect(bodies(await many(10, PORTS.backup))).toEqual({ c: 10 });
});

test("a server that calls itself unwell gets no new requests, and may answer those it has", async () => {
  a.milliseconds = 5000;
  const slow = [ask({ port: PORTS.pair }), ask({ port: PORTS.pair })];
  await waitUntil(
    () => a.arrived === 1,
    5,
    () => "no request arrived at a",
  );
  a.healthy = false;
  await awaitServers(nodes(), { "pair/a": "DOWN" });
  expect(bodies(await many(10, PORTS.pair))).toEqual({ b: 10 });
  expect(bodies(await Promise.all(slow))).toEqual({ a: 1, b: 1 });
  a.healthy = true;
  await awaitServers(nodes(), { "pair/a": "UP" });
});

test.each(["close", "reset"] as const)(
  "a server that dies under a request (%s): a GET is answered by another one, a POST is never sent twice",
  async (end) => {
    a.breaks = end;
    expect(bodies(await many(10, PORTS.pair))).toEqual({ b: 10 });
    expect(a.arrived).toBeGreaterThan(0);
    a.arrived = b.arrived = 0;
    const posts = await Promise.all([...Array(10)].map(() => ask({ port: PORTS.pair, method: "POST" })));
    expect(counted(posts.map(({ status }) => String(status)))).toEqual({ 200: 5, 502: 5 });
    expect([a.arrived, b.arrived]).toEqual([5, 5]);
  },
);

describe("a server dies under a load of 200 requests a second", () => {
  /** Until every node has noticed; patient clients, so that what was late is told from what failed. */
  async function underLoad(die: () => Promise<unknown>): Promise<{ result: LoadResult; noticed: number }> {
    const load = Load.start({ url: `http://${VIP}/`, perSecond: 200, timeoutMs: 15_000 });
    try {
      await delay(500);
      await die();
      const noticed = await awaitServers(nodes(), { "web/web-1": "DOWN" });
      await delay(500);
      return { result: await load.stop(), noticed };
    } finally {
      await load.stop();
    }
  }

  test("its process: refused connections go to another server at once", async () => {
    const { result, noticed } = await underLoad(() =>
      lab.machine("web-1").ssh("systemctl kill --signal=KILL nginx"),
    );
    report(`web server killed, taken out after ${noticed} ms`, result);
    expect(result.failed).toEqual([]);
    expect(result.byServer()).toEqual({ "web-1": expect.any(Number), "web-2": expect.any(Number) });
    await lab.machine("web-1").ssh("systemctl restart nginx");
    await ready();
  });

  // Nobody answers for the machine any more. Until the checks have found out, every other connection waits two seconds
  // (`timeout connect`), then goes to another server.
  test("its machine: connections go to another server after two seconds, requests under way after eight", async () => {
    const start = performance.now();
    const [get, post] = ["GET", "POST"].map(async (method) => {
      const { status, body } = await ask({ port: PORTS.silent, method, timeoutSeconds: 40 });
      return { method, status, body: body.trim(), seconds: (performance.now() - start) / 1000 };
    });
    const { result, noticed } = await underLoad(() => lab.machine("web-1").cutPower());
    report(`web server's power cut, taken out after ${noticed} ms`, result);
    expect(result.failed).toEqual([]);
    const outcomes = [await get!, await post!];
    report("requests that were under way at it", JSON.stringify(outcomes));
    expect(outcomes).toMatchObject([
      { method: "GET", status: 200, body: "a" },
      { method: "POST", status: 502 },
    ]);
    for (const { seconds } of outcomes) expect(seconds).toBeLessThan(15);
    await lab.machine("web-1").powerOn();
    await ready();
  });
});

describe("what was said of a server", () => {
  const tell = (node: LabMachine, command: string): Promise<unknown> =>
    node.ssh(`echo '${command}' | socat - /run/haproxy/admin.sock`);
  /** What an operator has told every node. */
  async function stillHolds(): Promise<void> {
    await awaitServers(nodes(), { "weights/a": "UP", "weights/b": "MAINT", "weights/c": "UP" });
    for (const node of nodes()) {
      const { stdout } = await node.ssh("echo 'get weight weights/c' | socat - /run/haproxy/admin.sock");
      expect([node.name, stdout.trim()]).toEqual([node.name, "10 (initial 50)"]);
    }
  }

  test("by an operator holds through a reload and a restart", async () => {
    const { active, standby } = await roles(lab);
    for (const node of [active, standby]) {
      await tell(node, "set server weights/b state maint");
      await tell(node, "set server weights/c weight 10");
    }
    await active.ssh("systemctl reload haproxy");
    await standby.ssh("systemctl restart haproxy");
    await stillHolds();
    await ready();
  });

  test("holds after a crash of haproxy and after a power cut", async () => {
    await awaitServers(nodes(), { "states/a": "UP", "states/b": "MAINT" });
    const { active, standby } = await roles(lab);
    await standby.cutPower();
    await standby.powerOn();
    const pid = (await active.ssh("pgrep --oldest haproxy")).stdout;
    await active.ssh("pkill -KILL haproxy");
    await waitUntil(
      async () => {
        const now = await active.ssh("systemctl is-active haproxy && pgrep --oldest haproxy", {
          allowFailure: true,
        });
        return now.code === 0 && !now.stdout.endsWith(`\n${pid}`);
      },
      15,
      () => "haproxy did not come back",
    );
    await awaitServers(nodes(), { "states/a": "UP", "states/b": "MAINT" });
    await stillHolds();
    await ready();
  });

  test("holds through a push; but not against the code: a server at another port, and one that gets TLS", async () => {
    const check = HealthCheck.http("/health", { port: c.port });
    await build({ pair: { to: Servers.at({ a: c.address, b: c.address }) } }).deploy();
    expect(bodies(await many(10, PORTS.pair))).toEqual({ c: 10 });
    await stillHolds();
    // The server speaks no TLS, though its check is fine: plain requests would be answered.
    await build({
      pair: { to: Servers.at({ a: c.address, b: c.address }), check, serverTls: ServerTls.unverified() },
    }).deploy();
    expect(bodies(await many(10, PORTS.pair))).toEqual({ 503: 10 });
    await build().deploy();
    expect(bodies(await many(10, PORTS.pair))).toEqual({ a: 5, b: 5 });
  });
});
