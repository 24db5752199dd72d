import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ringCases } from "../cassandra-ring/golden";
import { program, testWithNeeds } from "../support/needs";

/** Each line's configuration is read by the loader of that line, which refuses settings that it does not know. */
const RELEASES: Readonly<Record<string, string>> = {
  "cassandra-3.11": "3.11.19",
  "cassandra-4.0": "4.0.19",
  "cassandra-4.1": "4.1.10",
  "cassandra-5.0": "5.0.6",
};
const withCassandra = testWithNeeds([program("java"), program("mvn")]);
const cases = ringCases().map(({ name, files }) => [name, files["cassandra.yaml"]!] as const);
let directory: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "cdktf-ha-cassandra-"));
  writeFileSync(join(directory, "logback.xml"), "<configuration/>");
});
afterAll(() => rmSync(directory, { recursive: true }));

function load(name: string, text: string): { status: number | null; words: string } {
  const release = RELEASES[name]!;
  const fetch = join(__dirname, "../machines/support/cassandra/fetch.sh");
  const home = execFileSync(fetch, [release], { encoding: "utf8" }).trim().split("\n").at(-1)!;
  const path = join(directory, `${name}.yaml`);
  writeFileSync(path, text.replace(/@@HA:quotable:[^@]*@@/g, "0123456789abcdef"));
  const { status, stdout, stderr } = spawnSync(
    "java",
    [
      "-XX:TieredStopAtLevel=1",
      "--add-opens=java.base/java.lang=ALL-UNNAMED",
      "--add-exports=java.base/sun.nio.ch=ALL-UNNAMED",
      `-Dcassandra.storagedir=${directory}`,
      "-cp",
      `${directory}:${join(home, "opt", `cassandra-${release}`, "lib")}/*`,
      join(__dirname, "support/Load.java"),
      path,
    ],
    { encoding: "utf8", timeout: 100_000 },
  );
  return { status, words: stdout + stderr };
}

withCassandra.each(cases)(
  "%s",
  (name, text) => {
    const { status, words } = load(name, text);
    expect(words).toMatch(/: Esmond Cluster, \d+ tokens, snitch GossipingPropertyFileSnitch\n$/);
    expect(status).toBe(0);
  },
  300_000,
);

withCassandra.each([
  ["cassandra-3.11", "rpc_port: 9160", "rpc_prot: 9160", "rpc_prot"],
  [
    "cassandra-4.0",
    "commitlog_sync_period_in_ms: 10000",
    "commitlog_sync_period: '10000ms'",
    "commitlog_sync_period",
  ],
  ["cassandra-4.1", "rpc_address", "rpc_adress", "rpc_adress"],
  ["cassandra-5.0", "num_tokens: 16", "num_tokens: 16\nstart_rpc: true", "start_rpc"],
])(
  "%s refuses what it does not know (%s)",
  (name, right, wrong, word) => {
    const text = cases.find(([known]) => known === name)![1];
    const { status, words } = load(name, text.replace(right, wrong));
    expect(words).toContain(`Please remove properties [${word}]`);
    expect(status).not.toBe(0);
  },
  300_000,
);
