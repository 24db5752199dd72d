import type { TerraformStack } from "cdktf";
import {
  Algorithm,
  HaproxyKeepalivedPair,
  HealthCheck,
  Peer,
  Secret,
  Servers,
  ServerTls,
  ServiceTier,
  Stickiness,
  Tls,
  VirtualIp,
} from "../../lib";
import { Template } from "../../lib/testing";
import { ringCases } from "../cassandra-ring/golden";
import { nfsPairCases } from "../drbd-nfs-pair/golden";
import { heartbeatCases } from "../drbd-nfs-pair/heartbeat-golden";
import { nameServerCases } from "../geo-dns/golden";
import { replicaSetCases } from "../postgres-replica-set/golden";
import { tierCases } from "../squid-geo-proxy-tier/golden";
import { newAws, newRack, newStack } from "../support/stack";
import { CERTIFICATE } from "./certificate";

/** A configuration that an operator can read and that the real daemon accepts. */
export interface GoldenCase {
  /** Name of the folder below test/golden. */
  readonly name: string;
  /** Files by the name they have there. */
  readonly files: Readonly<Record<string, string>>;
}

const anyone = [Peer.anyone()];
const web = (): Servers => Servers.at({ "web-1": "10.0.1.70:8080", "web-2": "10.0.1.71:8080" });

/** Every feature of the pair in one of the cases at least. */
export function goldenCases(): GoldenCase[] {
  return [
    pairCase("smallest", (stack) => {
      const pair = new HaproxyKeepalivedPair(stack, "lb", {
        platform: newRack(stack),
        virtualIp: VirtualIp.layer2("10.0.1.90/27"),
      });
      pair.balance("web", { port: 80, clients: anyone, to: web() });
    }),
    pairCase("everything-http", (stack) => {
      const pair = new HaproxyKeepalivedPair(stack, "lb", {
        platform: newRack(stack),
        virtualIps: {
          blue: { addresses: [VirtualIp.layer2("10.0.1.90/27"), VirtualIp.layer2("2001:db8:1::90/64")], preferredNode: "lb-1" },
          green: { addresses: [VirtualIp.layer2("10.0.1.91/27")], preferredNode: "lb-2", preempt: true, advertInterval: 1 },
        },
        maximumConnections: 4000,
        statistics: { password: Secret.generated("statistics"), clients: [Peer.cidr("10.0.0.0/24")] },
        extraGlobalLines: ["tune.ssl.default-dh-param 2048"],
      });
      const archive = pair.backend("archive", {
        to: web(),
        algorithm: Algorithm.leastConnections(),
        check: HealthCheck.http("/esmond/?format=json", { host: "archive.example.net", status: "200,204", contains: "it's up" }),
        stickiness: Stickiness.cookie(),
        servers: {
          "web-1": { weight: 50, maximumConnections: 100, state: "drain" },
          "web-2": { backup: true, state: "maintenance" },
        },
        maximumConnectionsPerServer: 200,
        queueTimeout: 5,
        serverTimeout: 120,
        slowStart: 30,
      });
      const api = pair.backend("api", {
        to: Servers.at({ "api-1": "10.0.1.80:443", "api-2": "[2001:db8:1::80]:443", "api-3": "api-3.example.invalid:443" }),
        algorithm: Algorithm.uri(),
        serverTls: ServerTls.verified({ serverName: "api.internal", authority: CERTIFICATE }),
        stickiness: Stickiness.sourceAddress({ minutes: 10, entries: 1000 }),
        proxyProtocol: true,
      });
      const legacy = pair.backend("legacy", {
        to: web(),
        algorithm: Algorithm.header("X-Shard"),
        serverTls: ServerTls.unverified(),
        extraLines: ["http-request set-header X-Legacy 1"],
      });
      pair
        .listen("public", archive, {
          port: 443,
          redirectFromPort: 80,
          virtualIp: "blue",
          clients: anyone,
          tls: Tls.certificates([Secret.file("/etc/ssl/private/a.pem"), Secret.file("/etc/ssl/private/b.pem")], {
            minimumVersion: "TLSv1.3",
          }),
          hideHeaders: ["Server", "X-Powered-By"],
          maximumConnections: 3000,
          extraLines: ['log-format "%ci %{+Q}r %ST"'],
        })
        .route({ host: "api.example.net", path: "/v1" }, api)
        .route({ host: "*.legacy.example.net" }, legacy)
        .route({ path: "/static/" }, legacy);
      pair.listen("staff", archive, {
        port: 8443,
        virtualIp: "green",
        clients: [Peer.cidr("10.0.0.0/24")],
        tls: Tls.certificate(Secret.file("/etc/ssl/private/staff.pem"), { clientAuthorities: CERTIFICATE, http2: false, hstsSeconds: 0 }),
        acceptProxyProtocol: true,
        forwardedHeaders: false,
      });
    }),
    pairCase("everything-tcp", (stack) => {
      const pair = new HaproxyKeepalivedPair(stack, "lb", {
        platform: newRack(stack),
        virtualIp: VirtualIp.layer2("10.0.1.90/27"),
        vrrp: { preempt: true, preemptDelay: 20, virtualRouterId: 51 },
        peersPort: 10001,
      });
      const servers = (port: number): Servers => Servers.at({ "pg-1": `10.0.1.75:${port}`, "pg-2": `10.0.1.76:${port}` });
      pair.balance("writes", { port: 5432, mode: "tcp", to: servers(5432), check: HealthCheck.patroniPrimary() });
      pair.balance("reads", {
        port: 5433,
        mode: "tcp",
        to: servers(5432),
        check: HealthCheck.patroniReplica({ maximumLag: "1MB" }),
        algorithm: Algorithm.leastConnections(),
        stickiness: Stickiness.sourceAddress(),
      });
      pair.balance("plain", { port: 5434, mode: "tcp", to: servers(5432), check: HealthCheck.postgresql({ user: "check" }) });
      pair.balance("first", { port: 5435, mode: "tcp", to: servers(5432), algorithm: Algorithm.first(), clientTimeout: 60 });
      const inner = pair.backend("inner", { mode: "tcp", to: servers(443), algorithm: Algorithm.sourceAddress() });
      const outer = pair.backend("outer", { mode: "tcp", to: servers(8443), algorithm: Algorithm.random() });
      pair
        .listen("through", outer, { port: 443, mode: "tcp", tls: Tls.passthrough(), clients: anyone })
        .route({ host: "inner.example.net" }, inner);
    }),
    pairCase("aws", (stack) => {
      const platform = newAws(stack);
      const web = new ServiceTier(stack, "web", { platform, nodes: ["web-1", "web-2", "web-3"], port: 8080, services: [] });
      const pair = new HaproxyKeepalivedPair(stack, "lb", { platform, virtualIp: VirtualIp.elastic() });
      pair.balance("web", { port: 443, clients: anyone, to: web, tls: Tls.certificate(Secret.awsSecretsManager("site/tls")) });
    }),
    pairCase("one-node", (stack) => {
      const pair = new HaproxyKeepalivedPair(stack, "lb", { platform: newRack(stack), nodes: ["lb-1"] });
      pair.balance("web", { port: 80, clients: anyone, to: web() });
    }),
    ...ringCases(),
    ...replicaSetCases(),
    ...tierCases(),
    ...nameServerCases(),
    ...nfsPairCases(),
    ...heartbeatCases(),
  ];
}

function pairCase(name: string, build: (stack: TerraformStack) => void): GoldenCase {
  const stack = newStack();
  build(stack);
  const template = Template.synth(stack).hasNoErrors();
  const files: Record<string, string> = {
    "haproxy.cfg": template.file("lb-1", "/etc/haproxy/haproxy.cfg"),
    "firewall.nft": template.file("lb-1", "/etc/cdktf-ha/firewall.nft"),
  };
  if (name !== "one-node") {
    files["keepalived.conf"] = template.file("lb-1", "/etc/keepalived/keepalived.conf");
    files["keepalived-2.conf"] = template.file("lb-2", "/etc/keepalived/keepalived.conf");
  }
  return { name, files };
}
