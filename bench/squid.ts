import { spawn, type ChildProcess } from "node:child_process";
import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { run, waitUntil } from "../machines/run";
import { CONTENDERS, NAME, nginxOrigin, ORIGIN, prepare, type Contender } from "./squid-contenders";

/**
 * `npm run bench:squid [ROUNDS [SECONDS]]`: hits for 1 KB and 100 KB through the rendered configuration, beside Squid's stock
 * accelerator, nginx and Varnish as Debian has them. Each server has one processor, who asks has the other one; rounds take turns,
 * so that what else this computer does meets all. Goal: no slower than the stock configuration.
 */
const [, , root = "", rounds = "5", seconds = "5"] = process.argv;
const OBJECTS = { "1 KB": { path: "/1k", bytes: 1024 }, "100 KB": { path: "/100k", bytes: 102_400 } };
const CONNECTIONS = 32;
const [SERVER, CLIENT] = ["0", "1"];
/** The kernel counts processor time in these. */
const TICKS_PER_SECOND = 100;

interface Measure {
  readonly perSecond: number;
  /** Milliseconds within which 99 of 100 answers came. */
  readonly p99: number;
  /** Requests for each second of processor time: what a busy computer does not blur. */
  readonly perCpuSecond: number;
}

const own = "/run/bench";
const inRoot = join(own, "root");
const started: ChildProcess[] = [];

/** A program of the root file system, on one processor. */
function start(processor: string, command: readonly string[]): ChildProcess {
  const child = spawn("taskset", ["-c", processor, "chroot", inRoot, ...command], { stdio: "pipe" });
  const words: Buffer[] = [];
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data: Buffer) => words.push(data));
  child.once("exit", (code) => {
    if (code)
      process.stderr.write(`${command.join(" ")} ended (${code}):\n${Buffer.concat(words).toString()}`);
  });
  started.push(child);
  return child;
}

async function boot(): Promise<void> {
  for (const directory of ["upper", "work", "root"]) mkdirSync(join(own, directory), { recursive: true });
  const overlay = `lowerdir=${root},upperdir=${own}/upper,workdir=${own}/work`;
  await run("mount", ["-t", "overlay", "overlay", inRoot, "-o", overlay]);
  await run("mount", ["--rbind", "/dev", join(inRoot, "dev")]);
  await run("mount", ["-t", "proc", "proc", join(inRoot, "proc")]);
  for (const address of [ORIGIN, "10.1.0.11"])
    await run("ip", ["address", "add", `${address}/32`, "dev", "lo"]);
  const site = join(inRoot, "srv/site");
  mkdirSync(site, { recursive: true });
  for (const { path, bytes } of Object.values(OBJECTS))
    writeFileSync(join(site, path), Buffer.alloc(bytes, "x"));
  for (const { files } of [nginxOrigin, ...CONTENDERS])
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(join(inRoot, path, ".."), { recursive: true });
      writeFileSync(join(inRoot, path), text);
      chmodSync(join(inRoot, path), 0o644);
    }
  await run("chroot", [inRoot, "sh", "-c", prepare]);
}

/** Seconds of processor time of a process and its children, up to now. */
function processorTime(pid: number): number {
  const stats = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const fields = readFileSync(`/proc/${name}/stat`, "utf8")
          .replace(/^.*\) /, "")
          .split(" ");
        return [
          { pid: Number(name), parent: Number(fields[1]), ticks: Number(fields[11]) + Number(fields[12]) },
        ];
      } catch {
        return []; // it has ended
      }
    });
  const family = new Set([pid]);
  for (let size = 0; size !== family.size;) {
    size = family.size;
    for (const each of stats) if (family.has(each.parent)) family.add(each.pid);
  }
  return (
    stats.filter((each) => family.has(each.pid)).reduce((sum, { ticks }) => sum + ticks, 0) / TICKS_PER_SECOND
  );
}

/** What the origin was asked for, line by line, without Squid's own question how far away it is. */
const fetched = (): string[] =>
  readFileSync(join(inRoot, "var/log/origin.log"), "utf8")
    .split("\n")
    .filter((line) => line && !line.includes("/squid-internal-dynamic/netdb"));

async function measure(contender: Contender, pid: number, path: string, duration: string): Promise<Measure> {
  const [before, spent] = [fetched().length, processorTime(pid)];
  const url = `http://127.0.0.1:${contender.port}${path}`;
  const wrk = ["wrk", "--threads", "1", "--connections", String(CONNECTIONS), "--duration", `${duration}s`];
  const { stdout } = await run(
    "taskset",
    ["-c", CLIENT, "chroot", inRoot, ...wrk, "--latency", "--header", `Host: ${NAME}`, url],
    { timeoutSeconds: Number(duration) + 30 },
  );
  const used = processorTime(pid) - spent;
  const value = (pattern: RegExp): string =>
    pattern.exec(stdout)?.[1] ?? fail(`wrk says nothing of ${pattern}:\n${stdout}`);
  if (/Non-2xx|Socket errors/.test(stdout)) fail(`${contender.name}, ${path}:\n${stdout}`);
  const again = fetched().slice(before);
  if (again.length)
    fail(
      `${contender.name} is asked for ${path}, and the origin again; these are no hits:\n${again.join("\n")}`,
    );
  const [, number, unit] = /([\d.]+)(us|ms|s)/.exec(value(/^\s+99%\s+(\S+)$/m))!;
  return {
    perSecond: Number(value(/Requests\/sec:\s+([\d.]+)/)),
    p99: Number(number) * { us: 0.001, ms: 1, s: 1000 }[unit as "us" | "ms" | "s"],
    perCpuSecond: Number(value(/(\d+) requests in/)) / used,
  };
}

function fail(words: string): never {
  throw new Error(words);
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;

async function main(): Promise<void> {
  await boot();
  start(CLIENT, nginxOrigin.command);
  const pids = new Map(CONTENDERS.map((each) => [each, start(SERVER, each.command).pid!]));
  for (const contender of CONTENDERS)
    for (const { path } of Object.values(OBJECTS)) {
      const url = `http://127.0.0.1:${contender.port}${path}`;
      const ask = ["--fail", "--silent", "--output", "/dev/null", "--header", `Host: ${NAME}`, url];
      const answers = async (): Promise<boolean> =>
        (await run("curl", ask, { allowFailure: true })).code === 0;
      await waitUntil(answers, 30, () => `${contender.name} does not answer`);
      await delay(200);
      for (let i = 0; i < 20; i++) await answers();
    }
  const versions = await run("chroot", [
    inRoot,
    "dpkg-query",
    "--show",
    "--showformat=${Package} ${Version}\n",
    ...["squid-openssl", "nginx-light", "varnish", "wrk"],
  ]);
  console.log(`${versions.stdout}${rounds} rounds of ${seconds} s, ${CONNECTIONS} connections\n`);
  console.log("object  server                     requests/s  ratio   p99 ms  ratio   requests/CPU s  ratio");
  for (const [object, { path }] of Object.entries(OBJECTS)) {
    const measures = new Map<Contender, Measure[]>(CONTENDERS.map((each) => [each, []]));
    for (const contender of CONTENDERS) await measure(contender, pids.get(contender)!, path, "1"); // warm
    for (let round = 0; round < Number(rounds); round++)
      for (const contender of CONTENDERS)
        measures.get(contender)!.push(await measure(contender, pids.get(contender)!, path, seconds));
    const first = measures.get(CONTENDERS[0]!)!;
    for (const [contender, all] of measures) {
      const of = (key: keyof Measure): [number, number] => [
        median(all.map((each) => each[key])),
        median(all.map((each, index) => each[key] / first[index]![key])),
      ];
      const [perSecond, p99, perCpuSecond] = [of("perSecond"), of("p99"), of("perCpuSecond")];
      console.log(
        [
          object.padEnd(7),
          contender.name.padEnd(26),
          perSecond[0].toFixed(0).padStart(10),
          perSecond[1].toFixed(2).padStart(6),
          p99[0].toFixed(2).padStart(8),
          p99[1].toFixed(2).padStart(6),
          perCpuSecond[0].toFixed(0).padStart(16),
          perCpuSecond[1].toFixed(2).padStart(6),
        ].join(" "),
      );
    }
  }
}

main()
  .catch((error: unknown) => {
    console.error(error);
    process.exitCode = 1;
  })
  .finally(() => {
    for (const child of started) child.kill("SIGKILL");
    process.exit(); // what they have started ends with the sealed namespace
  });
