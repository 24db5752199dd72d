import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { LabMachine, SshOptions } from "../../../machines/lab";
import { waitUntil } from "../../../machines/run";
import { shellQuoted } from "../../../lib/script-text";
import { LoadResult, type LoadRequest } from "../../../machines/load";
import { report } from "./haproxy";

/** A statement that was done, or not. */
export interface Statement extends LoadRequest {
  /** What was written. */
  readonly number?: number;
  /** Address of the database server that did it. */
  readonly server?: string;
}

export interface Statements {
  readonly all: readonly Statement[];
  readonly done: readonly Statement[];
  /** For the figures. */
  readonly result: LoadResult;
}

export interface SqlTarget {
  readonly host: string;
  readonly port: number;
  readonly password: string;
  /** @default "postgres" */
  readonly database?: string;
  /** How long a new connection may take. @default 2 */
  readonly connectSeconds?: number;
}

/** Output of a statement, by psql on a machine, over a connection of its own. */
export async function psql(
  machine: LabMachine,
  { host, port, password, database = "postgres" }: SqlTarget,
  statement: string,
  user = "app",
): Promise<string> {
  const environment = `PGPASSWORD=${shellQuoted(password)} PGCONNECT_TIMEOUT=5`;
  const options = `-X --no-align --tuples-only --quiet --host ${host} --port ${port} --username ${user}`;
  const { stdout } = await machine.ssh(`${environment} psql ${options} ${database}`, {
    input: `\\set ON_ERROR_STOP on\n${statement};\n`,
  });
  return stdout.trim();
}

interface LocalOptions extends SshOptions {
  readonly database?: string;
  /** More of psql's own. */
  readonly options?: string;
}

/** What the server on a machine says to its superuser, there. */
export async function localSql(
  machine: LabMachine,
  statement: string,
  { database = "numbers", options = "", ...ssh }: LocalOptions = {},
): Promise<string> {
  const query = `psql -XAtq ${options} --dbname ${database} --command "${statement}"`;
  const { stdout } = await machine.ssh(`cd /; runuser --user postgres -- ${query}`, ssh);
  return stdout.trim();
}

/** When each machine's server began. */
export function serverStarts(machines: readonly LabMachine[], options?: LocalOptions): Promise<string[]> {
  return Promise.all(
    machines.map((machine) => localSql(machine, "select pg_postmaster_start_time()", options)),
  );
}

/** An application on a machine of its own that asks a database again and again, 20 times a second where it can. */
export class SqlClient {
  private static started = 0;
  private readonly stopFile = `/run/sql-client-${SqlClient.started++}`;
  private readonly output: Promise<{ stdout: string }>;

  constructor(
    private readonly machine: LabMachine,
    kind: "write" | "transact" | "read",
    { host, port, password, database = "postgres", connectSeconds = 2 }: SqlTarget,
  ) {
    this.output = readFile(join(__dirname, "sql-client.py"), "utf8").then((input) =>
      machine.ssh(
        `timeout 900 python3 - ${kind} ${host} ${port} ${shellQuoted(password)} ${this.stopFile} ${database} ${connectSeconds}`,
        {
          input,
          timeoutSeconds: 910,
        },
      ),
    );
    this.output.catch(() => undefined); // told by stop()
  }

  /** Until its first statement has succeeded. */
  async begun(): Promise<void> {
    await waitUntil(
      async () =>
        (await this.machine.ssh(`test -e ${this.stopFile}.begun`, { allowFailure: true })).code === 0,
      60,
      () => "the application's first statement does not succeed",
      200,
    );
  }

  async stop(): Promise<Statements> {
    await this.machine.ssh(`touch ${this.stopFile}`);
    const { stdout } = await this.output;
    const all = stdout
      .split("\n")
      .filter(Boolean)
      .map((line) => JSON.parse(line) as Statement);
    return { all, done: all.filter(({ ok }) => ok), result: new LoadResult(all) };
  }
}

/** The action while an application writes all along, from an empty table `numbers` on: no acknowledged row may be lost. */
export async function underWrites(
  client: LabMachine,
  what: string,
  action: () => Promise<unknown>,
  { before, after }: { readonly before: SqlTarget; readonly after: SqlTarget },
): Promise<Statements> {
  await psql(client, before, "truncate numbers");
  const writer = new SqlClient(client, "write", before);
  const start = performance.now();
  try {
    await writer.begun();
    await action();
    await delay(1500);
  } finally {
    await writer.stop();
  }
  const writes = await writer.stop();
  report(`${what}, ${((performance.now() - start) / 1000).toFixed(0)} s; writes`, writes.result);
  const rows = new Set((await psql(client, after, "select n from numbers")).split("\n").map(Number));
  expect(writes.done.filter(({ number }) => !rows.has(number!))).toEqual([]);
  expect(writes.done.length).toBeGreaterThan(10);
  return writes;
}
