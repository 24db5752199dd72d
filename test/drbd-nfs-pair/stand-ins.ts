import { spawn, spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { renderFacts } from "../../lib/facts";

const PROGRAMS = join(__dirname, "../../lib/drbd-nfs-pair/on-machine");

/** How a program ended, and what it said. */
export interface Ended {
  readonly status: number | null;
  readonly words: string;
}

/** A node of a pair as its programs see it: their own text, with every path below one directory, and stand-ins for DRBD and the cluster. */
export class StandInNode {
  readonly directory = mkdtempSync(join(tmpdir(), "cdktf-ha-nfs-"));

  constructor(facts: Readonly<Record<string, string>> = {}) {
    for (const sub of ["bin", "lib", "is", "volume/state", "run", "var"])
      mkdirSync(join(this.directory, sub), { recursive: true });
    for (const name of readdirSync(PROGRAMS)) {
      const text = readFileSync(join(PROGRAMS, name), "utf8");
      const path = join(this.directory, "lib", name);
      writeFileSync(path, this.here(text));
      chmodSync(path, 0o755);
    }
    writeFileSync(
      join(this.directory, "facts"),
      renderFacts("a node", {
        PAIR_NODE: "nfs-1",
        PAIR_PEER: "nfs-2",
        PAIR_CLUSTER: "files",
        PAIR_RESOURCE: "nfs",
        PAIR_DEVICE: "/dev/drbd0",
        PAIR_DISK: "/dev/vg0/nfs",
        PAIR_META_DISK: "",
        PAIR_FILE_SYSTEM: "xfs",
        PAIR_DIRECTORY: join(this.directory, "volume"),
        PAIR_STATE: join(this.directory, "volume/state"),
        PAIR_ADOPTS: "",
        PAIR_ADOPT_EXPORT: "assets",
        ...facts,
      }),
    );
    this.program("logger", "exit 0");
    this.program(
      "drbdadm",
      `case $1 in
        cstate | dstate | role | get-gi) is $1 ;;
        *) did "drbdadm $*" ;;
      esac`,
    );
    this.program(
      "mountpoint",
      `[[ $2 == '${this.directory}/volume' ]] || exec /usr/bin/mountpoint "$@"
[[ $(is serves) == yes ]]`,
    );
    this.program("systemctl", `[[ $(is pacemaker) != no ]]`);
    this.program("cibadmin", `[[ $(is managed) != no ]]`);
    // DRBD lets nobody open the device of a secondary
    this.program("blockdev", `[[ $2 != /dev/drbd0 ]] && is disk`);
    this.program("lsblk", "is volume");
    this.program(
      "attrd_updater",
      `case $* in
        *--update*) did "told $4" ;;
        *--node\\ nfs-1) printf 'name="%s" host="nfs-1" value="%s"\\n' $2 "$(is disk)" ;;
        *) printf 'name="%s" host="nfs-2" value="%s"\\n' $2 "$(is peer-disk)" ;;
      esac`,
    );
    this.is({
      cstate: "Connected",
      dstate: "UpToDate/UpToDate",
      role: "Secondary/Primary",
      "get-gi": "4D2BC70121FC4C6E:61C2DDA9BD7AEEF5:1F:0:1:1:0:0:0:0",
      serves: "no",
    });
    writeFileSync(join(this.directory, "proc-drbd"), this.kernelsView(0));
  }

  /** What the stand-ins answer from now on. */
  is(answers: Readonly<Record<string, string | number>>): void {
    for (const [name, answer] of Object.entries(answers))
      writeFileSync(join(this.directory, "is", name), `${answer}\n`);
  }

  /** KiB that DRBD knows to differ. */
  differsIn(kib: number): void {
    writeFileSync(join(this.directory, "proc-drbd"), this.kernelsView(kib));
  }

  /** A stand-in: bash, with `is NAME` for its answers and `did WORDS` for what a test looks at. */
  program(name: string, text: string): void {
    const path = join(this.directory, "bin", name);
    writeFileSync(
      path,
      `#!/bin/bash\nis() { cat '${this.directory}/is/'"$1" 2>/dev/null; }\ndid() { printf '%s\\n' "$*" >>'${this.directory}/did'; }\n${text}\n`,
    );
    chmodSync(path, 0o755);
  }

  run(
    name: string,
    words: readonly string[] = [],
    more: { input?: string; env?: NodeJS.ProcessEnv } = {},
  ): Ended {
    const { status, stdout, stderr } = spawnSync("bash", [join(this.directory, "lib", name), ...words], {
      encoding: "utf8",
      input: more.input ?? "",
      env: { PATH: `${this.directory}/bin:${process.env.PATH}:/usr/sbin:/sbin`, ...more.env },
    });
    return { status, words: `${stdout}${stderr}` };
  }

  /** The same while this process goes on; its status. */
  runBeside(name: string): Promise<number | null> {
    const child = spawn("bash", [join(this.directory, "lib", name)], {
      stdio: "ignore",
      env: { PATH: `${this.directory}/bin:${process.env.PATH}:/usr/sbin:/sbin` },
    });
    return new Promise((resolve) => child.on("exit", resolve));
  }

  /** The same as a hook does it: a line of bash after the shared functions. */
  shell(text: string): Ended {
    writeFileSync(
      join(this.directory, "lib/shell"),
      `set -euo pipefail\n. ${this.directory}/lib/functions.sh\n. ${this.directory}/lib/sizes.sh\n. ${this.directory}/lib/adopt.sh\n${text}\n`,
    );
    return this.run("shell");
  }

  /** What was done since the last look. */
  done(): string[] {
    const path = join(this.directory, "did");
    if (!existsSync(path)) return [];
    const lines = readFileSync(path, "utf8").trim().split("\n");
    rmSync(path);
    return lines;
  }

  /** Messages that nobody has taken away yet. */
  messages(): string[] {
    const spool = join(this.directory, "run/alerts");
    if (!existsSync(spool)) return [];
    return readdirSync(spool).map((name) =>
      readFileSync(join(spool, name), "utf8").trim().replace("\n", ": "),
    );
  }

  path(name: string): string {
    return join(this.directory, name);
  }

  remove(): void {
    rmSync(this.directory, { recursive: true });
  }

  private here(text: string): string {
    return text
      .replaceAll("/usr/local/lib/cdktf-ha/drbd-nfs", join(this.directory, "lib"))
      .replaceAll("/etc/cdktf-ha/drbd-nfs-webhook", join(this.directory, "webhook"))
      .replaceAll("/etc/cdktf-ha/drbd-nfs", join(this.directory, "facts"))
      .replaceAll("/etc/default/sbd", join(this.directory, "sbd"))
      .replaceAll("/etc/corosync", join(this.directory, "corosync"))
      .replaceAll("/run/cdktf-ha-nfs-", join(this.directory, "run/"))
      .replaceAll("/var/lib/cdktf-ha-nfs", join(this.directory, "var"))
      .replaceAll("/proc/uptime", join(this.directory, "uptime"))
      .replaceAll("/proc/drbd", join(this.directory, "proc-drbd"));
  }

  private kernelsView(kib: number): string {
    return `version: 8.4.11 (api:1/proto:86-101)\n 0: cs:Connected ro:Secondary/Primary ds:UpToDate/UpToDate C r-----\n    ns:0 nr:0 dw:0 dr:0 al:0 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:${kib}\n`;
  }
}
