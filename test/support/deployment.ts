import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { App, LocalBackend, TerraformStack } from "cdktf";
import { CARRIER_CONTEXT, Carrier } from "../../lib";
import { Template } from "../../lib/testing";
import { run } from "../../machines/run";

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
      ...Object.fromEntries(Object.entries(this.variables).map(([name, value]) => [`TF_VAR_${name}`, value])),
    };
  }

  async terraform(...args: string[]): Promise<Outcome> {
    const start = performance.now();
    const { code, stdout, stderr } = await run("terraform", args, {
      cwd: this.stackDirectory,
      env: this.environment,
      timeoutSeconds: 600,
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
