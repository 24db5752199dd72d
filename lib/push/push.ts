import {
  Fn,
  dependable,
  TerraformElement,
  TerraformLocal,
  TerraformResource,
  TerraformStack,
  type ITerraformDependable,
} from "cdktf";
import { Construct } from "constructs";
import { atSynth } from "../platform/at-synth";
import type { Machine } from "../platform/machine";
import { Members } from "../platform/members";
import { UPLOAD_DIRECTORY, type Connection } from "../platform/ssh-access";
import { isToken } from "../problem";
import { shellQuoted } from "../script-text";
import { makeBundle, type Bundle } from "./bundle";
import { carry, type Provisioner } from "./carrier";
import { CommonContents } from "./common-contents";
import { escapeTemplate } from "./escape";
import { pushProgramOf, type SharedText } from "./program";
import type { Service, ServiceDescription } from "./service";

/** A command on another machine, before and after a push: taking a server out of its load balancers, for one. */
export interface Around {
  readonly machine: Machine;
  /** What the shell texts are told. */
  readonly variables: Readonly<Record<string, string>>;
  /** Shell, run as root. */
  readonly before: SharedText;
  readonly after: SharedText;
}

export interface PushProps {
  readonly machine: Machine;
  readonly service: Service;
  /** What has to be there, or to have been pushed, before. */
  readonly dependsOn?: readonly ITerraformDependable[];
  /** Leave the change waiting while this node is active; a {@link Completion} finishes it. @default false */
  readonly defer?: boolean;
  /** Asked at synth. @default none */
  readonly around?: () => readonly Around[];
  /** Pushes of which each makes this one due again. @default none */
  readonly dueBy?: readonly Push[];
}

interface Described {
  readonly description: ServiceDescription;
  readonly bundle: Bundle;
}

/** The blocks of a stack's JSON that say what is pushed. */
export interface SynthesizedJson {
  readonly locals?: Readonly<Record<string, unknown>>;
  readonly resource?: Readonly<Record<string, Readonly<Record<string, Readonly<Record<string, unknown>>>>>>;
}

const PUSH = Symbol.for("cdktf-ha-clusters/Push");

/** One service onto one machine: one upload and one run, and nothing at all when nothing changed. */
export class Push extends Construct {
  readonly resource: TerraformResource;
  readonly machine: Machine;
  readonly service: Service;
  /** Texts, of which some may be other pushes' as well: nothing that Terraform fills in, for which these would wait. */
  private readonly contents: TerraformLocal;
  /** What holds values of Terraform's. */
  private readonly filled: TerraformLocal;
  private readonly program: string;
  private readonly common: CommonContents;
  private described?: Described;

  /** By a symbol: several copies of this package may be loaded. */
  static isPush(value: unknown): value is Push {
    return typeof value === "object" && value !== null && PUSH in value;
  }

  constructor(
    scope: Construct,
    id: string,
    private readonly props: PushProps,
  ) {
    super(scope, id);
    Object.defineProperty(this, PUSH, { value: true });
    const { machine, service } = props;
    this.machine = machine;
    this.service = service;
    this.program = pushProgramOf(this);
    this.common = CommonContents.of(this);
    this.common.pushes.push(this);
    this.contents = new TerraformLocal(
      this,
      "contents",
      atSynth(({ preparing }) => (preparing ? this.values() : this.own("contents"))),
    );
    this.filled = new TerraformLocal(
      this,
      "filled",
      atSynth(({ preparing }) => (preparing ? undefined : this.own("filled"))),
    );
    this.resource = carry(this, "run", machine.platform.carrier, {
      connection: scriptNamed(machine, service.name),
      triggers: () => this.triggers(),
      provisioners: () => this.provisioners(),
      replaceTriggeredBy: props.dueBy?.map(({ resource }) => resource),
    });
    after(this, this.resource, () => [
      ...machine.readiness(),
      // a node that leaves hands its rows over while the others' firewalls still let it in: they change after it
      ...(machine.base === this ? Members.departures(TerraformStack.of(this)) : [machine.base.resource]),
      // where the commands around this push run, the first push has been as well
      ...this.around().map((there) => there.machine.base.resource),
      ...(props.dependsOn ?? []),
    ]);
  }

  /** Lines of a file, or of another part, as they stand in a stack's synthesized JSON. */
  contentIn(json: SynthesizedJson, key: string): readonly string[] | undefined {
    const trigger = this.triggersIn(json)[key];
    const own = this.ownIn(json)[key];
    if (own || trigger === undefined) return own;
    const holder = this.common.pushes.find(
      (other) => other.triggersIn(json)[key] === trigger && key in other.ownIn(json),
    );
    return holder?.ownIn(json)[key];
  }

  /** Paths of all files that are pushed, by a stack's synthesized JSON. */
  pathsIn(json: SynthesizedJson): string[] {
    return Object.keys(this.triggersIn(json)).filter((key) => key.startsWith("/"));
  }

  private ownIn({ locals = {} }: SynthesizedJson): Bundle["contents"] {
    const both = [this.contents, this.filled].map(({ friendlyUniqueId }) => locals[friendlyUniqueId]);
    return Object.assign({}, ...both) as Bundle["contents"];
  }

  private triggersIn({ resource = {} }: SynthesizedJson): Bundle["triggers"] {
    const { terraformResourceType, friendlyUniqueId } = this.resource;
    const { triggers, triggers_replace } = resource[terraformResourceType]?.[friendlyUniqueId] ?? {};
    return (triggers ?? triggers_replace ?? {}) as Bundle["triggers"];
  }

  /** A synth's first pass only looks for values of other stacks: there is no need to encode everything for it. */
  private values(): unknown {
    this.common.forget();
    const { machine, service } = this.props;
    const { files, hooks = {}, sysctls = {}, secrets = [] } = service.describe(machine);
    const texts = [...files.map(({ text }) => text), ...Object.values({ ...hooks, ...sysctls })];
    return [
      machine.identity,
      machine.privateAddress,
      texts.filter(isToken),
      secrets.map(({ trigger, upload }) => [trigger, upload]),
    ];
  }

  /** What stands in a local of this push: not what another push before this one has as well. */
  private own(local: "contents" | "filled"): Bundle["contents"] | undefined {
    const { bundle } = this.asked(local);
    const own = Object.entries(bundle.contents).filter(([key]) => this.placeOf(key) === this[local]);
    return own.length ? Object.fromEntries(own) : undefined;
  }

  private placeOf(key: string): TerraformLocal {
    const trigger = this.described!.bundle.triggers[key];
    return typeof trigger === "string" ? this.common.holder(this, key, trigger).contents : this.filled;
  }

  /** Describes the service as of now: once for a pass over the stack. */
  renew(): Bundle {
    const { machine, service, defer } = this.props;
    const description = service.describe(machine);
    const bundle = makeBundle(
      this.node.path,
      {
        machine: machine.name,
        service: service.name,
        address: machine.privateAddress,
        owner: machine.owner,
        defer,
      },
      description,
    );
    this.described = { description, bundle };
    return bundle;
  }

  private asked(question: string): Described {
    this.common.note(this, question);
    return this.described!;
  }

  private triggers(): Record<string, string> {
    const { machine } = this.props;
    const hashed = Object.entries(this.asked("triggers").bundle.triggers).map(
      ([key, trigger]): [string, string] => [
        key,
        typeof trigger === "string" ? trigger : `\${sha256(${this.contentReference(trigger.content)})}`,
      ],
    );
    return { machine: machine.identity, ...Object.fromEntries(hashed) };
  }

  private provisioners(): Provisioner[] {
    const { machine, service } = this.props;
    const around = this.around();
    const { bundle, description } = this.asked("provisioners");
    const uploads = (description.secrets ?? []).filter(({ upload }) => upload !== undefined);
    // The secrets travel in a provisioner of their own: Terraform prints nothing of one that holds a sensitive value.
    const secrets: Provisioner[] = uploads.length
      ? [
          {
            file: {
              content: uploads.map(({ name, upload }) => `${name} ${Fn.base64encode(upload!)}\n`).join(""),
              destination: `${UPLOAD_DIRECTORY}/${service.name}`,
            },
          },
        ]
      : [];
    const first = machine.base === this ? [prepare(machine)] : [];
    const run = script([
      "#!/bin/bash",
      this.program,
      `HA_PROGRAM=$0 HA_MACHINE=${machine.name} HA_SERVICE=${service.name}`,
      `(($#)) || set -- submit ${service.name}${around.length ? " later" : ""}`,
      `ha_main "$@" <<'${bundle.mark}.'`,
      ...bundle.lines.map((line) =>
        typeof line === "string" ? line : `\${${this.contentReference(line.content)}}`,
      ),
      `${bundle.mark}.`,
    ]);
    const confirm = description.confirmWithin ? [this.verb(`confirm ${service.name}`)] : [];
    if (!around.length) return [...first, ...secrets, run, ...confirm];
    // A push that failed has put the last good version back: the node returns to its load balancers first, and the
    // apply fails after that.
    return [
      ...around.map((there) => elsewhere(there, there.before)),
      ...secrets,
      run,
      ...confirm,
      ...around.map((there) => elsewhere(there, there.after)),
      this.verb(`verdict ${service.name}`),
    ];
  }

  /** Of this stack only: load balancers of another one know these machines, so theirs is applied after this one. */
  private around(): readonly Around[] {
    const stack = TerraformStack.of(this);
    return (this.props.around?.() ?? []).filter(({ machine }) => TerraformStack.of(machine) === stack);
  }

  private verb(words: string): Provisioner {
    return verbOf(this.program, this.props.machine, this.props.service.name, words);
  }

  private contentReference(key: string): string {
    return `join("\\n", local.${this.placeOf(key).friendlyUniqueId}[${JSON.stringify(key)}])`;
  }
}

export interface CompletionProps {
  readonly machine: Machine;
  /** The node's pushes, in their order. */
  readonly pushes: readonly Push[];
  readonly dependsOn: readonly ITerraformDependable[];
}

/** Finishes on the active node what waited there until the other nodes had it. */
export class Completion extends Construct {
  readonly resource: TerraformResource;

  constructor(scope: Construct, id: string, { machine, pushes, dependsOn }: CompletionProps) {
    super(scope, id);
    const names = pushes.map(({ service }) => service.name).join(" ");
    const program = pushProgramOf(this);
    this.resource = carry(this, "run", machine.platform.carrier, {
      connection: scriptNamed(machine, `complete-${pushes[0]!.service.name}`),
      triggers: () => ({ machine: machine.identity, services: names }),
      provisioners: () => [verbOf(program, machine, pushes[0]!.service.name, `complete ${names}`)],
      // However a push came to run again, what it left waiting is finished.
      replaceTriggeredBy: pushes.map(({ resource }) => resource),
    });
    after(this, this.resource, () => [...pushes.map(({ resource }) => resource), ...dependsOn]);
  }
}

/**
 * The resource comes after the others. Asked at synth, when every rule and right is known. In another stack Terraform
 * knows no single resource: there the whole stack comes first.
 */
export function after(
  scope: Construct,
  resource: TerraformResource,
  others: () => readonly ITerraformDependable[],
): void {
  const stack = TerraformStack.of(scope);
  resource.addOverride(
    "depends_on",
    atSynth(() => {
      const addresses = new Set<string>();
      for (const other of others()) {
        const otherStack = TerraformElement.isTerraformElement(other) ? other.cdktfStack : stack;
        if (otherStack === stack) addresses.add(addressOf(other));
        else stack.addDependency(otherStack);
      }
      return addresses.size ? [...addresses].sort() : undefined;
    }),
  );
}

/** Without those of other stacks, where these may depend on this one already. */
export function ofSameStack(
  scope: Construct,
  all: readonly ITerraformDependable[],
): readonly ITerraformDependable[] {
  const stack = TerraformStack.of(scope);
  return all.filter((each) => !TerraformElement.isTerraformElement(each) || each.cdktfStack === stack);
}

function addressOf(other: ITerraformDependable): string {
  return TerraformResource.isTerraformResource(other)
    ? `${other.terraformResourceType}.${other.friendlyUniqueId}`
    : dependable(other);
}

function verbOf(program: string, machine: Machine, service: string, words: string): Provisioner {
  return script([
    "#!/bin/bash",
    program,
    `HA_PROGRAM=$0 HA_MACHINE=${machine.name} HA_SERVICE=${service}`,
    `(($#)) || set -- ${words}`,
    'ha_main "$@"',
  ]);
}

/** Terraform empties its scripts but leaves them: with one name for a service there is one of them. */
function scriptNamed(machine: Machine, name: string): Connection {
  return { ...machine.connection, script_path: `./${UPLOAD_DIRECTORY}/${name}.sh` };
}

function elsewhere({ machine, variables }: Around, { reference }: SharedText): Provisioner {
  return {
    "remote-exec": {
      // A load balancer that cannot be reached serves nobody: the push goes on without it.
      on_failure: "continue",
      connection: { ...machine.connection, timeout: "10s" },
      inline: [
        [
          "#!/bin/bash",
          "root=(sudo --non-interactive); ((EUID)) || root=()",
          "\"$${root[@]}\" bash -euo pipefail <<'cdktf-ha'",
          ...Object.entries(variables).map(([name, value]) =>
            escapeTemplate(`${name}=${shellQuoted(value)}`),
          ),
          reference,
          "cdktf-ha",
        ].join("\n"),
      ],
    },
  };
}

/**
 * Terraform's scripts are writable for everybody (it runs chmod 0777), and are run as root a moment later: from the first
 * push on they lie in a directory that only the login user can enter.
 */
function prepare(machine: Machine): Provisioner {
  return {
    "remote-exec": {
      connection: { ...machine.connection, script_path: "./.cdktf-ha-prepare.sh" },
      inline: [`#!/bin/bash\numask 077 && mkdir -p ${UPLOAD_DIRECTORY} && chmod 700 ${UPLOAD_DIRECTORY}`],
    },
  };
}

/** One text: Terraform refuses an empty line among several. */
function script(lines: readonly string[]): Provisioner {
  return { "remote-exec": { inline: [lines.join("\n")] } };
}
