import { createHash } from "node:crypto";
import { Fn, TerraformVariable } from "cdktf";
import type { Construct } from "constructs";
import { checkKeyArn } from "../arn";
import { isToken, refuse } from "../problem";
import type { ServicePackage } from "../push/service";

/** How a changed secret is noticed; the value itself must not stand in a trigger, which Terraform keeps in its state. */
export interface SecretProps {
  /**
   * Count this up when the secret's value changes: machines are then given the new one.
   * @default "1"
   */
  readonly version?: string;
}

export interface VariableSecretProps extends SecretProps {
  /** Shown by `terraform plan` when the variable has no value. */
  readonly description?: string;
  /**
   * A second secret that keys a hash of this one, so that a changed value is noticed by itself. Keyed, because Terraform's
   * state keeps the hash, and the plain hash of a short password can be guessed.
   * @default - changes are told by `version`
   */
  readonly hashKey?: VariableSecret;
}

export interface AwsSecretProps extends SecretProps {
  /** Where the secret is. @default - the region that its ARN names, else the machine's */
  readonly region?: string;
  /**
   * ARN of the customer's own KMS key that the secret is encrypted with: the machine may decrypt with it, by way of this
   * service alone. A key's ARN (`...:key/...`): a policy does not know aliases.
   * @default - AWS's own key, for which nobody needs a right
   */
  readonly kmsKeyArn?: string;
}

export interface SecretsManagerProps extends AwsSecretProps {
  /** The secret is a JSON object, and the value is at this key. @default - the whole secret */
  readonly jsonKey?: string;
  /**
   * ARN of the secret, for the machine's least right.
   * @default - the id, if it is an ARN; else every secret of this name in the machine's account
   */
  readonly arn?: string;
}

export interface GeneratedSecretProps extends SecretProps {
  /** Random bytes; the value is their hexadecimal form, twice as long. @default 24 - 192 bits cannot be guessed */
  readonly bytes?: number;
}

/** Where a machine gets the value from: a line of the bundle's list (lib/push/on-machine/30-values.sh). */
export interface SecretSource {
  readonly kind: "uploaded" | "generated" | "file" | "secrets-manager" | "parameter-store";
  readonly arguments: readonly string[];
}

/** What a machine's instance profile must allow for the secret to be read. */
export interface SecretRight {
  readonly action: "secretsmanager:GetSecretValue" | "ssm:GetParameter";
  /** ARN, or its part after the account: `secret:archive/tls-??????`. */
  readonly resource: string;
  /** Of a resource that is no ARN. Nothing: the machine's. */
  readonly region?: string;
  /** Key to decrypt with. */
  readonly kmsKeyArn?: string;
}

/**
 * A value that only machines may see. It is never in the synthesized JSON, in triggers, in state, in logs or in a process
 * list; on the machine it stands only in files that root, or the daemon's own group, can read.
 *
 * Texts refer to it by {@link placeholder}; the machine puts the value in.
 */
export abstract class Secret {
  /**
   * A sensitive Terraform variable. Travels by SSH in an upload of its own.
   * @param id in a stack itself the variable's name, so `TF_VAR_<id>` in CI: without a dash, which shells do not export;
   *   below another construct cdktf makes the name longer, see `variable` in the synthesized JSON
   */
  static variable(scope: Construct, id: string, props: VariableSecretProps = {}): VariableSecret {
    return new VariableSecret(scope, id, props);
  }

  /** Made on each machine by itself at the first push, then kept there: nobody else ever knows it. */
  static generated(name: string, props: GeneratedSecretProps = {}): Secret {
    const { bytes = 24, version = "1" } = props;
    if (!(Number.isInteger(bytes) && bytes >= 16 && bytes <= 1024)) {
      refuse(name, {
        code: "number-out-of-range",
        what: `a generated secret of ${bytes} bytes`,
        allowed: "16 to 1024 bytes: below 128 bits a secret can be guessed",
        fix: "leave 'bytes' out for 24",
      });
    }
    return new OnMachineSecret(name, version, {
      kind: "generated",
      arguments: [`${checkedName(name)}.${checkedName(version)}`, String(bytes)],
    });
  }

  /** A file that is on the machine already, put there by somebody else (a certificate tool, an image). */
  static file(path: string, props: SecretProps = {}): Secret {
    if (!/^\/[^\t\n]*$/.test(path)) {
      refuse("Secret.file", {
        code: "bad-path",
        what: `'${path}'`,
        allowed: "an absolute path on the machine, without tabs or newlines",
        fix: "give the path from / on; a file of your own computer goes by Secret.variable and TF_VAR_...",
      });
    }
    return new OnMachineSecret(slug(path), props.version, { kind: "file", arguments: [path] });
  }

  /**
   * Read on the machine from AWS Secrets Manager, with the rights of its instance profile: the secret's text
   * (`SecretString`).
   * @param secretId its name, or its whole ARN with AWS's six characters at the end. What only Terraform knows is taken
   *   for a name, unless `arn` is given.
   */
  static awsSecretsManager(secretId: string, props: SecretsManagerProps = {}): Secret {
    const { jsonKey = "", kmsKeyArn } = props;
    checkNameAtAws("Secret.awsSecretsManager", secretId);
    checkKeyArn(secretId, "kmsKeyArn", kmsKeyArn);
    const arn = props.arn ?? arnIn(secretId);
    const region = regionOf(secretId, "secretsmanager", arn, props);
    return new OnMachineSecret(
      slug(secretId + jsonKey),
      props.version,
      { kind: "secrets-manager", arguments: [secretId, region ?? "", jsonKey] },
      {
        action: "secretsmanager:GetSecretValue",
        // AWS adds a dash and six characters of its own to a secret's name
        resource: arn ?? `secret:${secretId}-??????`,
        region,
        kmsKeyArn,
      },
    );
  }

  /**
   * Read on the machine from AWS Systems Manager's parameter store, with the rights of its instance profile.
   * @param name with its path, or its ARN
   */
  static awsParameter(name: string, props: AwsSecretProps = {}): Secret {
    checkNameAtAws("Secret.awsParameter", name);
    checkKeyArn(name, "kmsKeyArn", props.kmsKeyArn);
    const arn = arnIn(name);
    const region = regionOf(name, "ssm", arn, props);
    return new OnMachineSecret(
      slug(name),
      props.version,
      { kind: "parameter-store", arguments: [name, region ?? "", ""] },
      {
        action: "ssm:GetParameter",
        resource: arn ?? `parameter/${name.replace(/^\//, "")}`,
        region,
        kmsKeyArn: props.kmsKeyArn,
      },
    );
  }

  protected constructor(
    /** File name and placeholder of the secret on a machine. */
    readonly name: string,
  ) {}

  /** Stands for the value in a file's text. */
  get placeholder(): string {
    return `@@HA:secret:${this.name}@@`;
  }

  /** Stands for the value between single quotes; the machine refuses a value that would end the quotes. */
  get quotable(): string {
    return `@@HA:quotable:${this.name}@@`;
  }

  /** What a trigger holds instead of the value. */
  abstract get trigger(): string;

  abstract get source(): SecretSource;

  /** The value as a Terraform expression, where it travels with the push; nothing where the machine fetches it. */
  readonly upload?: string;

  /** What a machine needs to fetch the value itself. */
  readonly packages: readonly ServicePackage[] = [];

  /** What the machine's instance profile needs, where it fetches the value itself. */
  readonly right?: SecretRight;
}

/** A {@link Secret} that Terraform knows while it runs: the only kind that can open an SSH connection. */
export class VariableSecret extends Secret {
  /** Sensitive expression; for connections and uploads only. */
  readonly value: string;
  override readonly upload: string;
  readonly trigger: string;
  readonly source: SecretSource = { kind: "uploaded", arguments: [] };

  constructor(scope: Construct, id: string, props: VariableSecretProps) {
    const variable = new TerraformVariable(scope, id, {
      type: "string",
      sensitive: true,
      nullable: false,
      description: props.description,
    });
    super(slug(variable.node.path));
    this.value = this.upload = variable.stringValue;
    this.trigger = props.hashKey ? keyedHash(props.hashKey, this.value) : `version ${props.version ?? "1"}`;
  }
}

class OnMachineSecret extends Secret {
  readonly trigger: string;
  override readonly packages: readonly ServicePackage[] = [];

  constructor(
    name: string,
    version: string | undefined,
    readonly source: SecretSource,
    override readonly right?: SecretRight,
  ) {
    super(name);
    if (right) {
      this.packages = [
        { name: "awscli", unlessCommand: "aws" },
        ...(source.arguments[1] ? [] : [{ name: "curl", unlessCommand: "curl" }]), // asks for the machine's region
        ...(source.arguments[2] ? [{ name: "jq", unlessCommand: "jq" }] : []),
      ];
    }
    for (const argument of source.arguments) {
      if (/[\t\n]/.test(argument)) {
        refuse(name, {
          code: "bad-name",
          what: `'${argument}' holds a tab or a newline`,
          allowed: "names without tabs and newlines",
          fix: "check where the name comes from",
        });
      }
    }
    this.trigger = [source.kind, ...source.arguments, `version ${version ?? "1"}`].join(" ");
  }
}

/** As both services have it; an ARN has colons besides, and secrets that other services of AWS keep have an exclamation mark. */
function checkNameAtAws(call: string, name: string): void {
  if (isToken(name) || /^[\w/+=.@:!-]{1,2048}$/.test(name)) return;
  refuse(call, {
    code: "bad-name",
    what: `'${name}'`,
    allowed: "the name of a secret or a parameter at AWS: letters, digits and /_+=.@-!; or its ARN",
    fix: "write it as AWS's console shows it",
  });
}

const ARN = /^arn:aws[a-z-]*:([a-z-]+):([a-z0-9-]+):\d{12}:/;

/** The id itself, where it is an ARN. */
function arnIn(id: string): string | undefined {
  return !isToken(id) && id.startsWith("arn:") ? id : undefined;
}

/** The region that is said, or the ARN's; refuses two that differ. */
function regionOf(
  id: string,
  service: string,
  arn: string | undefined,
  { region }: AwsSecretProps,
): string | undefined {
  if (arn === undefined || isToken(arn)) return region;
  const [, itsService, itsRegion] = ARN.exec(arn) ?? [];
  if (itsService !== service) {
    refuse(id, {
      code: "bad-arn",
      what: `'${arn}'`,
      allowed: `an ARN of ${service}: arn:aws:${service}:REGION:ACCOUNT:...`,
      fix: "copy it from the console",
    });
  }
  if (region !== undefined && !isToken(region) && region !== itsRegion) {
    refuse(id, {
      code: "conflicting-setting",
      what: `'region' is ${region}, the ARN names ${itsRegion}`,
      allowed: "the ARN's region",
      fix: "leave 'region' out",
    });
  }
  return itsRegion;
}

function keyedHash(key: VariableSecret, value: string): string {
  return Fn.nonsensitive(Fn.sha256(Fn.join("\n", [key.value, value]))) as string;
}

function checkedName(name: string): string {
  if (!/^[A-Za-z0-9._-]{1,64}$/.test(name)) {
    refuse(name, {
      code: "bad-name",
      what: `secret '${name}'`,
      allowed: "letters, digits, dot, dash and underscore, at most 64: it becomes a file name",
      fix: "choose such a name",
    });
  }
  return name;
}

/** A readable file name that is different for every text. */
function slug(text: string): string {
  const readable = text.replace(/[^A-Za-z0-9]+/g, "-").replace(/^-|-$/g, "");
  return `${readable.slice(-40)}-${createHash("sha256").update(text).digest("hex").slice(0, 8)}`;
}
