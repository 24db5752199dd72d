import { bracketed } from "../net";
import { shellQuoted } from "../script-text";
import type { ParameterValue } from "./parameters";
import type { MemberAuthentication } from "./pg-hba";
import { archiveCommand, restoreCommand } from "./pgbackrest-conf";
import type { TimerProps } from "./timers";

/** How commits wait for another member. */
export type Synchronous = "off" | "on" | "strict";

/** What etcd holds for all members. Plain data. */
export interface DynamicModel {
  readonly timers: TimerProps;
  readonly maximumLagOnFailover: number;
  readonly synchronous: Synchronous;
  readonly failsafe: boolean;
  readonly parameters: Readonly<Record<string, ParameterValue>>;
  /** pgBackRest's part of a repository that the log goes to. */
  readonly archive?: string;
  /** The set that is followed. */
  readonly standby?: { readonly host: string; readonly port: number };
}

/** What stands in a member's own file. Plain data. */
export interface PatroniModel {
  readonly scope: string;
  readonly name: string;
  readonly address: string;
  /** Where PostgreSQL listens too: the address of whoever leads. */
  readonly furtherAddresses: readonly string[];
  readonly dataDirectory: string;
  readonly binDirectory: string;
  readonly locale: string;
  readonly watchdog: "off" | "automatic" | "required";
  readonly dynamic: DynamicModel;
  readonly recovery?: { readonly set: string; readonly to?: string; readonly program: string };
  readonly parameters: Readonly<Record<string, ParameterValue>>;
  /** What the member is for, in Patroni's words. */
  readonly tags?: Readonly<Record<string, boolean | string>>;
  /** How late it shows what it has. */
  readonly applyDelay?: string;
}

/** Who may come in, and where etcd is: what changes without anybody's restart. Plain data. */
export interface AccessModel {
  readonly etcdHosts: readonly string[];
  /** By TLS, with a certificate of its own. */
  readonly etcdTls?: { readonly certificate: string; readonly trusted: string };
  readonly hba: readonly string[];
  /** Whose certificates are which roles'. */
  readonly ident: readonly string[];
  readonly tls?: AccessTls;
}

/** Where a member's certificates are, and whether members insist on each other's. Plain data. */
export interface AccessTls {
  /** Chain and key in one. */
  readonly certificate: string;
  readonly trusted: string;
  readonly members: "optional" | "required";
  readonly memberAuthentication: MemberAuthentication;
  readonly clientCertificates: boolean;
  /** Does Patroni's REST interface speak it? */
  readonly rest: boolean;
}

export const POSTGRES_PORT = 5432;
export const REST_PORT = 8008;

/** The settings that all members share, as Patroni keeps them in etcd. */
export function dynamicSettings(model: DynamicModel): object {
  const { ttl, loopWait, retryTimeout, primaryStartTimeout } = model.timers;
  const { archive } = model;
  return {
    ttl,
    loop_wait: loopWait,
    retry_timeout: retryTimeout,
    primary_start_timeout: primaryStartTimeout,
    maximum_lag_on_failover: model.maximumLagOnFailover,
    // a set that follows has no commits of its own that could wait; with it Patroni would know nobody to hand over to
    synchronous_mode: model.synchronous !== "off" && !model.standby,
    synchronous_mode_strict: model.synchronous === "strict" && !model.standby,
    failsafe_mode: model.failsafe,
    ...(model.standby && { standby_cluster: model.standby }),
    postgresql: {
      use_pg_rewind: true,
      use_slots: true,
      parameters: { ...model.parameters, ...(archive === undefined ? {} : archiveParameters(archive)) },
      ...(archive === undefined ? {} : { recovery_conf: { restore_command: restoreCommand(archive) } }),
    },
  };
}

function archiveParameters(stanza: string): Readonly<Record<string, ParameterValue>> {
  return {
    archive_mode: "on",
    archive_command: archiveCommand(stanza),
    // what a quiet set has written is in the repository after a minute
    archive_timeout: 60,
  };
}

/**
 * For the very first start, when the repository does not know the set yet: it archives into nothing, and needs no restart when the real
 * command comes.
 */
function firstSettings(model: DynamicModel): object {
  const { archive, parameters, ...rest } = model;
  if (archive === undefined) return dynamicSettings(model);
  return dynamicSettings({
    ...rest,
    parameters: { ...parameters, archive_mode: "on", archive_command: "/bin/true" },
  });
}

/** A member's configuration, without passwords: those are put in on the machine (on-machine/member.py). Pure. */
export function renderPatroniYml(model: PatroniModel): string {
  const at = (port: number): string => `${bracketed(model.address)}:${port}`;
  return document({
    scope: model.scope,
    name: model.name,
    restapi: {
      listen: at(REST_PORT),
      connect_address: at(REST_PORT),
      authentication: { username: "patroni" },
    },
    bootstrap: {
      dcs: firstSettings(model.dynamic),
      // until the lines of the access file are in place, a moment later
      pg_hba: ["local all postgres peer"],
      ...firstData(model.recovery),
      initdb: [{ encoding: "UTF8" }, { locale: model.locale }, "data-checksums"],
    },
    postgresql: {
      listen: [model.address, ...model.furtherAddresses].map(bracketed).join(",") + `:${POSTGRES_PORT}`,
      connect_address: at(POSTGRES_PORT),
      data_dir: model.dataDirectory,
      bin_dir: model.binDirectory,
      // the superuser has no password, and no way in but the machine's own user postgres
      use_unix_socket: true,
      use_unix_socket_repl: true,
      authentication: {
        superuser: { username: "postgres" },
        replication: { username: "replicator" },
        rewind: { username: "rewind" },
      },
      // else a copy begins when the next checkpoint has taken its time, minutes in which the set lacks a member
      basebackup: [{ checkpoint: "fast" }],
      remove_data_directory_on_rewind_failure: true,
      remove_data_directory_on_diverged_timelines: true,
      parameters: {
        unix_socket_directories: "/var/run/postgresql",
        password_encryption: "scram-sha-256",
        ...model.parameters,
      },
      ...delayed(model),
    },
    ...(model.tags && { tags: model.tags }),
    watchdog: { mode: model.watchdog, device: "/dev/watchdog", safety_margin: 5 },
  });
}

/** A member's own part takes the place of the one in etcd, so it says all of it. */
function delayed({ applyDelay, dynamic: { archive } }: PatroniModel): object {
  if (applyDelay === undefined) return {};
  return {
    recovery_conf: {
      ...(archive === undefined ? {} : { restore_command: restoreCommand(archive) }),
      recovery_min_apply_delay: applyDelay,
    },
  };
}

/** What the very first member begins with; the others copy it. */
function firstData(recovery: PatroniModel["recovery"]): object {
  if (!recovery) return {};
  const { set, to = "latest", program } = recovery;
  return {
    method: "recovery",
    recovery: {
      command: `python3 -B ${program} recover ${shellQuoted(set)} ${shellQuoted(to)}`,
      no_params: true,
      // the signal and the target that pgBackRest wrote
      keep_existing_recovery_conf: true,
    },
    post_bootstrap: `python3 -B ${program} recovered`,
  };
}

/**
 * By etcd's older interface: with the newer one Patroni 3.0 lets a primary that was cut off take its lost lock back, whoever
 * has it by now, and two write.
 */
export function renderAccessYml({ etcdHosts, etcdTls, hba, ident, tls }: AccessModel): string {
  return document({
    etcd: {
      hosts: etcdHosts,
      ...(etcdTls && {
        protocol: "https",
        cacert: etcdTls.trusted,
        cert: etcdTls.certificate,
        key: etcdTls.certificate,
      }),
    },
    ...(tls?.rest && {
      restapi: { certfile: tls.certificate, keyfile: tls.certificate, cafile: tls.trusted },
    }),
    postgresql: { pg_hba: hba, ...(ident.length ? { pg_ident: ident } : {}), ...(tls && encrypted(tls)) },
  });
}

/** All of it is read again by a reload. */
function encrypted({
  certificate,
  trusted,
  members,
  memberAuthentication,
  clientCertificates,
}: AccessTls): object {
  const byCertificate = memberAuthentication === "certificate";
  const peer = {
    ...(members === "required" ? { sslmode: "verify-ca", sslrootcert: trusted } : { sslmode: "prefer" }),
    ...(byCertificate ? { sslcert: certificate, sslkey: certificate } : {}),
  };
  return {
    authentication: { replication: peer, rewind: peer },
    parameters: {
      ssl: "on",
      ssl_cert_file: certificate,
      ssl_key_file: certificate,
      // a client that is asked for a certificate shows the one it has, whoever issued it
      ...(clientCertificates || byCertificate ? { ssl_ca_file: trusted } : {}),
    },
  };
}

/** The shared settings, for the program that tells etcd of a change. */
export function renderDynamic(model: DynamicModel): string {
  return `${JSON.stringify(dynamicSettings(model), undefined, 2)}\n`;
}

/** JSON is YAML. */
function document(settings: object): string {
  return `# Managed by cdktf-ha-clusters.\n${JSON.stringify(settings, undefined, 2)}\n`;
}
