import { existsSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { StandInNode } from "./stand-ins";

/** What the programs of a pair's nodes do (lib/drbd-nfs-pair/on-machine), against stand-ins for DRBD and the cluster. */
const MiB = 2 ** 20;
let node: StandInNode;

beforeEach(() => (node = new StandInNode()));
afterEach(() => node.remove());

describe("a primary that has lost its peer asks Pacemaker", () => {
  beforeEach(() => {
    node.program("handler", `did "asked $*"; exit "$(is handler)"`);
    // by the second question the third vote is there
    node.program(
      "corosync-quorumtool",
      `if [[ $(is quorum) == Yes || $(grep -c asked '${node.path("did")}') -gt 1 ]]; then echo "Quorate:          Yes"; else echo "Quorate:          No"; fi`,
    );
    node.program("sleep", "exit 0");
  });
  const ask = (): number | null => node.run("fence-peer.sh", ["handler", "nfs"]).status;

  test.each([
    ["the peer is off", 7, "No"],
    ["the peer is outdated", 4, "No"],
    ["it knows nothing", 1, "Yes"],
  ])("%s: so DRBD is told", (_, handler, quorum) => {
    node.is({ handler, quorum });
    expect(ask()).toBe(handler);
    expect(node.done()).toEqual(["asked nfs"]);
  });

  test("a peer that does not answer is dead where there is quorum; without, it is asked again until there is", () => {
    node.is({ handler: 5, quorum: "Yes" });
    expect(ask()).toBe(5);
    expect(node.done()).toEqual(["asked nfs"]);
    node.is({ quorum: "No" });
    expect(ask()).toBe(5);
    expect(node.done()).toEqual(["asked nfs", "asked nfs"]);
  });

  test("without quorum it is never told that the peer is dead", () => {
    node.is({ handler: 5 });
    node.program("corosync-quorumtool", "exit 1");
    expect(ask()).toBe(1);
    expect(node.done()).toHaveLength(40);
  });
});

describe("growing", () => {
  beforeEach(() => {
    for (const name of ["xfs_growfs", "resize2fs"]) node.program(name, `did "${name} $*"`);
    node.is({ serves: "yes", disk: 256 * MiB, "peer-disk": 256 * MiB, volume: 128 * MiB - 40 * 1024 });
  });
  const TOLD = `told ${256 * MiB}`;

  test("both disks have grown: so does the volume, once", () => {
    expect(node.run("grow.sh")).toMatchObject({ status: 0 });
    expect(node.done()).toEqual([TOLD, "drbdadm resize nfs", `xfs_growfs -d ${node.path("volume")}`]);
    node.is({ volume: 256 * MiB - 40 * 1024 });
    expect(node.run("grow.sh")).toEqual({ status: 0, words: "" });
    expect(node.done()).toEqual([TOLD]);
  });

  test("ext4 too", () => {
    node.remove();
    node = new StandInNode({ PAIR_FILE_SYSTEM: "ext4" });
    node.program("resize2fs", `did "resize2fs $*"`);
    node.is({ serves: "yes", disk: 256 * MiB, "peer-disk": 256 * MiB, volume: 128 * MiB });
    expect(node.run("grow.sh").status).toBe(0);
    expect(node.done()).toEqual([TOLD, "drbdadm resize nfs", "resize2fs /dev/drbd0"]);
  });

  test.each([
    ["one disk alone has grown", { "peer-disk": 128 * MiB }],
    ["the other node has not told", { "peer-disk": "" }],
    ["a copy catches up", { cstate: "SyncSource", dstate: "UpToDate/Inconsistent" }],
    ["the other node is away", { cstate: "WFConnection", dstate: "UpToDate/DUnknown" }],
    ["the other node serves", { serves: "no" }],
    ["Pacemaker knows of nothing yet", { managed: "no" }],
  ])("nothing grows where %s", (_, answers) => {
    node.is(answers);
    expect(node.run("grow.sh")).toEqual({ status: 0, words: "" });
    expect(node.done()).toEqual([TOLD]);
  });

  test("what was cut short is gone on with", () => {
    node.program("xfs_growfs", "exit 1");
    expect(node.run("grow.sh").status).not.toBe(0);
    node.is({ volume: 256 * MiB - 40 * 1024 });
    node.program("xfs_growfs", `did "xfs_growfs $*"`);
    node.done();
    expect(node.run("grow.sh").status).toBe(0);
    expect(node.done()).toEqual([TOLD, `xfs_growfs -d ${node.path("volume")}`]);
  });

  test("a disk that has shrunk is refused", () => {
    node.is({ disk: 64 * MiB });
    const { status, words } = node.run("grow.sh");
    expect(status).not.toBe(0);
    expect(words).toContain(`/dev/vg0/nfs has shrunk to ${64 * MiB} bytes`);
    expect(node.done()).toEqual([]);
    expect(node.shell("pair_fail_if_shrunk").words).toContain("has shrunk");
  });
});

test("of disks that differ the smaller one is named", () => {
  node.is({ disk: 96 * MiB, "peer-disk": 128 * MiB });
  expect(node.shell("pair_fail_if_sizes_differ")).toMatchObject({
    status: 1,
    words: expect.stringContaining("the disk of nfs-1 is the smaller one"),
  });
  node.is({ "peer-disk": 64 * MiB });
  expect(node.shell("pair_fail_if_sizes_differ").words).toContain("the disk of nfs-2 is the smaller one");
  node.is({ "peer-disk": 96 * MiB });
  expect(node.shell("pair_fail_if_sizes_differ")).toEqual({ status: 0, words: "" });
});

describe("comparing the copies", () => {
  const verified = () => readFileSync(node.path("var/verified"), "utf8");

  test("equal ones", () => {
    expect(node.run("verify.sh")).toEqual({ status: 0, words: "the copies are equal\n" });
    expect(node.done()).toEqual(["drbdadm verify nfs"]);
    expect(verified()).toMatch(/^\d+ 0\n$/);
  });

  test("what differs fails the unit, and nothing is mended", () => {
    node.differsIn(12);
    const { status, words } = node.run("verify.sh");
    expect(status).not.toBe(0);
    expect(words).toContain("the copies differ in 12 KiB");
    expect(node.done()).toEqual(["drbdadm verify nfs"]);
    expect(verified()).toMatch(/^\d+ 12\n$/);
  });

  test("it waits until the end, and one that is cut short fails", () => {
    node.program("sleep", `printf 'WFConnection\\n' >'${node.path("is/cstate")}'; did "slept"`);
    node.program(
      "drbdadm",
      `case $1 in
        verify) printf 'VerifyS\\n' >'${node.path("is/cstate")}' ;;
        *) is $1 ;;
      esac`,
    );
    const { status, words } = node.run("verify.sh");
    expect(words).toContain("cut short: WFConnection");
    expect(status).not.toBe(0);
    expect(node.done()).toEqual(["slept"]);
    expect(existsSync(node.path("var/verified"))).toBe(false);
  });

  test("by the node that does not serve, and only where both are there", () => {
    node.is({ serves: "yes" });
    expect(node.run("verify.sh").status).toBe(0);
    node.is({ serves: "no", cstate: "WFConnection", dstate: "UpToDate/DUnknown" });
    expect(node.run("verify.sh").status).not.toBe(0);
    expect(node.done()).toEqual([]);
  });
});

describe("nfs-pair-split", () => {
  beforeEach(() => {
    node.is({ cstate: "StandAlone", dstate: "UpToDate/DUnknown", role: "Secondary/Unknown" });
    // the copy is looked at through a loop device: test/daemons does it
    node.program("losetup", "exit 1");
    writeFileSync(node.path("volume/orders"), "1");
    writeFileSync(node.path("volume/state/lease"), "of the server itself");
  });

  test("shows this side, and changes nothing", () => {
    node.is({ serves: "yes" });
    const { status, words } = node.run("split.sh");
    expect(status).toBe(0);
    expect(words).toMatch(
      /^nfs-1:\n {2}role {8}Secondary\/Unknown\n {2}connection {2}StandAlone\n {2}disks {7}UpToDate\/DUnknown\n {2}generation {2}4D2BC70121FC4C6E, parted from the other copy at 61C2DDA9BD7AEEF5\nlast writes:\n {2}\d{4}-\d\d-\d\d \d\d:\d\d:\d\d 1 bytes \/orders\nCompare /,
    );
    expect(node.done()).toEqual([]);
  });

  test("nothing is given up without this node's name", () => {
    for (const input of ["", "\n", "yes\n", "nfs-2\n"]) {
      const { status, words } = node.run("split.sh", ["discard"], { input });
      expect(words).toContain("not given up");
      expect(status).not.toBe(0);
    }
    expect(node.done()).toEqual([]);
  });

  test("with it this side connects as the one that copies", () => {
    expect(node.run("split.sh", ["discard"], { input: "nfs-1\n" }).status).toBe(0);
    expect(node.done()).toEqual(["drbdadm connect --discard-my-data nfs"]);
  });

  test("the side that waits stops waiting first", () => {
    node.is({ cstate: "WFConnection" });
    node.program(
      "drbdadm",
      `case $1 in
        cstate | dstate | role | get-gi) is $1 ;;
        disconnect) did "drbdadm $*"; printf 'StandAlone\\n' >'${node.path("is/cstate")}' ;;
        *) did "drbdadm $*" ;;
      esac`,
    );
    expect(node.run("split.sh", ["discard"], { input: "nfs-1\n" }).status).toBe(0);
    expect(node.done()).toEqual(["drbdadm disconnect nfs", "drbdadm connect --discard-my-data nfs"]);
  });

  test.each([
    ["the side that serves", { role: "Primary/Unknown" }, "this node serves from this copy"],
    ["a side that listens", { cstate: "Connected" }, "there is nothing to decide"],
    ["a side whose DRBD is down", { cstate: "" }, "DRBD is not up here"],
  ])("never %s", (_, answers, because) => {
    node.is(answers);
    const { status, words } = node.run("split.sh", ["discard"], { input: "nfs-1\n" });
    expect(words).toContain(because);
    expect(status).not.toBe(0);
    expect(node.done()).toEqual([]);
  });

  test("the other side keeps its copy and listens again", () => {
    expect(node.run("split.sh", ["keep"]).status).toBe(0);
    expect(node.done()).toEqual(["drbdadm connect nfs"]);
    node.is({ cstate: "WFConnection" });
    expect(node.run("split.sh", ["keep"]).status).toBe(0);
    expect(node.done()).toEqual([]);
  });
});

describe("quotas", () => {
  const assets = (): string => node.path("volume/exports/assets");
  const list = (...lines: readonly string[]): void =>
    writeFileSync(node.path("facts-exports"), lines.join(""));
  const run = (): string[] => {
    expect(node.run("quotas.sh").status).toBe(0);
    return node.done();
  };
  beforeEach(() => {
    mkdirSync(assets(), { recursive: true });
    node.is({ serves: "yes", options: "rw,noatime,prjquota" });
    node.program("findmnt", "is options");
    node.program(
      "xfs_quota",
      `did "$3"; case $3 in project*) is words >&2; [[ ! -s '${node.path("is/words")}' ]] ;; esac`,
    );
    list(`1536 7 ${assets()}\n`);
  });

  test("what is there is counted once, and the limit is said each time", () => {
    expect(run()).toEqual([`project -s -p ${assets()} 7`, "limit -p bhard=1536m 7"]);
    expect(run()).toEqual(["limit -p bhard=1536m 7"]);
    // another directory in its place
    renameSync(assets(), `${assets()}-old`);
    mkdirSync(assets());
    expect(run()[0]).toBe(`project -s -p ${assets()} 7`);
  });

  test("a file that goes meanwhile is none that is missed; what else goes wrong is tried again", () => {
    node.is({ words: "xfs_quota: cannot open a: Input/output error" });
    expect(run()).toHaveLength(2);
    node.is({ words: "xfs_quota: cannot open b: No such file or directory" });
    expect(run()).toHaveLength(2);
    expect(run()).toEqual(["limit -p bhard=1536m 7"]);
  });

  test("a quota that is taken away is lifted, and so is that of an export that goes", () => {
    run();
    list(`0 7 ${assets()}\n`);
    expect(run()).toEqual(["limit -p bhard=0m 7"]);
    list();
    expect(run()).toEqual(["limit -p bhard=0 7"]);
    expect(run()).toEqual([]);
  });

  test("nothing is done where the volume is not, or is not mounted for it, or nobody has a quota", () => {
    node.is({ serves: "no" });
    expect(run()).toEqual([]);
    node.is({ serves: "yes", options: "rw,noatime" });
    expect(run()).toEqual([]);
    node.is({ options: "rw,noatime,prjquota" });
    list(`0 7 ${assets()}\n`);
    expect(run()).toEqual([]);
  });
});

describe("copies that have gone apart", () => {
  const isKnown = (cstate: string): boolean => {
    node.is({ cstate });
    return node.shell("pair_has_split").status === 0;
  };

  test("it is known on both sides, also on the one that tries to connect, until they are one again", () => {
    expect(isKnown("StandAlone")).toBe(false);
    expect(node.run("split-found.sh").status).toBe(0);
    for (const cstate of ["StandAlone", "WFConnection", "Unconnected", ""])
      expect(isKnown(cstate)).toBe(true);
    expect(isKnown("SyncTarget")).toBe(false);
    expect(isKnown("StandAlone")).toBe(false);
  });

  test("no push changes anything then", () => {
    node.program("uname", "[[ $1 == --nodename ]] && echo nfs-1 || echo 6.1");
    node.program("modprobe", "exit 0");
    node.is({ cstate: "WFConnection" });
    const check = () => node.run("drbd-check.sh");
    node.run("split-found.sh");
    expect(check()).toEqual({
      status: 1,
      words: expect.stringContaining(
        "the copies have gone apart (WFConnection, UpToDate/UpToDate): nothing is changed",
      ),
    });
    expect(node.done()).toEqual([]);
  });
});

test("a node whose kernel has DRBD 9 is refused, and nothing has changed", () => {
  node.program("uname", "[[ $1 == --nodename ]] && echo nfs-1 || echo 6.1");
  node.program("modprobe", "exit 0");
  writeFileSync(node.path("proc-drbd"), "version: 9.2.12 (api:2/proto:118-122)\n");
  expect(node.run("drbd-check.sh")).toEqual({
    status: 1,
    words: expect.stringContaining("has DRBD 9, and the pair is for 8.4"),
  });
  expect(node.done()).toEqual([]);
});

test.each([
  [42.17, ["80"]],
  [600.02, []],
])("corosync waits as SBD does after a boot: up for %d s", (up, waits) => {
  node.program("sleep", 'did "$1"');
  writeFileSync(node.path("uptime"), `${up} 80.1\n`);
  expect(node.run("after-reset.sh", ["80"])).toEqual({ status: 0, words: "" });
  expect(node.done()).toEqual(waits);
});

test("a node without a watchdog is refused, where it is to have one", () => {
  for (const name of ["corosync", "modprobe"]) node.program(name, "exit 0");
  mkdirSync(node.path("corosync"));
  writeFileSync(node.path("corosync/corosync.conf"), "totem {\n}\n");
  const check = (text: string) => {
    writeFileSync(node.path("sbd"), text);
    return node.run("pacemaker-check.sh");
  };
  const ours = "# Managed by cdktf-ha-clusters.\nSBD_WATCHDOG_DEV=";
  expect(check(`${ours}/dev/null\n`)).toEqual({ status: 0, words: "" });
  expect(check(`${ours}/dev/no-watchdog\n`)).toEqual({
    status: 1,
    words: expect.stringContaining(
      "this machine has no watchdog /dev/no-watchdog: Fencing.watchdog({ software: true })",
    ),
  });
  expect(check("SBD_WATCHDOG_DEV=/dev/no-watchdog\n").status).toBe(0);
});

test.each([
  ["nothing of ours feeds a watchdog yet", false, ["disable --quiet sbd.service"]],
  ["one is fed", true, []],
])("SBD does not start at boot as its package wants it: %s", (_, has, done) => {
  node.program("corosync", "exit 0");
  node.program("systemctl", '[[ $1 == is-enabled ]] || did "$*"');
  mkdirSync(node.path("corosync"));
  writeFileSync(node.path("corosync/corosync.conf"), "totem {\n}\n");
  const current = node.path(`service/current/root/${node.path("")}`);
  mkdirSync(current, { recursive: true });
  if (has) writeFileSync(join(current, "sbd"), "");
  const env = { HA_DIR: node.path("service/staged") };
  expect(node.run("pacemaker-check.sh", [], { env })).toEqual({ status: 0, words: "" });
  expect(node.done()).toEqual(done);
});

test.each([
  ["80s", "0 80"],
  ["0", "0 0"],
  ["none", "0 "],
  ["silence", "1 "],
])("for how long the cluster waits until a node has reset itself: it says %s", (says, known) => {
  node.is({ says });
  node.program(
    "cibadmin",
    `case $(is says) in
      none) exit 105 ;;
      silence) exit 102 ;;
      *) echo "<nvpair id=\\"ha-properties-stonith-watchdog-timeout\\" value=\\"$(is says)\\"/>" ;;
    esac`,
  );
  expect(
    node.shell('words=$(pair_waits_for_reset) && status=0 || status=1; echo "$status $words"').words,
  ).toBe(`${known}\n`);
});

describe("alerts", () => {
  beforeEach(() => mkdirSync(node.path("run/alerts")));

  test("a split is told as one, also by the side that tries to connect", () => {
    node.run("split-found.sh");
    node.is({ cstate: "WFConnection", dstate: "UpToDate/DUnknown" });
    expect(node.run("watch.sh").status).toBe(0);
    expect(node.messages().map((one) => one.split(":")[0])).toEqual(["split", "split"]);
  });

  test("a change is told once", () => {
    const messages: string[] = [];
    const look = (answers: Readonly<Record<string, string>>) => {
      node.is(answers);
      expect(node.run("watch.sh").status).toBe(0);
      const now = node.messages();
      messages.push(...now.filter((one) => !messages.includes(one)));
      return now.length;
    };
    expect(look({})).toBe(0);
    expect(look({ cstate: "VerifyS" })).toBe(0);
    expect(look({ cstate: "WFConnection", dstate: "UpToDate/DUnknown" })).toBe(1);
    expect(look({})).toBe(1);
    expect(look({ cstate: "StandAlone" })).toBe(2);
    expect(look({ cstate: "Connected", dstate: "UpToDate/UpToDate" })).toBe(3);
    expect(messages.map((one) => one.split(":")[0])).toEqual(["degraded", "split", "recovered"]);
    expect(messages[0]).toBe("degraded: DRBD: WFConnection UpToDate/DUnknown");
  });

  test("a third vote that does not count is told before it is needed", () => {
    node.program("crm_node", "echo nfs-1 nfs-2");
    node.program("corosync-quorumtool", "is quorum");
    const both = "1 1 A,V,NMW nfs-1 (local)\n2 1 A,V,NMW nfs-2";
    const look = (quorum: string): string[] => {
      node.is({ quorum });
      expect(node.run("watch.sh").status).toBe(0);
      return node.messages();
    };
    expect(look(both)).toEqual([]);
    const [told] = look("1 1 NA,V,NMW nfs-1 (local)\n2 1 NA,V,NMW nfs-2");
    expect(told).toMatch(/^degraded: the quorum host gives no vote/);
    expect(look(both)).toHaveLength(2);
  });

  const resource = { CRM_alert_kind: "resource", CRM_alert_node: "nfs-2", CRM_alert_target_rc: "0" };
  test.each([
    [
      { CRM_alert_kind: "node", CRM_alert_node: "nfs-2", CRM_alert_desc: "lost" },
      /^degraded: nfs-2 is not in/,
    ],
    [
      { CRM_alert_kind: "node", CRM_alert_node: "nfs-2", CRM_alert_desc: "member" },
      /^recovered: nfs-2 is back/,
    ],
    [
      { CRM_alert_kind: "fencing", CRM_alert_rc: "0", CRM_alert_desc: "nfs-2 was off" },
      /^fenced: nfs-2 was off$/,
    ],
    [
      { CRM_alert_kind: "fencing", CRM_alert_rc: "1", CRM_alert_desc: "no answer" },
      /^degraded: .*no answer$/,
    ],
    [
      { ...resource, CRM_alert_rsc: "ha-vip", CRM_alert_task: "start", CRM_alert_rc: "0" },
      /^failover: nfs-2 serves$/,
    ],
    [
      { ...resource, CRM_alert_rsc: "ha-fs", CRM_alert_task: "stop", CRM_alert_rc: "1" },
      /^degraded: ha-fs: stop failed/,
    ],
    [{ ...resource, CRM_alert_rsc: "ha-fs", CRM_alert_task: "start", CRM_alert_rc: "0" }, undefined],
    [{ CRM_alert_kind: "attribute", CRM_alert_node: "nfs-2" }, undefined],
  ])("of Pacemaker: %j", (env, message) => {
    expect(node.run("pacemaker-alert.sh", [], { env }).words).toBe("");
    if (message) expect(node.messages()).toEqual([expect.stringMatching(message)]);
    else expect(node.messages()).toEqual([]);
  });

  const TEXT = `a "quoted" \\ text of ä`;

  test("are taken to the webhook and the command, and are valid JSON", () => {
    node.program(
      "curl",
      `did "curl $(grep -o -- --config <<<"$*")"; cat >'${node.path("posted")}'; cat "$2" >'${node.path("config")}'`,
    );
    writeFileSync(node.path("webhook"), "https://hooks.example.net/T0/secret");
    writeFileSync(
      node.path("lib/alert-command"),
      `cat >'${node.path("mailed")}'; echo "$HA_ALERT_KIND $HA_ALERT_CLUSTER" >>'${node.path("mailed")}'`,
    );
    node.run("notify.sh", ["split", TEXT]);
    expect(node.run("alert-send.sh")).toEqual({ status: 0, words: "" });
    expect(JSON.parse(readFileSync(node.path("posted"), "utf8"))).toEqual({
      cluster: "files",
      node: "nfs-1",
      kind: "split",
      text: TEXT,
    });
    expect(readFileSync(node.path("config"), "utf8")).toBe('url = "https://hooks.example.net/T0/secret"\n');
    expect(readFileSync(node.path("mailed"), "utf8")).toBe(`nfs-1: ${TEXT}\nsplit files\n`);
    expect(node.messages()).toEqual([]);
    // a process list shows no secret
    expect(node.done()).toEqual(["curl --config"]);
  });

  test("one that nobody takes fails the unit, and is not kept", () => {
    node.program("curl", "exit 22");
    writeFileSync(node.path("webhook"), "https://hooks.example.net");
    node.run("notify.sh", ["split", "one"]);
    expect(node.run("alert-send.sh")).toEqual({ status: 1, words: "not told by the webhook: split: one\n" });
    expect(node.messages()).toEqual([]);
  });

  test("nobody waits where nobody is told", () => {
    node.shell(`rmdir '${node.path("run/alerts")}'`);
    expect(node.run("notify.sh", ["split", "one"])).toEqual({ status: 0, words: "" });
  });
});

describe("metrics", () => {
  const read = (part?: "volume") => {
    const words = [node.path("var"), ...(part ? [part] : [])];
    expect(node.run("metrics.sh", words)).toEqual({ status: 0, words: "" });
    const text = readFileSync(node.path(`var/nfs-pair${part ? "-volume" : ""}.prom`), "utf8");
    for (const line of text.split("\n").slice(0, -1))
      expect(line).toMatch(
        /^(# TYPE nfs_pair_[a-z_]+ gauge|nfs_pair_[a-z_]+(\{[a-z]+="[\w-]+"(,[a-z]+="\w*")*\})? \d+)$/,
      );
    const types = text.match(/^# TYPE .*/gm) ?? [];
    expect(new Set(types).size).toBe(types.length);
    return text;
  };

  test("of a node that serves", () => {
    node.is({ serves: "yes", role: "Primary/Secondary", volume: 1000 });
    node.program(
      "corosync-quorumtool",
      `did asked; printf '%s\\n' 'Quorate:          Yes' '1 1 A,V,NMW nfs-1 (local)' '2 1 A,V,NMW nfs-2'`,
    );
    node.differsIn(3);
    writeFileSync(node.path("var/verified"), "1764300000 2\n");
    const text = read();
    for (const line of [
      "serves 1",
      "quorate 1",
      "third_vote 1",
      "primary 1",
      "connected 1",
      "split 0",
      'connection{state="Connected"} 1',
      'up_to_date{copy="peer"} 1',
      'disk{copy="own",state="UpToDate"} 1',
      "out_of_sync_bytes 3072",
      "volume_bytes 1000",
      "verified_timestamp_seconds 1764300000",
      "verify_difference_bytes 2048",
    ])
      expect(text).toContain(`nfs_pair_${line}\n`);
    expect(statSync(node.path("var/nfs-pair.prom")).mode & 0o777).toBe(0o644);
    expect(node.done()).toEqual(["asked"]);
  });

  test("of a node whose DRBD is down", () => {
    node.is({ cstate: "", dstate: "", role: "" });
    const text = read();
    expect(text).toContain('nfs_pair_connection{state="Unconfigured"} 1\n');
    expect(text).toContain('nfs_pair_up_to_date{copy="own"} 0\n');
    expect(text).not.toContain("out_of_sync");
  });

  describe("of the volume", () => {
    const list = (...lines: readonly string[]): void =>
      writeFileSync(node.path("facts-exports"), lines.join(""));
    const samples = (): string[] => read("volume").match(/^nfs_pair_.*/gm) ?? [];
    const SIZES = ["nfs_pair_volume_used_bytes 2867200", "nfs_pair_volume_free_bytes 1024000"];
    beforeEach(() => {
      node.is({ serves: "yes", sizes: "4096 1000 300 250" });
      node.program("stat", `did "stat $*"; is sizes; [[ -s '${node.path("is/sizes")}' ]]`);
      // as XFS's own program says it
      node.program(
        "xfs_quota",
        `did "$3"
printf '#%-10u %10llu %10llu %10llu     %02d %9s\\n' 0 900 0 0 0 '[--------]' 7 300 0 1572864 0 '[--------]' 2147483647 4294967296 0 5368709120 0 '[--------]' 8 5 0 0 0 '[--------]'
echo`,
      );
      list("0 8 /srv/nfs/exports/without\n");
    });

    test("how full it is; nobody is asked for quotas where there are none", () => {
      expect(samples()).toEqual(SIZES);
      expect(node.done()).toEqual([`stat --file-system --format %S %b %f %a ${node.path("volume")}`]);
    });

    test("of each export with a quota how much of it is taken", () => {
      list(
        "1536 7 /srv/nfs/exports/assets\n",
        "0 8 /srv/nfs/exports/without\n",
        "5242880 2147483647 /srv/nfs/exports/old-photos\n",
        "10 70 /srv/nfs/exports/not-counted-yet\n",
      );
      expect(samples()).toEqual([
        ...SIZES,
        'nfs_pair_export_quota_bytes{export="assets"} 1610612736',
        'nfs_pair_export_quota_bytes{export="old-photos"} 5497558138880',
        'nfs_pair_export_used_bytes{export="assets"} 307200',
        'nfs_pair_export_used_bytes{export="old-photos"} 4398046511104',
      ]);
      expect(node.done().slice(1)).toEqual(["report -p -N -n -b"]);
    });

    test("where quotas cannot be read the rest is told", () => {
      list("1536 7 /srv/nfs/exports/assets\n");
      node.program("xfs_quota", "echo; exit 1");
      expect(samples()).toEqual(SIZES);
    });

    test("nothing on the node that does not serve, and nothing new where it cannot be read", () => {
      samples();
      writeFileSync(node.path("is/sizes"), "");
      expect(node.run("metrics.sh", [node.path("var"), "volume"]).status).not.toBe(0);
      expect(readFileSync(node.path("var/nfs-pair-volume.prom"), "utf8")).toContain(SIZES[0]);
      node.done();
      node.is({ serves: "no" });
      expect(read("volume")).toBe("");
      expect(node.done()).toEqual([]);
    });

    test("the pair's own are told without it", () => {
      node.is({ volume: 1000 });
      read();
      expect(node.done()).toEqual([]);
    });
  });
});

describe("taking over a single server's files", () => {
  const FILES = ["web/index.html", "exports/old", "empty"];
  const tree = () =>
    node
      .shell(`cd '${node.path("volume")}' && find . -mindepth 1 ! -path './state*' | sort`)
      .words.trim()
      .split("\n");
  const MOVED = [
    "./exports",
    "./exports/assets",
    "./exports/assets/empty",
    "./exports/assets/exports",
    "./exports/assets/exports/old",
    "./exports/assets/web",
    "./exports/assets/web/index.html",
    "./lost+found",
  ];
  beforeEach(() => {
    node.shell(`cd '${node.path("volume")}' && rm -r state && mkdir web exports lost+found && touch ${FILES.join(" ")}
      chmod 2770 . && touch '${node.path("var/adopts")}'`);
  });

  test("they become the export, once", () => {
    expect(node.shell("pair_adopt_files")).toEqual({ status: 0, words: "" });
    expect(tree()).toEqual(MOVED);
    expect(statSync(node.path("volume/exports/assets")).mode & 0o7777).toBe(0o2770);
    writeFileSync(node.path("volume/later"), "");
    node.shell("pair_adopt_files");
    expect(existsSync(node.path("volume/later"))).toBe(true);
  });

  test.each([
    ["while files are moved", "mv --target-directory"],
    ["before the last step", "mv --no-target-directory"],
  ])("cut short %s it is gone on with", (_, step) => {
    node.program("mv", `[[ "mv $*" != '${step}'* ]] || exit 1; exec /bin/mv "$@"`);
    expect(node.shell("pair_adopt_files").status).not.toBe(0);
    node.program("mv", 'exec /bin/mv "$@"');
    expect(node.shell("pair_adopt_files")).toEqual({ status: 0, words: "" });
    expect(tree()).toEqual(MOVED);
  });

  test("a disk that held nothing is no source", () => {
    node.shell(`rm '${node.path("var/adopts")}'`);
    const { status, words } = node.shell("pair_adopt_copy");
    expect(words).toContain("there is nothing to take over");
    expect(status).not.toBe(0);
    expect(node.done()).toEqual([]);
  });
});
