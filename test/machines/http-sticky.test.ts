import { mkdir } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import {
  Algorithm,
  HealthCheck,
  Peer,
  Secret,
  Servers,
  Stickiness,
  Tls,
  type ServerSettings,
} from "cdktf-ha-clusters";
import type { Lab, LabMachine } from "../../machines/lab";
import { Load, type LoadResult } from "../../machines/load";
import { waitUntil } from "../../machines/run";
import { Deployment } from "../support/deployment";
import { ask, counted, type Answer } from "./support/ask";
import { Authority } from "./support/certificates";
import { awaitServers, connectionRetries, report } from "./support/haproxy";
import { OperatorServer } from "./support/operator-server";
import { hasAddress, OPERATOR, roles, site, startSite, VIP } from "./support/site";

/** Clients come back to the server that knows them: through changes of the code, dead servers and dead load balancers. */
let lab: Lab;
let deployment: Deployment;
let certificate: string;
const servers = Object.fromEntries(["a", "b", "c", "d"].map((name) => [name, new OperatorServer(name)]));
const PORTS = { cookie: 8001, source: 8002, path: 8003, browser: 8443 };
/** Addresses of clients, all of this computer. */
const SOURCES = [...Array(20)].map((_, index) => `10.77.0.${200 + index}`);

interface Changes {
  readonly names?: readonly string[];
  readonly settings?: Readonly<Record<string, ServerSettings>>;
  readonly page?: string;
}

function build({ names = ["a", "b", "c"], settings, page = "" }: Changes = {}): Deployment {
  const common = {
    to: Servers.at(Object.fromEntries(names.map((name) => [name, servers[name]!.address]))),
    check: HealthCheck.http("/health"),
    checkInterval: 0.3,
    clients: [Peer.cidr(OPERATOR), Peer.cidr("10.77.0.128/25")],
  };
  return deployment.changed(
    site(lab, {
      page: ({ name }) => `${name}${page}\n`,
      // two checks that fail while the only server restarts would make it one that is down
      checkInterval: 5,
      stickiness: Stickiness.cookie(),
      also: (lb, _web, stack) => {
        const { cookie, source, path, browser } = PORTS;
        lb.balance("cookie", {
          ...common,
          port: cookie,
          stickiness: Stickiness.cookie("ID"),
          servers: settings,
        });
        lb.balance("source", {
          ...common,
          port: source,
          stickiness: Stickiness.sourceAddress({ minutes: 30 }),
        });
        lb.balance("path", { ...common, port: path, algorithm: Algorithm.uri() });
        lb.balance("browser", {
          ...common,
          port: browser,
          stickiness: Stickiness.cookie(),
          tls: Tls.certificate(Secret.variable(stack, "certificate")),
        });
      },
    }),
    { certificate },
  );
}

beforeAll(async () => {
  lab = await startSite(["lb-1", "lb-2", "web-1", "web-2"]);
  for (const source of SOURCES)
    await lab.run("ip", ["address", "add", `${source}/24`, "dev", lab.bridgeOf(OPERATOR)]);
  for (const server of Object.values(servers)) await server.start();
  await mkdir(`${lab.directory}/certificates`);
  const authority = await Authority.create(`${lab.directory}/certificates`, "public");
  certificate = (await authority.issue("www.example.net")).bundle;
  deployment = new Deployment(`${lab.directory}/deployment`, () => undefined);
  await build().deploy();
  await ready("a", "b", "c");
});
afterAll(async () => {
  for (const server of Object.values(servers)) server.stop();
  await lab.stop();
});

const nodes = (): LabMachine[] => ["lb-1", "lb-2"].map((name) => lab.machine(name));

/** Everybody is up, and one node serves. */
async function ready(...names: readonly string[]): Promise<void> {
  await roles(lab);
  await awaitServers(
    nodes().filter(({ isOn }) => isOn),
    Object.fromEntries(
      ["cookie", "source", "path"].flatMap((b) => names.map((name) => [`${b}/${name}`, "UP"])),
    ),
  );
}

/** Cuts the active node's power; returns when the other one serves. */
async function failOver(): Promise<LabMachine> {
  const { active, standby } = await roles(lab);
  await active.cutPower();
  await waitUntil(
    () => hasAddress(standby, VIP),
    30,
    () => "the address did not move",
  );
  return active;
}

/** A client with a memory for one cookie. */
class Visitor {
  cookie?: string;

  constructor(private readonly port: number) {}

  async ask(signal?: AbortSignal): Promise<Answer> {
    const headers: Record<string, string> = this.cookie === undefined ? {} : { Cookie: this.cookie };
    const answer = await ask({ port: this.port, headers, signal });
    const [given] = answer.headers["set-cookie"] ?? [];
    if (given !== undefined) this.cookie = given.split(";")[0];
    return answer;
  }

  async server(): Promise<string> {
    const { status, body } = await this.ask();
    return status === 200 ? body.trim() : String(status);
  }

  /** One that this server knows. */
  static async of(server: string, port = PORTS.cookie): Promise<Visitor> {
    for (let attempt = 0; attempt < 20; attempt++) {
      const visitor = new Visitor(port);
      if ((await visitor.server()) === server) return visitor;
    }
    throw new Error(`no new client came to ${server}`);
  }

  /** One of each server, one after the other: clients that come in step with the balancer's turns meet the same server each time. */
  static async ofEach(...servers: readonly string[]): Promise<Visitor[]> {
    const found: Visitor[] = [];
    for (const server of servers) found.push(await Visitor.of(server));
    return found;
  }
}

describe("a cookie", () => {
  let visitors: Record<string, Visitor>;
  const served = async (): Promise<Record<string, string>> =>
    Object.fromEntries(
      await Promise.all(
        Object.entries(visitors).map(async ([name, visitor]) => [name, await visitor.server()] as const),
      ),
    );

  test("is given once, to the browser alone: scripts do not see it, caches do not keep it, servers never hear of it", async () => {
    const visitor = new Visitor(PORTS.cookie);
    const first = await visitor.ask();
    const server = first.body.trim();
    expect(first.headers["set-cookie"]).toEqual([`ID=${server}; path=/; HttpOnly; SameSite=Lax`]);
    expect(first.headers["cache-control"]).toBe("max-age=60, private");
    const second = await visitor.ask();
    expect(second.headers).not.toHaveProperty("set-cookie");
    expect(second.headers["cache-control"]).toBe("max-age=60");
    expect(servers[server]!.last?.headers).not.toHaveProperty("cookie");
  });

  test("is for encrypted requests only, where there are no others", async () => {
    const { headers } = await ask({ port: PORTS.browser, tls: { rejectUnauthorized: false } });
    expect(headers["set-cookie"]).toEqual([
      expect.stringMatching(/^SRV=[abc]; path=\/; HttpOnly; Secure; SameSite=Lax$/),
    ]);
  });

  test("leads back to the same server; new clients are spread", async () => {
    const names = await Promise.all([...Array(30)].map(() => new Visitor(PORTS.cookie).server()));
    expect(counted(names)).toEqual({ a: 10, b: 10, c: 10 });
    const [a, b, c] = await Visitor.ofEach("a", "b", "c");
    visitors = { a: a!, b: b!, c: c! };
    for (let i = 0; i < 10; i++) expect(await served()).toEqual({ a: "a", b: "b", c: "c" });
  });

  test("of a server that is dead leads to another one, which keeps the client", async () => {
    servers.b!.stop();
    // at once: nobody has noticed yet
    const other = await visitors.b!.server();
    expect(other).toMatch(/^[ac]$/);
    await awaitServers(nodes(), { "cookie/b": "DOWN" });
    expect(await served()).toEqual({ a: "a", b: other, c: "c" });
    await servers.b!.start();
    await ready("a", "b", "c");
    expect(await served()).toEqual({ a: "a", b: other, c: "c" });
    visitors.b = await Visitor.of("b");
  });

  test("of nobody's is replaced", async () => {
    const visitor = new Visitor(PORTS.cookie);
    visitor.cookie = "ID=x' OR 1";
    expect(await visitor.server()).toMatch(/^[abc]$/);
    expect(visitor.cookie).toMatch(/^ID=[abc]$/);
  });

  test("survives the load balancer's death", async () => {
    const dead = await failOver();
    for (let i = 0; i < 3; i++) expect(await served()).toEqual({ a: "a", b: "b", c: "c" });
    await dead.powerOn();
    await ready("a", "b", "c");
  });
});

describe("an address", () => {
  const served = async (): Promise<Record<string, string>> =>
    Object.fromEntries(
      await Promise.all(
        SOURCES.map(async (from) => [from, (await ask({ port: PORTS.source, from })).body.trim()] as const),
      ),
    );
  let first: Record<string, string>;
  const untilTold = async (node: LabMachine, addresses: readonly string[]): Promise<void> => {
    let table = "";
    await waitUntil(
      async () => {
        ({ stdout: table } = await node.ssh("echo 'show table source' | socat - /run/haproxy/admin.sock"));
        // the table has addresses as IPv6 has them
        return addresses.every((address) => table.includes(`:${address} `));
      },
      30,
      () => `${node.name} has not been told of all addresses: ${table}`,
    );
  };

  test("leads back to the same server; new clients are spread", async () => {
    first = await served();
    expect(new Set(Object.values(first))).toEqual(new Set(["a", "b", "c"]));
    expect(await served()).toEqual(first);
  });

  test("is known to the other node, and to one that was dead while it came", async () => {
    // the one that was just dead
    for (const node of nodes()) await untilTold(node, SOURCES);
    const late = `10.77.0.${200 + SOURCES.length}`;
    await lab.run("ip", ["address", "add", `${late}/24`, "dev", lab.bridgeOf(OPERATOR)]);
    const dead = await failOver();
    expect(await served()).toEqual(first);
    const one = (): Promise<string> =>
      ask({ port: PORTS.source, from: late }).then(({ body }) => body.trim());
    const server = await one();
    await dead.powerOn();
    await ready("a", "b", "c");
    await untilTold(dead, [...SOURCES, late]);
    await failOver();
    expect(await served()).toEqual(first);
    expect([await one(), await one(), await one()]).toEqual([server, server, server]);
    for (const node of nodes()) if (!node.isOn) await node.powerOn();
    await ready("a", "b", "c");
  });
});

describe("changes of the code", () => {
  const PATHS = [...Array(60)].map((_, index) => `/cached/${index}`);
  const byPath = async (): Promise<string[]> =>
    Promise.all(PATHS.map(async (path) => (await ask({ port: PORTS.path, path })).body.trim()));
  const bySource = async (): Promise<string[]> =>
    Promise.all(SOURCES.map(async (from) => (await ask({ port: PORTS.source, from })).body.trim()));
  const byCookie = async (visitors: readonly Visitor[]): Promise<string[]> =>
    Promise.all(visitors.map((visitor) => visitor.server()));

  test("servers that come, go or are drained leave the clients of the others where they are", async () => {
    const visitors = await Visitor.ofEach("a", "b", "c");
    const [sources, paths] = [await bySource(), await byPath()];
    expect(new Set(paths)).toEqual(new Set(["a", "b", "c"]));

    // a newcomer before all others
    await build({ names: ["d", "a", "b", "c"], settings: { a: { state: "drain" } } }).deploy();
    await awaitServers(nodes(), { "cookie/d": "UP", "source/d": "UP", "path/d": "UP", "cookie/a": "DRAIN" });
    expect(await byCookie(visitors)).toEqual(["a", "b", "c"]);
    expect(await bySource()).toEqual(sources);
    const fresh = await Promise.all([...Array(30)].map(() => new Visitor(PORTS.cookie).server()));
    expect(counted(fresh)).toEqual({ b: 10, c: 10, d: 10 });
    // by a hash, a newcomer takes its share and nothing else moves
    const more = await byPath();
    const moved = PATHS.filter((_, index) => more[index] !== paths[index]);
    report("a fourth server takes over", `${moved.length} of ${PATHS.length} paths`);
    expect(new Set(moved.map((path) => more[PATHS.indexOf(path)]))).toEqual(new Set(["d"]));
    expect(moved.length).toBeLessThan(PATHS.length / 2);

    await build({ names: ["d", "a", "c"] }).deploy();
    await awaitServers(nodes(), { "cookie/d": "UP", "cookie/a": "UP" });
    const [a, b, c] = await byCookie(visitors);
    expect([a, c]).toEqual(["a", "c"]);
    expect(b).toMatch(/^[acd]$/);
    const left = await bySource();
    expect(left.filter((name, index) => sources[index] !== "b" && name !== sources[index])).toEqual([]);
    expect(left).not.toContain("b");
    const less = await byPath();
    expect(PATHS.filter((_, index) => less[index] !== more[index] && more[index] !== "b")).toEqual([]);
  });

  /** Requests of these clients in turn, while servers change. */
  async function changeUnderLoad(page: string, client: (turn: number) => Visitor): Promise<LoadResult> {
    const changed = await build({ names: ["d", "a", "c"], page }).prepare();
    let turn = 0;
    const load = Load.start({
      perSecond: 100,
      timeoutMs: 15_000,
      request: async (signal) => {
        const { status, body } = await client(turn++).ask(signal);
        return { ok: status === 200, status, body };
      },
    });
    try {
      await delay(500);
      const { steps } = await changed.deploy();
      expect(steps.filter((step) => /site\] (re)?started/.test(step))).toHaveLength(2);
      await delay(500);
    } finally {
      await load.stop();
    }
    return load.stop();
  }

  test("a server that changes hands its clients to another one: none fails, none waits", async () => {
    const visitors = [await Visitor.of("web-1", 80), await Visitor.of("web-2", 80)];
    const retried = await connectionRetries(nodes(), "web");
    const result = await changeUnderLoad(" again", (turn) => visitors[turn % 2]!);
    report("sticky clients while their servers change", result);
    expect(result.failed).toEqual([]);
    // a request to a server that is being restarted would be tried again, a second later
    expect(await connectionRetries(nodes(), "web")).toBe(retried);
    // both went to the second server while the first one changed, then stayed with the first one
    expect(Object.keys(result.byServer()).sort()).toEqual(["web-1", "web-1 again", "web-2"]);
    await awaitServers(nodes(), { "web/web-1": "UP", "web/web-2": "UP" });
  });

  test("the only server that can serve is not taken out for its change: requests wait for it", async () => {
    await lab.machine("web-2").ssh("systemctl stop nginx");
    await awaitServers(nodes(), { "web/web-2": "DOWN" });
    const result = await changeUnderLoad(" and again", () => new Visitor(80));
    report("new clients while the only server changes", result);
    expect(result.failed).toEqual([]);
    await awaitServers(nodes(), { "web/web-1": "UP", "web/web-2": "UP" });
  });
});
