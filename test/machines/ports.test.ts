import {
  HaproxyKeepalivedPair,
  Outgoing,
  Peer,
  Port,
  Rollout,
  ServiceTier,
  VirtualIp,
  type Service,
} from "cdktf-ha-clusters";
import type { TerraformStack } from "cdktf";
import type { Lab } from "../../machines/lab";
import { portScan } from "../../machines/ports";
import { Deployment } from "../support/deployment";
import { ADDRESSES, OPERATOR, rackOf, site, siteService, startSite, VIP, type Name } from "./support/site";

/** Every port of every machine, as seen by everybody, is open to exactly those who were named. */
let lab: Lab;
beforeAll(async () => {
  lab = await startSite(["lb-1", "lb-2", "web-1", "web-2", "client", "stranger"], "tests");
});
afterAll(() => lab.stop());

/** What does not answer at all is dropped; whatever answers, even by a refusal, is let in. */
async function letIn(from: Name | "operator", to: string): Promise<{ tcp: number[]; protocols: number[] }> {
  const source = from === "operator" ? lab : lab.machine(from);
  const { tcp, protocols } = await portScan(source, to, { tcp: "all", protocols: [112] });
  return {
    tcp: [...tcp.open, ...tcp.closed].sort((a, b) => a - b),
    protocols: [...protocols.open, ...protocols.closed],
  };
}

test("a pair and its servers: every party, every port", async () => {
  await new Deployment(`${lab.directory}/pair`, site(lab)).deploy();
  // something that listens everywhere, and that nobody asked for
  for (const name of ["lb-1", "web-1"] as const) {
    await lab
      .machine(name)
      .ssh("systemd-run --quiet --unit=forgotten socat TCP-LISTEN:3306,fork,reuseaddr -");
  }
  const nothing = { tcp: [], protocols: [] };
  // Nobody is asked by a machine it has asked before: what answers to one's own packets is let in, as it should be.
  const declared: Record<
    "lb-1" | "web-1",
    Partial<Record<Name | "operator", { tcp: number[]; protocols: number[] }>>
  > = {
    "lb-1": {
      "lb-2": { tcp: [10_000], protocols: [112] }, // stick tables, adverts
      "web-2": nothing,
      client: { tcp: [80], protocols: [] },
      operator: { tcp: [22, 80], protocols: [] },
      stranger: nothing,
    },
    "web-1": {
      "lb-2": { tcp: [80], protocols: [] },
      "web-2": nothing,
      client: nothing,
      operator: { tcp: [22], protocols: [] },
      stranger: nothing,
    },
  };
  for (const [target, peers] of Object.entries(declared) as [Name, (typeof declared)["lb-1"]][]) {
    await Promise.all(
      Object.entries(peers).map(async ([peer, expected]) =>
        expect([target, peer, await letIn(peer as Name | "operator", ADDRESSES[target])]).toEqual([
          target,
          peer,
          expected,
        ]),
      ),
    );
  }
  expect(await letIn("stranger", VIP)).toEqual(nothing);
  expect((await letIn("client", VIP)).tcp).toEqual([80]);
}, 900_000);

test("a port for localhost only is closed to everybody else, whatever else is open", async () => {
  const jmx: Service = {
    name: "jmx",
    describe: () => ({
      packages: [{ name: "socat" }],
      files: [
        {
          path: "/etc/systemd/system/jmx.service",
          text: "[Service]\nExecStart=/usr/bin/socat TCP-LISTEN:7199,fork,reuseaddr SYSTEM:'echo jmx'\n[Install]\nWantedBy=multi-user.target\n",
          onChange: "restart",
        },
      ],
      units: ["jmx.service"],
    }),
  };
  const stack = (build: TerraformStack): void => {
    const rack = rackOf(build, lab);
    const tier = new ServiceTier(build, "tier", {
      platform: rack,
      nodes: ["web-1", "web-2"],
      port: 7000,
      services: [jmx],
    });
    tier.connections.allowFrom(Peer.cidr(ADDRESSES.client), Port.tcpRange(7000, 7300));
    tier.connections.allowFromLocalhostOnly(Port.tcp(7199), "JMX");
  };
  await new Deployment(`${lab.directory}/pair`, stack).deploy();
  expect((await lab.machine("web-1").ssh("socat -u TCP:127.0.0.1:7199 -")).stdout).toBe("jmx\n");
  const { tcp } = await portScan(lab.machine("client"), ADDRESSES["web-1"], {
    tcp: [7000, 7198, 7199, 7200],
  });
  expect(tcp).toMatchObject({ open: [], closed: [7000, 7198, 7200], filtered: [7199] });
});

test("outgoing traffic only where it was declared, and along the connections of constructs", async () => {
  const stack = (build: TerraformStack): void => {
    const rack = rackOf(build, lab, {
      outgoing: Outgoing.only({
        to: Peer.cidr(ADDRESSES.client),
        ports: [Port.tcp(9000)],
        purpose: "backups",
      }),
    });
    const web = new ServiceTier(build, "web", {
      platform: rack,
      nodes: ["web-1", "web-2"],
      port: 80,
      services: [siteService()],
    });
    const lb = new HaproxyKeepalivedPair(build, "lb", {
      platform: rack,
      virtualIp: VirtualIp.layer2(`${VIP}/24`),
      maximumConnections: 4000,
    });
    lb.balance("web", { port: 80, to: web, clients: [Peer.cidr(OPERATOR)] });
  };
  await new Deployment(`${lab.directory}/pair`, stack).deploy();
  await lab
    .machine("client")
    .ssh(
      "systemd-run --quiet --unit=backups socat TCP-LISTEN:9000,fork,reuseaddr -; systemd-run --quiet --unit=other socat TCP-LISTEN:9001,fork,reuseaddr -; until (($(ss -Hltn '( sport = :9000 or sport = :9001 )' | wc -l) == 2)); do sleep 0.1; done",
    );
  const reach = async (from: Name, to: string, ports: number[]): Promise<number[]> =>
    (await portScan(lab.machine(from), to, { tcp: ports })).tcp.open;
  expect(await reach("web-1", ADDRESSES.client, [9000, 9001])).toEqual([9000]);
  expect(await reach("lb-1", ADDRESSES["web-1"], [80, 22])).toEqual([80]);
  expect((await fetch(`http://${VIP}/`)).status).toBe(200);
});

test("a machine with several services gets the union of their rules", async () => {
  const plain = (name: string): Service => ({
    name,
    describe: () => ({ files: [{ path: `/etc/${name}`, text: "" }] }),
  });
  const stack = (build: TerraformStack): void => {
    const rack = rackOf(build, lab);
    const first = new ServiceTier(build, "first", {
      platform: rack,
      nodes: ["web-1"],
      port: 5001,
      services: [plain("first")],
    });
    const second = new ServiceTier(build, "second", {
      platform: rack,
      nodes: { "web-1": first.machines[0]! },
      port: 5002,
      services: [plain("second")],
    });
    first.connections.allowFrom(Peer.cidr(ADDRESSES.client));
    second.connections.allowFrom(Peer.cidr(ADDRESSES.client));
    second.connections.allowFrom(Peer.cidr(ADDRESSES.stranger), Port.udp(5003));
    new Rollout(build, "third", { nodes: [{ machine: rack.host("web-2"), services: [plain("third")] }] });
  };
  await new Deployment(`${lab.directory}/pair`, stack).deploy();
  expect((await letIn("client", ADDRESSES["web-1"])).tcp).toEqual([5001, 5002]);
  const { udp } = await portScan(lab.machine("stranger"), ADDRESSES["web-1"], { udp: [5003, 5004] });
  expect(udp).toMatchObject({ closed: [5003], filtered: [5004] });
});
