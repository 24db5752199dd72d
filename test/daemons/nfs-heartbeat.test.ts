import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { heartbeatCases } from "../drbd-nfs-pair/heartbeat-golden";
import { program, root, testWithNeeds } from "../support/needs";

/** What Heartbeat and DRBD themselves say of the pair's files, on a computer called as the node is. */
const onMachine = join(__dirname, "../../lib/drbd-nfs-pair/on-machine");
const cases = heartbeatCases().map(({ name, files }) => [name, files] as const);
const usual = cases[0]![1];
const HEARTBEAT = "/usr/libexec/heartbeat/heartbeat";
let directory: string;

beforeAll(() => (directory = mkdtempSync(join(tmpdir(), "cdktf-ha-heartbeat-"))));
afterAll(() => rmSync(directory, { recursive: true }));

function run(text: string) {
  const { status, stdout, stderr } = spawnSync(
    "unshare",
    ["--uts", "--mount", "bash", "-euo", "pipefail", "-c", `hostname nfs-1\n${text}`],
    { encoding: "utf8", timeout: 60_000 },
  );
  return { status, words: `${stdout}${stderr}` };
}

function write(name: string, text: string, mode = 0o600): string {
  const path = join(directory, name);
  writeFileSync(
    path,
    text
      .replace(/@@HA:(secret|quotable):[^@]*@@/g, "0123456789abcdef")
      .replace(/@@HA:fact:interface@@/g, "lo"),
  );
  spawnSync("chmod", [mode.toString(8), path]);
  return path;
}

/** The project's own check, with the files at their places. */
function check(files: Readonly<Record<string, string>>, { mode = 0o600, before = "" } = {}) {
  const places = ["ha.cf", "haresources", "authkeys"].map((name) => {
    const path = write(name, files[name]!, name === "authkeys" ? mode : 0o644);
    return `install -m ${name === "authkeys" ? mode.toString(8) : "644"} ${path} /etc/ha.d/${name}`;
  });
  const agent = write("agent", readFileSync(join(onMachine, "heartbeat-agent.sh"), "utf8"));
  const hook = readFileSync(join(onMachine, "heartbeat-check.sh"), "utf8");
  const facts = write("facts", "PAIR_MANAGER=heartbeat PAIR_RESOURCE=nfs PAIR_DIRECTORY=/srv/nfs\n");
  const above = (path: string, name: string): string =>
    `mkdir ${directory}/view/${name} ${directory}/view/${name}-work
mount -t overlay overlay -o lowerdir=${path},upperdir=${directory}/view/${name},workdir=${directory}/view/${name}-work ${path}`;
  return run(
    [
      `mkdir -p ${directory}/view && mount -t tmpfs tmpfs ${directory}/view`,
      above("/etc", "etc"),
      above("/var/lib", "state"),
      `mount -t tmpfs tmpfs /usr/local/lib && mkdir -p /usr/local/lib/cdktf-ha/drbd-nfs /etc/cdktf-ha`,
      `cp ${onMachine}/*functions.sh /usr/local/lib/cdktf-ha/drbd-nfs && cp ${facts} /etc/cdktf-ha/drbd-nfs`,
      before,
      ...places,
      ...["nfs-server", "nfs-clients"].map((name) => `install -m 755 ${agent} /etc/ha.d/resource.d/${name}`),
      `. ${write("check.sh", hook)}`,
    ].join("\n"),
  );
}

describe("heartbeat", () => {
  const withHeartbeat = testWithNeeds([program(HEARTBEAT), program("drbdadm"), program("unshare"), root]);

  withHeartbeat.each(cases)("%s", (_, files) => {
    expect(check(files)).toEqual({ status: 0, words: "" });
    expect(spawnSync("pgrep", ["-f", HEARTBEAT]).status).toBe(1);
  });

  withHeartbeat.each([
    [
      "a directive that it does not know",
      "ha.cf",
      "keepalive 1",
      "keepalife 1",
      "Illegal directive [keepalife]",
    ],
    ["a deadtime below the keepalive", "ha.cf", "deadtime 10", "deadtime 1", "Dead time [1000] is too small"],
    [
      "a node that is not this one",
      "ha.cf",
      "node nfs-1",
      "node nfs-3",
      "Current node [nfs-1] not in configuration",
    ],
    [
      "a node that is none of them",
      "haresources",
      "nfs-1 ",
      "nfs-3 ",
      "Bad nodename in /etc/ha.d//haresources [nfs-3]",
    ],
    [
      "a resource that nobody knows",
      "haresources",
      "drbddisk",
      "drbdisk",
      "there is no resource script 'drbdisk'",
    ],
    ["a method that it does not know", "authkeys", "sha1", "sha3", "Invalid authtype [sha3]"],
    ["a secret with a space", "authkeys", "sha1 ", "sha1 a ", "the secret has a space in it"],
  ])("refuses %s", (_, file, right, wrong, words) => {
    expect(usual[file]).toContain(right);
    const refused = check({ ...usual, [file]: usual[file]!.replace(right, wrong) });
    expect(refused.words).toContain(words);
    expect(refused.status).toBe(1);
  });

  withHeartbeat("refuses everything while the copies have gone apart", () => {
    const before = "mkdir -p /var/lib/cdktf-ha-nfs && touch /var/lib/cdktf-ha-nfs/split";
    const { status, words } = check(usual, { before });
    expect(words).toContain("nothing is changed before a person has decided which one stays");
    expect(status).toBe(1);
  });

  withHeartbeat("refuses a key that others can read", () => {
    const { status, words } = check(usual, { mode: 0o644 });
    expect(words).toContain("Bad permissions on keyfile");
    expect(status).toBe(1);
  });
});

describe("what several of Heartbeat's scripts tell it at once", () => {
  const withScripts = testWithNeeds([program("dash"), program(HEARTBEAT)]);
  // one has begun, the other one tells all of its message, the first one goes on
  const told = (functions: string, begun: string): string =>
    run(
      [
        `cd ${directory} && rm -f fifo begun told heard && mkfifo fifo`,
        `cat fifo >heard & reader=$!`,
        `exec 3>fifo`,
        `tell() { HA_FIFO=fifo dash -c '. ${functions}; { echo t=$0; '"$2"'; echo from=$0; } | ha_clustermsg' "$1" 3>&-; }`,
        "until_is() { timeout 30 sh -c 'until '\"$1\"'; do sleep 0.05; done'; }",
        "tell slow 'touch begun; timeout 30 sh -c \"until test -e told; do sleep 0.05; done\"' & slow=$!",
        `until_is '${begun}'`,
        "tell quick : && touch told && wait $slow && exec 3>&- && wait $reader && cat heard",
      ].join("\n"),
    ).words;
  const whole = [">>>\nt=quick\nfrom=quick\n<<<\n", ">>>\nt=slow\nfrom=slow\n<<<\n"];

  withScripts("arrives one after the other, and gets mixed up with the package's functions", () => {
    const ours = readFileSync(join(onMachine, "heartbeat-shellfuncs.sh"), "utf8");
    const words = told(
      write("shellfuncs", ours.replace("/etc/ha.d/shellfuncs.package", "/etc/ha.d/shellfuncs")),
      "test -e begun",
    );
    expect(words).toBe(whole.join(""));
    const packages = told("/etc/ha.d/shellfuncs", "test -s heard");
    for (const message of whole) expect(packages).toContain(message.slice(0, 8));
    expect(whole.every((message) => packages.includes(message))).toBe(false);
  });

  withScripts("ours stands in the package's place, which has it back when the pair goes", () => {
    const functions = write(
      "functions.sh",
      readFileSync(join(onMachine, "heartbeat-functions.sh"), "utf8")
        .replaceAll("/etc/ha.d", `${directory}/ha.d`)
        .replaceAll("dpkg-divert", `dpkg-divert --admindir ${directory}/dpkg`),
    );
    const { words } = run(
      [
        `mkdir -p ${directory}/dpkg/info ${directory}/ha.d && touch ${directory}/dpkg/status && echo theirs >${directory}/ha.d/shellfuncs`,
        `. ${functions}; cd ${directory}/ha.d`,
        "pair_own_shellfuncs; pair_own_shellfuncs; readlink shellfuncs; cat shellfuncs.package",
        "pair_packages_shellfuncs; pair_packages_shellfuncs; cat shellfuncs; ls",
      ].join("\n"),
    );
    expect(words).toBe(
      "/usr/local/lib/cdktf-ha/drbd-nfs/heartbeat-shellfuncs.sh\ntheirs\ntheirs\nshellfuncs\n",
    );
  });
});

describe("drbdadm dump", () => {
  const withDrbd = testWithNeeds([program("drbdadm"), program("unshare"), root]);

  withDrbd.each(cases)("8.4: %s", (_, files) => {
    const conf = write("drbd.conf", files["global_common.conf"]! + files["nfs.res"]!);
    const { status, words } = run(`/usr/lib/drbd/drbdadm-84 -c ${conf} dump nfs`);
    expect(words).toContain("fencing          dont-care;");
    expect(words).not.toContain("fence-peer");
    expect(status).toBe(0);
  });
});
