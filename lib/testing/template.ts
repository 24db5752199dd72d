import { AnnotationMetadataEntryType, Testing, type TerraformStack } from "cdktf";
import type { Connectable, Connections } from "../firewall/connections";
import type { Peer } from "../firewall/peer";
import type { Port } from "../firewall/port";
import type { ProblemCode } from "../problem-codes";
import { unescapeTemplate } from "../push/escape";
import { Push } from "../push/push";

type Json = Record<string, unknown>;

/**
 * A stack as Terraform will read it, for the tests of a stack's author. Every assertion throws an error that says what was
 * found; it needs no test framework.
 */
export class Template {
  /** Synthesizes the stack and runs its validations. */
  static synth(stack: TerraformStack): Template {
    return new Template(stack);
  }

  /** The synthesized JSON. */
  readonly json: {
    readonly resource?: Record<string, Record<string, Json>>;
    readonly data?: Record<string, Record<string, Json>>;
    readonly locals?: Json;
    readonly variable?: Record<string, Json>;
    readonly output?: Record<string, Json>;
    readonly terraform?: Json;
    readonly provider?: Record<string, Json[]>;
  };
  /** Problems that stop `cdktf synth`. */
  readonly errors: readonly string[];
  /** Problems that `cdktf synth` shows and goes on. */
  readonly warnings: readonly string[];

  private constructor(private readonly stack: TerraformStack) {
    this.json = JSON.parse(Testing.synth(stack)) as Template["json"];
    const constructs = stack.node.findAll();
    const annotated = (type: string): string[] =>
      constructs.flatMap(({ node }) =>
        node.metadata.filter((entry) => entry.type === type).map(({ data }) => String(data)),
      );
    this.errors = [
      ...constructs.flatMap(({ node }) => node.validate()),
      ...annotated(AnnotationMetadataEntryType.ERROR),
    ];
    this.warnings = annotated(AnnotationMetadataEntryType.WARN);
  }

  /** Resources of a type, by their name in the JSON. */
  resources(type: string): Record<string, Json> {
    return this.json.resource?.[type] ?? {};
  }

  resourceCountIs(type: string, count: number): this {
    const names = Object.keys(this.resources(type));
    if (names.length !== count)
      fail(`${count} resources of type ${type} expected, found ${names.length}: ${names.join(", ")}`);
    return this;
  }

  /** One resource of the type, at least, has these properties; of nested objects the named ones are compared. */
  hasResource(type: string, properties: Json): this {
    const all = this.resources(type);
    if (!Object.values(all).some((resource) => includes(resource, properties))) {
      fail(
        `no ${type} has ${JSON.stringify(properties, null, 2)}; there are: ${JSON.stringify(all, null, 2)}`,
      );
    }
    return this;
  }

  /** The file that is pushed to a machine. Values that only Terraform knows stand as `${...}`. */
  file(machine: string, path: string): string {
    const pushes = this.stack.node.findAll().filter((construct) => Push.isPush(construct));
    const onMachine = pushes.filter((push) => push.machine.name === machine);
    if (!onMachine.length) {
      fail(
        `nothing is pushed to '${machine}'; there are ${[...new Set(pushes.map((push) => push.machine.name))].join(", ")}`,
      );
    }
    const text = onMachine
      .map((push) => push.contentIn(this.json, path))
      .find((lines) => lines !== undefined);
    if (text === undefined) {
      const paths = onMachine.flatMap((push) => push.pathsIn(this.json));
      fail(`${machine} gets no ${path}; it gets: ${paths.join(", ")}`);
    }
    return unescapeTemplate(text.join("\n"));
  }

  /** Who may connect to a port of a cluster. */
  hasPort(target: Connectable, port: Port): PortAssertion {
    return new PortAssertion(target.connections, port);
  }

  hasNoErrors(): this {
    if (this.errors.length) fail(`errors:\n${this.errors.join("\n")}`);
    return this;
  }

  hasNoWarnings(): this {
    if (this.warnings.length) fail(`warnings:\n${this.warnings.join("\n")}`);
    return this;
  }

  hasError(code: ProblemCode): this {
    return this.hasProblem("error", this.errors, code);
  }

  hasWarning(code: ProblemCode): this {
    return this.hasProblem("warning", this.warnings, code);
  }

  private hasProblem(kind: string, problems: readonly string[], code: ProblemCode): this {
    if (!problems.some((problem) => problem.includes(`[${code}]`))) {
      fail(`no ${kind} '${code}'; there are:\n${problems.join("\n") || "none"}`);
    }
    return this;
  }
}

export class PortAssertion {
  constructor(
    private readonly target: Connections,
    private readonly port: Port,
  ) {}

  /** Exactly these may connect. */
  onlyFrom(...peers: readonly (Connectable | Peer)[]): void {
    const wanted = peers.map(name).sort();
    const found = this.target.inbound
      .filter(({ port }) => port.toString() === this.port.toString())
      .map(({ peer }) => name(peer))
      .sort();
    if (JSON.stringify(wanted) !== JSON.stringify(found)) {
      fail(
        `${this.port.toString()} of ${this.target.name} should be open to ${wanted.join(", ") || "nobody"}; it is open to ${found.join(", ") || "nobody"}`,
      );
    }
  }

  /** Nobody may connect from outside. */
  toNobody(): void {
    this.onlyFrom();
  }
}

function name(peer: Connectable | Connections | Peer): string {
  if ("connections" in peer) return peer.connections.scope.node.path;
  return "cidrs" in peer ? peer.description : peer.scope.node.path;
}

function includes(value: unknown, wanted: unknown): boolean {
  if (typeof wanted !== "object" || wanted === null) return value === wanted;
  if (typeof value !== "object" || value === null) return false;
  if (Array.isArray(wanted)) {
    return (
      Array.isArray(value) &&
      value.length === wanted.length &&
      wanted.every((item, i) => includes(value[i], item))
    );
  }
  return Object.entries(wanted).every(([key, item]) => includes((value as Json)[key], item));
}

function fail(message: string): never {
  throw new Error(message);
}
