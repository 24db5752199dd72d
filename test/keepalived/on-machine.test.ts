import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** What keepalived and systemd tell each other by files (lib/keepalived/on-machine), against a stand-in for systemctl. */
let directory: string;
let run: (name: string) => string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "keepalived-"));
  mkdirSync(join(directory, "cdktf-ha-vrrp"));
  run = (name) => {
    const text = readFileSync(join(__dirname, `../../lib/keepalived/on-machine/${name}.sh`), "utf8");
    const path = join(directory, name);
    writeFileSync(path, text.replaceAll("/run/", `${directory}/`).replaceAll("/etc/keepalived", directory));
    return path;
  };
});
afterEach(() => rmSync(directory, { recursive: true }));

const state = (name: string): string | undefined => {
  const path = join(directory, "cdktf-ha-vrrp", name);
  return existsSync(path) ? readFileSync(path, "utf8").trim() : undefined;
};

describe("states of instances", () => {
  const notify = (name: string, word: string): string[] => [
    run("vrrp-notify"),
    "INSTANCE",
    name,
    word,
    "250",
  ];

  test("one after the other", () => {
    for (const word of ["BACKUP", "MASTER", "FAULT", "BACKUP"]) {
      expect(spawnSync("bash", notify("main", word)).status).toBe(0);
      expect(state("main")).toBe(word);
    }
    expect(state("other")).toBeUndefined();
  });

  test("a call that is overtaken by a later one has nothing to say any more", async () => {
    // begun now, and kept waiting until the later one is through
    const older = spawn("bash", ["-c", 'read -r; exec bash "$@"', "bash", ...notify("main", "FAULT")]);
    const ended = once(older, "exit");
    await once(older, "spawn");
    expect(spawnSync("bash", notify("main", "BACKUP")).status).toBe(0);
    older.stdin.end("\n");
    expect(await ended).toEqual([0, null]);
    expect(state("main")).toBe("BACKUP");
  });
});

describe("units that are tracked", () => {
  const unit = (): string =>
    readFileSync(join(directory, "cdktf-ha-vrrp-units/nginx.service"), "utf8").trim();
  /** All units looked at, where systemctl is this shell text. */
  function refresh(systemctl: string): string {
    writeFileSync(join(directory, "cdktf-ha-units"), "nginx.service\n");
    const program = `systemctl() { ${systemctl}; }\nset -- refresh\n. '${run("vrrp-unit")}'`;
    expect(spawnSync("bash", ["-c", program], { timeout: 20_000 }).status).toBe(0);
    return unit();
  }

  test("up is 0, anything else 1", () => {
    expect(refresh("echo inactive; return 3")).toBe("1");
    expect(refresh("echo active")).toBe("0");
    expect(refresh("echo reloading")).toBe("0");
    expect(refresh("echo failed; return 3")).toBe("1");
  });

  test("one on its way up or down says so itself", () => {
    expect(refresh("echo activating; return 3")).toBe("1"); // has not said anything yet
    expect(spawnSync("bash", [run("vrrp-unit"), "nginx.service", "0"]).status).toBe(0);
    expect(refresh("echo activating; return 3")).toBe("0");
    expect(spawnSync("bash", [run("vrrp-unit"), "nginx.service", "1"]).status).toBe(0);
    expect(refresh("echo deactivating; return 3")).toBe("1");
  });

  test("one that comes up while it is looked at is up", () => {
    const says = `bash '${run("vrrp-unit")}' nginx.service 0`;
    const up = join(directory, "up");
    refresh(`(${says}; touch '${up}') >/dev/null 2>&1 9>&- & sleep 0.5; echo inactive; return 3`);
    spawnSync("bash", ["-c", `until [[ -e '${up}' ]]; do sleep 0.05; done`], { timeout: 20_000 });
    expect(unit()).toBe("0");
  });
});
