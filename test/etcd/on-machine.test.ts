import { execFileSync, spawnSync } from "node:child_process";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** When a member of etcd begins, joins and leaves (lib/etcd/on-machine), against stand-ins for etcd and systemd. */
const SCRIPTS = join(__dirname, "../../lib/etcd/on-machine");
const ISSUE = join(__dirname, "../../lib/tls/on-machine/issue.sh");
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
  tls?: { mode: "optional" | "required"; authority?: true },
): { status: number | null; words: string; asked: string } {
  const facts = state("facts");
  const list = Object.entries(members).map((entry) => entry.join(" "));
  writeFileSync(
    facts,
    `ETCD_MEMBER=db-1\nETCD_ADDRESS=${OWN}\nETCD_DATA=${directory}/cdktf-ha\nETCD_FOUNDER=db-1\nETCD_MEMBERS='${list.join("\n")}'\n`,
  );
  if (tls) {
    const authority = tls.authority ? state("authority.pem") : "";
    appendFileSync(facts, `ETCD_TLS=${tls.mode}\nETCD_AUTHORITY='${authority}'\n`);
    writeFileSync(state("users"), "ETCD_NODES=(db-1 db-2 db-3)\nETCD_SETS=(archive)\n");
  }
  const put = (text: string): string =>
    text
      .replace("/etc/etcd/cdktf-ha-users", state("users"))
      .replace("/etc/etcd/cdktf-ha", facts)
      .replaceAll("/etc/etcd/tls/", `${directory}/`)
      .replaceAll("/usr/local/lib/cdktf-ha/etcd/tls.sh", state("tls.sh"))
      .replace("/usr/local/lib/cdktf-ha/etcd/issue.sh", ISSUE)
      .replace("/usr/local/lib/cdktf-ha/etcd/functions.sh", state("functions.sh"))
      .replaceAll("/var/lib/etcd", directory)
      .replaceAll("/run/cdktf-ha-dissolve", state("dissolve"))
      .replace("ETCD_PEER=2380", `ETCD_PEER=${port}`)
      .replace("8008", String(port));
  writeFileSync(state("tls.sh"), put(readFileSync(join(SCRIPTS, "tls.sh"), "utf8")));
  writeFileSync(
    state("functions.sh"),
    `${put(readFileSync(join(SCRIPTS, "functions.sh"), "utf8"))}
systemctl() { echo "systemctl $*" >>${state("asked")}; [[ $1 != is-active ]]; }
logger() { :; }
sleep() { SECONDS=$((SECONDS + 60)); }
curl() { return 7; }
install() { :; }
chown() { :; }
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

describe("with TLS", () => {
  const openssl = (...words: readonly string[]): string =>
    execFileSync("openssl", words, { cwd: directory, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  const EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  const pem = (file: string): string => readFileSync(state(file), "utf8");

  /** An authority in authority.pem, which is trusted. */
  function authority(name = "trial"): void {
    openssl("req", "-x509", ...EC, "-subj", `/CN=${name}`, "-keyout", "ca.key", "-out", "trusted.pem");
    writeFileSync(state("authority.pem"), pem("trusted.pem") + pem("ca.key"));
  }
  /** A certificate of one's own for the member. */
  function given({ name = "db-1", address = OWN, days = 2, usage = "serverAuth,clientAuth" } = {}): void {
    openssl("req", "-new", ...EC, "-subj", `/CN=${name}`, "-keyout", "own.key", "-out", "request.pem");
    writeFileSync(state("extensions"), `subjectAltName=IP:${address}\nextendedKeyUsage=${usage}\n`);
    const until = ["-days", String(days)];
    const by = ["-CA", "authority.pem", "-CAkey", "authority.pem", "-set_serial", "7", ...until];
    openssl("x509", "-req", "-in", "request.pem", "-extfile", "extensions", ...by, "-out", "own.pem");
    writeFileSync(state("member.pem"), pem("own.pem") + pem("own.key"));
  }
  const required = { mode: "required" } as const;
  const members = { "db-1": OWN, "db-2": SECOND, "db-3": THIRD };
  const check = (
    tls: Parameters<typeof hook>[3],
    standIns = "",
  ): { status: number | null; words: string } => {
    const { status, words } = hook("check", standIns, members, tls);
    return { status, words };
  };
  const RUNS = "systemctl() { :; }; curl() { :; };";
  const list = (peers: readonly string[]): string =>
    `etcdctl() { case "$*" in *"member list"*) ${peers
      .map((peer, index) => `echo "${index + 1}, started, db-${index + 1}, ${peer}, x, false";`)
      .join(" ")} ;; esac; };`;

  test("a certificate of one's own, and one that the member issues itself, are taken", () => {
    authority();
    given();
    expect(check(required)).toEqual({ status: 0, words: "" });
    rmSync(state("member.pem"));
    expect(check({ ...required, authority: true })).toEqual({ status: 0, words: "" });
    expect(openssl("x509", "-in", "member.pem", "-noout", "-subject")).toContain("CN = db-1");
  });

  test.each([
    ["another address", { address: "10.0.0.9" }, "is not for its address 127.0.0.1"],
    ["another member's", { name: "db-2" }, "is in the name of 'db-2'"],
    ["one that has ended", { days: -1 }, "certificate has expired"],
    ["a server's only", { usage: "serverAuth" }, "not for what etcd does with it (sslclient)"],
  ])("%s is refused", (_, props, words) => {
    authority();
    given(props);
    expect(check(required)).toEqual({ status: 1, words: expect.stringContaining(words) });
  });

  test("of an authority that is not trusted, or with another one's key: refused", () => {
    authority();
    given();
    writeFileSync(state("member.pem"), pem("own.pem") + pem("ca.key"));
    expect(check(required).words).toContain("the key of db-1 is not its certificate's");
    given();
    openssl("req", "-x509", ...EC, "-subj", "/CN=other", "-keyout", "ca.key", "-out", "trusted.pem");
    expect(check(required)).toEqual({
      status: 1,
      words: expect.stringContaining("of no authority in 'trusted'"),
    });
  });

  test.each(["root", "archive", "db-3"])("an authority called as a user (%s) is refused", (name) => {
    authority(name);
    given();
    expect(check(required)).toEqual({
      status: 1,
      words: expect.stringContaining(`an authority in 'trusted' is called '${name}'`),
    });
  });

  test("a cluster that lives goes one step at a time, and not back", () => {
    authority();
    given();
    hasData();
    const words = (tls?: Parameters<typeof hook>[3], standIns?: string): string => check(tls, standIns).words;
    expect(words(required)).toContain('apply it as "optional" first');
    expect(words({ mode: "optional" })).toBe("");
    writeFileSync(state("tls"), "optional\n");
    expect(words(undefined)).toContain(
      "this cluster lives with TLS (optional), and does not go back to none",
    );
    const encrypted = [OWN, SECOND, THIRD].map((address) => `https://${address}:2381`);
    expect(words(required, RUNS + list(encrypted))).toBe("");
    expect(words(required, RUNS + list([...encrypted.slice(0, 2), `http://${THIRD}:2380`]))).toContain(
      "still speak plainly to db-3",
    );
    writeFileSync(state("tls"), "required\n");
    expect(words(required)).toBe("");
    expect(words({ mode: "optional" })).toContain("does not go back to optional");
    // where nothing lives, nothing is cut off
    rmSync(state("cdktf-ha"), { recursive: true });
    expect(words(undefined)).toBe("");
  });

  test("what a first start was told is remembered, even where it was cut off", () => {
    authority();
    given();
    const { status } = hook("activate", "", members, required);
    expect([status, pem("tls")]).toEqual([1, "required\n"]);
    hasData();
    expect(check(required).status).toBe(0);
  });

  test("members speak plainly among each other until the last one understands TLS", () => {
    const peers = [OWN, SECOND].map((address) => `http://${address}:2380`);
    const settle = (who: string): string =>
      hook(
        "settle",
        `curl() { case "$*" in ${who}) return 0 ;; esac; return 7; }
${list(peers).replace("esac;", `*) echo "$*" >>${state("asked")} ;; esac;`)}`,
        members,
        { mode: "optional" },
      ).asked;
    expect(settle(`http:*|*https://${OWN}*|*http://*`)).not.toContain("member update");
    expect(settle("*").match(/member update .*/g)).toEqual([
      `member update 1 --peer-urls=https://${OWN}:2381`,
      `member update 2 --peer-urls=https://${SECOND}:2381`,
    ]);
  });

  test("nobody is asked who he is while a member takes plain connections: the others would be cut off", () => {
    const { status, words, asked } = hook(
      "settle",
      `curl() { case "$*" in *https://*/health|*http://${THIRD}*) return 0 ;; esac; return 22; }
${list([OWN, SECOND, THIRD].map((address) => `https://${address}:2381`)).replace("esac;", `*) echo "$*" >>${state("asked")} ;; esac;`)}`,
      members,
      required,
    );
    expect([status, words]).toEqual([
      0,
      "whoever comes may write everything until db-3 takes certificates only\n",
    ]);
    expect(asked).not.toContain("auth enable");
  });
});
