import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { Backups, PostgresReplicaSet, Secret, type BackupProps, type Recovery } from "cdktf-ha-clusters";
import type { TerraformStack } from "cdktf";
import type { Lab } from "../../machines/lab";
import { waitUntil } from "../../machines/run";
import { Deployment } from "../support/deployment";
import { filesThatHold } from "./support/disclosure";
import { ObjectStore } from "./support/object-store";
import { awaitMembers, MEMBERS, notes, PASSWORDS, replicaSet, type SetProps } from "./support/replica-set";
import { figure } from "./support/ring-site";
import { ADDRESSES, startSite } from "./support/site";
import { localSql } from "./support/sql-client";

/** Backups of a set that has none at first; what was dropped is there again, as of a second before. */
const SECRETS = {
  ...PASSWORDS,
  "store-id": "AKIDEXAMPLE",
  "store-key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
  passphrase: `all 'the' "rest" # of it`,
};
const BACKUP = "/usr/local/lib/cdktf-ha/postgres/backup";
const MOMENT = "select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.MS') || '+00'";
let lab: Lab;
let deployment: Deployment;
let store: ObjectStore;
let leader: string;
let standby: string;
/** The members' key to the host that takes backups by SSH. */
let keyFile: string;
let hostKey: string;

const backups = (stack: TerraformStack, bucket = "backups", props: BackupProps = {}): Backups =>
  Backups.s3(`s3://${bucket}/postgres`, {
    endpoint: ObjectStore.endpoint,
    caFile: ObjectStore.caFile,
    region: "us-east-1",
    credentials: {
      id: Secret.variable(stack, "store-id"),
      secret: Secret.variable(stack, "store-key"),
    },
    encryption: Secret.variable(stack, "passphrase"),
    // the test begins them itself, whatever the hour
    fullSchedule: "2100-01-01",
    differentialSchedule: "2100-01-01",
    restoreTest: "2100-01-01",
    ...props,
  });
type Place = string | ((stack: TerraformStack) => Backups);
const builds =
  (to?: Place, props?: BackupProps, also?: SetProps["also"], members: readonly string[] = MEMBERS) =>
  (stack: TerraformStack): void =>
    replicaSet(lab, {
      also,
      members,
      ...(to === undefined
        ? {}
        : { backups: typeof to === "string" ? backups(stack, to, props) : to(stack) }),
    } satisfies SetProps)(stack);
/** On the machine of the clients, which the stack knows nothing of. */
const byHost =
  (hostKey: string) =>
  (stack: TerraformStack): Backups =>
    Backups.ssh(ADDRESSES.client, "/srv/keeper/backups", {
      user: "keeper",
      privateKey: Secret.variable(stack, "repository-key"),
      hostKey,
      encryption: Secret.variable(stack, "passphrase"),
      fullSchedule: "2100-01-01",
      differentialSchedule: "2100-01-01",
      restoreTest: "2100-01-01",
    });

/** A set beside it, on a machine of its own, which may begin as the first one was. */
const rescued =
  (recovery?: Omit<Recovery, "from">): SetProps["also"] =>
  (stack, platform, { memberPassword, props }) => {
    new PostgresReplicaSet(stack, "rescued", {
      platform,
      members: ["db-4"],
      memberPassword,
      memoryMiB: 256,
      backups: props.backups,
      recovery: recovery && { from: props.backups!, ...recovery },
    });
  };

const sql = (name: string, statement: string, options = ""): Promise<string> =>
  localSql(lab.machine(name), statement, { options });
const noted = async (pattern: RegExp): Promise<string[]> =>
  (await notes(lab, MEMBERS)).map(({ text }) => text).filter((text) => pattern.test(text));
const list = async (name: string): Promise<string> => (await lab.machine(name).ssh(`${BACKUP} list`)).stdout;

async function settled(): Promise<void> {
  const awaited = await awaitMembers(lab.machine("db-1"), MEMBERS.length);
  leader = awaited.leader;
  // the first by name: who does the restore test
  standby = MEMBERS.find((name) => name !== leader)!;
}

beforeAll(async () => {
  lab = await startSite(["lb-1", "lb-2", ...MEMBERS, "db-4", "client"], "tests");
  store = await ObjectStore.start(lab.directory, "backups");
  for (const name of [...MEMBERS, "db-4"]) await store.showTo(lab.machine(name));
  keyFile = `${lab.directory}/repository-key`;
  execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", keyFile]);
  deployment = new Deployment(`${lab.directory}/deployment`, builds(), {
    ...SECRETS,
    "repository-key": readFileSync(keyFile, "utf8"),
  });
});
afterAll(async () => {
  store.stop();
  await lab.stop();
});

test("a set without backups, and rows in it", async () => {
  await deployment.deploy();
  await settled();
  await sql(leader, "create table precious (n int); insert into precious select generate_series(1, 1000)");
}, 1_200_000);

test("a bucket that is not there: refused in the repository's words, nothing changes", async () => {
  deployment = deployment.changed(builds("nobodys"));
  const { ok, output } = await deployment.apply();
  expect(ok).toBe(false);
  expect(output).toMatch(/the repository cannot be used: .*(404|NoSuchBucket|nobodys)/is);
  expect(await sql(leader, "show archive_mode")).toBe("off");
}, 600_000);

test("backups switched on: restarts in turn, the log gets there, the first backup is made by itself", async () => {
  deployment = deployment.changed(builds("backups"));
  const { seconds } = await deployment.deploy();
  figure(`backups switched on: ${seconds.toFixed(0)} s`);
  await settled();
  expect(await sql(leader, "show archive_mode")).toBe("on");
  await waitUntil(
    async () => (await noted(/^full backup .* is stored/)).length > 0,
    120,
    () => "no backup is stored",
  );
  expect(await list(standby)).toMatch(/\+00 {2}full {2}\d{8}-\d{6}F {2}\d+ MiB\nlog from [0-9A-F]{24} to/);
  expect(await deployment.isUpToDate()).toBe(true);
}, 1_200_000);

test("who does not lead makes no backup", async () => {
  const { stdout } = await lab.machine(standby).ssh(`${BACKUP} run diff`);
  expect(stdout).toContain(`${leader} leads: no backup from here`);
  const before = await list(leader);
  await lab.machine(leader).ssh(`${BACKUP} run diff`, { timeoutSeconds: 120 });
  expect((await list(leader)).split("\n").length).toBe(before.split("\n").length + 1);
}, 400_000);

test("a table dropped: as it was a second before, beside the set that goes on", async () => {
  await sql(leader, "insert into precious values (1001)");
  await new Promise((resolve) => setTimeout(resolve, 1500));
  const moment = await sql(leader, MOMENT);
  await new Promise((resolve) => setTimeout(resolve, 500));
  await sql(leader, "drop table precious; create table after (n int)");
  // what is written last is archived with the next segment
  await sql(leader, "select pg_switch_wal()");
  const start = performance.now();
  const place = "/var/lib/postgresql/15/before-the-drop";
  const { stdout } = await lab
    .machine(standby)
    .ssh(`${BACKUP} restore '${moment}' ${place}`, { timeoutSeconds: 300 });
  figure(`restored to the second before a drop: ${((performance.now() - start) / 1000).toFixed(0)} s`);
  const host = "--host /run/cdktf-ha-restored-before-the-drop";
  expect(stdout).toContain(host);
  expect(await sql(standby, "select count(*), max(n) from precious", host)).toBe("1001|1001");
  await expect(sql(standby, "select * from after", host)).rejects.toThrow("does not exist");
  await lab
    .machine(standby)
    .ssh(
      `cd /; runuser --user postgres -- pg_dump ${host} --table precious numbers >/tmp/precious.sql; grep -c . /tmp/precious.sql`,
    );
  // nobody hears it from outside, and nobody but postgres inside
  const { stdout: listening } = await lab.machine(standby).ssh("ss -Hltn 'sport = :5432' | wc -l");
  expect(listening.trim()).toBe("1");
  const stranger = await lab
    .machine(standby)
    .ssh(`runuser --user nobody -- psql -XAtq ${host} --dbname numbers --command 'select 1'`, {
      allowFailure: true,
    });
  expect(stranger.code).not.toBe(0);
  await lab.machine(standby).ssh(`${BACKUP} drop ${place}; ! test -e ${place}`);
  await settled();
}, 800_000);

test("a moment before the first backup, or not yet there: said so, and the set's own data is never a target", async () => {
  const tried = async (words: string): Promise<string> => {
    const { code, stdout, stderr } = await lab
      .machine(standby)
      .ssh(`${BACKUP} restore ${words}`, { allowFailure: true, timeoutSeconds: 200 });
    expect(code).not.toBe(0);
    return stdout + stderr;
  };
  expect(await tried("'2020-01-01 00:00:00+00' /var/lib/postgresql/early")).toMatch(
    /unable to find backup set|before/,
  );
  const tomorrow = new Date(Date.now() + 86_400_000).toISOString().replace(/T(.*)\..*/, " $1+00");
  expect(await tried(`'${tomorrow}' /var/lib/postgresql/late`)).toContain(
    "recovery ended before configured recovery target",
  );
  const { stdout } = await lab.machine(standby).ssh("ls /var/lib/postgresql");
  expect(stdout).not.toMatch(/early|late/);
  expect(await tried("yesterday /var/lib/postgresql/x")).toContain("YYYY-MM-DD HH:MM:SS+00");
  expect(await tried("latest /var/lib/postgresql/15/cdktf-ha")).toContain("not the set's own data");
}, 800_000);

test("the restore test: by a replica, and nothing of it stays", async () => {
  for (const name of MEMBERS)
    await lab.machine(name).ssh("systemctl start postgres-restore-test.service", { timeoutSeconds: 300 });
  expect(await noted(/^restore test: backup .* all pages whole/)).toHaveLength(1);
  const { stdout } = await lab
    .machine(standby)
    .ssh("ls -d /var/lib/postgresql/15/cdktf-ha-restore-test /run/cdktf-ha-restored-* 2>/dev/null | wc -l");
  expect(stdout.trim()).toBe("0");
}, 800_000);

test("a member joins, and leaves, while the set has backups", async () => {
  deployment = deployment.changed(builds("backups", {}, undefined, [...MEMBERS, "db-4"]));
  await deployment.deploy();
  await awaitMembers(lab.machine("db-1"), 4, leader);
  expect(await sql("db-4", "show restore_command")).toContain("archive get db");
  deployment = deployment.changed(builds("backups"));
  await deployment.deploy();
  await settled();
}, 1_200_000);

test("the primary loses its power while the store hangs: another one takes over, archives when it can, and makes the backups", async () => {
  const old = leader;
  store.hang();
  const start = performance.now();
  await lab.machine(old).cutPower();
  let next: string | undefined;
  await waitUntil(
    async () => {
      for (const name of MEMBERS.filter((other) => other !== old)) {
        const answer = await sql(name, "select pg_is_in_recovery()").catch(() => "");
        if (answer === "f") next = name;
      }
      return next !== undefined;
    },
    90,
    () => "nobody took over",
  );
  await sql(next!, "create table later (n int)");
  figure(`takeover with a store that hangs: ${((performance.now() - start) / 1000).toFixed(0)} s`);
  store.goOn();
  await lab.machine(next!).ssh(`${BACKUP} run incr`, { timeoutSeconds: 400 });
  await lab.machine(old).powerOn();
  await settled();
  expect(leader).toBe(next);
  expect(await list(old)).toMatch(/ incr {2}/);
}, 800_000);

test("a new set begins as the old one was, and lives on with backups of its own", async () => {
  await sql(leader, "create table kept (n int); insert into kept select generate_series(1, 500)");
  await new Promise((resolve) => setTimeout(resolve, 1500));
  const to = await sql(leader, MOMENT);
  await new Promise((resolve) => setTimeout(resolve, 500));
  await sql(leader, "delete from kept");
  // a moment is known as over when something later is in the log
  await sql(leader, "select pg_switch_wal()");
  deployment = deployment.changed(builds("backups", {}, rescued({ set: "nobodys", to })));
  const { ok, output } = await deployment.apply();
  expect(ok).toBe(false);
  expect(output).toContain("there is no backup of 'nobodys' to begin from");
  deployment = deployment.changed(builds("backups", {}, rescued({ set: "db", to })));
  const { seconds } = await deployment.deploy();
  figure(`a new set from a backup: ${seconds.toFixed(0)} s`);
  expect(await sql("db-4", "select count(*) from kept")).toBe("500");
  expect(await sql("db-4", "select pg_is_in_recovery()")).toBe("f");
  // no target of the past is left, and the set writes on, into its own part of the repository
  expect(
    await sql(
      "db-4",
      "select count(*) from pg_file_settings where name like 'recovery_target%' and setting <> ''",
    ),
  ).toBe("0");
  await sql("db-4", "insert into kept values (501)");
  await waitUntil(
    async () => / full {2}/.test(await list("db-4")),
    120,
    () => "the new set has no backup",
  );
  expect(await sql(leader, "select count(*) from kept")).toBe("0");
  expect(await deployment.isUpToDate()).toBe(true);
}, 1_200_000);

describe("to another host by SSH", () => {
  test("one that shows another key, or lacks what it takes: refused, nothing changes", async () => {
    const keeper = lab.machine("client");
    const known = readFileSync(`${keyFile}.pub`, "utf8").trim();
    await keeper.ssh(
      `useradd --system --create-home --home-dir /srv/keeper --shell /bin/bash keeper; cd /srv/keeper; mkdir -m 700 .ssh; echo '${known}' >.ssh/authorized_keys; chown -R keeper .ssh`,
    );
    const refusal = async (hostKey: string): Promise<string> => {
      deployment = deployment.changed(builds(byHost(hostKey), {}, rescued()));
      const { ok, output } = await deployment.apply();
      expect(ok).toBe(false);
      return output;
    };
    expect(await refusal(known)).toMatch(/Host key verification failed/);
    hostKey = (await keeper.ssh("cat /etc/ssh/ssh_host_ed25519_key.pub")).stdout.trim();
    expect(await refusal(hostKey)).toContain("/srv/keeper/backups is no directory on the host");
    expect(await list(leader)).toMatch(/ full {2}/); // of the bucket
  }, 600_000);

  test("the log goes there, a backup is made there, a replica restores it", async () => {
    const keeper = lab.machine("client");
    await keeper.ssh("install --directory --owner keeper --mode 0700 /srv/keeper/backups");
    await sql(leader, "create table there (n int); insert into there values (7)");
    const stored = (await noted(/^full backup .* is stored/)).length;
    const { seconds } = await deployment.deploy();
    figure(`backups by SSH instead of a bucket: ${seconds.toFixed(0)} s`);
    await waitUntil(
      async () => (await noted(/^full backup .* is stored/)).length > stored,
      120,
      () => "no backup is stored",
    );
    await settled();
    await lab.machine(leader).ssh(`${BACKUP} run diff`, { timeoutSeconds: 120 });
    expect(await list(standby)).toMatch(/ full {2}.*\n.* diff {2}.*\nlog from/);
    await sql(leader, "insert into there values (8); select pg_switch_wal()");
    const place = "/var/lib/postgresql/15/from-host";
    await lab.machine(standby).ssh(`${BACKUP} restore latest ${place}`, { timeoutSeconds: 300 });
    expect(
      await sql(standby, "select count(*) from there", "--host /run/cdktf-ha-restored-from-host"),
    ).toMatch(/^[12]$/);
    await lab.machine(standby).ssh(`${BACKUP} drop ${place}`);
    // the host keeps the repository, and neither a setting nor a passphrase nor a way to the members
    const { stdout } = await keeper.ssh(
      "cd /srv/keeper; find . -path ./backups -prune -o -type f -print; ls /tmp/cdktf-ha-* 2>/dev/null | wc -l; head -c 8 backups/backup/db/backup.info; ls -d backups/backup/rescued",
    );
    expect(stdout.split("\n").filter((line) => !/^\.\/\.(bash|profile)/.test(line))).toEqual([
      "./.ssh/authorized_keys",
      "0",
      "Salted__backups/backup/rescued",
      "",
    ]);
    expect(await filesThatHold(keeper, SECRETS.passphrase, "anybody")).toEqual([]);
    expect(await deployment.isUpToDate()).toBe(true);
  }, 1_200_000);
});

test("secrets are in no file that others read, and in none of Terraform's", async () => {
  for (const name of MEMBERS) {
    const { stdout } = await lab
      .machine(name)
      .ssh("stat --format '%a %U %G' /etc/pgbackrest/pgbackrest.conf");
    expect(stdout.trim()).toBe("640 root postgres");
  }
  const key = readFileSync(keyFile, "utf8").split("\n")[2]!;
  for (const secret of [SECRETS["store-key"], SECRETS.passphrase, key]) {
    for (const name of MEMBERS)
      expect([name, await filesThatHold(lab.machine(name), secret, "anybody")]).toEqual([name, []]);
    const told = JSON.stringify(secret).slice(1, -1); // as JSON writes it
    for (const file of [deployment.stateFile, `${deployment.stackDirectory}/cdk.tf.json`])
      expect(readFileSync(file, "utf8")).not.toContain(told);
  }
});

test("backups switched off: nothing is archived any more, what is stored stays", async () => {
  deployment = deployment.changed(builds(undefined, {}, rescued()));
  await deployment.deploy();
  await settled();
  expect(await sql("db-4", "show archive_mode")).toBe("off");
  expect(await sql(leader, "show archive_mode")).toBe("off");
  const { stdout } = await lab
    .machine(leader)
    .ssh("systemctl list-timers --all 'postgres-*' --no-legend | wc -l");
  expect(stdout.trim()).toBe("0");
}, 800_000);
