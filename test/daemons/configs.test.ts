import { spawnSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
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
    // Nothing but the state file that the first start makes, and the name that nobody knows, may be warned about.
    const expected =
      /server state file|could not resolve address 'api-3\.example\.invalid', disabling server/;
    expect(words.split("\n").filter((line) => line.includes("WARNING") && !expected.test(line))).toEqual([]);
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

describe("PowerDNS", () => {
  const withPowerDns = testWithNeeds([
    program("pdns_server"),
    program("pdns_control"),
    program("unshare"),
    root,
  ]);
  const database = join(__dirname, "../geo-dns/database/countries.mmdb");

  /** The files where they are here, and the project's own trial of them by a real server. */
  function check(
    name: string,
    files: Readonly<Record<string, string>>,
  ): { status: number | null; words: string } {
    const own = join(directory, name);
    mkdirSync(join(own, "keys"), { recursive: true });
    const conf = filled(files["pdns.conf"]!)
      .replace(/mmdb:\S+/, `mmdb:${own}/countries.mmdb`)
      .replace("/etc/powerdns/cdktf-ha-keys", join(own, "keys"));
    copyFileSync(database, join(own, "countries.mmdb"));
    writeFileSync(join(own, "pdns.conf"), conf);
    writeFileSync(join(own, "cdktf-ha-zones.yaml"), filled(files["zones.yaml"]!));
    writeFileSync(join(own, "cdktf-ha-checks.json"), filled(files["checks.json"]!));
    const onMachine = join(lib, "geo-dns/on-machine");
    if (files.key !== undefined) writeFileSync(join(own, "keys/www.movember.com.257.1.1.key"), files.key);
    const text = readFileSync(join(onMachine, "geo-dns.py"), "utf8").replace(
      '(ETC, "cdktf-ha-keys")',
      '(ETC, "keys")',
    );
    expect(text).toContain('ETC = "/etc/powerdns"');
    writeFileSync(join(own, "geo-dns"), text.replace('"/etc/powerdns"', JSON.stringify(own)), {
      mode: 0o755,
    });
    const hook = readFileSync(join(onMachine, "check.sh"), "utf8");
    return run(hook.replace("/usr/local/lib/cdktf-ha/geo-dns", join(own, "geo-dns")));
  }

  const servers = cases.filter(({ files }) => files["pdns.conf"] !== undefined);
  withPowerDns.each(servers.map(({ name, files }) => [name, files] as const))("%s", (name, files) => {
    expect(check(name, files)).toEqual({ status: 0, words: "" });
  });

  withPowerDns.each([
    ["of another kind", "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n"],
    ["that was cut off", "Private-key-format: v1.2\nAlgorithm: 13 (ECDSAP256SHA256)\nPrivateKey: \n"],
  ])("refuses a key %s", (name, key) => {
    const signed = servers.find((each) => each.name === "powerdns-everything")!.files;
    const { status, words } = check(`key-${name.replaceAll(" ", "-")}`, { ...signed, key });
    expect(words).toContain("www.movember.com: the key is none that PowerDNS can sign with");
    expect(status).not.toBe(0);
  });

  const smallest = servers.find(({ name }) => name === "powerdns-smallest")!.files;
  withPowerDns.each([
    ["a setting it does not know", "pdns.conf", "edns-subnet-processing", "edns-subnet-procession"],
    ["a database that is not there", "pdns.conf", /mmdb:\S+/, "/nowhere.mmdb"],
    ["YAML that is none", "zones.yaml", "records:", "records: ["],
    ["an address that is none", "zones.yaml", "10.2.0.91", "10.2.0.910"],
    ["a record that it does not know", "zones.yaml", "aaaa:", "aaaaa:"],
    ["a name server without a name", "zones.yaml", "'ns1.movember.com'", "'ns1..com'"],
    ["a time to live that is none", "zones.yaml", "ttl: 30", "ttl: soon"],
    ["checks of another name", "checks.json", '"www.movember.com"', '"movember.com"'],
  ] as const)("refuses %s", (name, file, right, wrong) => {
    const text = smallest[file]!;
    const spoiled = text.replace(right, wrong);
    expect(spoiled).not.toBe(text);
    const { status, words } = check(`wrong-${name.replaceAll(" ", "-")}`, { ...smallest, [file]: spoiled });
    expect(words).not.toBe("");
    expect(status).not.toBe(0);
  });
});

describe("squid -k parse", () => {
  const withSquid = testWithNeeds([program("squid"), program("openssl"), root]);

  /** The files where they are here, with what a machine would add to them; the project's own check reads them. */
  function write(name: string, files: Readonly<Record<string, string>>): string {
    const own = join(directory, name);
    const here = (text: string): string =>
      filled(text)
        .replaceAll("/etc/squid/", `${own}/`)
        .replaceAll("/var/spool/squid", `${own}/spool`)
        .replaceAll("/srv/squid", `${own}/spool`);
    mkdirSync(join(own, "tls"), { recursive: true });
    mkdirSync(join(own, "spool"), { recursive: true });
    for (const [file] of files["squid.conf"]!.matchAll(/\/etc\/squid\/tls\/[\w.-]+\.pem/g)) {
      const path = here(file);
      const made = run(
        `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test -keyout '${path}.key' -out '${path}' && cat '${path}.key' >>'${path}'`,
      );
      expect(made.status).toBe(0);
    }
    writeFileSync(join(own, "squid.conf"), here(files["squid.conf"]!));
    writeFileSync(join(own, "cdktf-ha-store.conf"), here(files["store.conf"]!));
    // no computer has to have the disk of the example
    writeFileSync(
      join(own, "cdktf-ha-wanted-sizes"),
      here(files["wanted-sizes"]!).replace(/^(memory|disk)=\d+$/gm, "$1=64"),
    );
    if (files["splash.html"] !== undefined)
      writeFileSync(join(own, "cdktf-ha-splash.html"), files["splash.html"]);
    const onMachine = (file: string): string =>
      readFileSync(join(lib, "squid-geo-proxy-tier/on-machine", file), "utf8")
        .replaceAll("/etc/squid/", `${own}/`)
        .replaceAll("/usr/local/lib/cdktf-ha/", `${own}/`);
    writeFileSync(join(own, "squid-prepare"), onMachine("prepare.sh"), { mode: 0o755 });
    writeFileSync(join(own, "check.sh"), onMachine("check.sh"));
    return own;
  }
  const check = (own: string): { status: number | null; words: string } => run(`. ${own}/check.sh`);

  const tiers = cases.filter(({ files }) => files["squid.conf"] !== undefined);
  withSquid.each(tiers.map(({ name, files }) => [name, files] as const))("%s", (name, files) => {
    expect(check(write(name, files))).toEqual({ status: 0, words: "" });
  });

  const everything = tiers.find(({ name }) => name === "squid-everything")!.files;
  withSquid.each([
    ["a word it does not know", "squid.conf", "never_direct allow all", "never_directly allow all"],
    ["a network that is none", "squid.conf", "acl purgers src 10.0.0.5/32", "acl purgers src 10.0.0.500/32"],
    ["a certificate that is not there", "squid.conf", "tls/site-1.pem", "tls/site-9.txt"],
    ["a kind of cache that is none", "store.conf", "cache_dir rock", "cache_dir stone"],
  ] as const)("refuses %s", (name, file, right, wrong) => {
    const text = everything[file]!;
    expect(text).toContain(right);
    const own = write(`wrong-${name.replaceAll(" ", "-")}`, {
      ...everything,
      [file]: text.replaceAll(right, wrong),
    });
    const { status, words } = check(own);
    expect(words).toMatch(/FATAL|ERROR|Bungled|unrecognized/);
    expect(status).not.toBe(0);
  });

  withSquid("refuses a cache that the machine has no room for", () => {
    const own = write("too-large", everything);
    for (const [what, words] of [
      ["memory", "of memory: this machine has"],
      ["disk", "on disk: the volume of"],
    ] as const) {
      const path = join(own, "cdktf-ha-wanted-sizes");
      const text = readFileSync(path, "utf8");
      writeFileSync(path, text.replace(new RegExp(`^${what}=.*$`, "m"), `${what}=999999999`));
      const result = check(own);
      expect(result.words).toContain(words);
      expect(result.status).not.toBe(0);
      writeFileSync(path, text);
    }
  });

  withSquid("sizes follow from the machine, and stay while it stays the same", () => {
    const own = write("sizes", tiers.find(({ name }) => name === "squid-smallest")!.files);
    expect(check(own).status).toBe(0);
    const first = readFileSync(join(own, "cdktf-ha-sizes.conf"), "utf8");
    expect(first).toMatch(
      /^# auto aufs \S+ auto memory \d+ volume \d+\ncache_mem \d+ MB\ncache_dir aufs \S+ \d+ 16 256\n$/,
    );
    expect(check(own).status).toBe(0);
    expect(readFileSync(join(own, "cdktf-ha-sizes.conf"), "utf8")).toBe(first);
  });

  withSquid("the splash page stands under each name that Squid has for an error", () => {
    const own = write("pages", everything);
    expect(check(own).status).toBe(0);
    const pages = run(`cd ${own}/cdktf-ha-errors && sha256sum * | cut -c1-64 | sort -u | wc -l; ls | wc -l`);
    const templates = run("ls /usr/share/squid/errors/templates/ERR_* | wc -l");
    expect(pages.words.split("\n").slice(0, 2)).toEqual(["1", String(Number(templates.words) + 1)]);
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
