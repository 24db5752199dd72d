import { type ChildProcess, spawn } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Lab, MachineSpec } from "../lab";
import { run } from "../run";

/** One call of the API, as it came and was answered. */
export interface Call {
  /** Seconds since the epoch. */
  readonly at: number;
  /** Address it came from. */
  readonly from: string;
  /** A user's name, or role and session: `stack-lb-1/i-0123456789abcdef0`. */
  readonly who: string;
  /** As IAM calls it: `ec2:ReplaceRoute`. */
  readonly action: string;
  /** ARNs that the caller's policy had to allow. */
  readonly resources: readonly string[];
  /** Actions that the caller's policy had to allow as well: `iam:PassRole`. */
  readonly also: readonly string[];
  readonly with: Readonly<Record<string, string>>;
  readonly dryRun: boolean;
  /** Of HTTP. */
  readonly status: number;
  /** AWS's code. */
  readonly error?: string;
}

export interface Keys {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

/** What becomes of calls instead of their answer. */
export interface Fault {
  /** Names of calls without their service: `AssociateAddress`. */
  readonly actions: readonly string[];
  /** `throttled`: refused with RequestLimitExceeded; `late`: carried out, after `seconds`. */
  readonly kind: "throttled" | "late";
  readonly seconds?: number;
  /** How many calls meet it. Default: all, until the faults are ordered anew. */
  readonly count?: number;
  /** Callers, as a regular expression. Default: machines, which have a role and a session. */
  readonly who?: string;
}

interface InstanceNews {
  readonly id: string;
  readonly state: "running" | "stopped" | "terminated";
  readonly address: string;
  readonly name: string;
}

/** A data volume at a machine, or at none. */
interface VolumeNews {
  readonly id: string;
  readonly device: string | null;
  readonly machine: string | null;
}

/** What the emulator tells. */
interface News {
  readonly ready?: true;
  readonly id?: number;
  readonly result?: never;
  readonly error?: string;
  readonly call?: Call;
  readonly instance?: InstanceNews;
  readonly volume?: VolumeNews;
}

export interface CloudOptions {
  /** More of the machine of this name than its address: its image's layers, its disk. */
  readonly machines?: (name: string) => Partial<MachineSpec>;
  /** Buckets that machines find by their names. */
  readonly buckets?: readonly string[];
}

export const REGION = "eu-west-1";
/** Where machines find AWS's endpoints; an address of the lab's own Internet. */
const ENDPOINT = "203.0.113.1";
/** From where this process reaches elastic addresses: somebody on the Internet. */
export const CLIENT = "203.0.113.9";
/** Elastic addresses are of this network. */
const ELASTIC = "198.51.100.0/24";
const METADATA = "169.254.169.254";
const SERVICES = ["ec2", "sts", "iam", "secretsmanager", "ssm", "s3"];

/**
 * An emulated AWS in a sealed lab (emulator/). Its instances are the lab's machines: what RunInstances makes boots at
 * the instance's private address, under the name of its tag `Name`; stopped, it loses power; terminated, it and its disk
 * are gone. Machines find API and instance metadata where they are at AWS, and the lab's network follows the API.
 */
export class Cloud {
  readonly calls: Call[] = [];
  private readonly answers = new Map<
    number,
    { resolve: (value: never) => void; reject: (error: Error) => void }
  >();
  private orders = 0;
  private errors = "";
  /** Machines come and go one after the other: a replaced instance has its predecessor's name and address. */
  private power = Promise.resolve();

  static async start(lab: Lab, options: CloudOptions = {}): Promise<Cloud> {
    const python = await installed("--emulator");
    const directory = join(lab.directory, "aws");
    await run("mkdir", ["-p", directory]);
    for (const address of [ENDPOINT, METADATA, CLIENT])
      await run("ip", ["address", "add", `${address}/32`, "dev", "lo"]);
    await run("ip", ["route", "add", ELASTIC, "dev", "lo", "src", CLIENT]);
    // AWS's routers do not: a client would go on to where a route's address was before
    for (const scope of ["all", "default"])
      await writeFile(`/proc/sys/net/ipv4/conf/${scope}/send_redirects`, "0");
    await makeCertificate(directory);
    const emulator = spawn(
      "setpriv",
      ["--pdeathsig", "KILL", python, join(__dirname, "emulator"), "aws.pem", "aws.key"],
      {
        cwd: directory,
        env: {
          ...process.env,
          MOTO_AMIS_PATH: join(__dirname, "images.json"),
          PYTHONDONTWRITEBYTECODE: "1",
        },
      },
    );
    const cloud = new Cloud(lab, emulator, options);
    await writeFile(join(directory, "prepare"), prepareScript(directory, options.buckets), { mode: 0o755 });
    await cloud.ready();
    return cloud;
  }

  private constructor(
    private readonly lab: Lab,
    private readonly emulator: ChildProcess,
    private readonly options: CloudOptions,
  ) {
    emulator.stderr!.on(
      "data",
      (chunk: Buffer) => (this.errors = (this.errors + chunk.toString()).slice(-20_000)),
    );
    createInterface(emulator.stdout!).on("line", (line) => this.hear(JSON.parse(line) as News));
    emulator.once("exit", (code) => {
      for (const { reject } of this.answers.values())
        reject(new Error(`the emulator ended (${code}): ${this.errors}`));
      this.answers.clear();
    });
    emulator.unref();
  }

  /** Asks or changes the emulated AWS as an administrator, by boto3's names; not for the log of the deployer's calls. */
  call<T = Record<string, never>>(service: string, operation: string, parameters: object = {}): Promise<T> {
    return this.order({ do: "call", service, operation, with: parameters });
  }

  /** A user with this policy; without one it may do everything. Called again, it keeps its keys and changes its policy. */
  user(name: string, policy?: object): Promise<Keys> {
    return this.order({ do: "user", name, policy });
  }

  /** From now on, instead of earlier ones. */
  async faults(...faults: readonly Fault[]): Promise<void> {
    await this.order({ do: "fault", faults });
  }

  /** Environment in which Terraform, or whoever else, works with this AWS and these keys. */
  environment({ accessKeyId, secretAccessKey }: Keys): Record<string, string> {
    return {
      AWS_ENDPOINT_URL: "http://127.0.0.1",
      AWS_EC2_METADATA_DISABLED: "true",
      AWS_ACCESS_KEY_ID: accessKeyId,
      AWS_SECRET_ACCESS_KEY: secretAccessKey,
    };
  }

  /** Machines' packets to the API are lost, or arrive again. */
  async setReachable(reachable: boolean): Promise<void> {
    const removal = "table ip aws_gone\ndelete table ip aws_gone\n";
    const chain = `type filter hook input priority 0\niifname "br-*" ip daddr ${ENDPOINT} drop`;
    const loss = `table ip aws_gone {\nchain in {\n${chain}\n}\n}\n`;
    await run("nft", ["-f", "-"], { input: removal + (reachable ? "" : loss) });
  }

  /** Machines have caught up with the instances' states. */
  async settled(): Promise<void> {
    await this.power;
  }

  /** Calls since a moment (seconds since the epoch) that `who` made. */
  callsOf(who: RegExp, since = 0): Call[] {
    return this.calls.filter((call) => call.at >= since && who.test(call.who));
  }

  async stop(): Promise<void> {
    await this.power.catch(() => undefined);
    const ended = new Promise((resolve) => this.emulator.once("exit", resolve));
    if (this.emulator.exitCode === null && this.emulator.kill("SIGKILL")) await ended;
    for (const address of [ENDPOINT, METADATA, CLIENT])
      await run("ip", ["address", "delete", `${address}/32`, "dev", "lo"], { allowFailure: true });
  }

  /** What the emulator had to complain about. */
  get complaints(): string {
    return this.errors;
  }

  private order<T>(order: object): Promise<T> {
    const id = ++this.orders;
    return new Promise((resolve, reject) => {
      this.answers.set(id, { resolve: resolve, reject });
      this.emulator.stdin!.write(`${JSON.stringify({ id, ...order })}\n`);
    });
  }

  private ready(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.answers.set(0, { resolve: resolve, reject });
    });
  }

  private hear(message: News): void {
    if (message.call && message.call.who !== "observer") this.calls.push(message.call);
    const { instance, volume } = message;
    if (instance) this.queue(`machine ${instance.name}`, () => this.follow(instance));
    if (volume) this.queue(`volume ${volume.id}`, () => this.plug(volume));
    const id = message.ready ? 0 : message.id;
    const waiting = id === undefined ? undefined : this.answers.get(id);
    if (!waiting) return;
    this.answers.delete(id!);
    if (message.error === undefined) waiting.resolve(message.result!);
    else waiting.reject(new Error(message.error));
  }

  private queue(what: string, event: () => Promise<void>): void {
    this.power = this.power.then(event);
    this.power.catch((error: unknown) => process.stderr.write(`${what}: ${String(error)}\n`));
  }

  /** A volume is at its machine under the name that udev gives it at AWS, and nowhere else. */
  private async plug({ id, device, machine }: VolumeNews): Promise<void> {
    const path = `/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_${id.replace("-", "")}`;
    for (const name of this.lab.names) await this.lab.machine(name).unplugDisk(path);
    if (device && machine && this.lab.names.includes(machine))
      await this.lab.machine(machine).plugDisk(device, path);
  }

  /** What happened to an instance happens to its machine. */
  private async follow({ name, address, state }: InstanceNews): Promise<void> {
    const known = this.lab.names.includes(name);
    if (state === "running" && !known) {
      await this.lab.add(name, {
        address: `${address}/24`,
        hostname: `ip-${address.replaceAll(".", "-")}`,
        prepare: join(this.lab.directory, "aws", "prepare"),
        ...this.options.machines?.(name),
      });
    } else if (!known) {
      return;
    } else if (state === "terminated") {
      await this.lab.remove(name);
    } else if (state === "stopped") {
      await this.lab.machine(name).cutPower();
    } else if (!this.lab.machine(name).isOn) {
      await this.lab.machine(name).powerOn();
    }
  }
}

/** What the installation has (install.sh), or what to do. */
export async function installed(what: "--emulator" | "--checkov" | "--providers"): Promise<string> {
  const { code, stdout } = await run(join(__dirname, "install.sh"), [what], { allowFailure: true });
  if (code) throw new Error("the AWS emulator is not installed: run machines/aws/install.sh");
  return stdout.trim();
}

async function makeCertificate(directory: string): Promise<void> {
  const ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  const openssl = (...args: string[]): Promise<unknown> => run("openssl", args, { cwd: directory });
  const names = [...SERVICES, "*.s3"].map((service) => `DNS:${service}.${REGION}.amazonaws.com`).join();
  await writeFile(join(directory, "names"), `subjectAltName=${names}\n`);
  await openssl(
    "req",
    "-x509",
    ...ec,
    "-days",
    "2",
    "-subj",
    "/CN=lab",
    "-keyout",
    "ca.key",
    "-out",
    "ca.pem",
  );
  await openssl("req", "-new", ...ec, "-subj", "/CN=aws", "-keyout", "aws.key", "-out", "request");
  const authority = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2"];
  await openssl("x509", "-req", "-in", "request", "-extfile", "names", "-out", "aws.pem", ...authority);
}

/** Where AWS is and whom to trust: what a machine at AWS has from its resolver and from its certificates. */
function prepareScript(directory: string, buckets: readonly string[] = []): string {
  const hosts = [...SERVICES, ...buckets.map((bucket) => `${bucket}.s3`)];
  const names = hosts.map((host) => `${host}.${REGION}.amazonaws.com`).join(" ");
  return `#!/bin/bash
set -eu
echo '${ENDPOINT} ${names}' >>"$1/etc/hosts"
for bundle in "$1/etc/ssl/certs/ca-certificates.crt" "$1"/usr/lib/python3/dist-packages/awscli/botocore/cacert.pem; do
  [[ ! -e $bundle ]] || cat '${directory}/ca.pem' >>"$bundle"
done
# found by its name's hash, where a program does not read the bundle
cp '${directory}/ca.pem' "$1/etc/ssl/certs/lab.pem"
ln -s lab.pem "$1/etc/ssl/certs/$(openssl x509 -noout -hash -in '${directory}/ca.pem').0"
`;
}
