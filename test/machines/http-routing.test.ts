import { once } from "node:events";
import * as http from "node:http";
import type { Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { HaproxyKeepalivedPair, HealthCheck, Peer, Secret, Servers, VirtualIp } from "cdktf-ha-clusters";
import type { Lab } from "../../machines/lab";
import { portScan } from "../../machines/ports";
import { run, waitUntil } from "../../machines/run";
import { Deployment } from "../support/deployment";
import { ask, type Answer, type Question } from "./support/ask";
import { filesThatHold } from "./support/disclosure";
import { awaitServers } from "./support/haproxy";
import { OperatorServer } from "./support/operator-server";
import { ADDRESSES, OPERATOR, rackOf, roles, startSite, VIP } from "./support/site";

/** Several listeners on one pair: where requests go, what servers are told of them, and who may look at it. */
let lab: Lab;
let deployment: Deployment;
const NAMES = ["home", "shop", "shop-api", "tenants", "api", "images", "asset"] as const;
type ServerName = (typeof NAMES)[number];
const servers = Object.fromEntries(NAMES.map((name) => [name, new OperatorServer(name)])) as Record<
  ServerName,
  OperatorServer
>;
/** Everything that ends a word, a quote or a comment somewhere on its way. */
const PASSWORD = 'a "b" \\c $HOME ${d} %{e} #f';
const STATISTICS = 8404;
const nodes = ["lb-1", "lb-2"] as const;

/** One server for each backend, so that the answer tells where the request went. */
function build(maximumConnections = 4000): Deployment {
  return deployment.changed(
    (stack) => {
      const clients = [Peer.cidr(OPERATOR)];
      const lb = new HaproxyKeepalivedPair(stack, "lb", {
        platform: rackOf(stack, lab),
        virtualIp: VirtualIp.layer2(`${VIP}/24`),
        maximumConnections,
        statistics: { password: Secret.variable(stack, "password"), clients },
      });
      const backend = (name: ServerName, mode: "http" | "tcp" = "http", id: string = name) =>
        lb.backend(id, {
          to: Servers.at({ [name]: servers[name].address }),
          mode,
          check: HealthCheck.http("/health"),
          checkInterval: 0.5,
        });
      const [home, api] = [backend("home"), backend("api")];
      lb.listen("public", home, { port: 80, clients })
        .route({ host: "shop.example.net", path: "/api" }, backend("shop-api"))
        .route({ host: "shop.example.net" }, backend("shop"))
        .route({ host: "*.tenants.example.net" }, backend("tenants"))
        .route({ path: "/api" }, api)
        .route({ path: "/images/" }, backend("images"));
      lb.listen("internal", api, {
        port: 8080,
        clients,
        forwardedHeaders: false,
        hideHeaders: ["X-Powered-By", "Server"],
      });
      lb.listen("raw", backend("asset", "tcp"), { port: 8081, clients });
      const sockets = lb.backend("sockets", {
        to: Servers.at({ home: servers.home.address }),
        serverTimeout: 1,
      });
      lb.listen("sockets", sockets, { port: 8082, clients, clientTimeout: 1 });
      // a proxy before the proxy: what the second one says of the client comes from the first one
      const inner = lb.listen("inner", home, { port: 8083, acceptProxyProtocol: true });
      lb.connections.allowFrom(lb.connections, ...inner.ports);
      const outer = lb.backend("outer", {
        to: Servers.at({ inner: `${VIP}:8083` }),
        proxyProtocol: true,
        check: HealthCheck.http("/health"), // gets through to home, where it is not to be taken for a client's
      });
      lb.listen("outer", outer, { port: 8084, clients });
    },
    { password: PASSWORD },
  );
}

beforeAll(async () => {
  lab = await startSite(["lb-1", "lb-2", "stranger"], "tests");
  for (const server of Object.values(servers)) await server.start();
  deployment = new Deployment(`${lab.directory}/deployment`, () => undefined);
  await build().deploy();
  await roles(lab);
  await ready();
});
afterAll(async () => {
  for (const server of Object.values(servers)) server.stop();
  await lab.stop();
});

const ready = (): Promise<number> =>
  awaitServers(
    nodes.map((name) => lab.machine(name)),
    { ...Object.fromEntries(NAMES.map((name) => [`${name}/${name}`, "UP"])), "outer/inner": "UP" },
  );

/** Name of the server that answers. */
async function answers(question: Question): Promise<string> {
  const { status, body } = await ask({ port: 80, ...question });
  return status === 200 ? body.trim() : String(status);
}

describe("where a request goes", () => {
  test("by host: this name in whatever case and at whatever port, every name below a domain, else home", async () => {
    const to = (name: string): Promise<string> => answers({ name });
    expect(await to("shop.example.net")).toBe("shop");
    expect(await to("SHOP.Example.Net:8000")).toBe("shop");
    expect(await to("a.tenants.example.net")).toBe("tenants");
    expect(await to("a.b.TENANTS.example.net:80")).toBe("tenants");
    expect(await to("tenants.example.net")).toBe("home");
    expect(await to("other.tenants.example.net.evil.example")).toBe("home");
    expect(await to("myshop.example.net")).toBe("home");
    expect(await to("shop.example.net.evil.example")).toBe("home");
  });

  test("by path: this one and all below it, not what only begins alike", async () => {
    const to = (path: string): Promise<string> => answers({ path });
    expect(await to("/api")).toBe("api");
    expect(await to("/api/v1/things?x=/images/")).toBe("api");
    expect(await to("/api?x=1")).toBe("api");
    expect(await to("/apiary")).toBe("home");
    expect(await to("/images/a.png")).toBe("images");
    expect(await to("/images")).toBe("home"); // a folder was asked for
    expect(await to("/?path=/api")).toBe("home");
    // as clients of proxies write it
    expect(await answers({ name: "www.example.net", path: "http://www.example.net/api/a" })).toBe("api");
  });

  test("by both, and the first route that fits is taken", async () => {
    expect(await answers({ name: "shop.example.net", path: "/api/cart" })).toBe("shop-api");
    expect(await answers({ name: "shop.example.net", path: "/images/a.png" })).toBe("shop");
    expect(await answers({ name: "other.example.net", path: "/api/cart" })).toBe("api");
  });

  test("each listener has its own default; one that reads no HTTP passes it on as it is", async () => {
    expect(await answers({ port: 8080, path: "/images/" })).toBe("api");
    expect(await answers({ port: 8081, name: "shop.example.net" })).toBe("asset");
    expect(servers.asset.last?.headers).toEqual({ host: "shop.example.net", connection: "close" });
  });
});

describe("what a server is told of the client", () => {
  const FORGED = {
    "X-Forwarded-For": "192.0.2.1",
    "x-forwarded-proto": "https",
    "X-Forwarded-Host": "bank.example.net",
    "X-Forwarded-Port": "443",
    Forwarded: "for=192.0.2.1;proto=https",
  };
  const told = ({ last }: OperatorServer): unknown[] =>
    ["for", "proto", "host", "port"].map((what) => last?.headers[`x-forwarded-${what}`]);

  test("who asked, how, for which host and at which port; what the client says itself is dropped", async () => {
    const honest = [OPERATOR, "http", "www.example.net", "80"];
    await answers({ name: "www.example.net" });
    expect(told(servers.home)).toEqual(honest);
    await answers({ name: "www.example.net", headers: FORGED });
    expect(told(servers.home)).toEqual(honest);
    expect(servers.home.last?.headers.forwarded).toBeUndefined();
    expect(servers.home.last?.headers.host).toBe("www.example.net");
  });

  test("twice forged is dropped twice", async () => {
    const twice = ["X-Forwarded-For", "192.0.2.1", "X-Forwarded-For", "192.0.2.2", "Forwarded", "for=a"];
    const request = http.get({
      host: VIP,
      agent: false,
      headers: ["Host", "www.example.net", ...twice, "Forwarded", "for=b"],
    });
    const [response] = (await once(request, "response")) as [http.IncomingMessage];
    response.resume();
    expect(response.statusCode).toBe(200);
    expect(told(servers.home)[0]).toBe(OPERATOR);
    expect(servers.home.last?.headers.forwarded).toBeUndefined();
  });

  test("nothing where that was asked for: the client's word goes through", async () => {
    await answers({ port: 8080, headers: FORGED });
    expect(told(servers.api)).toEqual(["192.0.2.1", "https", "bank.example.net", "443"]);
    await answers({ port: 8080 });
    expect(told(servers.api)).toEqual([undefined, undefined, undefined, undefined]);
  });

  test("through a second proxy: the client's address by the PROXY protocol", async () => {
    expect(await answers({ port: 8084, name: "www.example.net", headers: FORGED })).toBe("home");
    expect(told(servers.home)).toEqual([OPERATOR, "http", "www.example.net", "8084"]);
  });

  test("headers that tell about servers are taken away", async () => {
    const open = await ask({ port: 80, path: "/api" });
    expect(open.headers["x-powered-by"]).toBe("node");
    const hidden = await ask({ port: 8080 });
    expect(hidden.headers).not.toHaveProperty("x-powered-by");
    expect(hidden.headers).not.toHaveProperty("server");
  });
});

describe("a websocket", () => {
  async function connect(port: number): Promise<Socket> {
    const request = http.get({
      host: VIP,
      port,
      agent: false,
      headers: {
        Connection: "Upgrade",
        Upgrade: "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
      },
    });
    const [response, socket] = (await once(request, "upgrade")) as [http.IncomingMessage, Socket];
    expect(response.statusCode).toBe(101);
    return socket;
  }
  async function echo(socket: Socket, text: string): Promise<string> {
    socket.write(text);
    const [data] = (await once(socket, "data", { signal: AbortSignal.timeout(5000) })) as [Buffer];
    return data.toString();
  }

  test("may stay silent for longer than a request may", async () => {
    const socket = await connect(8082);
    expect(await echo(socket, "one")).toBe("one");
    await delay(2500); // both of its timeouts for requests are 1 s
    expect(await echo(socket, "two")).toBe("two");
    socket.destroy();
  });

  test("lives on when the configuration changes", async () => {
    const socket = await connect(80);
    expect(await echo(socket, "before")).toBe("before");
    const { steps } = await build(4001).deploy();
    expect(steps.filter((step) => step.includes("haproxy] reloaded"))).toHaveLength(2);
    expect(await echo(socket, "after")).toBe("after");
    socket.destroy();
    await ready();
  });
});

describe("statistics and metrics", () => {
  const by = (address: string, path: string, password?: string): Promise<Answer> =>
    ask({
      address,
      port: STATISTICS,
      path,
      headers:
        password === undefined
          ? {}
          : { Authorization: `Basic ${Buffer.from(`admin:${password}`).toString("base64")}` },
    });

  test("each node tells about itself, to whoever has the password", async () => {
    for (const name of nodes) {
      const address = ADDRESSES[name];
      const page = await by(address, "/", PASSWORD);
      expect([page.status, page.body]).toEqual([200, expect.stringContaining("Statistics Report")]);
      const metrics = await by(address, "/metrics", PASSWORD);
      expect(metrics.body).toMatch(/^haproxy_server_status\{proxy="shop",server="shop",state="UP"\} 1$/m);
      expect(metrics.body).toMatch(/^haproxy_frontend_http_requests_total\{proxy="public"\} \d+$/m);
      for (const password of [undefined, "", "wrong", `${PASSWORD} `]) {
        for (const path of ["/", "/metrics", "/;csv"]) {
          const refused = await by(address, path, password);
          expect([refused.status, refused.headers["www-authenticate"]]).toEqual([
            401,
            'Basic realm="statistics"',
          ]);
          expect(refused.body).not.toContain("shop");
        }
      }
    }
  });

  test("at the private address only, for those who were named only", async () => {
    await expect(by(VIP, "/", PASSWORD)).rejects.toThrow("ECONNREFUSED");
    const { active, standby } = await roles(lab);
    const local = await active.ssh(`exec 3<>/dev/tcp/127.0.0.1/${STATISTICS}`, { allowFailure: true });
    expect(local).toMatchObject({ code: 1, stderr: expect.stringContaining("Connection refused") });
    for (const from of [lab.machine("stranger"), standby])
      expect((await portScan(from, active.address, { tcp: [STATISTICS] })).tcp.filtered).toEqual([
        STATISTICS,
      ]);
  });

  test("the password is for haproxy and root, on the machines and nowhere else", async () => {
    for (const name of nodes) {
      const machine = lab.machine(name);
      // the one that haproxy reads, and the last good version
      expect(await filesThatHold(machine, PASSWORD, "root")).toEqual([
        "/etc/haproxy/haproxy.cfg",
        "/var/lib/cdktf-ha/services/haproxy/current/root/etc/haproxy/haproxy.cfg",
      ]);
      expect(await filesThatHold(machine, PASSWORD, "anybody")).toEqual([]);
      const { stdout } = await machine.ssh("stat --format='%a %U:%G' /etc/haproxy/haproxy.cfg");
      expect(stdout).toBe("640 root:haproxy\n");
    }
    const { stdout } = await run("grep", ["-rlF", "$HOME ${d} %{e}", deployment.directory], {
      allowFailure: true,
    });
    expect(stdout).toBe("");
  });
});

describe("the journal", () => {
  test("has a line for each request, but for nobody's look at the statistics", async () => {
    await ask({ port: 80, name: "shop.example.net", path: "/logged?by=the+journal" });
    const { active } = await roles(lab);
    let lines = "";
    await waitUntil(
      async () => {
        lines = (await active.ssh("journalctl --unit haproxy --priority info --output cat")).stdout;
        return lines.includes("/logged");
      },
      10,
      () => "the request is not in the journal",
    );
    const line = lines.split("\n").find((text) => text.includes("/logged"));
    expect(line).toMatch(
      /^10\.77\.0\.1:\d+ \[[^\]]+\] public shop\/shop \d+\/\d+\/\d+\/\d+\/\d+ 200 .* "GET \/logged\?by=the\+journal HTTP\/1\.1"$/,
    );
    expect(lines).toMatch(/^10\.77\.0\.1:\d+ \[[^\]]+\] raw asset\/asset /m);
    expect(lines).not.toContain("/metrics");
  });

  test("has a server that is down, as an alert at most: an emergency is written to every terminal", async () => {
    servers.shop.healthy = false;
    await awaitServers(
      nodes.map((name) => lab.machine(name)),
      { "shop/shop": "DOWN" },
    );
    for (const name of nodes) {
      let alerts = "";
      await waitUntil(
        async () => {
          alerts = (await lab.machine(name).ssh("journalctl --unit haproxy --priority alert --output cat"))
            .stdout;
          return (
            alerts.includes("Server shop/shop is DOWN, reason: Layer7 wrong status, code: 503") &&
            /backend '?shop'? has no server available/.test(alerts)
          );
        },
        30,
        () => `not in the journal: ${alerts}`,
      );
      const { stdout } = await lab
        .machine(name)
        .ssh("journalctl --unit haproxy --priority emerg --output cat");
      expect(stdout).not.toContain("shop");
    }
    expect(await answers({ name: "shop.example.net" })).toBe("503");
    servers.shop.healthy = true;
    await ready();
  });
});
