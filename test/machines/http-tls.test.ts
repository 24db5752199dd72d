import { mkdir } from "node:fs/promises";
import * as http2 from "node:http2";
import * as tls from "node:tls";
import { setTimeout as delay } from "node:timers/promises";
import {
  HaproxyKeepalivedPair,
  HealthCheck,
  Peer,
  Secret,
  Servers,
  ServerTls,
  ServiceTier,
  Tls,
  VirtualIp,
} from "cdktf-ha-clusters";
import type { TerraformStack } from "cdktf";
import type { Lab } from "../../machines/lab";
import { Load } from "../../machines/load";
import { run } from "../../machines/run";
import { Deployment } from "../support/deployment";
import { ask, counted } from "./support/ask";
import { Authority, type KeyPair } from "./support/certificates";
import { echoService, seen } from "./support/echo";
import { awaitServers, report } from "./support/haproxy";
import { OPERATOR, rackOf, roles, startSite, VIP } from "./support/site";

/** TLS on both sides of the pair: certificates, versions, HTTP/2, redirects, clients' certificates, servers that end TLS. */
let lab: Lab;
let deployment: Deployment;
let authority: Authority; // of what clients see
let staff: Authority; // of clients
let inner: Authority; // of servers
let stranger: Authority;
let certificates: Record<"usual" | "shop", KeyPair>;
let clients: Record<"known" | "unknown", KeyPair>;
let servers: Record<"right" | "wrong", KeyPair>;

const SHOP_FILE = "/root/shop.pem";
const nodes = ["lb-1", "lb-2"];

interface Changes {
  readonly version?: string;
  readonly certificate?: string;
}

function build({ version, certificate = certificates.usual.bundle }: Changes = {}): Deployment {
  return deployment.changed(
    (stack) => {
      const rack = rackOf(stack, lab);
      const web = new ServiceTier(stack, "web", {
        platform: rack,
        nodes: ["web-1", "web-2"],
        port: 80,
        services: [
          echoService([80], ({ name }) => ({
            9443: name === "web-1" ? servers.right : servers.wrong,
            9444: servers.wrong,
          })),
        ],
      });
      const lb = new HaproxyKeepalivedPair(stack, "lb", {
        platform: rack,
        virtualIp: VirtualIp.layer2(`${VIP}/24`),
        maximumConnections: 4000,
      });
      declare(stack, lb, web, Secret.variable(stack, "certificate", { version }));
    },
    { certificate },
  );
}

/** Listeners: the public one (443, 80), staff with certificates (8443, 8080), servers with TLS (8444), TLS passed through (8445). */
function declare(_stack: TerraformStack, lb: HaproxyKeepalivedPair, web: ServiceTier, usual: Secret): void {
  const common = { clients: [Peer.cidr(OPERATOR)] };
  const one = (name: string, port: number): Servers =>
    Servers.machines(
      web.machines.filter((machine) => machine.name === name),
      web,
      port,
    );
  const check = HealthCheck.http("/");
  const plain = lb.backend("web", { to: web, check, checkInterval: 0.5 });
  const certificate = Tls.certificates([usual, Secret.file(SHOP_FILE)]);
  lb.listen("public", plain, { ...common, port: 443, redirectFromPort: 80, tls: certificate });
  lb.listen("staff", plain, {
    ...common,
    port: 8443,
    redirectFromPort: 8080,
    tls: Tls.certificate(usual, {
      clientAuthorities: staff.certificate,
      http2: false,
      hstsSeconds: 0,
      minimumVersion: "TLSv1.3",
    }),
  });
  const byAuthority = ServerTls.verified({ authority: inner.certificate, serverName: "inner.example.net" });
  const backend = (
    name: string,
    to: Servers | ServiceTier,
    serverPort: number,
    serverTls: ServerTls,
    of = check,
  ) => lb.backend(name, { to, serverPort, serverTls, check: of, checkInterval: 0.5 });
  const checkedElsewhere = HealthCheck.http("/", { port: 80 });
  lb.listen("secured", backend("verified", web, 9443, byAuthority), { ...common, port: 8444 })
    .route({ host: "wrong.example.net" }, backend("wrong", web, 9444, byAuthority, checkedElsewhere))
    .route({ host: "unverified.example.net" }, backend("unverified", web, 9444, ServerTls.unverified()))
    .route(
      { path: "/asked" },
      backend("asked", one("web-1", 9443), 9443, ServerTls.verified({ authority: inner.certificate })),
    );
  const through = (name: string, server: string) =>
    lb.backend(name, { to: one(server, 9443), mode: "tcp", checkInterval: 0.5 });
  lb.listen("through", through("right", "web-1"), { ...common, port: 8445, tls: Tls.passthrough() })
    .route({ host: "other.example.net" }, through("other", "web-2"))
    .route({ host: "*.wild.example.net" }, through("wild", "web-2"));
}

beforeAll(async () => {
  lab = await startSite(["lb-1", "lb-2", "web-1", "web-2"]);
  const directory = `${lab.directory}/certificates`;
  await mkdir(directory);
  [authority, staff, inner, stranger] = (await Promise.all(
    ["public", "staff", "inner", "stranger"].map((name) => Authority.create(directory, name)),
  )) as [Authority, Authority, Authority, Authority];
  certificates = {
    usual: await authority.issue("www.example.net", VIP),
    shop: await authority.issue("shop.example.net", "*.shop.example.net"),
  };
  clients = { known: await staff.issue("alice"), unknown: await stranger.issue("alice") };
  servers = {
    right: await inner.issue("inner.example.net"),
    wrong: await stranger.issue("inner.example.net"),
  };
  for (const name of nodes)
    await lab.machine(name).ssh(`umask 077; cat >${SHOP_FILE}`, { input: certificates.shop.bundle });
  deployment = new Deployment(`${lab.directory}/deployment`, () => undefined);
  await build().deploy();
  await roles(lab);
  await awaitServers(
    nodes.map((name) => lab.machine(name)),
    {
      "verified/web-1": "UP",
      "verified/web-2": "DOWN",
      "wrong/web-1": "UP",
      "unverified/web-2": "UP",
      "right/web-1": "UP",
    },
  );
});
afterAll(() => lab.stop());

/** As a browser that trusts the authority: names and chains are checked. */
const trusting = (more: tls.ConnectionOptions = {}): tls.ConnectionOptions => ({
  ca: authority.certificate,
  ...more,
});

describe("certificates", () => {
  test("each name gets its own, others the first one; from a variable and from a file", async () => {
    const subject = async (name?: string): Promise<unknown> => {
      const { certificate, status } = await ask({
        port: 443,
        name,
        tls: trusting(name === undefined ? {} : { servername: name }),
      });
      expect(status).toBe(200);
      return certificate?.subject.CN;
    };
    expect(await subject("www.example.net")).toBe("www.example.net");
    expect(await subject("shop.example.net")).toBe("shop.example.net");
    expect(await subject("a.shop.example.net")).toBe("shop.example.net");
    expect(await subject()).toBe("www.example.net"); // asked for by address
    await expect(subject("other.example.net")).rejects.toThrow(/does not match certificate/);
  });

  test("keys are only for root, on the machines and nowhere else", async () => {
    for (const name of nodes) {
      const { stdout } = await lab.machine(name).ssh("stat --format='%a %U %n' /etc/haproxy/tls/*-[0-9].pem");
      expect(stdout.trim().split("\n")).toEqual([
        "600 root /etc/haproxy/tls/public-1.pem",
        "600 root /etc/haproxy/tls/public-2.pem",
        "600 root /etc/haproxy/tls/staff-1.pem",
      ]);
    }
    const { stdout } = await run(
      "grep",
      ["-rl", certificates.usual.key.split("\n")[1]!, deployment.directory],
      { allowFailure: true },
    );
    expect(stdout).toBe("");
  });
});

describe("the protocol", () => {
  /** Version and error, as a client sees them that offers just this version. */
  async function handshake(port: number, version: tls.SecureVersion): Promise<string> {
    return new Promise((resolve) => {
      const options = {
        host: VIP,
        port,
        minVersion: version,
        maxVersion: version,
        ciphers: "DEFAULT@SECLEVEL=0",
      };
      const socket = tls.connect(trusting(options), () => {
        resolve(socket.getProtocol()!);
        socket.destroy();
      });
      socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    });
  }

  test("TLS 1.1 is refused, 1.2 and 1.3 are accepted, or 1.3 alone", async () => {
    // the alert is the server's: the client would have spoken it
    expect(await handshake(443, "TLSv1.1")).toBe("ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION");
    expect(await handshake(443, "TLSv1.2")).toBe("TLSv1.2");
    expect(await handshake(443, "TLSv1.3")).toBe("TLSv1.3");
    expect(await handshake(8443, "TLSv1.2")).toBe("ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION");
    expect(await handshake(8443, "TLSv1.3")).toBe("TLSv1.3");
  });

  test("HTTP/2 is agreed upon, and spoken", async () => {
    const session = http2.connect(`https://${VIP}`, trusting({ servername: "www.example.net" }));
    try {
      const stream = session.request({ ":path": "/two", ":authority": "www.example.net" });
      const body: Buffer[] = [];
      for await (const chunk of stream) body.push(chunk as Buffer);
      expect(session.alpnProtocol).toBe("h2");
      expect(seen({ body: Buffer.concat(body).toString() })).toMatchObject({
        path: "/two",
        host: "www.example.net",
        proto: "https",
      });
    } finally {
      session.destroy();
    }
  });

  test("plain requests are sent to HTTPS, at the port where it is; browsers are told to stay there", async () => {
    const usual = await ask({ port: 80, name: "shop.example.net", path: "/cart?item=1" });
    expect([usual.status, usual.headers.location]).toEqual([301, "https://shop.example.net/cart?item=1"]);
    const odd = await ask({ port: 8080, name: "www.example.net:8080", path: "/a" });
    expect([odd.status, odd.headers.location]).toEqual([301, "https://www.example.net:8443/a"]);
    const secured = await ask({ port: 443, name: "www.example.net", tls: trusting() });
    expect(secured.headers["strict-transport-security"]).toBe("max-age=31536000");
  });

  test("a client's certificate is demanded and verified", async () => {
    const staffed = (pair?: KeyPair) =>
      ask({
        port: 8443,
        name: "www.example.net",
        tls: trusting(pair && { cert: pair.certificate, key: pair.key }),
      });
    const { status, headers } = await staffed(clients.known);
    expect([status, headers["strict-transport-security"]]).toEqual([200, undefined]);
    await expect(staffed()).rejects.toThrow(/certificate required/);
    await expect(staffed(clients.unknown)).rejects.toThrow(/unknown ca/);
  });
});

describe("servers with TLS", () => {
  const from = async (name: string, path = "/"): Promise<string[]> =>
    Promise.all(
      [...Array(10)].map(async () => {
        const answer = await ask({ port: 8444, name, path });
        return answer.status === 200 ? seen(answer).server : String(answer.status);
      }),
    );

  test("only a server with the right certificate gets requests", async () => {
    expect(counted(await from("any.example.net"))).toEqual({ "web-1": 10 });
    // found healthy by a check that does not verify: the requests themselves do
    expect(counted(await from("wrong.example.net"))).toEqual({ 503: 10 });
  });

  test("without a name of their own, servers have to be who the client asked for", async () => {
    expect(counted(await from("inner.example.net", "/asked"))).toEqual({ "web-1": 10 });
    expect(counted(await from("other.example.net", "/asked"))).toEqual({ 503: 10 });
  });

  test("unverified: whoever answers", async () => {
    expect(counted(await from("unverified.example.net"))).toEqual({ "web-1": 5, "web-2": 5 });
  });

  test("passed through unread: by the name in the greeting, to the server's own certificate", async () => {
    const through = (name: string) =>
      ask({
        port: 8445,
        name,
        tls: { ca: [inner.certificate, stranger.certificate], checkServerIdentity: () => undefined },
      });
    const answers = await Promise.all(
      ["inner", "other", "OTHER", "a.b.wild", "wild"].map((name) => through(`${name}.example.net`)),
    );
    expect(answers.map((answer) => seen(answer).server)).toEqual([
      "web-1",
      "web-2",
      "web-2",
      "web-2",
      "web-1",
    ]);
    expect(answers[0]!.certificate?.issuer.CN).toBe("inner");
    expect(answers[1]!.certificate?.issuer.CN).toBe("stranger");
  });
});

test("a new certificate by code: no request fails, and every client sees the new one after it", async () => {
  const renewed = await authority.issue("www.example.net", VIP);
  const changed = await build({ version: "2", certificate: renewed.bundle }).prepare();
  const serial = async (signal?: AbortSignal): Promise<string> => {
    const { certificate } = await ask({ port: 443, name: "www.example.net", tls: trusting(), signal });
    return certificate!.serialNumber;
  };
  const before = await serial();
  const load = Load.start({
    perSecond: 50,
    timeoutMs: 10_000,
    request: async (signal) => ({ ok: true, body: await serial(signal) }),
  });
  try {
    await delay(300);
    const { steps } = await changed.deploy();
    expect(steps.filter((step) => step.includes("haproxy] reloaded"))).toHaveLength(2);
    await delay(300);
  } finally {
    await load.stop();
  }
  const result = await load.stop();
  report("certificate changed", result);
  expect(result.failed).toEqual([]);
  const after = await serial();
  expect(after).not.toBe(before);
  expect(result.byServer()).toEqual({ [before]: expect.any(Number), [after]: expect.any(Number) });
  // the other one, from a file, is what it was
  expect((await ask({ port: 443, name: "shop.example.net", tls: trusting() })).status).toBe(200);
});
