import { mkdirSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { Workload } from "../lib";
import { run } from "../machines/run";

/**
 * `npm run bench:postgres [UPDATES]`: what `Workload.manySmallUpdates()` does to the writes that it is for: one column of random rows of a
 * table like esmond's metadata, again and again, with PostgreSQL's own settings, with the profile, and with room on the pages as well.
 * The same number of updates for each; a checkpoint comes where the settings would have made one, with half an hour taken for a run.
 * Data is in memory: bytes, pages and rows are counted, not the speed of a disk.
 */
const [, , layers = "", updates = "240000"] = process.argv;
const ROWS = 200_000;
const CLIENTS = 8;
/** Of five minutes each, as PostgreSQL's own checkpoint_timeout is. */
const SLICES = 6;

interface Contender {
  readonly name: string;
  readonly workload: Workload;
  readonly fillfactor: number;
  readonly checkpointEvery: number;
}

const CONTENDERS: readonly Contender[] = [
  { name: "PostgreSQL's own settings", workload: Workload.general(), fillfactor: 100, checkpointEvery: 1 },
  { name: "the profile", workload: Workload.manySmallUpdates(), fillfactor: 100, checkpointEvery: 3 },
  {
    name: "the profile, fillfactor 70",
    workload: Workload.manySmallUpdates(),
    fillfactor: 70,
    checkpointEvery: 3,
  },
];

interface Measure {
  readonly walPerUpdate: number;
  readonly fullPages: number;
  readonly hot: number;
  readonly tableMiB: number;
  readonly indexMiB: number;
  readonly deadRows: number;
  readonly latencyMs: number;
}

const own = "/run/bench";
const inRoot = join(own, "root");
const BIN = "/usr/lib/postgresql/15/bin";
const SOCKET = "/run/bench-postgres";
const chroot = async (command: string, timeoutSeconds = 600): Promise<string> =>
  (
    await run("chroot", ["--userspec=postgres:postgres", inRoot, "sh", "-ec", `cd /; ${command}`], {
      timeoutSeconds,
      env: { PGHOST: SOCKET, PGDATABASE: "postgres", LC_ALL: "C.UTF-8" },
    })
  ).stdout.trim();
const sql = (statement: string): Promise<string> => chroot(`psql -XAtq <<'END'\n${statement};\nEND`);

async function boot(): Promise<void> {
  for (const directory of ["upper", "work", "root"]) mkdirSync(join(own, directory), { recursive: true });
  const overlay = `lowerdir=${layers},upperdir=${own}/upper,workdir=${own}/work`;
  await run("mount", ["-t", "overlay", "overlay", inRoot, "-o", overlay]);
  await run("mount", ["--rbind", "/dev", join(inRoot, "dev")]);
  await run("mount", ["-t", "proc", "proc", join(inRoot, "proc")]);
  await run("chroot", [inRoot, "install", "--directory", "--owner=postgres", SOCKET, "/srv/bench"]);
}

const TABLE = (fillfactor: number): string => `
  create table metadata (id int primary key, checksum text not null, subject text not null, source inet not null,
    destination inet not null, started timestamptz not null, heard timestamptz not null) with (fillfactor = ${fillfactor});
  insert into metadata select n, md5(n::text), 'point-to-point', '192.0.2.1'::inet + n % 5000, '198.51.100.1'::inet + n % 5000,
    now() - n * interval '1 minute', now() from generate_series(1, ${ROWS}) n;
  create index on metadata (checksum);
  create index on metadata (source, destination);
  create index on metadata (started);
  vacuum (analyze) metadata`;

const COUNTED = `
  select wal_bytes || ' ' || wal_fpi || ' ' || n_tup_upd || ' ' || n_tup_hot_upd || ' ' || pg_table_size('metadata') || ' ' ||
    pg_indexes_size('metadata') || ' ' || n_dead_tup from pg_stat_wal, pg_stat_user_tables where relname = 'metadata'`;
async function counted(): Promise<readonly number[]> {
  await sql("select pg_stat_force_next_flush()");
  return (await sql(COUNTED)).split(" ").map(Number);
}

async function measure({ workload, fillfactor, checkpointEvery }: Contender): Promise<Measure> {
  const data = "/srv/bench/data";
  await chroot(`rm -rf ${data}; ${BIN}/initdb --pgdata=${data} --auth=trust --data-checksums >/dev/null`);
  const settings = {
    listen_addresses: "",
    unix_socket_directories: SOCKET,
    shared_buffers: "256MB",
    wal_log_hints: "on",
    ...workload.parameters,
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name} = '${value}'\n`);
  writeFileSync(join(inRoot, data, "postgresql.auto.conf"), lines.join(""));
  await chroot(`${BIN}/pg_ctl --pgdata=${data} --wait --log=/srv/bench/log start >/dev/null`);
  try {
    await sql(TABLE(fillfactor));
    await chroot(
      `printf '%s\\n' '\\set id random(1, ${ROWS})' 'update metadata set heard = now() where id = :id;' >/srv/bench/update.sql`,
    );
    const before = await counted();
    let latency = 0;
    const each = Math.ceil(Number(updates) / SLICES / CLIENTS);
    for (let slice = 0; slice < SLICES; slice++) {
      if (slice % checkpointEvery === 0) await sql("checkpoint");
      const words = await chroot(
        `${BIN}/pgbench --no-vacuum --client=${CLIENTS} --transactions=${each} --file=/srv/bench/update.sql`,
      );
      latency += Number(/latency average = ([\d.]+) ms/.exec(words)?.[1]) / SLICES;
    }
    const after = await counted();
    const [wal, fullPages, done, hot] = after.map((value, index) => value - before[index]!);
    return {
      walPerUpdate: wal! / done!,
      fullPages: fullPages!,
      hot: hot! / done!,
      tableMiB: (after[4]! - before[4]!) / 2 ** 20,
      indexMiB: (after[5]! - before[5]!) / 2 ** 20,
      deadRows: after[6]!,
      latencyMs: latency,
    };
  } finally {
    await chroot(`${BIN}/pg_ctl --pgdata=${data} --mode=immediate --wait stop >/dev/null`);
  }
}

async function main(): Promise<void> {
  await boot();
  console.log(
    `${await chroot(`${BIN}/postgres --version`)}, ${availableParallelism()} processors; ${updates} updates of ${ROWS} rows by ${CLIENTS} clients\n`,
  );
  const columns = [
    "WAL bytes/update",
    "ratio",
    "full pages",
    "HOT",
    "table grew",
    "indexes grew",
    "dead rows",
    "ms",
  ];
  console.log(["".padEnd(28), ...columns.map((name) => name.padStart(16))].join(""));
  let first: Measure | undefined;
  for (const contender of CONTENDERS) {
    const found = await measure(contender);
    first ??= found;
    const cells = [
      found.walPerUpdate.toFixed(0),
      (found.walPerUpdate / first.walPerUpdate).toFixed(2),
      String(found.fullPages),
      `${(found.hot * 100).toFixed(1)} %`,
      `${found.tableMiB.toFixed(1)} MiB`,
      `${found.indexMiB.toFixed(1)} MiB`,
      String(found.deadRows),
      found.latencyMs.toFixed(2),
    ];
    console.log([contender.name.padEnd(28), ...cells.map((cell) => cell.padStart(16))].join(""));
  }
}

main()
  .catch((error: unknown) => {
    console.error(error);
    process.exitCode = 1;
  })
  .finally(() => process.exit()); // what is left ends with the sealed namespace
