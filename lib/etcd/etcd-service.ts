import { join } from "node:path";
import { renderFacts } from "../facts";
import type { Machine } from "../platform/machine";
import type { Service, ServiceDescription, ServiceFile } from "../push/service";
import { scriptText } from "../script-text";
import { CertificateService } from "../tls/certificate-service";
import { renderEtcdEnvironment } from "./etcd-environment";
import type { EtcdTls } from "./tls";

/** What outlives an instance with its volume. */
export const DATA_ROOT = "/var/lib/etcd";
const DATA_DIRECTORY = `${DATA_ROOT}/cdktf-ha`;
const FACTS = "/etc/etcd/cdktf-ha";
const USERS = "/etc/etcd/cdktf-ha-users";
const TLS = "/etc/etcd/tls";
const PROGRAMS = "/usr/local/lib/cdktf-ha/etcd";
/** The member's own certificate, the chain above it and its key: given as it is, or issued there. */
const CERTIFICATE = `${TLS}/member.pem`;

/** What the services ask of the cluster they belong to, at synth. */
export interface EtcdSource {
  /** In the order in which they begin; the first one founds the cluster. */
  readonly machines: readonly Machine[];
  readonly tls?: EtcdTls;
  /** Under which name each set that uses the cluster keeps what is its own: who it is, too. */
  readonly users: readonly string[];
}

/** One member of an etcd cluster. */
export class EtcdService implements Service {
  readonly name = "etcd";
  readonly handsOver = true;

  constructor(private readonly source: EtcdSource) {}

  describe(machine: Machine): ServiceDescription {
    const { machines, tls } = this.source;
    return {
      packages: [
        { name: "etcd-server" },
        { name: "etcd-client" },
        { name: "curl", unlessCommand: "curl" },
        // a lock ends at a time of day
        { name: "chrony", unlessCommand: "chronyd" },
        ...(tls ? [{ name: "openssl", unlessCommand: "openssl" }] : []),
      ],
      // the rollout restarts members one after the other; a package would do it whenever it comes
      onPackageChange: "restart",
      directories: [{ path: "/etc/etcd" }, ...(tls ? [{ path: TLS, mode: "0750", group: "etcd" }] : [])],
      files: [
        {
          path: "/etc/default/etcd",
          text: renderEtcdEnvironment({
            name: machine.name,
            address: machine.privateAddress,
            dataDirectory: DATA_DIRECTORY,
            ...(tls && { tls: { certificate: CERTIFICATE, trusted: `${TLS}/trusted.pem`, mode: tls.mode } }),
          }),
          onChange: "restart",
        },
        { path: "/etc/systemd/system/etcd.service.d/cdktf-ha.conf", text: DROP_IN, onChange: "restart" },
        {
          path: FACTS,
          text: renderFacts("who is there", {
            ETCD_MEMBER: machine.name,
            ETCD_ADDRESS: machine.privateAddress,
            ETCD_DATA: DATA_DIRECTORY,
            ETCD_FOUNDER: machines[0]!.name,
            ETCD_MEMBERS: machines.map(({ name, privateAddress }) => `${name} ${privateAddress}`).join("\n"),
            ...(tls && {
              ETCD_TLS: tls.mode,
              ETCD_AUTHORITY: tls.authority ? `${TLS}/authority.pem` : "",
            }),
          }),
          onChange: "none",
        },
        { path: `${PROGRAMS}/functions.sh`, text: script("functions.sh"), onChange: "none" },
        ...(tls ? tlsFiles(tls, machine) : []),
      ],
      secrets: tls ? [tls.secretOf(machine.name)] : [],
      units: ["etcd.service"],
      hooks: {
        check: script("check.sh"),
        activate: script("activate.sh"),
        healthy: script("healthy.sh"),
        settle: script("settle.sh"),
        leave: script("leave.sh"),
      },
      checker: tls
        ? "openssl, and what this machine remembers of the cluster"
        : "what this machine remembers of the cluster",
      healthyWithin: 60,
    };
  }
}

function tlsFiles(tls: EtcdTls, machine: Machine): ServiceFile[] {
  return [
    { ...tls.trustFile(TLS), onChange: "restart" },
    { path: `${PROGRAMS}/tls.sh`, text: script("tls.sh"), onChange: "none" },
    ...tls.memberFiles(TLS, machine.name, "etcd", PROGRAMS),
  ];
}

/**
 * Who may do what, in every member before any of them changes otherwise: a member that is new is let in by those that are there.
 */
export class EtcdUsersService implements Service {
  readonly name = "etcd-users";

  constructor(private readonly source: EtcdSource) {}

  describe(): ServiceDescription {
    const { machines, users } = this.source;
    return {
      directories: [{ path: "/etc/etcd" }],
      files: [
        {
          path: USERS,
          text: renderFacts("who may do what", {
            ETCD_NODES: machines.map(({ name }) => name),
            ETCD_SETS: users,
          }),
          onChange: "none",
        },
      ],
      hooks: { settle: script("users.sh") },
    };
  }
}

/** A member that issues itself its certificate does so again before it ends. */
export function etcdCertificateService(): CertificateService {
  return new CertificateService({
    name: "etcd-certificate",
    of: "this member of etcd",
    when: "After=etcd.service\n",
    command: `/bin/bash -euo pipefail -c '. ${PROGRAMS}/functions.sh; . ${PROGRAMS}/tls.sh; etcd_issue'`,
    identifier: "cdktf-ha-etcd",
  });
}

/** How a member is found out whose first start is told who was there: read once, when it has no data yet. */
const DROP_IN = `# Managed by cdktf-ha-clusters.
[Unit]
RequiresMountsFor=${DATA_ROOT}
[Service]
SyslogIdentifier=etcd
EnvironmentFile=-/var/lib/etcd/first-start
# Without data and without a word on how to begin, etcd would begin a cluster of its own, in which everybody leads.
ExecStartPre=/bin/sh -c 'test -f /var/lib/etcd/first-start || ls ${DATA_DIRECTORY}/member/wal/*.wal >/dev/null || { echo "no data: an apply makes this machine join again" >&2; exit 1; }'
# A member that waits for a quorum, after a power cut of all or a deploy on the machines of a destroyed cluster, is up: whether
# it has one is asked by those who need to know.
Type=exec
Restart=always
RestartSec=2
`;

function script(file: string): string {
  return scriptText(join(__dirname, "on-machine", file));
}
