import type { Construct } from "constructs";
import { Connections } from "../firewall/connections";
import { checkPort, Port } from "../firewall/port";
import type { Machine } from "../platform/machine";
import { checkHost, checkPublicKey } from "../platform/ssh-access";
import { isToken, refuse } from "../problem";
import type { ServiceFile } from "../push/service";
import type { Secret } from "../secret/secret";
import type { BackupStore, StoreUse, StoreWay } from "./backup-store";
import type { SshBackupProps } from "./backups";
import { PROGRAMS, script } from "./patroni-service";
import type { RepositoryModel } from "./pgbackrest-conf";

/** A directory on another host. */
export class SshStore implements BackupStore {
  readonly secrets: readonly Secret[];

  constructor(
    private readonly host: string | Machine,
    private readonly path: string,
    private readonly props: SshBackupProps,
  ) {
    const { user, port, privateKey } = props;
    if (typeof host === "string") checkHost("Backups.ssh", "host", host);
    checkPort("Backups.ssh", "port", port);
    if (user !== undefined && !isToken(user) && !/^[a-z_][a-z0-9_.-]{0,31}$/i.test(user)) {
      refuse("Backups.ssh", {
        code: "bad-name",
        what: `'user' is '${user}'`,
        allowed: "an account's name: letters, digits, dot, dash and underscore, at most 32",
        fix: "check the spelling",
      });
    }
    if (this.hostKeys.length === 0) {
      refuse("Backups.ssh", {
        code: "bad-key",
        what: "'hostKey' is empty",
        allowed: "the host's public key: a host that is not known could be anybody's",
        fix: "copy it from /etc/ssh/ssh_host_ed25519_key.pub there",
      });
    }
    for (const key of this.hostKeys) checkPublicKey("Backups.ssh", "hostKey", key);
    this.secrets = [privateKey];
  }

  get place(): string {
    const { user, address, port } = this;
    return `${user}@${address}:${this.path}${port === 22 ? "" : ` port ${port}`}`;
  }

  repository(_machine: Machine, use: StoreUse): RepositoryModel {
    const { path, address, user } = this;
    return { kind: "ssh", path, host: address, user, program: programOf(use) };
  }

  way(use: StoreUse): StoreWay {
    const directory = `/etc/pgbackrest/${use}-ssh`;
    const { privateKey } = this.props;
    const readable = { mode: "0640", group: "postgres", onChange: "none" } as const;
    const program = (file: string): ServiceFile => ({
      path: `${PROGRAMS}/${file}`,
      text: script(file),
      onChange: "none",
    });
    return {
      packages: [{ name: "openssh-client", unlessCommand: "ssh" }],
      directories: [{ path: directory, mode: "0750", group: "postgres" }],
      files: [
        { path: `${directory}/config`, text: renderSshConfig(directory, this.port), ...readable },
        // ssh takes a key that others may read where it is not the reader's own file
        { path: `${directory}/key`, text: `${privateKey.placeholder}\n`, ...readable },
        {
          path: `${directory}/known_hosts`,
          text: this.hostKeys.map((key) => `${HOST_ALIAS} ${key}\n`).join(""),
          ...readable,
        },
        { path: programOf(use), text: script("repository-ssh.sh"), mode: "0755", onChange: "none" },
        // a set that only begins from there makes no backups there
        ...(use === "repository"
          ? ["repository_host.py", "repository_bridge.py", "repository-host.sh"].map(program)
          : []),
      ],
    };
  }

  /** A machine of a platform lets the members in. */
  grant(
    set: Construct,
    machines: readonly Machine[],
    _access: "read" | "write",
    connections: Connections,
  ): void {
    const { host, port } = this;
    const member = machines.find((machine) => machine === host || machine.privateAddress === host);
    if (member) {
      refuse(set, {
        code: "conflicting-setting",
        what: `'backups' go to '${member.name}', which is a member`,
        allowed: "another host: what is lost with a member's machine would be lost with its backups",
        fix: "choose a host that does nothing else",
      });
    }
    if (typeof host === "string") return;
    const repository = new Connections(set, { name: `repository on ${host.name}` });
    repository.addMachine(host);
    repository.allowFrom(connections, Port.tcp(port));
  }

  private get address(): string {
    return typeof this.host === "string" ? this.host : this.host.privateAddress;
  }

  private get port(): number {
    return this.props.port ?? (typeof this.host === "string" ? 22 : this.host.sshPort);
  }

  private get user(): string {
    return this.props.user ?? "pgbackrest";
  }

  private get hostKeys(): readonly string[] {
    const { hostKey } = this.props;
    return [hostKey].flat().flatMap((keys) =>
      keys
        .split("\n")
        .map((key) => key.trim())
        .filter(Boolean),
    );
  }
}

function programOf(use: StoreUse): string {
  return `${PROGRAMS}/${use}-ssh`;
}

/** In known_hosts, whatever the host is called and wherever it is. */
const HOST_ALIAS = "repository";

/** Nothing of the account's or the machine's own settings counts. Pure. */
function renderSshConfig(directory: string, port: number): string {
  const settings = {
    Port: port,
    HostKeyAlias: HOST_ALIAS,
    UserKnownHostsFile: `${directory}/known_hosts`,
    GlobalKnownHostsFile: "/dev/null",
    StrictHostKeyChecking: "yes",
    UpdateHostKeys: "no",
    IdentityFile: `${directory}/key`,
    IdentitiesOnly: "yes",
    IdentityAgent: "none",
    BatchMode: "yes",
    ExitOnForwardFailure: "yes",
    ConnectTimeout: 10,
    // a host that went away without a word
    ServerAliveInterval: 10,
    ServerAliveCountMax: 3,
  };
  return [
    "# Managed by cdktf-ha-clusters.",
    "Host *",
    ...Object.entries(settings).map(([name, value]) => `  ${name} ${value}`),
    "",
  ].join("\n");
}
