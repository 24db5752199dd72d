import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { nfsPairCases } from "../drbd-nfs-pair/golden";
import { program, root, testWithNeeds } from "../support/needs";

/** What the pair's programs themselves say of its files. */
const onMachine = join(__dirname, "../../lib/drbd-nfs-pair/on-machine");
const cases = nfsPairCases().map(({ name, files }) => {
  // what only Terraform knows
  const known = Object.entries(files).map(([file, text]) => [file, text.replace(/\$\{[^{}]*\}/g, "vol0abc")]);
  return [name, Object.fromEntries(known) as typeof files] as const;
});
const everything = cases.find(([name]) => name === "nfs-everything")![1];
let directory: string;

beforeAll(() => (directory = mkdtempSync(join(tmpdir(), "cdktf-ha-nfs-"))));
afterAll(() => rmSync(directory, { recursive: true }));

function run(text: string, env: Readonly<Record<string, string>> = {}) {
  const { status, stdout, stderr } = spawnSync("bash", ["-euo", "pipefail", "-c", text], {
    encoding: "utf8",
    env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin`, ...env },
    timeout: 60_000,
  });
  return { status, words: `${stdout}${stderr}` };
}

function write(name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(path, text.replace(/@@HA:quotable:[^@]*@@/g, "0123456789abcdef"));
  return path;
}

describe("drbdadm dump", () => {
  const withDrbd = testWithNeeds([program("drbdadm"), program("unshare"), root]);
  /** The reader of each version by itself, whatever module the kernel here has; on a computer called as the node is. */
  const dump = (reader: string, files: Readonly<Record<string, string>>, resource: string) =>
    run(
      `unshare --uts sh -c 'hostname nfs-1; ${reader} -c ${write(`${reader.split("/").at(-1)}.conf`, files["global_common.conf"]! + resource)} dump nfs'`,
    );

  withDrbd.each(cases)("8.4: %s", (_, files) => {
    const { status, words } = dump("/usr/lib/drbd/drbdadm-84", files, files["nfs.res"]!);
    expect(words).toContain("fencing          resource-and-stonith;");
    expect(status).toBe(0);
  });

  withDrbd("9", () => {
    const { status, words } = dump("drbdadm", everything, everything["drbd-9.res"]!);
    expect(words).toContain("fencing          resource-and-stonith;");
    expect(status).toBe(0);
  });

  withDrbd.each([
    ["a word it does not know", "verify-alg", "verify-algo"],
    ["an address that is none", "192.168.7.2:7788", "192.168.7.2"],
    ["a node that is not this one", "on nfs-1", "on nfs-3"],
    ["what belongs to version 9", "protocol B;", "protocol B; fencing resource-only;"],
    ["a secret that ends the quotes", "0123456789abcdef", 'a"b'],
  ])("8.4 refuses %s", (_, right, wrong) => {
    const text = everything["nfs.res"]!.replace(/@@HA:quotable:[^@]*@@/g, "0123456789abcdef");
    expect(text).toContain(right);
    expect(dump("/usr/lib/drbd/drbdadm-84", everything, text.replace(right, wrong)).status).not.toBe(0);
  });
});

describe("corosync -t", () => {
  const withCorosync = testWithNeeds([program("corosync"), program("unshare"), root]);
  /** The project's own check, on a computer called as the node is. */
  const check = (text: string) => {
    const script = readFileSync(join(onMachine, "pacemaker-check.sh"), "utf8");
    const functions = write("functions.sh", "pair_fail_if_split() { :; }\npair_has_watchdog() { false; }\n");
    const hook = script
      .replaceAll("/etc/corosync/corosync.conf", write("corosync.conf", text))
      .replaceAll("/usr/local/lib/cdktf-ha/drbd-nfs/functions.sh", functions);
    return run(
      `HA_DIR=/nowhere/staged unshare --uts bash -euo pipefail -c 'hostname nfs-1; . ${write("check.sh", hook)}'`,
    );
  };

  withCorosync.each(cases)("%s", (_, files) => {
    const { status, words } = check(files["corosync.conf"]!);
    expect(words).toMatch(/^[^\n]* notice .*exiting normally\n$/);
    expect(status).toBe(0);
  });

  withCorosync.each([
    ["a cipher that it does not have", "crypto_cipher: aes256", "crypto_cipher: aes512"],
    ["a node without a second address", "    ring1_addr: 192.168.7.2\n", ""],
    ["a section that is not closed", "logging {\n  to_syslog: yes\n}", "logging {"],
  ])("refuses %s", (_, right, wrong) => {
    const text = everything["corosync.conf"]!;
    expect(text).toContain(right);
    const { status, words } = check(text.replace(right, wrong));
    expect(words).not.toBe("");
    expect(status).not.toBe(0);
  });
});

describe("Pacemaker's configuration", () => {
  const withPacemaker = testWithNeeds([
    program("cibadmin"),
    program("crm_verify"),
    program("crm_diff"),
    program("crm_simulate"),
  ]);
  /** The tools work on a file as they do on a living cluster. */
  const live = (name: string) => {
    const path = join(directory, `${name}-live.xml`);
    const env = { CIB_file: path };
    expect(run(`cibadmin --empty >'${path}'`).status).toBe(0);
    return {
      merge: (text: string) =>
        run(`bash ${join(onMachine, "merge-cib.sh")} '${write("wanted.xml", text)}'`, env),
      tool: (text: string) => run(text, env),
      text: () => readFileSync(path, "utf8"),
    };
  };
  const CHANGED = { status: 0, words: "the cluster's configuration has changed\n" };
  const NOTHING = { status: 0, words: "" };
  const WATCHDOG =
    '<crm_config><cluster_property_set id="cib-bootstrap-options"><nvpair id="cib-bootstrap-options-have-watchdog" name="have-watchdog" value="true"/></cluster_property_set></crm_config>';

  withPacemaker.each(cases)("%s is taken, verified, and the second time nothing changes", (name, files) => {
    const cib = live(name);
    // as Pacemaker itself notes where SBD runs
    if (name === "nfs-watchdog")
      expect(
        cib.tool(`cibadmin --modify --allow-create --scope crm_config --xml-text '${WATCHDOG}'`),
      ).toEqual(NOTHING);
    expect(cib.merge(files["cib.xml"]!)).toEqual(CHANGED);
    expect(cib.tool("crm_verify --verbose --xml-file $CIB_file")).toEqual(NOTHING);
    const before = cib.text();
    expect(cib.merge(files["cib.xml"]!)).toEqual(NOTHING);
    expect(cib.text()).toBe(before);
  });

  withPacemaker("what others put there stays, what left the code goes", () => {
    const cib = live("others");
    expect(cib.merge(everything["cib.xml"]!)).toEqual(CHANGED);
    const constraint =
      '<rsc_location rsc="ha-drbd-clone" id="drbd-fence-by-handler-nfs-ha-drbd-clone"><rule role="Promoted" score="-INFINITY" id="drbd-fence-rule"><expression attribute="#uname" operation="ne" value="nfs-1" id="drbd-fence-expression"/></rule></rsc_location>';
    expect(cib.tool(`cibadmin --create --scope constraints --xml-text '${constraint}'`).status).toBe(0);
    expect(cib.merge(everything["cib.xml"]!)).toEqual(NOTHING);
    const smaller = cases[0]![1]["cib.xml"]!;
    expect(cib.merge(smaller)).toEqual(CHANGED);
    const text = cib.text();
    expect(text).toContain('id="drbd-fence-by-handler-nfs-ha-drbd-clone"');
    expect(text).toContain('type="fence_our_switch"');
    expect(text).not.toContain("fence_ipmilan");
    expect(text).toContain('validate-with="pacemaker-');
    expect(cib.merge(smaller)).toEqual(NOTHING);
  });

  /** A cluster of the tools' own imagination, in which both nodes are well and one of them serves: what would it do? */
  const imagined = (name: string) => {
    const cib = live(name);
    expect(cib.merge(cases[0]![1]["cib.xml"]!)).toEqual(CHANGED);
    const simulate = (...options: string[]): string[] => {
      const { status, words } = cib.tool(
        `crm_simulate --simulate --xml-file $CIB_file ${options.join(" ")} 2>&1`,
      );
      expect([status, words]).toEqual([0, expect.any(String)]);
      expect(words).toContain("Transition Summary:");
      const [, summary = ""] = /Transition Summary:\n([^]*?)\n\n/.exec(words) ?? [];
      return summary
        .split("\n")
        .flatMap((line) => / {2}\* (\w+) +(\S+)/.exec(line)?.slice(1).join(" ") ?? []);
    };
    const attribute = (node: string, key: string, value: number): void => {
      const pair = `<nvpair id="status-${node}-${key}" name="${key}" value="${value}"/>`;
      const attributes = `<instance_attributes id="status-${node}">${pair}</instance_attributes>`;
      const state = `<node_state id="${node}" uname="${node}"><transient_attributes id="${node}">${attributes}</transient_attributes></node_state>`;
      const { status, words } = cib.tool(
        `cibadmin --modify --allow-create --scope status --xml-text '${state}'`,
      );
      expect([status, words]).toEqual([0, ""]);
    };
    simulate("--node-up nfs-1", "--node-up nfs-2", "--in-place");
    expect(cib.tool(`sed -i '1s/<cib /<cib have-quorum="1" /' $CIB_file`).status).toBe(0);
    for (const node of ["nfs-1", "nfs-2"]) {
      attribute(node, "master-ha-drbd", 10_000);
      attribute(node, "ha-ping", 1000);
    }
    expect(simulate("--in-place")).toContain("Start ha-vip");
    expect(simulate()).toEqual([]);
    const [, serving] = /running on: (nfs-[12])/.exec(
      cib.tool("crm_resource --resource ha-vip --locate").words,
    )!;
    return { cib, simulate, attribute, serving: serving! };
  };
  const MOVED = [
    "Demote ha-drbd:1",
    ...["clients", "fs", "nfsd", "vip"].map((name) => `Move ha-${name}`),
    "Promote ha-drbd:0",
  ];

  withPacemaker(
    "the service goes to the node that reaches more, and does not come back for an equal one",
    () => {
      const { simulate, attribute, serving } = imagined("reaches");
      attribute(serving, "ha-ping", 0);
      expect(simulate("--in-place").sort()).toEqual(MOVED);
      attribute(serving, "ha-ping", 1000);
      expect(simulate()).toEqual([]);
    },
  );

  withPacemaker("whose volume takes no writes any more is switched off before the other one begins", () => {
    const { cib, serving } = imagined("hangs");
    const { words } = cib.tool(
      `crm_simulate --simulate --xml-file $CIB_file --op-inject=ha-nfsd_monitor_30000@${serving}=1 2>&1`,
    );
    expect(words).toContain(`Fence (reboot) ${serving} 'ha-nfsd failed there'`);
    const [off, mounted] = [`Fencing ${serving} (reboot)`, "Resource action: ha-fs           start on"];
    expect(words.indexOf(off)).toBeGreaterThan(0);
    expect(words.indexOf(mounted)).toBeGreaterThan(words.indexOf(off));
  });

  withPacemaker("a hand-over takes the role from a node, and leaves it its copy", () => {
    const { cib, simulate, serving } = imagined("hand-over");
    const functions = readFileSync(join(onMachine, "functions.sh"), "utf8");
    const [, own] = /\n(pair_forbid\(\) \{[^]*?\npair_allow\(\) .*\n)/.exec(functions)!;
    const until = "$(date --utc --date='15 minutes' '+%Y-%m-%d %H:%M:%SZ')";
    expect(cib.tool(`${own}PAIR_NODE=${serving}; pair_forbid "${until}"`)).toEqual(NOTHING);
    expect(simulate().sort()).toEqual(MOVED);
    // nobody was left to lift it
    expect(simulate("--set-datetime", "$(date --iso-8601=seconds --date='20 minutes')")).toEqual([]);
    expect(cib.tool(`${own}pair_allow`)).toEqual(NOTHING);
    expect(simulate()).toEqual([]);
    expect(cib.text()).not.toContain("hand-over");
  });

  withPacemaker.each([
    ["a role that it does not know", 'with-rsc-role="Promoted"', 'with-rsc-role="Boss"'],
    ["an element that it does not know", '<primitive id="ha-vip"', '<primitve id="ha-vip"'],
    ["a resource that is not there", 'first="ha-drbd-clone"', 'first="ha-drbd-clones"'],
    [
      "fencing without a device",
      'class="stonith" type="fence_our_switch"',
      'class="ocf" provider="heartbeat" type="Dummy"',
    ],
  ])("refuses %s, and nothing has changed", (_, right, wrong) => {
    const cib = live("wrong");
    const text = cases[0]![1]["cib.xml"]!;
    expect(text).toContain(right);
    expect(cib.merge(text)).toEqual(CHANGED);
    const before = cib.text();
    expect(cib.merge(text.replace(right, wrong)).status).not.toBe(0);
    expect(cib.text()).toBe(before);
  });
});

describe("exportfs", () => {
  const withExportfs = testWithNeeds([program("exportfs"), program("unshare"), root]);
  /** Among file systems of its own, so that nothing is exported here. */
  const offer = (text: string, mounted = true) =>
    run(
      `unshare --mount bash -euo pipefail -c '
        mount -t tmpfs t /var/lib/nfs && mount -t tmpfs t /srv && mkdir /srv/nfs
        ${mounted ? "mount -t tmpfs t /srv/nfs" : ""}
        mkdir -p /srv/nfs/exports/assets /srv/nfs/exports/pictures /srv/nfs/exports/uploads
        mount --bind ${write("exports", text)} /etc/exports
        exportfs -ra && exportfs -s'`,
    );

  withExportfs.each(cases)("%s", (_, files) => {
    const { status, words } = offer(files["cdktf-ha.exports"]!);
    expect(status).toBe(0);
    const asked = files["cdktf-ha.exports"]!.match(/\(/g)!.length;
    expect(words.trim().split("\n")).toHaveLength(asked);
    expect(words).not.toMatch(/warning|default/i);
  });

  withExportfs("refuses an option that it does not know", () => {
    const { status, words } = offer(everything["cdktf-ha.exports"]!.replace("all_squash", "al_squash"));
    expect(words).toContain('unknown keyword "al_squash"');
    expect(status).not.toBe(0);
  });
});

describe("systemd-analyze verify", () => {
  const withSystemd = testWithNeeds([program("systemd-analyze")]);

  withSystemd("a client's mount", () => {
    const path = write("srv-pictures.mount", everything["srv-pictures.mount"]!);
    expect(run(`systemd-analyze verify '${path}'`).words).not.toContain("srv-pictures.mount");
  });
});
