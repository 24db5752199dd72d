import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { goldenCases } from "../golden/cases";
import { program, root, testWithNeeds } from "../support/needs";

const lib = join(__dirname, "../../lib");
const cases = goldenCases();
let directory: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "cdktf-ha-daemons-"));
  chmodSync(directory, 0o755);
});
afterAll(() => rmSync(directory, { recursive: true }));

/** Name and text of every case that has such a file. */
function casesWith(file: string): (readonly [string, string])[] {
  return cases.flatMap(({ name, files }) =>
    files[file] === undefined ? [] : [[name, files[file]] as const],
  );
}

/** Runs a shell text as the push's check does; its words and its status. */
function run(text: string): { status: number | null; words: string } {
  const { status, stdout, stderr } = spawnSync("bash", ["-euo", "pipefail", "-c", text], {
    encoding: "utf8",
    env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` },
    timeout: 60_000,
  });
  return { status, words: `${stdout}${stderr}` };
}

/** What Terraform would put in for its references, and the machine for the placeholders. */
function filled(text: string): string {
  const references = [...new Set(text.match(/\$\{aws_network_interface\.[\w.-]+\}/g))];
  return references
    .reduce((known, reference, index) => known.replaceAll(reference, `10.1.0.${index + 4}`), text)
    .replaceAll("@@HA:fact:interface@@", "eth0")
    .replaceAll("@@HA:fact:bundle@@", "0123456789abcdef")
    .replace(/@@HA:quotable:[^@]*@@/g, `a "password" with $ and %`);
}

describe("haproxy -c", () => {
  const withHaproxy = testWithNeeds([program("haproxy"), program("openssl")]);

  function write(name: string, text: string): string {
    const tls = join(directory, "tls");
    mkdirSync(tls, { recursive: true });
    for (const [file] of text.matchAll(/\/etc\/haproxy\/tls\/[\w.-]+\.pem/g)) {
      const path = file.replace("/etc/haproxy/tls", tls);
      const made = run(
        `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test -keyout '${path}.key' -out '${path}' && cat '${path}.key' >>'${path}'`,
      );
      expect(made.status).toBe(0);
    }
    const path = join(directory, `${name}.cfg`);
    writeFileSync(path, filled(text).replaceAll("/etc/haproxy/tls", tls));
    return path;
  }

  withHaproxy.each(casesWith("haproxy.cfg"))("%s", (name, text) => {
    const { status, words } = run(`haproxy -c -f ${write(name, text)}`);
    expect(words).not.toMatch(/ALERT|error/i);
    // Nothing but the state file that the first start makes may be warned about.
    expect(
      words.split("\n").filter((line) => line.includes("WARNING") && !line.includes("server state file")),
    ).toEqual([]);
    expect(status).toBe(0);
  });

  withHaproxy("refuses what is wrong", () => {
    const text = cases[0]!.files["haproxy.cfg"]!.replace("balance roundrobin", "balance sometimes");
    expect(run(`haproxy -c -f ${write("wrong", text)}`).status).toBe(1);
  });
});

describe("keepalived --config-test", () => {
  const withKeepalived = testWithNeeds([program("keepalived"), program("ip"), root]);

  /** The project's own check, with the files where they are here. */
  function check(name: string, text: string): { status: number | null; words: string } {
    const path = join(directory, `${name}.conf`);
    const script = join(directory, "script");
    writeFileSync(script, "#!/bin/sh\n", { mode: 0o755 });
    writeFileSync(
      path,
      filled(text)
        .replaceAll(/\/usr\/local\/lib\/cdktf-ha\/[\w-]+/g, script)
        .replace("script_user keepalived_script", "script_user nobody"),
    );
    const hook = readFileSync(join(lib, "keepalived/on-machine/check.sh"), "utf8");
    writeFileSync(`${path}.sh`, hook.replace("/etc/keepalived/keepalived.conf", path));
    // keepalived takes no loopback interface, and the machine's own may be called anything
    return run(`unshare --net bash -euo pipefail -c 'ip link add eth0 type veth; . ${path}.sh'`);
  }

  const files = cases.flatMap(({ name, files: all }) =>
    Object.entries(all)
      .filter(([file]) => file.startsWith("keepalived"))
      .map(([file, text]) => [`${name}/${file}`, text] as const),
  );

  withKeepalived.each(files)("%s", (name, text) => {
    expect(check(name.replace("/", "-"), text)).toEqual({ status: 0, words: "" });
  });

  withKeepalived.each([
    ["a word it does not know", (text: string) => text.replace("nopreempt", "nopreemption")],
    ["an address that is none", (text: string) => text.replace("10.0.1.90/27", "10.0.1.900/27")],
    [
      "a script that is not declared",
      (text: string) => text.replace("track_script {\n    haproxy_answers", "track_script {\n    nobody"),
    ],
    [
      "a router id that is none",
      (text: string) => text.replace(/virtual_router_id \d+/, "virtual_router_id 300"),
    ],
    [
      "an interface that is not there",
      (text: string) => text.replace("interface @@HA:fact:interface@@", "interface eth99"),
    ],
  ] as const)("refuses %s", (name, spoil) => {
    const text = cases[0]!.files["keepalived.conf"]!;
    expect(spoil(text)).not.toBe(text);
    const { status, words } = check(`wrong-${name.replaceAll(" ", "-")}`, spoil(text));
    expect(words).not.toBe("");
    expect(status).not.toBe(0);
  });
});

describe("nft --check", () => {
  const withNft = testWithNeeds([program("nft"), root]);

  withNft.each(casesWith("firewall.nft"))("%s", (name, text) => {
    const path = join(directory, `${name}.nft`);
    writeFileSync(path, filled(text));
    expect(run(`nft --check --file ${path}`)).toEqual({ status: 0, words: "" });
  });
});
