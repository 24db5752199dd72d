import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { App, LocalBackend, TerraformStack } from "cdktf";
import { CARRIER_CONTEXT, Carrier } from "../../lib";
import { Template } from "../../lib/testing";
import { run, waitUntil } from "../../machines/run";

export interface Outcome {
  readonly ok: boolean;
  /** What Terraform printed, without its colours. */
  readonly output: string;
  readonly seconds: number;
  readonly added: number;
  readonly changed: number;
  readonly destroyed: number;
  /** Our own lines, `[lb-1 haproxy] reloaded ...`, in the order in which they came. */
  readonly steps: readonly string[];
}

/** An apply that goes on. */
export interface Running {
  /** What Terraform printed, once it has ended. */
  readonly ended: Promise<string>;
  /** What it has printed so far. */
  soFar(): string;
  /** What a CI server that cancels a job sends first. */
  interrupt(): void;
  /** The computer that ran it is gone. */
  kill(): void;
}

/** A stack that is applied by the real Terraform, again and again, as its author changes the code. */
export class Deployment {
  template?: Template;
  private prepared = false;

  /**
   * @param directory state, synthesized JSON and Terraform's own files
   * @param variables values of Terraform's variables
   */
  constructor(
    readonly directory: string,
    private readonly build: (stack: TerraformStack) => void,
    private readonly variables: Readonly<Record<string, string>> = {},
  ) {
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, "terraform.rc"), "");
  }

  get stackDirectory(): string {
    return join(this.directory, "out/stacks/stack");
  }

  get stateFile(): string {
    return join(this.directory, "state.json");
  }

  /** The same deployment after a change of the code. */
  changed(build: (stack: TerraformStack) => void, variables = this.variables): Deployment {
    return new Deployment(this.directory, build, variables);
  }

  synth(): this {
    const context = { [CARRIER_CONTEXT]: Carrier.TERRAFORM_DATA };
    const app = new App({ outdir: join(this.directory, "out"), context });
    const stack = new TerraformStack(app, "stack");
    this.keepState(stack);
    this.build(stack);
    app.synth();
    this.template = Template.synth(stack);
    return this;
  }

  /** Everything up to the apply. Beside a load this has to come first: synth keeps this process busy. */
  async prepare(): Promise<this> {
    this.synth();
    await this.terraform("init", "-input=false");
    this.prepared = true;
    return this;
  }

  /** Synthesizes, unless that was done just before, and applies. */
  async apply(...more: string[]): Promise<Outcome> {
    if (!this.prepared) await this.prepare();
    this.prepared = false;
    return this.terraform("apply", "-auto-approve", "-input=false", ...more);
  }

  /** Applies what must succeed. */
  async deploy(...more: string[]): Promise<Outcome> {
    const outcome = await this.apply(...more);
    if (!outcome.ok)
      throw new Error(`apply failed:\n${outcome.steps.join("\n")}\n${outcome.output.slice(-3000)}`);
    return outcome;
  }

  /** Begins an apply, which may be interrupted. */
  begin(...args: string[]): Running {
    const child = spawn("terraform", ["apply", "-auto-approve", "-input=false", ...args], {
      cwd: this.stackDirectory,
      env: this.environment,
      detached: true, // a group of its own: terraform and its providers
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (chunk: Buffer) => (output += chunk.toString()));
    const ended = new Promise<string>((resolve) => child.once("exit", () => resolve(output)));
    return {
      ended,
      soFar: () => output,
      interrupt: () => void child.kill("SIGINT"),
      kill: () => {
        if (child.exitCode !== null || child.signalCode !== null)
          throw new Error(`it has ended by itself:\n${output.slice(-3000)}`);
        process.kill(-child.pid!, "SIGKILL");
      },
    };
  }

  /** An apply whose computer is gone as soon as something is so; for how many seconds it ran. */
  async killedWhen(
    isSo: (output: string) => boolean | Promise<boolean>,
    { seconds = 300, everyMs = 300 } = {},
  ): Promise<number> {
    const start = performance.now();
    const job = this.begin();
    try {
      await waitUntil(
        () => isSo(job.soFar()),
        seconds,
        () => `it never came to that: ${job.soFar()}`,
        everyMs,
      );
    } finally {
      job.kill();
      await job.ended;
    }
    return (performance.now() - start) / 1000;
  }

  /** Does Terraform find nothing to do? */
  async isUpToDate(): Promise<boolean> {
    this.synth();
    const { output, ok } = await this.terraform("plan", "-input=false", "-detailed-exitcode");
    return ok && output.includes("No changes");
  }

  destroy(): Promise<Outcome> {
    return this.terraform("destroy", "-auto-approve", "-input=false");
  }

  /** Says where the state is. */
  protected keepState(stack: TerraformStack): void {
    new LocalBackend(stack, { path: this.stateFile });
  }

  /** Environment in which terraform runs. */
  get environment(): NodeJS.ProcessEnv {
    return {
      ...process.env,
      TF_CLI_CONFIG_FILE: join(this.directory, "terraform.rc"),
      TF_IN_AUTOMATION: "1",
      TF_CLI_ARGS: "-no-color",
      CHECKPOINT_DISABLE: "1",
      // a third of its processor time is collecting garbage of which there is not much
      GOGC: "400",
      ...Object.fromEntries(Object.entries(this.variables).map(([name, value]) => [`TF_VAR_${name}`, value])),
    };
  }

  async terraform(...args: string[]): Promise<Outcome> {
    const start = performance.now();
    const { code, stdout, stderr } = await run("terraform", args, {
      cwd: this.stackDirectory,
      env: this.environment,
      timeoutSeconds: 1500, // translated machines on a busy computer
      allowFailure: true,
    });
    const output = stdout + stderr;
    const count = (word: string): number => Number(new RegExp(`(\\d+) ${word}`).exec(output)?.[1] ?? 0);
    return {
      ok: code === 0,
      output,
      seconds: (performance.now() - start) / 1000,
      added: count("added"),
      changed: count("changed"),
      destroyed: count("destroyed"),
      steps: [...output.matchAll(/\(remote-exec\): (\[[\w-]+ [\w-]+\] .*)/g)].map(([, step]) => step!),
    };
  }
}
