import { spawnSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A member and the host of its repository, both on this computer, with a stand-in for pgBackRest and no SSH in between. */
const PROGRAMS = join(__dirname, "../../lib/postgres-replica-set/on-machine");
let directory: string;
const at = (name: string): string => join(directory, name);

function executable(name: string, text: string): void {
  writeFileSync(at(name), text);
  chmodSync(at(name), 0o755);
}

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "repository-"));
  for (const name of ["repository_host.py", "repository_bridge.py", "repository-host.sh"])
    cpSync(join(PROGRAMS, name), at(name));
  writeFileSync(
    at("node.py"),
    `import subprocess
DATA, LIB = "/data", "${directory}"
class Refused(Exception): pass
def run(*command, check=True, **more):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **more)
    if check and done.returncode: raise Refused(done.stderr)
    return done
`,
  );
  mkdirSync(at("bin"));
  // the words after "--"
  executable("bin/runuser", `#!/bin/bash\nwhile [[ $1 != -- ]]; do shift; done; shift; exec "$@"\n`);
  executable(
    "repository-ssh",
    `#!/bin/bash
[[ $1 == -R ]] || exit 9
ln -s "\${2#*:}" "${directory}/way"
sed "s,/tmp/cdktf-ha-[0-9a-f]*,${directory}/way," | sh -s
`,
  );
  // over there it asks what WORDS say; here it answers in capitals, and notes how it was called
  executable(
    "bin/pgbackrest",
    `#!/bin/bash
case "$*" in
  version) echo "pgBackRest \${HERE:-2.45}" ;;
  *version) echo "pgBackRest 2.45" ;;
  *:remote)
    echo "$@" >>"${directory}/asked"
    tr a-z A-Z
    ;;
  *)
    echo "$@" >"${directory}/called"
    echo "passphrase: $PGBACKREST_REPO1_CIPHER_PASS"
    echo "hello" | "$PGBACKREST_CMD_SSH" postgres@the-member "\${WORDS:-pgbackrest --exec-id=7-0a --process=1 --stanza=other backup:remote}"
    ;;
esac
`,
  );
  mkdirSync(at("repository"));
});
afterEach(() => rmSync(directory, { recursive: true }));

/** What the program prints, and how it was refused. */
function python(program: string, environment: Record<string, string> = {}): string[] {
  const prelude = `
import os, shutil, sys, tempfile
shutil.chown = lambda *words: None
make = tempfile.mkdtemp
tempfile.mkdtemp = lambda prefix, dir: make(prefix=prefix, dir="${directory}")
import repository_host
from node import Refused
settings = {
    "repo1-host": "keeper", "repo1-host-user": "backup", "repo1-path": "${directory}/repository", "repo1-retention-full": "4",
    "repo1-cipher-type": "aes-256-cbc", "repo1-cipher-pass": "it's \\"secret\\" $HOME", "spool-path": "/spool",
}
def told(call, *words):
    try:
        print(call(*words))
    except Refused as refused:
        print("refused:", refused)
`;
  const { status, stdout, stderr } = spawnSync("python3", ["-B", "-c", `${prelude}\n${program}`], {
    cwd: directory,
    encoding: "utf8",
    timeout: 60_000,
    env: { ...process.env, HOME: directory, PATH: `${at("bin")}:${process.env.PATH}`, ...environment },
  });
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  return stdout.trim().split("\n");
}
const lines = (name: string): string => spawnSync("cat", [at(name)], { encoding: "utf8" }).stdout.trim();

test("what is asked over there is answered here, of this set and its data, and nothing is left behind", () => {
  const before = readdirSync(directory, { recursive: true }).sort();
  const words = `["--type=full", "backup"]`;
  expect(python(`print(repository_host.at_host(settings, "db", ${words}))`)).toEqual([
    `passphrase: it's "secret" $HOME`,
    "HELLO",
  ]);
  expect(lines("called")).toBe("--config=/dev/null --type=full backup");
  expect(lines("asked")).toBe(
    "--config=/dev/null --exec-id=7-0a --process=1 --remote-type=pg --stanza=db --pg1-path=/data " +
      "--pg1-socket-path=/var/run/postgresql --log-level-console=off --log-level-file=off --log-level-stderr=error backup:remote",
  );
  rmSync(at("called"));
  rmSync(at("asked"));
  expect(readdirSync(directory, { recursive: true }).sort()).toEqual(before);
});

test("a backup is told what the file says of the repository, and no passphrase among its words", () => {
  python(`told(repository_host.back_up_at_host, settings, "db", "diff")`);
  const called = lines("called");
  expect(called).toContain(`--repo1-path=${directory}/repository --repo1-cipher-type=aes-256-cbc`);
  expect(called).toMatch(/--repo1-retention-full=4 .*--type=diff backup$/);
  expect(called).not.toMatch(/secret|spool|repo1-host/);
});

test.each([
  ["another command", "pgbackrest --exec-id=7-0a --process=1 restore:remote"],
  ["a word that no pgBackRest says", "pgbackrest --exec-id=7-0a --process=1;reboot backup:remote"],
  ["no number", "pgbackrest --process=1 backup:remote"],
  ["nothing", " "],
])("%s is not answered", (_, WORDS) => {
  expect(
    python(`told(repository_host.at_host, settings, "db", ["backup"])`, { WORDS }).join("\n"),
  ).not.toContain("HELLO");
  expect(existsSync(at("asked"))).toBe(false);
});

test("what the host lacks is said before anything begins", () => {
  const check = `told(repository_host.check_host, settings)`;
  expect(python(check)).toEqual(["None"]);
  expect(python(check, { HERE: "2.50" })[0]).toMatch(
    /^refused: .* has pgBackRest 2.45, this member has pgBackRest 2.50/,
  );
  rmSync(at("repository"), { recursive: true });
  expect(python(check)[0]).toBe(
    `refused: keeper: ${directory}/repository is no directory on the host of the repository`,
  );
});
