import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { program, root, testWithNeeds } from "../support/needs";

/** What a database of PostgreSQL 15 holds goes over to PostgreSQL 16, by the program that members have for it. */
const cache =
  process.env.HA_MACHINES_CACHE ??
  join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "cdktf-ha-clusters");
const withTwoVersions = testWithNeeds([
  root,
  program("unshare"),
  program("ip"),
  () =>
    existsSync(join(cache, "pgserver-0.1.4"))
      ? undefined
      : "PostgreSQL 16 is not here: test/machines/support/postgres/fetch.sh",
  () =>
    spawnSync(join(__dirname, "../../machines/root-file-system.sh"), ["--layers", "tests"]).status === 0
      ? undefined
      : "the tests' root file system is not built: machines/root-file-system.sh tests",
]);

const BEFORE = `
old --quiet <<'END'
  create role app login password 'pass word';
  create role reader;
  create database numbers owner app;
  \\c numbers
  set role app;
  create table things as select n, md5(n::text) as text from generate_series(1, 20000) n;
  create table "Other Things" (id serial primary key, text text);
  insert into "Other Things" (text) select 'a' from generate_series(1, 50);
  create view seen as select * from things;
  grant select on things to reader;
END
new --quiet <<'END'
  create role app login password 'another one';
  create role reader;
  create database numbers owner app;
  revoke connect, temporary on database numbers from public;
  grant connect on database numbers to reader;
END
move() { echo "\${PASSWORD-pass word}" | move-in numbers 127.0.0.1 5440 "$@" 2>&1 && echo moved || echo "not moved"; }
`;

/** Lines that the shell text prints. */
function lines(script: string): string[] {
  const { stdout, stderr, status } = spawnSync(
    join(__dirname, "support/two-versions.sh"),
    [`${BEFORE}\n${script}`],
    { encoding: "utf8", timeout: 120_000 },
  );
  expect({ status, stderr: stderr.replace(/^initdb: .*\n/gm, "") }).toEqual({ status: 0, stderr: "" });
  return stdout
    .trim()
    .split("\n")
    .map((line) => line.replace(/^\d+ s: /, ""));
}

withTwoVersions(
  "tried, then for good: every row, grant and sequence; the old one is only read from then on",
  () => {
    const found = lines(`
move try | grep -v dumped
new --dbname numbers --command "select count(*) from pg_class where relname = 'things'"
old --dbname numbers --command "insert into things values (0)"
move | grep -v dumped
new --dbname numbers --command "select count(*) from things" --command "select nextval('\\"Other Things_id_seq\\"')" \\
  --command "select has_table_privilege('reader', 'things', 'select'), has_database_privilege('reader', 'numbers', 'connect'), has_database_privilege('reader', 'numbers', 'temporary')" \\
  --command "select string_agg(distinct tableowner, ',') from pg_tables where schemaname = 'public'" \\
  --command "select string_agg(datname, ',' order by datname) from pg_database where not datistemplate"
old --dbname numbers --command "insert into things values (0)" 2>&1 || true
move
ls /var/lib/postgresql`);
    expect(found).toEqual([
      ...["restored", "tried: nothing has changed here or there", "moved", "0"],
      ...["127.0.0.1 is read-only", "restored", "counted: 2 tables, the same there and here"],
      ...["moved in: clients may come", "moved", "20001", "51", "t|t|f", "app", "numbers,postgres"],
      "ERROR:  cannot execute INSERT in a read-only transaction",
      ...["'numbers' is not empty here", "not moved", "data"],
    ]);
  },
  150_000,
);

withTwoVersions(
  "given up, and the old one takes writes: a session of somebody else's, what cannot come, a wrong password",
  () => {
    const found = lines(`
PASSWORD=wrong move | grep --only-matching "password authentication failed"
old --dbname numbers --command "select pg_sleep(100)" >/dev/null 2>&1 &
until [[ $(old --command "select count(*) from pg_stat_activity where datname = 'numbers'") = 1 ]]; do sleep 0.1; done
move
old --command "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'numbers'" >/dev/null
old --dbname numbers --command "create table hidden (n int)"
move | grep -E "permission denied|given up|moved"
old --dbname numbers --command "insert into things values (0) returning n"
new --command "select string_agg(datname, ',' order by datname) from pg_database where not datistemplate"`);
    expect(found).toEqual([
      "password authentication failed",
      "sessions of postgres are in the database there, and may write: end them first, by pg_terminate_backend",
      "given up: 127.0.0.1 takes writes again",
      "not moved",
      "pg_dump: error: query failed: ERROR:  permission denied for table hidden",
      "given up: 127.0.0.1 takes writes again",
      "not moved",
      "0",
      "numbers,postgres",
    ]);
  },
  150_000,
);
