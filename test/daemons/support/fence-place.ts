import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { FenceDevice } from "../../../lib/drbd-nfs-pair/cib";
import type { Fencing } from "../../../lib/drbd-nfs-pair/fencing";
import type { Secret } from "../../../lib/secret/secret";
import { until } from "./corosync-pair";

/** What an agent has said and done. */
export interface Answer {
  /** Nothing: it did not end within two minutes. */
  readonly status: number | null;
  readonly words: string;
  /** Of all its processes, as anybody can read them meanwhile. */
  readonly commandLines: readonly string[];
}

/** A place with a network and files of its own, with what a node is given to switch another one off, and what does it. */
export class FencePlace {
  readonly directory = mkdtempSync(join(tmpdir(), "cdktf-ha-fence-"));
  private home?: ChildProcess;
  private pid = "";

  async start(): Promise<void> {
    const words =
      "setpriv --pdeathsig KILL unshare --net --mount --propagation private --pid --fork --mount-proc";
    const script = join(__dirname, "fence-place.sh");
    this.home = spawn("env", [...words.split(" "), "--kill-child=KILL", script, this.directory], {
      stdio: ["ignore", "ignore", "inherit"],
    });
    await until(() => existsSync(join(this.directory, "ready")), "the place is not made");
    this.pid = readFileSync(`/proc/${this.home.pid}/task/${this.home.pid}/children`, "utf8").trim();
  }

  stop(): void {
    this.home?.kill("SIGKILL");
    rmSync(this.directory, { recursive: true, force: true });
  }

  shell(text: string, input = ""): { status: number | null; stdout: string; stderr: string } {
    // bash takes a standard input that is no file for a login from elsewhere
    const [command, ...args] = this.inside("bash", "--norc", "-euo", "pipefail", "-c", text);
    return spawnSync(command!, args, { encoding: "utf8", timeout: 60_000, input });
  }

  must(text: string, input = ""): string {
    const { status, stdout, stderr } = this.shell(text, input);
    if (status !== 0) throw new Error(`${text}: ${stdout}${stderr}`);
    return stdout.trim();
  }

  /** It runs until the place ends. Its words are in NAME.log. */
  async daemon(name: string, text: string, answers: string): Promise<void> {
    this.must(
      `cd '${this.directory}'; (exec setsid ${text}) >'${name}.log' 2>&1 </dev/null & echo $! >'${name}.pid'`,
    );
    const answer = (): boolean => this.shell(answers).status === 0;
    await until(answer, `${name} does not answer: see its log`).catch((error: unknown) => {
      throw new Error(readFileSync(join(this.directory, `${name}.log`), "utf8"), { cause: error });
    });
  }

  /** Ends it, or sends it another signal. */
  signal(name: string, signal = "KILL"): void {
    this.must(`kill -${signal} "$(cat '${this.directory}/${name}.pid')"`);
  }

  write(path: string, text: string, mode = "0644"): string {
    const at = path.startsWith("/") ? path : join(this.directory, path);
    this.must(`mkdir -p '${dirname(at)}'; cat >'${at}'; chmod ${mode} '${at}'`, text);
    return at;
  }

  /** The files of a node, with these values of its secrets; the device for the first node. */
  give({ method }: Fencing, values: ReadonlyMap<Secret, string>): FenceDevice {
    for (const { path, text, mode } of method.files(undefined as never, 3)) {
      const filled = [...values].reduce(
        (all, [secret, value]) => all.replaceAll(secret.placeholder, value),
        text,
      );
      this.write(path, filled, mode);
    }
    return method.devices(["nfs-1", "nfs-2"])[0]!;
  }

  /** As Pacemaker calls it, which lets an agent wait for as long as it likes and ends it then. */
  async call(
    { agent, nodes, parameters }: FenceDevice,
    action: string,
    more: Readonly<Record<string, string>> = {},
  ): Promise<Answer> {
    const [node] = nodes;
    const own = Object.entries(parameters).filter(([key]) => !key.startsWith("pcmk_"));
    const plug = parameters.pcmk_host_map?.split(":")[1] ?? node!;
    const told = { action, nodename: node, plug, verbose: "1", ...Object.fromEntries(own), ...more };
    const [command, ...args] = this.inside("timeout", "120", `/usr/sbin/${agent}`);
    const child = spawn(command!, args, { env: { PATH: PLACES, PCMK_service: "pacemaker-fenced" } });
    let words = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => (words += String(data)));
    child.stdin.end(
      Object.entries(told)
        .map(([key, value]) => `${key}=${value}\n`)
        .join(""),
    );
    const commandLines = new Set<string>();
    const look = setInterval(() => {
      for (const line of linesBelow(child.pid!)) commandLines.add(line);
    }, 20);
    const status = await new Promise<number | null>((resolve) => child.once("close", resolve));
    clearInterval(look);
    return { status: status === 124 ? null : status, words, commandLines: [...commandLines] };
  }

  private inside(...command: readonly string[]): string[] {
    return ["nsenter", "-t", this.pid, "--net", "--mount", "--pid", "env", `PATH=${PLACES}`, ...command];
  }
}

const PLACES = "/usr/sbin:/sbin:/usr/bin:/bin";

/** Command lines of a process and of those that it has started. */
function linesBelow(pid: number): string[] {
  try {
    const children = readdirSync(`/proc/${pid}/task`).flatMap((task) =>
      readFileSync(`/proc/${pid}/task/${task}/children`, "utf8").split(" ").filter(Boolean),
    );
    const line = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim();
    return [line, ...children.flatMap((child) => linesBelow(Number(child)))];
  } catch {
    return []; // it has ended
  }
}
