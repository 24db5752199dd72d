import { spawn } from "node:child_process";
import { setImmediate as immediate, setTimeout as delay } from "node:timers/promises";

export interface RunOptions {
  /** Written to the command's standard input. Default: nothing, an empty input. */
  readonly input?: string;
  /** The command is killed (SIGKILL) and the run fails after this many seconds. Default: 60. */
  readonly timeoutSeconds?: number;
  /** Resolve also on a non-zero exit status. A time-out always rejects. Default: false. */
  readonly allowFailure?: boolean;
  /** Working directory. Default: this process's. */
  readonly cwd?: string;
  /** Variables added to this process's environment. Default: none. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

export interface RunResult {
  /** Exit status; -1 if the command was ended by a signal. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A command that failed: the message holds the command, the reason, and all of its output. */
export class RunError extends Error {
  constructor(
    description: string,
    reason: string,
    readonly result: RunResult,
  ) {
    super(
      [`${description}: ${reason}`, result.stderr.trim(), result.stdout.trim()].filter(Boolean).join("\n"),
    );
    this.name = "RunError";
  }
}

/** Runs a command without a shell and waits for its end. Rejects with a `RunError` when it fails. */
export async function run(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  const { input = "", timeoutSeconds = 60, allowFailure = false, cwd, env } = options;
  const child = spawn(command, args, { cwd, env: { ...process.env, ...env }, stdio: "pipe" });

  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
  child.stdin.on("error", () => undefined); // a command need not read its input
  child.stdin.end(input);

  const timeout = new AbortController();
  const timer = setTimeout(() => {
    timeout.abort();
    child.kill("SIGKILL");
  }, timeoutSeconds * 1000);
  const closed = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const { code, signal } = await new Promise<{ code: number | null; signal: string | null }>(
    (resolve, reject) => {
      child.once("error", (error) => reject(new Error(`${command}: ${error.message}`)));
      child.once("exit", (code, signal) => resolve({ code, signal }));
    },
  ).finally(() => clearTimeout(timer));
  // "close" comes when the pipes are at their end, which a child that lives on in the background can delay for
  // ever. After "exit" the command's own output is in the pipes and needs only a moment to be read.
  const grace = new AbortController();
  await Promise.race([closed, isQuiet(() => stdout.length + stderr.length, grace.signal)]);
  grace.abort();
  child.stdout.destroy();
  child.stderr.destroy();

  const result: RunResult = {
    code: code ?? -1,
    stdout: Buffer.concat(stdout).toString(),
    stderr: Buffer.concat(stderr).toString(),
  };
  const description = [command, ...args].join(" ");
  if (timeout.signal.aborted) throw new RunError(description, `no end within ${timeoutSeconds} s`, result);
  if (result.code !== 0 && !allowFailure)
    throw new RunError(description, signal ? `killed by ${signal}` : `exit status ${code}`, result);
  return result;
}

/** Nothing has come for a moment in which there was time to read it: a busy process sees its timers end before it looks at its pipes. */
async function isQuiet(received: () => number, signal: AbortSignal): Promise<void> {
  // as long as that goes on: what speaks for longer is the child in the background
  for (let turn = 0, before = -1; turn < 40 && received() !== before && !signal.aborted; turn++) {
    before = received();
    await delay(250, undefined, { signal }).catch(() => undefined);
    await immediate(); // after the pipes have been looked at
  }
}

/**
 * Asks `condition` every `everyMs` (default 25) until it is true. Rejects after `seconds` with `message`.
 */
export async function waitUntil(
  condition: () => boolean | Promise<boolean>,
  seconds: number,
  message: () => string,
  everyMs = 25,
): Promise<void> {
  const end = Date.now() + seconds * 1000;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`${message()} (waited ${seconds} s)`);
    await delay(everyMs);
  }
}
