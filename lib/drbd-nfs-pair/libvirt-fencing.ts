import type { Construct } from "constructs";
import { checkPort } from "../firewall/port";
import { checkHost, checkPublicKey } from "../platform/ssh-access";
import { isToken, refuse, warn } from "../problem";
import type { ServiceFile } from "../push/service";
import type { Secret } from "../secret/secret";
import { fenceSecret } from "./fence-method";
import { NodeFencing } from "./node-fencing";

/** A node that is a virtual machine of libvirt's, and its hypervisor. */
export interface LibvirtDomain {
  /** Address or name of the hypervisor, as the other node reaches it by SSH. */
  readonly address: string;
  /** @default 22 */
  readonly port?: number;
  /** Who logs in at the hypervisor: root, or somebody whom libvirt lets manage its system's domains (on Debian the group libvirt). */
  readonly user: string;
  /** The user's private key as OpenSSH writes it, without a passphrase. */
  readonly privateKey: Secret;
  /** The hypervisor's public key (/etc/ssh/ssh_host_ed25519_key.pub): who has another one is not asked, and cannot say that a node is off. */
  readonly hostKey: string;
  /** The domain's name or UUID. It is defined at this hypervisor and nowhere else: after a migration `virsh migrate --undefinesource`, and change `address`. */
  readonly domain: string;
}

/**
 * By ClusterLabs' fence_virsh, which writes virsh commands to a shell at the hypervisor, and reads its words: "off" to it is everything that is neither a
 * running domain nor has "error:" in it, such as a hypervisor without virsh, one that speaks German, or one whose memory has run out. So it is given no
 * shell, but a program that understands its four commands, and goes away without a word where something is the matter.
 */
export class LibvirtFencing extends NodeFencing<LibvirtDomain> {
  constructor(domains: Readonly<Record<string, LibvirtDomain>>) {
    super("fence_virsh", "domain", domains, "openssh-client");
  }

  override check(scope: Construct, nodes: readonly string[]): void {
    super.check(scope, nodes);
    for (const node of nodes) this.checkDomain(scope, node, this.switches[node]!);
    const [one, other] = nodes.map((node) => this.switches[node]!.address);
    if (one !== other) return;
    warn(scope, {
      code: "one-zone",
      what: `both nodes are domains of the hypervisor ${one}`,
      allowed: "a hypervisor for each node",
      fix: "move one of the domains",
    });
  }

  protected place({ address, port, domain }: LibvirtDomain): string {
    return `${named(domain)} at ${address}:${port ?? 22}`;
  }

  protected secretsOf({ privateKey }: LibvirtDomain): readonly Secret[] {
    return [privateKey];
  }

  protected parameters(node: string, { address, port, user, domain }: LibvirtDomain): Record<string, string> {
    return {
      ip: address,
      ...(port === undefined ? {} : { ipport: String(port) }),
      username: user,
      identity_file: fenceSecret(node, "").path,
      ssh_options: `-F ${configFile(node)}`,
      // SSH itself gives up after 10 and 15 seconds; the agent's 5 and 3 are short for a hypervisor that is busy
      login_timeout: "20",
      shell_timeout: "20",
      pcmk_host_map: `${node}:${named(domain)}`,
    };
  }

  protected filesFor(node: string, { hostKey, privateKey, domain }: LibvirtDomain): ServiceFile[] {
    return [
      // OpenSSH wants its last line to end
      fenceSecret(node, `${privateKey.placeholder}\n`),
      {
        path: knownHostsFile(node),
        // without its comment, and in no case a second line
        text: `${node} ${hostKey.trim().split(/\s+/).slice(0, 2).join(" ")}\n`,
        onChange: "none",
      },
      { path: configFile(node), text: sshConfig(node, named(domain)), onChange: "none" },
    ];
  }

  private checkDomain(
    scope: Construct,
    node: string,
    { address, port, user, hostKey, domain }: LibvirtDomain,
  ) {
    checkHost(scope, `${node}: address`, address);
    checkPort(scope, `${node}: port`, port);
    checkPublicKey(scope, `${node}: hostKey`, hostKey);
    for (const [what, name, allowed] of [
      [
        "domain",
        domain,
        "letters, digits, dot, dash and underscore, and not digits alone, which virsh takes for an id",
      ],
      ["user", user, "letters, digits, dot, dash and underscore, and not digits alone"],
    ] as const) {
      if (isToken(name) || (/^[\w][\w.-]{0,63}$/.test(name) && !/^\d+$/.test(name))) continue;
      refuse(scope, {
        code: "bad-name",
        what: `the ${what} of '${node}' is '${name}'`,
        allowed,
        fix: what === "domain" ? "give its UUID (virsh domuuid)" : "log in as somebody else",
      });
    }
  }
}

const configFile = (node: string) => `/etc/cdktf-ha/drbd-nfs-fence-${node}.ssh`;
const knownHostsFile = (node: string) => `/etc/cdktf-ha/drbd-nfs-fence-${node}.known-hosts`;

function sshConfig(node: string, domain: string): string {
  return `# Managed by cdktf-ha-clusters.
BatchMode yes
IdentitiesOnly yes
IdentityAgent none
PreferredAuthentications publickey
HostKeyAlias ${node}
UserKnownHostsFile ${knownHostsFile(node)}
GlobalKnownHostsFile none
StrictHostKeyChecking yes
UpdateHostKeys no
ClearAllForwardings yes
LogLevel ERROR
ConnectTimeout 10
ServerAliveInterval 5
ServerAliveCountMax 3
RequestTTY no
RemoteCommand exec /bin/sh -c '${atHypervisor(domain)}'
`;
}

/** The agent writes UUIDs, and what could be one, in small letters with dashes. */
function named(domain: string): string {
  const [, ...parts] = /^(\w{8})-?(\w{4})-?(\w{4})-?(\w{4})-?(\w{12})$/.exec(domain) ?? [];
  return parts.length > 0 && /^[0-9a-fA-F]*$/.test(parts.join("")) ? parts.join("-").toLowerCase() : domain;
}

/**
 * What the agent talks to, in one line. A prompt only follows what went well: without one the agent fails. A domain that is not shut off can write, or
 * can be made to write again (pmsuspended, crashed, saved), so that it is on, and destroyed; one that has migrated runs elsewhere.
 */
function atHypervisor(domain: string): string {
  return [
    "export LC_ALL=C LIBVIRT_DEFAULT_URI=qemu:///system; exec 2>&1;",
    'while printf "[EXPECT]# " && read -r asked; do',
    `state=$(virsh domstate ${domain} --reason) && about=$(virsh dominfo ${domain}) && [ -n "$state" ] || exit 1;`,
    'case "$state $about" in',
    '"shut off (migrated)"*) exit 1;; *"Managed save:   yes"*) state=saved;; "shut off"*) state=off;;',
    "esac;",
    'case "$asked" in',
    `"virsh domstate ${domain}") if [ "$state" = off ]; then echo shut off; else echo running; fi;;`,
    // whether these did it is seen by the next question
    `"virsh destroy ${domain}") [ "$state" != saved ] || virsh managedsave-remove ${domain}; $asked;;`,
    `"virsh start ${domain}"|"virsh list --all") $asked;;`,
    "*) exit 1;;",
    "esac; done",
  ].join(" ");
}
