import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** When a member of etcd begins, joins and leaves (lib/etcd/on-machine), against stand-ins for etcd and systemd. */
const SCRIPTS = join(__dirname, "../../lib/etcd/on-machine");
const [OWN, SECOND, THIRD] = ["127.0.0.1", "127.0.0.2", "127.0.0.3"];
let directory: string;
let servers: Server[] = [];
/** Nobody else has it: a server that is there for a moment was given it. */
let port: number;

async function listen(host: string, on = 0): Promise<number> {
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(on, host, resolve);
  });
  servers.push(server);
  return (server.address() as { port: number }).port;
}
const close = async (): Promise<void> => {
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  servers = [];
};

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "etcd-"));
  port = await listen(OWN);
  await close();
});
afterEach(async () => {
  await close();
  rmSync(directory, { recursive: true });
});

const state = (path: string): string => join(directory, path);
function hasData(): void {
  mkdirSync(state("cdktf-ha/member/wal"), { recursive: true });
  writeFileSync(state("cdktf-ha/member/wal/0.wal"), "");
}

/** Runs a hook as a push does; what the stand-ins were asked is in `asked`. */
function hook(
  name: string,
  standIns = "",
  members = { "db-1": OWN, "db-2": SECOND, "db-3": THIRD },
): { status: number | null; words: string; asked: string } {
  const facts = state("facts");
  const list = Object.entries(members).map((entry) => entry.join(" "));
  writeFileSync(
    facts,
    `ETCD_MEMBER=db-1\nETCD_ADDRESS=${OWN}\nETCD_DATA=${directory}/cdktf-ha\nETCD_FOUNDER=db-1\nETCD_MEMBERS='${list.join("\n")}'\n`,
  );
  const put = (text: string): string =>
    text
      .replace("/etc/etcd/cdktf-ha", facts)
      .replace("/usr/local/lib/cdktf-ha/etcd/functions.sh", state("functions.sh"))
      .replaceAll("/var/lib/etcd", directory)
      .replaceAll("/run/cdktf-ha-dissolve", state("dissolve"))
      .replace("ETCD_PEER=2380", `ETCD_PEER=${port}`)
      .replace("8008", String(port));
  writeFileSync(
    state("functions.sh"),
    `${put(readFileSync(join(SCRIPTS, "functions.sh"), "utf8"))}
systemctl() { echo "systemctl $*" >>${state("asked")}; [[ $1 != is-active ]]; }
logger() { :; }
sleep() { SECONDS=$((SECONDS + 60)); }
curl() { return 7; }
install() { :; }
etcdctl() { echo "etcdctl $*" >>${state("asked")}; return 1; }
# 127.0.0.9 stands for a machine that is silent
timeout() { shift; if [[ \${*: -2:1} == 127.0.0.9 ]]; then return 124; fi; "$@"; }
${standIns}`,
  );
  writeFileSync(state("asked"), "");
  const { status, stdout, stderr } = spawnSync(
    "bash",
    ["-euo", "pipefail", "-c", put(readFileSync(join(SCRIPTS, `${name}.sh`), "utf8"))],
    {
      encoding: "utf8",
      timeout: 60_000,
      env: { ...process.env, HA_ACTION: "restart" },
      // a pipe of Node.js is a socket, and bash reads its bashrc where its input is one
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  return { status, words: stdout + stderr, asked: readFileSync(state("asked"), "utf8") };
}

/** etcd that answers once it was started, alone in a cluster. */
const ANSWERS = `curl() { grep -q "systemctl start" \${ASKED}; }
etcdctl() { case "$*" in *json*) echo '{"header":{"cluster_id":77,"member_id":1}}' ;; *"member list"*) echo "1, started, db-1, http://${OWN}:1, http://${OWN}:2, false" ;; esac; }`;
const answers = (): string => ANSWERS.replace("${ASKED}", state("asked"));

test("the founder begins where every other machine says itself that no etcd runs there", () => {
  const { status, words } = hook("activate", answers());
  expect({ status, words }).toEqual({ status: 0, words: "begins the cluster\n" });
  // told once: nobody begins with it again
  expect(existsSync(state("first-start"))).toBe(false);
  expect(readFileSync(state("cluster-id"), "utf8")).toBe("77\n");
});

test("a start that was cut off keeps how it was to begin; no two clusters have the same token", () => {
  const tokens = [1, 2].map(() => {
    const { status, words } = hook("activate");
    expect([status, words]).toEqual([1, expect.stringContaining("etcd does not answer, or has no quorum")]);
    return /TOKEN=cdktf-ha-([0-9a-f-]{36})\n/.exec(readFileSync(state("first-start"), "utf8"))![1];
  });
  expect(tokens[0]).not.toBe(tokens[1]);
});

test("silence is no refusal: the founder begins nothing beside a machine that may hold the cluster", () => {
  const { status, words, asked } = hook("activate", answers(), {
    "db-1": OWN,
    "db-2": SECOND,
    "db-3": "127.0.0.9",
  });
  expect(status).toBe(1);
  expect(words).toContain("db-3 at 127.0.0.9 does not answer, so it is not known whether the cluster lives");
  expect(asked).not.toContain("systemctl start");
  expect(existsSync(state("first-start"))).toBe(false);
});

test("the founder begins nothing beside an etcd without a quorum", async () => {
  await listen(THIRD, port);
  const { status, words } = hook("activate", answers());
  expect(status).toBe(1);
  expect(words).toContain("etcd runs on db-3, without a quorum");
});

test("data of one life is not given up for another one", () => {
  hasData();
  writeFileSync(state("cluster-id"), "42\n");
  const other = `curl() { [[ \${*: -1} == *${SECOND}* ]]; }
etcdctl() { case "$*" in *json*) echo '{"header":{"cluster_id":77}}' ;; *) echo "1, started, db-2, http://${SECOND}:1, http://${SECOND}:2, false" ;; esac; }`;
  const { status, words } = hook("activate", other);
  expect(status).toBe(1);
  expect(words).toContain("data of another cluster (id 42) than the one that answers (id 77)");
  expect(existsSync(state("cdktf-ha/member/wal/0.wal"))).toBe(true);
});

test("after all were stopped, the first ones wait for the others without a quorum; with most of them there is one", async () => {
  hasData();
  const runs = `systemctl() { echo "systemctl $*" >>${state("asked")}; }`;
  // what ends at once listens to nobody: it waits for nothing
  expect(hook("activate")).toMatchObject({ status: 1, asked: expect.stringContaining("systemctl start") });
  expect(hook("healthy", runs)).toMatchObject({ status: 1, words: expect.stringContaining("has no quorum") });
  await listen(OWN, port);
  expect(hook("activate")).toMatchObject({ status: 0, asked: expect.stringContaining("systemctl start") });
  expect(hook("healthy", runs)).toMatchObject({
    status: 0,
    words: expect.stringContaining("waits for a quorum"),
  });
  await listen(SECOND, port);
  expect(hook("healthy", runs)).toMatchObject({ status: 1, words: expect.stringContaining("has no quorum") });
  await close();
  const silent = { "db-1": OWN, "db-2": SECOND, "db-3": "127.0.0.9" };
  expect(hook("healthy", runs, silent)).toMatchObject({ status: 1 });
});

test("the last member with data does not leave, unless all do", () => {
  hasData();
  const { status, words } = hook("leave");
  expect(status).toBe(1);
  expect(words).toContain("no other member of etcd answers, and what this one knows would go with it");
  writeFileSync(state("dissolve"), "");
  expect(hook("leave")).toMatchObject({
    status: 0,
    words: "the whole cluster goes: stopped, the data stays\n",
  });
  expect(existsSync(state("cdktf-ha/member/wal/0.wal"))).toBe(true);
});

test("a quarter of an hour later, nobody said any more that all go", () => {
  hasData();
  writeFileSync(state("dissolve"), "");
  expect(spawnSync("touch", ["-d", "16 minutes ago", state("dissolve")]).status).toBe(0);
  expect(hook("leave").status).toBe(1);
});

test("a member that is lost is told by its whole address", () => {
  const removes = `curl() { [[ \${*: -1} == *${OWN}:* ]]; }
etcdctl() { echo "etcdctl $*" >>${state("asked")}
case "$*" in *"member list"*) echo "1, started, db-1, http://${OWN}:1, x, false"; echo "2, started, old, http://127.0.0.:1, x, false" ;; esac; }`;
  // 127.0.0. begins the address of every member in the code, and is none of them
  const { status, asked } = hook("settle", removes);
  expect(status).toBe(0);
  expect(asked.match(/member remove \w+/g)).toEqual(["member remove 2"]);
});
