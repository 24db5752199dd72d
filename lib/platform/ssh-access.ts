import type { Construct } from "constructs";
import { isHostName, isIp, LOCALHOST } from "../net";
import { checkPort } from "../firewall/port";
import { checkSeconds, isToken, refuse } from "../problem";
import type { VariableSecret } from "../secret/secret";

/** How Terraform reaches the machines. Exactly one of the three keys. */
export interface SshAccess {
  /** Login user; other than root it needs sudo without a password. @default "root", or the image's own on AWS */
  readonly user?: string;
  /** @default 22 */
  readonly port?: number;
  /** The key itself, from a sensitive variable: `TF_VAR_<id>` in CI. */
  readonly privateKey?: VariableSecret;
  /** Path of the key on the computer that runs Terraform; `~` is its home. */
  readonly privateKeyFile?: string;
  /** The key is in the SSH agent of the computer that runs Terraform. */
  readonly agent?: boolean;
  /** A host that the connections go through. @default - direct */
  readonly bastion?: string | Bastion | ForwardedBastion;
  /** Seconds to go on trying while a machine boots. @default 300 - a new EC2 instance answers within one or two minutes */
  readonly timeoutSeconds?: number;
}

export interface Bastion {
  readonly host: string;
  /** @default - the machines' user */
  readonly user?: string;
  /** @default 22 */
  readonly port?: number;
  /** Its public host key, as in known_hosts. @default - not checked */
  readonly hostKey?: string;
}

/**
 * A bastion that needs no public address: its SSH port is forwarded to the computer that runs Terraform, by an EC2 Instance
 * Connect Endpoint, by SSM's port forwarding or by whatever else. The machines see the bastion's private address, which
 * has to be among the platform's `admins`.
 */
export interface ForwardedBastion {
  /** Port of localhost. */
  readonly forwardedPort: number;
  /** @default - the machines' user */
  readonly user?: string;
  /** Its public host key, as in known_hosts. @default - not checked */
  readonly hostKey?: string;
}

/** In the login user's home: uploads and scripts, closed to everybody else. Made by the first push to a machine. */
export const UPLOAD_DIRECTORY = ".cdktf-ha";

/** Terraform's `connection` block, in the spelling of its JSON. */
export type Connection = Readonly<Record<string, string | number | boolean>>;

/** The connection to one host. */
export function connectionTo(access: SshAccess, host: string, hostKey?: string): Connection {
  const bastion = bastionOf(access);
  return {
    type: "ssh",
    host,
    user: access.user ?? "root",
    port: access.port ?? 22,
    ...privateKey(access),
    ...(hostKey ? { host_key: hostKey } : {}),
    ...(bastion
      ? {
          bastion_host: bastion.host,
          bastion_port: bastion.port ?? 22,
          bastion_user: bastion.user ?? access.user ?? "root",
          ...(bastion.hostKey ? { bastion_host_key: bastion.hostKey } : {}),
        }
      : {}),
    timeout: `${access.timeoutSeconds ?? 300}s`,
    // Terraform's default is /tmp: often mounted noexec, and open to everybody.
    script_path: `./${UPLOAD_DIRECTORY}/%RAND%.sh`,
  };
}

function bastionOf({ bastion }: SshAccess): Bastion | undefined {
  if (typeof bastion === "string") return { host: bastion };
  if (bastion && "forwardedPort" in bastion)
    return { ...bastion, host: LOCALHOST, port: bastion.forwardedPort };
  return bastion;
}

function privateKey(access: SshAccess): Connection {
  if (access.privateKey) return { private_key: access.privateKey.value, agent: false };
  if (access.privateKeyFile)
    return { private_key: keyFileExpression(JSON.stringify(access.privateKeyFile)), agent: false };
  return { agent: true };
}

/** Terraform reads the key file when it connects; its content is nowhere else. */
export function keyFileExpression(path: string): string {
  return `\${file(pathexpand(${path}))}`;
}

export function checkSshAccess(scope: Construct, access: SshAccess): void {
  const ways = [access.privateKey, access.privateKeyFile, access.agent].filter(
    (way) => way !== undefined && way !== false,
  );
  if (ways.length !== 1) {
    refuse(scope, {
      code: "ssh-access-unclear",
      what: `${ways.length} of 'privateKey', 'privateKeyFile' and 'agent' are given`,
      allowed: "exactly one",
      fix: "privateKeyFile on an operator's computer; agent or privateKey: Secret.variable(...) in CI",
    });
  }
  checkKeyFile(scope, access.privateKeyFile);
  const bastion = bastionOf(access);
  checkPublicKey(scope, "ssh.bastion.hostKey", bastion?.hostKey);
  checkSeconds(scope, "ssh.timeoutSeconds", access.timeoutSeconds);
  checkPort(scope, "ssh.port", access.port);
  checkPort(scope, "ssh.bastion.port", bastion?.port);
  if (bastion) checkHost(scope, "ssh.bastion", bastion.host);
}

/** A key that stands in the code is in the synthesized JSON as well: it is not shown here. */
function checkKeyFile(scope: Construct, path: string | undefined): void {
  if (path === undefined || isToken(path) || !/-----BEGIN|\n/.test(path)) return;
  refuse(scope, {
    code: "bad-key",
    what: "'ssh.privateKeyFile' is a key, not the path of its file",
    allowed: "a path on the computer that runs Terraform: ~/.ssh/id_ed25519",
    fix: "give the path, or privateKey: Secret.variable(...); and make another key if this one was committed",
  });
}

/** A public key as ssh-keygen writes it: the name of the algorithm, and the key. */
export function checkPublicKey(scope: Construct | string, name: string, key: string | undefined): void {
  if (key === undefined || isToken(key)) return;
  if (/^(ssh-|ecdsa-|sk-)\S+ [A-Za-z0-9+/]+=*(\s|$)/.test(key)) return;
  refuse(scope, {
    code: "bad-key",
    what: `'${name}' is no public key of OpenSSH's`,
    allowed: "the key itself: ssh-ed25519 AAAA...",
    fix: 'the content of the file with the name that ends in .pub: readFileSync("...", "utf8")',
  });
}

export function checkHost(scope: Construct | string, name: string, host: string): void {
  if (isToken(host) || isIp(host) || isHostName(host)) return;
  refuse(scope, {
    code: "bad-address",
    what: `'${name}' is '${host}'`,
    allowed: "an IPv4 or IPv6 address, or a host name",
    fix: "check the spelling; a port or a prefix length does not belong here",
  });
}
