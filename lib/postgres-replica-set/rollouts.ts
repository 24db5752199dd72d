import { clientNetworks } from "../firewall/connections";
import { Port } from "../firewall/port";
import { LogForwardingService } from "../log-collector/log-forwarding";
import { Rollout, RolloutOrder } from "../push/rollout";
import { SchemaService } from "../push/schema-service";
import { ArchiveService, BackupService, RepositoryService } from "./backup-service";
import { databasesByRole, passwordsOf, renderSchema, schemaOf } from "./databases";
import { METRICS_PORT, MetricsService } from "./metrics";
import { DATA_ROOT, PackageSourceService } from "./packages";
import {
  AccessService,
  CONFIG,
  PatroniService,
  postgresCertificateService,
  script,
  SettingsService,
} from "./patroni-service";
import { POOLER_PORT, type PoolerModel } from "./pooler";
import { PoolerService, type PoolerSource } from "./pooler-service";
import type { PostgresReplicaSet } from "./postgres-replica-set";
import { RecoveryService } from "./recovery";

/** As syslog knows them: what systemd starts by its program, PostgreSQL's server by Patroni's. */
const LOGGING_PROGRAMS = [
  "patroni",
  "etcd",
  "pgbouncer",
  "Keepalived",
  "Keepalived_vrrp",
  "prometheus-postgres-exporter",
  "cdktf-ha-postgres",
  "cdktf-ha-etcd",
  "cdktf-ha-volume",
  "cdktf-ha-vrrp",
];

/**
 * Who is let in, members one after the other, the archive, settings that all share, backups, databases and roles, the address, poolers,
 * and what nobody's work depends on.
 * @returns what whoever comes after the set depends on
 */
export function rollOutReplicaSet(set: PostgresReplicaSet): Rollout["last"] {
  const { machines, packages } = set;
  const { backups, recovery } = set.props;
  const access = new Rollout(set, "access", {
    nodes: machines.map((machine) => ({
      machine,
      services: [
        ...(packages.source ? [new PackageSourceService(packages, packages.source)] : []),
        new AccessService(set),
        ...(backups ? [new RepositoryService(set.name, packages.dataDirectory, backups)] : []),
        ...(recovery ? [new RecoveryService(recovery, packages.dataDirectory)] : []),
      ],
    })),
    order: RolloutOrder.allAtOnce(),
    dependsOn: [...set.etcd.ready, ...machines.flatMap((machine) => machine.keep(set, DATA_ROOT))],
  });
  const patroni = new PatroniService(set);
  const members = new Rollout(set, "rollout", {
    nodes: machines.map((machine) => ({ machine, services: [patroni] })),
    standbyFirst: true,
    dependsOn: access.last,
  });
  const archive =
    backups &&
    new Rollout(set, "archive", {
      nodes: machines.map((machine) => ({ machine, services: [new ArchiveService(backups)] })),
      order: RolloutOrder.allAtOnce(), // whoever leads makes the place that the others look for
      dependsOn: members.last,
    });
  const settings = new Rollout(set, "settings", {
    nodes: [{ machine: machines[0]!, services: [new SettingsService(set)] }],
    dependsOn: (archive ?? members).last,
  });
  if (backups) {
    new Rollout(set, "backup", {
      nodes: machines.map((machine) => ({ machine, services: [new BackupService(backups)] })),
      order: RolloutOrder.allAtOnce(),
      dependsOn: settings.last,
    });
  }
  const schema = new SchemaService("postgres-schema", {
    directory: CONFIG,
    text: () => renderSchema(schemaOf(set.props)),
    passwords: () => passwordsOf(set.props),
    settle: script("schema.sh"),
  });
  const schemas = new Rollout(set, "schema", {
    nodes: machines.map((machine) => ({
      machine,
      services: [schema, ...(set.tls?.authority ? [postgresCertificateService()] : [])],
    })),
    order: RolloutOrder.allAtOnce(), // whoever leads by then does it, and the others see it done
    dependsOn: settings.last,
  });
  const served = set.leaderAddress?.rollOut(schemas.last) ?? schemas.last;
  const ready = set.pooler ? rollOutPooler(set, set.pooler, served) : served;
  if (set.props.metrics) {
    const exporter = new MetricsService(set.props.metrics.port ?? METRICS_PORT);
    new Rollout(set, "metrics", {
      nodes: machines.map((machine) => ({ machine, services: [exporter] })),
      order: RolloutOrder.allAtOnce(), // nobody's work depends on it
      dependsOn: ready, // with the role that is there by then
    });
  }
  if (set.collector) {
    const forwarding = new LogForwardingService({
      name: "postgres-logs",
      collector: set.collector,
      programs: LOGGING_PROGRAMS,
    });
    new Rollout(set, "logs", {
      nodes: machines.map((machine) => ({ machine, services: [forwarding] })),
      order: RolloutOrder.allAtOnce(), // nobody's work depends on it
      dependsOn: access.last,
    });
  }
  return ready;
}

function rollOutPooler(
  set: PostgresReplicaSet,
  pooler: PoolerModel,
  dependsOn: Rollout["last"],
): Rollout["last"] {
  const service = new PoolerService(() => poolerSource(set, pooler));
  return new Rollout(set, "pooler", {
    nodes: set.machines.map((machine) => ({ machine, services: [service] })),
    dependsOn, // with the passwords that PostgreSQL has by then
  }).last;
}

function poolerSource(set: PostgresReplicaSet, model: PoolerModel): PoolerSource {
  const databases = databasesByRole(set.props);
  return {
    model,
    furtherAddresses: (machine) => set.leaderAddress?.on(machine) ?? [],
    hba: {
      members: set.memberNetworks,
      clients: clientNetworks(set.connections, Port.tcp(POOLER_PORT)),
      databases,
      tls: set.tls,
    },
    passwords: Object.fromEntries(
      (set.props.roles ?? [])
        .filter(({ name }) => databases[name]?.length)
        .map(({ name, password }) => [name, password]),
    ),
  };
}
