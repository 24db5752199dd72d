import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { goldenCases } from "../golden/cases";
import { program, root, testWithNeeds, type Need } from "../support/needs";

/** Patroni's own `--validate-config`, Debian 12's release and PGDG's, on every configuration of a member. */
const cache =
  process.env.HA_MACHINES_CACHE ??
  join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "cdktf-ha-clusters");
const RELEASES = ["3.0.2", "4.1.5"] as const;
const fetched =
  (release: string): Need =>
  () =>
    existsSync(join(cache, `patroni-${release}`))
      ? undefined
      : `Patroni ${release} is not here: test/machines/support/postgres/fetch.sh`;

const sets = goldenCases().flatMap(({ name, files }) =>
  Object.entries(files)
    .filter(([file]) => file.endsWith("member.yml"))
    .map(([file, member]) => [`${name}/${file}`, member, files["access.yml"]!] as const),
);
let directory: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "cdktf-ha-patroni-"));
  chmodSync(directory, 0o755);
  const bin = join(directory, "bin");
  mkdirSync(bin);
  // what Patroni wants to see there; none of it is run but for its version
  for (const name of ["pg_ctl", "initdb", "pg_controldata", "pg_basebackup", "postgres", "pg_isready"]) {
    writeFileSync(join(bin, name), "#!/bin/sh\necho 'postgres (PostgreSQL) 15.18'\n", { mode: 0o755 });
  }
});
afterAll(() => rmSync(directory, { recursive: true }));

/** The validator wants to reach etcd. */
const WITH_ETCD =
  'import socket, subprocess, sys; etcd = socket.create_server(("", 2379)); sys.exit(subprocess.call(sys.argv[1:]))';

/** In a network of its own, which has the members' addresses; with the passwords that a machine adds. */
function validate(
  release: string,
  member: string,
  access: string,
): { readonly status: number | null; readonly words: string } {
  const config = join(directory, "config");
  rmSync(config, { recursive: true, force: true });
  mkdirSync(config);
  const password = { password: "secret" };
  writeFileSync(
    join(config, "10-machine.yml"),
    JSON.stringify({
      restapi: { authentication: password },
      postgresql: { authentication: { replication: password, rewind: password } },
    }),
  );
  writeFileSync(join(config, "20-access.yml"), access);
  writeFileSync(
    join(config, "50-member.yml"),
    member
      .replaceAll(/\/usr\/lib\/postgresql\/\d+\/bin/g, join(directory, "bin"))
      .replaceAll(/"\/var\/lib\/postgresql\/(\d+)/g, `"${directory}/$1`),
  );
  const addresses = new Set(`${member}${access}`.match(/10\.0\.1\.\d+(?=:)/g));
  const prepare = [...addresses].map((address) => `ip address add ${address}/32 dev lo`).join("; ");
  const { status, stdout, stderr } = spawnSync(
    "unshare",
    [
      "--net",
      "bash",
      "-ec",
      `ip link set lo up; ${prepare}; exec python3 -B -c '${WITH_ETCD}' python3 -B -m patroni --validate-config ${config}`,
    ],
    { encoding: "utf8", env: { ...process.env, PYTHONPATH: join(cache, `patroni-${release}`) } },
  );
  return { status, words: `${stdout}${stderr}` };
}

describe.each(RELEASES)("patroni %s --validate-config", (release) => {
  const withPatroni = testWithNeeds([
    program("python3"),
    program("unshare"),
    program("ip"),
    root,
    fetched(release),
  ]);

  withPatroni.each(sets)("%s", (_, member, access) => {
    expect(validate(release, member, access)).toEqual({ status: 0, words: "" });
  });

  withPatroni.each<[string, (member: string) => string, RegExp]>([
    [
      "an address that is none",
      (text) => text.replace("10.0.1.41:8008", "10.0.1.41:rest"),
      /restapi\.listen/,
    ],
    ["no data", (text) => text.replace("data_dir", "data_directory"), /postgresql\.data_dir/],
    [
      "a watchdog that is none",
      (text) => text.replace(/"mode": "\w+"/, '"mode": "sometimes"'),
      /watchdog\.mode/,
    ],
  ])("refuses %s", (_, spoil, words) => {
    const [, member, access] = sets[0]!;
    const spoilt = spoil(member);
    expect(spoilt).not.toBe(member);
    const found = validate(release, spoilt, access);
    expect(found.words).toMatch(words);
    expect(found.status).not.toBe(0);
  });
});
