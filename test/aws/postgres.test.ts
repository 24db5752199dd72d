import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Backups, MachineImage, Peer, PostgresReplicaSet, Secret, type NodeProps } from "cdktf-ha-clusters";
import type { TerraformStack } from "cdktf";
import type { Cloud } from "../../machines/aws/cloud";
import type { Lab, LabMachine } from "../../machines/lab";
import { waitUntil } from "../../machines/run";
import { awaitMembers, membersOf } from "../machines/support/replica-set";
import { figure } from "../machines/support/ring-site";
import { psql, serverStarts } from "../machines/support/sql-client";
import { Account } from "./support/account";
import { DeployerPolicy, refusals } from "./support/deployer";
import { AwsDeployment } from "./support/deployment";
import { ADMINISTRATION, platformOf, startCloud, type Network } from "./support/site";

/** The life of a replica set in three zones of AWS, with its backups in a bucket, from the first apply to the last. */
const SET = {
  "pg-1": "10.77.1.51",
  "pg-2": "10.77.2.52",
  "pg-3": "10.77.3.53",
  "pg-4": "10.77.1.54",
} as const;
type Member = keyof typeof SET;
const THREE: readonly Member[] = ["pg-1", "pg-2", "pg-3"];
const CLIENT = "10.77.1.31";
const BUCKET = "archive-backups";
const PASSWORDS = { members: "the-members-own-0123", esmond: "it's esmond's" };
const BACKUP = "/usr/local/lib/cdktf-ha/postgres/backup";
/** Another image of the same release: see machines/aws/images.json. */
const OTHER_IMAGE = "ami-0d12000000000aaaa";
/** Users of its own have other numbers in it. */
const OTHER_NUMBERS = `#!/bin/bash
set -eu
"$(dirname "$0")/aws/prepare" "$1"
for user in postgres etcd; do
  old=$(chroot "$1" id --user "$user") group=$(chroot "$1" id --group "$user")
  chroot "$1" usermod --uid $((old + 700)) "$user"
  chroot "$1" groupmod --gid $((group + 700)) "$user"
  find "$1" -xdev -uid "$old" -exec chown --no-dereference $((old + 700)) {} +
  find "$1" -xdev -gid "$group" -exec chgrp --no-dereference $((group + 700)) {} +
done
`;
let otherNumbers = false;
const policy = new DeployerPolicy(DeployerPolicy.MACHINES);
let lab: Lab;
let cloud: Cloud;
let network: Network;
let account: Account;
let deployment: AwsDeployment;
let before: Record<string, number>;

const set =
  (names: readonly Member[], nodes: Partial<Record<Member, NodeProps>> = {}) =>
  (stack: TerraformStack): void => {
    const members = names.map((name, index): [string, NodeProps] => [
      name,
      { zone: ["a", "b", "c"][index % 3]!, privateAddress: SET[name], ...nodes[name] },
    ]);
    new PostgresReplicaSet(stack, "metadata", {
      platform: platformOf(stack, lab, network),
      members: Object.fromEntries(members),
      memberPassword: Secret.awsSecretsManager("archive/postgres-members"),
      databases: [{ name: "esmond", owner: "esmond" }],
      roles: [{ name: "esmond", password: Secret.awsSecretsManager("archive/postgres-esmond") }],
      clients: [Peer.cidr(`${CLIENT}/32`)],
      // the test begins them itself, whatever the hour
      backups: Backups.s3(`s3://${BUCKET}/metadata`, {
        fullSchedule: "2100-01-01",
        differentialSchedule: "2100-01-01",
        restoreTest: "never",
      }),
      memoryMiB: 256,
      dataVolume: { sizeGiB: 2, protected: false, finalSnapshot: false },
    });
  };

const ids = async (): Promise<Record<string, string>> =>
  Object.fromEntries(
    Object.entries(await account.instances()).map(([name, { InstanceId }]) => [name, InstanceId]),
  );
/** When each server began. */
const starts = (names: readonly Member[]): Promise<string[]> =>
  serverStarts(
    names.map((name) => lab.machine(name)),
    { database: "postgres" },
  );
const leaderOf = async (count: number): Promise<Member> =>
  (await awaitMembers(lab.machine("pg-1"), count)).leader as Member;
const ask = async (statement: string, count = 3): Promise<string> =>
  psql(
    lab.machine("client"),
    { host: SET[await leaderOf(count)], port: 5432, password: PASSWORDS.esmond, database: "esmond" },
    statement,
    "esmond",
  );

beforeAll(async () => {
  const machines = (): object => (otherNumbers ? { prepare: join(lab.directory, "other-image") } : {});
  ({ lab, cloud, network } = await startCloud({ buckets: [BUCKET], machines }));
  await writeFile(join(lab.directory, "other-image"), OTHER_NUMBERS, { mode: 0o755 });
  await cloud.call("s3", "create_bucket", {
    Bucket: BUCKET,
    CreateBucketConfiguration: { LocationConstraint: "eu-west-1" },
  });
  for (const [name, SecretString] of Object.entries(PASSWORDS))
    await cloud.call("secretsmanager", "create_secret", { Name: `archive/postgres-${name}`, SecretString });
  await Promise.all([
    lab.add("client", { address: `${CLIENT}/24` }),
    lab.add("stranger", { address: "10.77.1.41/24" }),
  ]);
  account = new Account(cloud);
  before = await account.counts();
  deployment = await AwsDeployment.create(lab, cloud, set(THREE), { policy: policy.document });
}, 300_000);
afterAll(async () => {
  await cloud.stop();
  await lab.stop();
});

test("one apply makes machines in three zones, a set on them, and its first backup by the leader's own role", async () => {
  const { seconds, added } = await deployment.deploy();
  figure(`AWS: deploy of a replica set of three: ${seconds.toFixed(0)} s, ${added} resources`);
  await ask("create table numbers (n int); insert into numbers select generate_series(1, 100)");
  const leader = lab.machine(await leaderOf(3));
  await waitUntil(
    async () => / full {2}/.test((await leader.ssh(`${BACKUP} list`)).stdout),
    120,
    () => "no backup is stored",
  );
  const { Contents = [] } = await cloud.call<{ Contents?: { Key: string }[] }>("s3", "list_objects_v2", {
    Bucket: BUCKET,
  });
  expect(Contents.length).toBeGreaterThan(3);
  expect(Contents.filter(({ Key }) => !/^metadata\/(archive|backup)\/metadata\//.test(Key))).toEqual([]);
}, 1_200_000);

test("planned again, there is nothing to do", async () => {
  expect((await deployment.plan()).actions).toEqual({});
});

test("the groups are the declared matrix, and nothing else", async () => {
  expect(await account.inboundRules()).toEqual(
    [
      ...ADMINISTRATION,
      "metadata-etcd: tcp 2379-2379 from metadata-etcd",
      "metadata-etcd: tcp 2380-2380 from metadata-etcd",
      "metadata-etcd: tcp 2379-2379 from metadata",
      "metadata: tcp 5432-5432 from metadata",
      "metadata: tcp 8008-8008 from metadata",
      `metadata: tcp 5432-5432 from ${CLIENT}/32`,
    ].sort(),
  );
});

test("a member more and a member less: the others are not touched, every row is there", async () => {
  const [had, ran] = [await ids(), await starts(THREE)];
  deployment = deployment.changed(set([...THREE, "pg-4"]));
  const { actions } = await deployment.plan();
  expect(new Set(Object.values(actions))).toEqual(new Set(["create"]));
  expect(Object.keys(actions).filter((each) => !each.includes("_pg-4_"))).toEqual([]);
  const more = await deployment.carryOut();
  if (!more.ok) throw new Error(more.output.slice(-3000));
  expect(await ids()).toEqual({ ...had, "pg-4": expect.stringMatching(/^i-/) });
  expect(await starts(THREE)).toEqual(ran);
  await ask("insert into numbers values (101)", 4);
  deployment = deployment.changed(set(THREE));
  const less = await deployment.deploy();
  figure(`AWS: a member more ${more.seconds.toFixed(0)} s, a member less ${less.seconds.toFixed(0)} s`);
  expect(await ids()).toEqual(had);
  expect(await starts(THREE)).toEqual(ran);
  expect(lab.names).not.toContain("pg-4");
  await leaderOf(3); // a member that has stopped is listed for some seconds more
  expect((await membersOf(lab.machine("pg-1"))).map(({ name }) => name).sort()).toEqual(THREE);
  expect(await ask("select count(*) from numbers")).toBe("101");
  expect((await deployment.plan()).actions).toEqual({});
}, 1_800_000);

test("an instance is replaced by one of another image: its member goes on with its rows, and etcd's with its vote", async () => {
  const had = await ids();
  const leader = await leaderOf(3);
  const replaced = THREE.find((name) => name !== leader)!;
  const machine = (): LabMachine => lab.machine(replaced);
  const lives = async (): Promise<string[]> => {
    const id = `ETCDCTL_API=3 etcdctl --endpoints ${SET[replaced]}:2379 endpoint status --write-out=json | grep -o '"member_id":[0-9]*'`;
    const made = "stat --format=%W /var/lib/postgresql/15/cdktf-ha/PG_VERSION";
    return (await machine().ssh(`findmnt -no FSTYPE /var/lib/postgresql; ${id}; ${made}`)).stdout
      .trim()
      .split("\n");
  };
  const before = await lives();
  expect(before[0]).toBe("xfs");
  expect(before).toHaveLength(3);
  const image = MachineImage.id(OTHER_IMAGE, { user: "admin" });
  otherNumbers = true;
  deployment = deployment.changed(set(THREE, { [replaced]: { image } }));
  const { actions } = await deployment.plan();
  expect(actions).toMatchObject({ [`aws_instance.metadata_${replaced}_instance`]: "replace" });
  expect(Object.keys(actions).filter((each) => each.startsWith("aws_ebs_volume"))).toEqual([]);
  const { ok, seconds, output } = await deployment.carryOut();
  if (!ok) throw new Error(output.slice(-3000));
  figure(`AWS: a member's instance replaced: ${seconds.toFixed(0)} s`);
  expect((await ids())[replaced]).not.toBe(had[replaced]);
  otherNumbers = false;
  expect(await lives()).toEqual(before);
  const owners =
    "stat --format='%U %u' /var/lib/postgresql/15/cdktf-ha /var/lib/etcd/cdktf-ha; find /var/lib/postgresql /var/lib/etcd -nouser";
  expect((await machine().ssh(owners)).stdout).toMatch(/^postgres [89]\d\d\netcd [89]\d\d\n$/);
  expect(await ask("select count(*) from numbers")).toBe("101");
  expect((await deployment.plan()).actions).toEqual({});
}, 1_200_000);

test("each machine may call what it has called, on what is its own, and nothing else", async () => {
  // what the nightly ones call as well
  const leader = lab.machine(await leaderOf(3));
  await leader.ssh(`for i in 1 2 3 4; do ${BACKUP} run full; done`, { timeoutSeconds: 200 });
  const [used, allowed] = [new Set<string>(), new Set<string>()];
  const statements: { Action: string | string[]; Resource: string | string[] }[] = [];
  for (const name of THREE) {
    const RoleName = `stack-metadata-${name}`;
    const { PolicyNames } = await cloud.call<{ PolicyNames: string[] }>("iam", "list_role_policies", {
      RoleName,
    });
    for (const PolicyName of PolicyNames) {
      const { PolicyDocument } = await cloud.call<{ PolicyDocument: { Statement: typeof statements } }>(
        "iam",
        "get_role_policy",
        { RoleName, PolicyName },
      );
      statements.push(...PolicyDocument.Statement);
    }
  }
  for (const { Action, Resource } of statements) {
    for (const action of [Action].flat()) allowed.add(action);
    for (const resource of [Resource].flat())
      expect(resource).toMatch(
        new RegExp(`:secret:archive/postgres-(members|esmond)-|^arn:aws:s3:::${BUCKET}(/metadata/\\*)?$`),
      );
  }
  for (const { status, action } of cloud.callsOf(/^stack-metadata-pg-\d\/i-/)) {
    expect([action, status]).not.toEqual([action, 403]);
    if (status < 400) used.add(action);
  }
  // an upload that fails half-way takes its parts back
  expect([...used, "s3:AbortMultipartUpload"].sort()).toEqual([...allowed].sort());
}, 600_000);

test("a set that leaves the code while its platform stays is refused by who is the last: no instance and no volume goes", async () => {
  const had = await ids();
  const rows = await ask("select count(*) from numbers");
  const alone = deployment.changed((stack) => void platformOf(stack, lab, network));
  const refused = await alone.deploy().then(() => "applied", String);
  expect(refused).toContain("take this one out by a later apply");
  expect(await ids()).toEqual(had);
  // back in the code, those who have left come back
  await deployment.deploy();
  expect(await ids()).toEqual(had);
  expect(await ask("select count(*) from numbers")).toBe(rows);
  expect((await deployment.plan()).actions).toEqual({});
}, 1_200_000);

test("destroyed: nothing is left but the backups", async () => {
  const { ok, seconds, output } = await deployment.destroy();
  if (!ok) throw new Error(output.slice(-3000));
  figure(`AWS: destroy: ${seconds.toFixed(0)} s`);
  await cloud.settled();
  expect(await account.counts()).toEqual(before);
  expect([...lab.names].sort()).toEqual(["client", "stranger"]);
}, 600_000);

test("the deployer's policy allowed all of this", () => {
  expect(refusals(cloud)).toEqual([]);
});
