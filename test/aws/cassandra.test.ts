import type { NodeProps } from "cdktf-ha-clusters";
import type { Call, Cloud } from "../../machines/aws/cloud";
import type { Lab } from "../../machines/lab";
import { waitUntil } from "../../machines/run";
import type { Outcome } from "../support/deployment";
import {
  cql,
  figure,
  insertBlobs,
  isOpen,
  statesOf,
  type LoadSettings,
  underLoad,
} from "../machines/support/ring-site";
import { Account } from "./support/account";
import { DeployerPolicy, refusals } from "./support/deployer";
import { AwsDeployment } from "./support/deployment";
import { archive, RING, SNAPSHOTS, startArchive, THREE, type Member } from "./support/ring";
import { ADMINISTRATION, type Network } from "./support/site";

/** The life of a ring in three zones of AWS, each node with a volume of its own, from the first apply to the last. */
let lab: Lab;
let cloud: Cloud;
let network: Network;
let account: Account;
let deployment: AwsDeployment;
let before: Record<string, number>;
const policy = new DeployerPolicy(DeployerPolicy.MACHINES);

const three: Record<string, NodeProps> = { "cassandra-1": {}, "cassandra-2": {}, "cassandra-3": {} };
/** The third node on a larger machine, its volume grown. */
const larger: Record<string, NodeProps> = {
  ...three,
  "cassandra-3": { instanceType: "r6i.xlarge", dataVolume: { sizeGiB: 3 } },
};
const MOUNT = "findmnt --noheadings --output FSTYPE,SOURCE /var/lib/cassandra";

const ids = async (): Promise<Record<string, string>> =>
  Object.fromEntries(
    Object.entries(await account.instances()).map(([name, { InstanceId }]) => [name, InstanceId]),
  );
const volumes = (): Promise<{ VolumeId: string; Size: number; Tags: { Key: string; Value: string }[] }[]> =>
  account.all("volumes", { Filters: [{ Name: "tag:Name", Values: ["cassandra-* data"] }] });
const allUp = (names: readonly Member[]): Record<string, string> =>
  Object.fromEntries(names.map((name) => [name, "UN"]));
/** When each daemon and its machine began. */
const starts = (names: readonly Member[]): Promise<string[]> =>
  Promise.all(
    names.map(
      async (name) =>
        (
          await lab
            .machine(name)
            .ssh(
              "systemctl show --property=InvocationID,MainPID cassandra; systemctl show --property=UserspaceTimestampMonotonic",
            )
        ).stdout,
    ),
  );
/** While a client writes and reads at LOCAL_QUORUM: no operation fails, no row is lost. */
const changing = (what: string, more: LoadSettings = {}): Promise<Outcome> =>
  underLoad(lab, `AWS: ${what}`, () => deployment.carryOut(), {
    contactPoints: THREE.map((name) => RING[name]),
    ...more,
  });

beforeAll(async () => {
  ({ lab, cloud, network } = await startArchive());
  account = new Account(cloud);
  before = await account.counts();
  deployment = await AwsDeployment.create(lab, cloud, archive(lab, network, three), {
    policy: policy.document,
  });
}, 300_000);
afterAll(async () => {
  await cloud.stop();
  await lab.stop();
});

test("one apply makes three zones' machines and volumes, and a ring on them", async () => {
  const { seconds, added } = await deployment.deploy();
  figure(`AWS: deploy of three nodes: ${seconds.toFixed(0)} s, ${added} resources`);
  for (const name of THREE) expect(await statesOf(lab.machine(name), RING)).toEqual(allUp(THREE));
  const instances = await account.instances();
  for (const name of THREE) {
    expect(instances[name]).toMatchObject({
      PrivateIpAddress: RING[name],
      InstanceType: "r6i.large",
      MetadataOptions: { HttpTokens: "required", HttpPutResponseHopLimit: 1 },
    });
    expect(instances[name]!.PublicIpAddress).toBeUndefined();
    expect((await lab.machine(name).ssh(MOUNT)).stdout).toMatch(/^xfs +\/dev\/disk\/by-id\/nvme-Amazon_/);
  }
  const { stdout } = await lab.machine("cassandra-1").ssh("nodetool info | grep -E 'Data Center|Rack'");
  expect(stdout).toMatch(/datacenter1\nRack +: a\n/);
}, 1_200_000);

test("planned again, there is nothing to do", async () => {
  const { actions, output } = await deployment.plan();
  expect(actions).toEqual({});
  expect(output).toContain("No changes");
});

test("the groups are the declared matrix, and nothing else", async () => {
  expect(await account.inboundRules()).toEqual(
    [
      ...ADMINISTRATION,
      "ring: tcp 7000-7000 from ring",
      "ring: tcp 9042-9042 from ring",
      "ring: tcp 9042-9042 from 10.77.1.31/32",
    ].sort(),
  );
  const open = async (from: string): Promise<number[]> => {
    const ports = [7000, 7001, 7199, 9042, 9160];
    const answers = await Promise.all(
      ports.map((port) => isOpen(lab.machine(from), RING["cassandra-2"], port)),
    );
    return ports.filter((_, index) => answers[index]);
  };
  expect(await open("cassandra-1")).toEqual([7000, 9042]);
  expect(await open("client")).toEqual([9042]);
  expect(await open("stranger")).toEqual([]);
});

test("a member more: it joins, and no other instance or daemon is touched", async () => {
  const [had, ran] = [await ids(), await starts(THREE)];
  deployment = deployment.changed(archive(lab, network, { ...three, "cassandra-4": {} }));
  const { actions } = await deployment.plan();
  const [resources, verbs] = [Object.keys(actions), new Set(Object.values(actions))];
  expect(verbs).toEqual(new Set(["create"]));
  expect(resources.filter((each) => !each.includes(".ring_cassandra-4_"))).toEqual([]);
  expect(resources).toHaveLength(7); // instance, interface, volume, attachment, role, policy, profile
  await changing("from 3 to 4 nodes", { nodesChange: true });
  expect(await ids()).toEqual({ ...had, "cassandra-4": expect.stringMatching(/^i-/) });
  expect(await starts(THREE)).toEqual(ran);
  expect(await statesOf(lab.machine("cassandra-1"), RING)).toEqual(allUp([...THREE, "cassandra-4"]));
}, 1_200_000);

test("the member leaves: its rows are with the others, who are not touched", async () => {
  const [had, ran] = [await ids(), await starts(THREE)];
  deployment = deployment.changed(archive(lab, network, three));
  const { actions } = await deployment.plan();
  expect(new Set(Object.values(actions))).toEqual(new Set(["delete"]));
  expect(Object.keys(actions).filter((each) => !each.includes(".ring_cassandra-4_"))).toEqual([]);
  await changing("from 4 to 3 nodes", { nodesChange: true });
  delete had["cassandra-4"];
  expect(await ids()).toEqual(had);
  expect(await starts(THREE)).toEqual(ran);
  for (const name of THREE) expect(await statesOf(lab.machine(name), RING)).toEqual(allUp(THREE));
  expect(lab.names).not.toContain("cassandra-4");
  expect(await volumes()).toHaveLength(3);
  expect((await deployment.plan()).actions).toEqual({});
}, 1_200_000);

test("a larger machine and a larger volume: the node comes back by itself, on its data", async () => {
  const had = await ids();
  deployment = deployment.changed(archive(lab, network, larger));
  expect((await deployment.plan()).actions).toEqual({
    "aws_ebs_volume.ring_cassandra-3_data": "update",
    "aws_instance.ring_cassandra-3_instance": "update",
  });
  await changing("a larger machine");
  expect(await ids()).toEqual(had);
  await waitUntil(
    async () => (await statesOf(lab.machine("cassandra-1"), RING))["cassandra-3"] === "UN",
    120,
    () => "cassandra-3 does not come back",
    500,
  );
  const node = lab.machine("cassandra-3");
  expect((await node.ssh(MOUNT)).stdout).toMatch(/^xfs /);
  const { stdout } = await node.ssh("df --output=size --block-size=1M /var/lib/cassandra | tail -n 1");
  expect(Number(stdout)).toBeGreaterThan(2800);
  expect((await deployment.plan()).actions).toEqual({});
}, 1_200_000);

const keys = async (prefix: string): Promise<string[]> => {
  const { Contents = [] } = await cloud.call<{ Contents?: { Key: string }[] }>("s3", "list_objects_v2", {
    Bucket: SNAPSHOTS,
    Prefix: prefix,
  });
  return Contents.map(({ Key }) => Key);
};
const tags = async (name: string): Promise<string[]> => [
  ...new Set((await keys(`cassandra/${name}/`)).map((key) => key.split("/")[2]!)),
];
const snapshot = (name: string): Promise<{ code: number }> =>
  lab.machine(name).ssh("systemctl start cassandra-snapshot.service", {
    timeoutSeconds: 900,
    allowFailure: true,
  });

test("snapshots go to the bucket by each node's own role, and come back from there", async () => {
  const node = lab.machine("cassandra-1");
  await cql(
    node,
    "CREATE TABLE esmond.measured (id int PRIMARY KEY, value blob)",
    "ALTER TABLE esmond.measured WITH compression = {'enabled': false}",
  );
  // some 12 MB, so that one file goes in several parts
  await insertBlobs(node, "esmond.measured", 24, 500_000);
  // a part of it does not get through: told, and nothing of it stays
  await cloud.faults({ actions: ["UploadPart"], kind: "throttled" });
  expect((await snapshot("cassandra-1")).code).not.toBe(0);
  await cloud.faults();
  expect(await keys("cassandra/")).toEqual([]);
  expect((await node.ssh("nodetool listsnapshots")).stdout).toContain("There are no snapshots");

  const start = performance.now();
  expect((await snapshot("cassandra-1")).code).toBe(0);
  figure(
    `AWS: a snapshot of ${(await keys("cassandra/")).length} files: ${((performance.now() - start) / 1000).toFixed(0)} s`,
  );
  const [first] = await tags("cassandra-1");
  const all = await Promise.all(THREE.map(snapshot));
  expect(all.map(({ code }) => code)).toEqual([0, 0, 0]);
  const kept = await Promise.all(THREE.map(tags));
  expect(kept.map((each) => each.length)).toEqual([1, 1, 1]);
  expect(kept[0]).not.toEqual([first]);

  await cql(node, "TRUNCATE esmond.measured");
  for (const [index, name] of THREE.entries()) {
    const { stdout } = await lab
      .machine(name)
      .ssh(`/usr/local/lib/cdktf-ha/cassandra/restore ${kept[index]![0]} esmond`, { timeoutSeconds: 200 });
    expect(stdout).toContain("restored esmond.measured");
  }
  const rows = await cql(node, "SELECT id FROM esmond.measured");
  expect(rows.map(Number).sort((a, b) => a - b)).toEqual([...Array(24).keys()]);
  const { code, stderr } = await node.ssh(
    `aws s3 cp s3://${SNAPSHOTS}/cassandra/cassandra-2/${kept[1]![0]}/schema.cql - 2>&1 >/dev/null | tee /dev/stderr; exit \${PIPESTATUS[0]}`,
    { allowFailure: true },
  );
  expect(code).not.toBe(0);
  expect(stderr).toMatch(/403|Forbidden|AccessDenied/);
}, 1_800_000);

test("each machine may call what it has called, on what is its own, and nothing else", async () => {
  const used = new Set<string>();
  const allowed = new Set<string>();
  for (const name of THREE) {
    const role = `stack-ring-${name}`;
    const { PolicyNames } = await cloud.call<{ PolicyNames: string[] }>("iam", "list_role_policies", {
      RoleName: role,
    });
    const documents = await Promise.all(
      PolicyNames.map((PolicyName) =>
        cloud.call<{ PolicyDocument: PolicyDocument }>("iam", "get_role_policy", {
          RoleName: role,
          PolicyName,
        }),
      ),
    );
    for (const { Action, Resource } of documents.flatMap(({ PolicyDocument }) => PolicyDocument.Statement)) {
      for (const resource of [Resource].flat()) {
        // nothing of any other node's, nothing of everybody's
        expect(resource).toMatch(
          new RegExp(
            `:secret:archive/cassandra-(admin|esmond)-|^arn:aws:s3:::${SNAPSHOTS}(/cassandra/${name}/\\*)?$`,
          ),
        );
      }
      for (const action of [Action].flat()) allowed.add(action);
    }
  }
  const refused: Call[] = [];
  for (const call of cloud.callsOf(/^stack-ring-cassandra-\d\/i-/)) {
    if (call.status === 403) refused.push(call);
    else if (call.status < 400) used.add(call.action);
  }
  expect([...allowed].sort()).toEqual([...used].sort());
  // the one that was tried for the purpose
  const tried = refused.map(({ who, resources }) => `${who.split("/")[0]} ${resources.join()}`);
  expect(tried).toEqual([
    expect.stringMatching(
      new RegExp(
        `^stack-ring-cassandra-1 arn:aws:s3:::${SNAPSHOTS}/cassandra/cassandra-2/\\S+/schema\\.cql$`,
      ),
    ),
  ]);
});

interface PolicyDocument {
  readonly Statement: readonly {
    readonly Action: string | string[];
    readonly Resource: string | string[];
  }[];
}

test("destroy refuses to take protected data; the data given up, it leaves nothing but snapshots", async () => {
  const refused = await deployment.destroy();
  expect(refused.ok).toBe(false);
  expect(refused.output).toContain("Instance cannot be destroyed");
  expect(await statesOf(lab.machine("cassandra-1"), RING)).toEqual(allUp(THREE));

  const given = (sizeGiB: number): NodeProps["dataVolume"] => ({ sizeGiB, protected: false });
  deployment = deployment.changed(
    archive(
      lab,
      network,
      { ...larger, "cassandra-3": { ...larger["cassandra-3"], dataVolume: given(3) } },
      { dataVolume: given(2) },
    ),
  );
  expect((await deployment.plan()).actions).toEqual({});
  const { ok, seconds, output } = await deployment.destroy();
  if (!ok) throw new Error(output.slice(-3000));
  figure(`AWS: destroy: ${seconds.toFixed(0)} s`);
  await cloud.settled();
  // a last one of each volume, the fourth node's among them
  expect(await account.counts()).toEqual({ ...before, snapshots: before.snapshots! + 4 });
  expect([...lab.names].sort()).toEqual(["client", "stranger"]);
  expect(await tags("cassandra-1")).toHaveLength(1);
}, 1_200_000);

test("the deployer's policy allowed all of this", () => {
  expect(refusals(cloud)).toEqual([]);
});
