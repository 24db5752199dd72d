import { RingTls, Secret, type CassandraRingProps, type RingTlsProps } from "cdktf-ha-clusters";
import type { TerraformStack } from "cdktf";
import type { Lab } from "../../machines/lab";
import { Deployment, type Outcome } from "../support/deployment";
import { Authority } from "./support/certificates";
import {
  ALL_UP,
  cql,
  FIRST_THREE,
  installed,
  isOpen,
  NODES,
  RELEASE,
  ringOf,
  saidAt,
  startRingSite,
  startsOf,
  statesOf,
  underLoad,
  VARIABLES,
  untilStates,
} from "./support/ring-site";

/** A live ring goes to the next release, then from plain connections to TLS and to another authority, while a client goes on. */
const OLD_RELEASE = "5.0.5";
let lab: Lab;
let deployment: Deployment;
let old: Authority;
let next: Authority;
const plain: Partial<CassandraRingProps> = { keyspaces: [{ name: "esmond", replicationFactor: 3 }] };

/** The ring with certificates of an authority. */
async function withTls(by: Authority, version: string, props: RingTlsProps): Promise<Deployment> {
  const variables = { ...VARIABLES, "ring-authority": await by.bundle() };
  const build = (stack: TerraformStack): void => {
    const tls = RingTls.authority(Secret.variable(stack, "ring-authority", { version }), props);
    ringOf(lab, { ...plain, tls })(stack);
  };
  return deployment.changed(build, variables).prepare();
}

async function clientOf(authority: Authority, trusts: readonly Authority[] = [authority]): Promise<object> {
  const { bundle } = await authority.issue("client");
  return { trusted: trusts.map(({ certificate }) => certificate).join(""), certificate: bundle };
}

beforeAll(async () => {
  const nodes = Object.fromEntries(FIRST_THREE.map((name) => [name, NODES[name]]));
  lab = await startRingSite(nodes, [OLD_RELEASE, RELEASE]);
  old = await Authority.create(lab.directory, "old");
  next = await Authority.create(lab.directory, "next");
  const older = ringOf(lab, { ...plain, installation: installed(OLD_RELEASE) });
  deployment = new Deployment(`${lab.directory}/deployment`, older, VARIABLES);
});
afterAll(() => lab.stop());

const releases = async (): Promise<string[]> => {
  const query = "SELECT release_version FROM system.local";
  return (await Promise.all(FIRST_THREE.map((name) => cql(lab.machine(name), query)))).flat();
};

test("three nodes of the older release", async () => {
  await deployment.deploy();
  expect(await releases()).toEqual([OLD_RELEASE, OLD_RELEASE, OLD_RELEASE]);
}, 1_200_000);

test("upgraded: drained and stopped one after the other, each up before the next; no operation fails", async () => {
  const newer = await deployment.changed(ringOf(lab, plain)).prepare();
  await underLoad(lab, "a rolling upgrade of three nodes", () => newer.deploy());
  expect(await releases()).toEqual([RELEASE, RELEASE, RELEASE]);
  for (const name of FIRST_THREE) {
    await untilStates(lab.machine(name), ALL_UP);
    const { stdout } = await lab.machine(name).ssh("cat /var/lib/cassandra/cdktf-ha-release");
    expect(stdout).toBe(`${RELEASE}\n`);
  }
  const moments: number[] = [];
  for (const name of FIRST_THREE) {
    moments.push(
      await saidAt(lab.machine(name), "DRAINED"),
      await saidAt(lab.machine(name), "Starting listening for CQL clients"),
    );
  }
  expect(moments).not.toContain(NaN);
  expect(moments).toEqual([...moments].sort((a, b) => a - b));
  expect(await newer.isUpToDate()).toBe(true);
}, 1_200_000);

test("nodes understand TLS, and a plain client goes on", async () => {
  const understood = await withTls(old, "1", {
    trusted: [old.certificate],
    internode: "none",
    client: "optional",
  });
  await underLoad(lab, "TLS understood, three restarts", () => understood.deploy());
}, 1_200_000);

test("nodes speak TLS, and a client with a certificate goes on as it becomes a must", async () => {
  const spoken = await withTls(old, "1", { trusted: [old.certificate], internode: "optional" });
  await underLoad(lab, "TLS spoken, three restarts", () => spoken.deploy(), await clientOf(old));
}, 1_200_000);

test("nodes take nothing but TLS", async () => {
  const required = await withTls(old, "1", { trusted: [old.certificate] });
  await underLoad(lab, "nothing but TLS, three restarts", () => required.deploy(), await clientOf(old));
  for (const name of FIRST_THREE) await untilStates(lab.machine(name), ALL_UP);
  // nodes speak TLS to each other, and only to who shows a certificate
  const { stdout } = await lab
    .machine("cassandra-2")
    .ssh(`openssl s_client -tls1_2 -connect ${NODES["cassandra-1"]}:7000 </dev/null 2>&1 || true`);
  expect(stdout).toMatch(/issuer=.*old/);
  expect(stdout).toMatch(/alert/);
}, 1_200_000);

test("who has no certificate, or one of a stranger's authority, is refused; so is who speaks plainly", async () => {
  const stranger = await Authority.create(lab.directory, "stranger");
  const client = lab.machine("client");
  expect(await isOpen(client, NODES["cassandra-1"], 9042)).toBe(true);
  const ask = async (certificate?: string): Promise<string> => {
    const write = (path: string, text: string): string =>
      `base64 -d <<<${Buffer.from(text).toString("base64")} >${path}; `;
    const own = certificate === undefined ? "" : write("/root/own.pem", certificate);
    const { stdout } = await client.ssh(
      `${write("/root/trusted.pem", old.certificate)}${own}python3 - <<'END' 2>&1 | tail -n 1
import ssl
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import Cluster
context = ssl.create_default_context(cafile="/root/trusted.pem")
context.check_hostname = False
${certificate === undefined ? "" : 'context.load_cert_chain("/root/own.pem")'}
PATIENT = {'control_connection_timeout': 20, 'connect_timeout': 20}
login = PlainTextAuthProvider("esmond", "${VARIABLES["esmond-password"]}")
Cluster(["${NODES["cassandra-1"]}"], auth_provider=login, ssl_context=context, protocol_version=4, **PATIENT).connect()
print("in")
END`,
    );
    return stdout;
  };
  expect(await ask((await old.issue("client")).bundle)).toBe("in\n");
  expect(await ask()).toMatch(/NoHostAvailable/);
  expect(await ask((await stranger.issue("client")).bundle)).toMatch(/NoHostAvailable/);
  const { stdout } = await client.ssh(
    `python3 -c "from cassandra.cluster import Cluster; Cluster(['${NODES["cassandra-1"]}'], protocol_version=4, control_connection_timeout=20, connect_timeout=20).connect()" 2>&1 | tail -n 1`,
  );
  expect(stdout).toMatch(/NoHostAvailable/);
});

test("another authority: trusted first, then in use, then the old one is dropped; nothing restarts", async () => {
  const before = await startsOf(lab, FIRST_THREE);
  const both = [old.certificate, next.certificate];
  const trusted = await withTls(old, "1", { trusted: both });
  await underLoad(
    lab,
    "another authority, trusted and in use",
    async (): Promise<Outcome> => {
      const first = await trusted.deploy();
      const used = await withTls(next, "2", { trusted: both });
      const second = await used.deploy();
      return { ...second, seconds: first.seconds + second.seconds };
    },
    await clientOf(old, [old, next]),
  );
  const dropped = await withTls(next, "2", { trusted: [next.certificate] });
  await underLoad(
    lab,
    "the old authority dropped",
    () => dropped.deploy(),
    await clientOf(next, [old, next]),
  );
  for (const name of FIRST_THREE) {
    const { stdout } = await lab
      .machine("client")
      .ssh(
        `openssl s_client -connect ${NODES[name]}:9042 </dev/null 2>/dev/null | openssl x509 -noout -issuer`,
      );
    expect(stdout).toContain("next");
    expect(await statesOf(lab.machine(name))).toEqual(ALL_UP);
  }
  expect(await startsOf(lab, FIRST_THREE)).toEqual(before);
}, 1_200_000);
