import { memoryGiBOf } from "../platform/aws/instance-memory";
import { warnWithoutRole } from "../platform/instance-role";
import {
  checkCount,
  checkRange,
  isToken,
  refuse,
  refuseToken,
  refuseTwice,
  warn,
  type Problem,
} from "../problem";
import type { Secret } from "../secret/secret";
import type { CassandraRing } from "./cassandra-ring";
import { CassandraVersion } from "./cassandra-version";
import { OWN_SETTINGS } from "./cassandra-yaml";
import {
  checkClusterName,
  checkDatacenterName,
  checkKeyspaceName,
  checkRoleName,
  isPlaceName,
} from "./keyspace";
import { racksOf } from "./layout";

/** Values that are wrong on their own. */
export function checkRing(ring: CassandraRing): void {
  const { props, version, installation, java } = ring;
  refuseToken(ring, "clusterName", props.clusterName);
  checkClusterName(ring, props.clusterName);
  checkPlaces(ring);
  checkCount(ring, "heapMiB", props.heapMiB, 128, 1e6, "128 MiB at least");
  checkCount(ring, "numTokens", props.numTokens, 1, 1536, "Cassandra's own limit");
  checkCount(ring, "openFiles", props.openFiles, 1024, 1e9, "1024 at least");
  checkCount(ring, "joinWithin", props.joinWithin, 60, 1e7, "a minute at least");
  checkRange(ring, "phiConvictThreshold", props.phiConvictThreshold, 5, 16, "Cassandra's own limits");
  if (props.thrift && !version.hasThrift) {
    refuse(ring, {
      code: "thrift-is-gone",
      what: `'thrift' with Cassandra ${version.line}`,
      allowed: "CassandraVersion.V3_11: 4.0 removed Thrift from the server, no setting brings port 9160 back",
      fix: "stay with 3.11 until the clients speak CQL (9042), or leave 'thrift' out",
    });
  }
  if (!version.has(installation.release)) {
    refuse(ring, {
      code: "conflicting-setting",
      what: `'installation' is release ${installation.release}, 'version' is ${version.line}`,
      allowed: `a release of ${version.line}: the configuration is written for that line`,
      fix: "change one of them",
    });
  }
  if (java?.major !== undefined && !version.java.includes(java.major)) {
    refuse(ring, {
      code: "java-mismatch",
      what: `Java ${java.major} for Cassandra ${version.line}`,
      allowed: `Java ${version.java.join(" or ")}`,
      fix: "leave 'java' out",
    });
  }
  if (props.metrics) checkCount(ring, "metrics.port", props.metrics.port, 1, 65535, "TCP's ports");
  checkKeyspaces(ring);
  checkRoles(ring);
  checkSettings(ring);
  checkTls(ring);
}

function checkPlaces(ring: CassandraRing): void {
  const { platform, nodes, datacenters, datacenter, seeds } = ring.props;
  const single = platform ?? nodes ?? datacenter ?? seeds;
  if (
    (datacenters === undefined) === (platform === undefined || nodes === undefined) ||
    (datacenters && single)
  ) {
    refuse(ring, {
      code: "conflicting-setting",
      what: datacenters ? "'datacenters' besides 'platform', 'nodes', 'datacenter' or 'seeds'" : "no nodes",
      allowed: "one form: 'platform' and 'nodes' for one datacenter, or 'datacenters'",
      fix: "write datacenters: { NAME: { platform, nodes } }, or platform and nodes",
    });
  }
  for (const name of ring.datacenterNames) checkDatacenterName(ring, name);
  if (!ring.datacenterNames.length) {
    refuse(ring, {
      code: "empty-rollout",
      what: "no datacenter",
      allowed: "one at least",
      fix: "datacenters: { NAME: { platform, nodes } }",
    });
  }
  const names = new Set<string>();
  for (const { nodes: some } of Object.values(datacenters ?? {})) {
    // twice in one datacenter is the platform's to refuse
    for (const name of new Set(Array.isArray(some) ? (some as string[]) : Object.keys(some))) {
      refuseTwice(ring, "node", names, name);
      names.add(name);
    }
  }
}

function checkKeyspaces(ring: CassandraRing): void {
  const names = new Set<string>();
  for (const { name, replicationFactor } of ring.props.keyspaces ?? []) {
    checkKeyspaceName(ring, name);
    refuseTwice(ring, "keyspace", names, name);
    names.add(name);
    const counts =
      typeof replicationFactor === "object"
        ? Object.entries(replicationFactor)
        : [["", replicationFactor] as const];
    if (
      replicationFactor !== undefined &&
      !counts.some(([, count]) => count === undefined || isToken(count) || count > 0)
    ) {
      refuse(ring, {
        code: "number-out-of-range",
        what: `'keyspaces.${name}.replicationFactor' gives no copy to any datacenter`,
        allowed: "a copy at least, in one of them",
        fix: "name a datacenter with its copies; or leave the keyspace out of the code, it stays in the ring",
      });
    }
    for (const [datacenter, count] of counts) {
      if (datacenter && !ring.datacenterNames.includes(datacenter)) {
        refuse(ring, {
          code: "unknown-datacenter",
          what: `keyspace '${name}' has copies in '${datacenter}'`,
          allowed: ring.datacenterNames.join(", "),
          fix: "correct the name, or add the datacenter",
        });
      }
      checkCount(
        ring,
        `keyspaces.${name}.replicationFactor`,
        count,
        datacenter ? 0 : 1,
        100,
        "a copy at least",
      );
    }
  }
}

function checkRoles(ring: CassandraRing): void {
  const names = new Set([ring.superuser.name]);
  checkRoleName(ring, ring.superuser.name);
  checkShared(ring, "superuser.password", ring.superuser.password);
  for (const { name, password, grants = {} } of ring.props.roles ?? []) {
    checkRoleName(ring, name);
    refuseTwice(ring, "role", names, name);
    names.add(name);
    checkShared(ring, `roles.${name}.password`, password);
    for (const keyspace of Object.keys(grants)) ring.copiesOf(keyspace);
  }
}

function checkShared(ring: CassandraRing, name: string, secret: Secret): void {
  if (secret.source.kind !== "generated") return;
  refuse(ring, {
    code: "secret-not-shared",
    what: `'${name}' is generated on each machine`,
    allowed: "a value that all nodes and clients share",
    fix: "Secret.variable(...), Secret.awsSecretsManager(...) or Secret.awsParameter(...)",
  });
}

function checkSettings(ring: CassandraRing): void {
  for (const [key, value] of Object.entries(ring.props.settings ?? {})) {
    refuseEmpty(ring, `settings.${key}`, value);
    const owner = OWN_SETTINGS[key];
    if (owner !== undefined) {
      refuse(ring, {
        code: "conflicting-setting",
        what: `'settings' has ${key}`,
        allowed: `settings that the ring does not decide itself; this one follows from ${owner}`,
        fix: "take it out of 'settings'",
      });
    }
  }
  for (const option of ring.jvmOptions) {
    if (/^-(?!Xm[sx])[A-Za-z-][^\s]*$/.test(option)) continue;
    refuse(ring, {
      code: "conflicting-setting",
      what: `'jvmOptions' has '${option}'`,
      allowed: "one option each, beginning with a dash, without spaces; the heap is 'heapMiB'",
      fix: "split it up, or use 'heapMiB'",
    });
  }
}

/** A plain object of JavaScript may hold what its type forbids, and cassandra.yaml has no word for. */
function refuseEmpty(ring: CassandraRing, name: string, value: unknown): void {
  if (value === null || value === undefined) {
    refuse(ring, {
      code: "conflicting-setting",
      what: `'${name}' is ${String(value)}`,
      allowed: "a text, a number, true, false, or lists and objects of them",
      fix: "leave the setting out for Cassandra's default",
    });
  }
  if (typeof value === "object") {
    for (const [key, inner] of Object.entries(value)) refuseEmpty(ring, `${name}.${key}`, inner);
  }
}

function checkTls(ring: CassandraRing): void {
  const { tls, version } = ring;
  if (!tls) return;
  if (tls.internode === "optional" && !version.atLeast(CassandraVersion.V4_0)) {
    refuse(ring, {
      code: "conflicting-setting",
      what: `TLS between nodes is 'optional' on Cassandra ${version.line}`,
      allowed: "none or required: nodes with and without TLS understand each other from 4.0 on",
      fix: "upgrade first, or start the ring with TLS",
    });
  }
  if (tls.authority) checkShared(ring, "tls.authority", tls.authority);
}

/** What works, but not as well as its author may think. */
export function warnOfRing(ring: CassandraRing): void {
  for (const { name } of ring.props.keyspaces ?? []) warnOfKeyspace(ring, name);
  warnOfRepair(ring);
  if (ring.props.snapshots?.bucket) {
    warnWithoutRole(ring, "snapshots go to a bucket", ring.machines, "Snapshots.directory(...)");
  }
  for (const [datacenter, racks] of Object.entries(racksOf(ring.nodes))) {
    const sizes = Object.values(racks);
    if (new Set(sizes).size > 1) {
      warn(ring, {
        code: "uneven-zones",
        what: `${datacenter} has ${Object.entries(racks)
          .map(([rack, size]) => `${size} in ${rack}`)
          .join(", ")}`,
        allowed:
          "as many nodes in each zone: copies are spread over zones, so nodes of a small zone hold more rows",
        fix: "add nodes to the smaller zones",
      });
    }
  }
}

/** Of systemd's calendar, what comes less often than every ten days: its own words, and one day of the month. */
const RARE =
  /^(monthly|quarterly|semi-?annually|biannually|bi-annually|yearly|annually|(\*-)?(\*|\d+)-\d+(\s.*)?)$/i;

function warnOfRepair(ring: CassandraRing): void {
  const { repair } = ring.props;
  if (repair === undefined || repair === false || !RARE.test(repair.trim())) return;
  warn(ring, {
    code: "repair-too-rare",
    what: `'repair' is "${repair}"`,
    allowed:
      'a repair of every node within gc_grace, ten days: a row that was deleted comes back where a copy did not hear of it; "weekly" leaves three days',
    fix: "leave it out; or raise gc_grace_seconds of every table above the time between two repairs",
  });
}

function warnOfKeyspace(ring: CassandraRing, keyspace: string): void {
  for (const [datacenter, copies] of Object.entries(ring.copiesOf(keyspace))) {
    const nodes = ring.nodesOf(datacenter).length;
    if (copies === 1) {
      warn(ring, {
        code: "one-copy",
        what: `keyspace '${keyspace}' has 1 copy in ${datacenter}`,
        allowed: "3: one node may then be down without anybody noticing, be it for its restart",
        fix: nodes >= 3 ? "replicationFactor: 3" : "add nodes, then raise replicationFactor",
      });
    } else if (copies > 0 && copies % 2 === 0) {
      warn(ring, {
        code: "even-replication",
        what: `keyspace '${keyspace}' has ${copies} copies in ${datacenter}: LOCAL_QUORUM needs ${copies / 2 + 1} of them, and survives ${copies / 2 - 1} down`,
        allowed: `an odd number: ${copies - 1} survive as many at quorum, ${copies + 1} one more; at ONE, ${copies - 1} of ${copies} may be down`,
        fix: `${nodes > copies ? "" : "a node more, then "}replicationFactor: ${copies + 1}, or clients that read and write at ONE`,
      });
    }
  }
}

/** Where the type of an instance tells its memory; elsewhere the machine itself refuses. */
function heapProblems({ heapMiB, nodes }: CassandraRing): Problem[] {
  return nodes.flatMap(({ name, machine }): Problem[] => {
    const type = machine.aws?.instanceType;
    const memory = type === undefined || isToken(type) ? undefined : memoryGiBOf(type);
    if (heapMiB === undefined || memory === undefined || heapMiB <= memory * 1024 * 0.8) return [];
    return [
      {
        code: "heap-too-large",
        what: `'heapMiB' is ${heapMiB}, node '${name}' is a ${type} with ${memory} GiB`,
        allowed: `at most ${Math.floor(memory * 1024 * 0.8)}: Java needs as much again outside of the heap, files in memory the rest`,
        fix: "a larger instanceType, or leave 'heapMiB' out",
      },
    ];
  });
}

/** What shows only in the whole. */
export function problemsOfRing(ring: CassandraRing): Problem[] {
  const problems: Problem[] = [];
  for (const { name } of ring.props.keyspaces ?? []) {
    for (const [datacenter, copies] of Object.entries(ring.copiesOf(name))) {
      const nodes = ring.nodesOf(datacenter).length;
      if (copies <= nodes) continue;
      problems.push({
        code: "replication-above-nodes",
        what: `keyspace '${name}' has ${copies} copies in ${datacenter}, which has ${nodes} nodes`,
        allowed: `at most ${nodes}; a node that leaves must leave as many behind as there are copies`,
        fix: "add nodes, or lower replicationFactor in an apply of its own first",
      });
    }
  }
  for (const { name, rack } of ring.nodes) {
    if (isPlaceName(rack)) continue;
    problems.push({
      code: "bad-name",
      what: `node '${name}' is in rack '${rack}', named like its zone`,
      allowed: "letters, digits, dot, dash and underscore, at most 64",
      fix: "rename the zone",
    });
  }
  problems.push(...heapProblems(ring));
  return problems;
}
