import type { Construct } from "constructs";
import { isIp } from "../net";
import type { Machine } from "../platform/machine";
import { checkAtSynth, isToken, refuse, refuseToken, warn, warnAtSynth } from "../problem";
import { checkAlerts } from "./alerts";
import { TOKEN } from "./corosync-conf";
import type { DrbdNfsPairProps } from "./pair-props";
import { checkMetrics } from "./metrics";

/** Refuses what can never work or never be safe, and warns of the rest. */
export function checkPair(
  pair: Construct,
  machines: readonly Machine[],
  quorum: readonly Machine[],
  props: DrbdNfsPairProps,
  unused: () => readonly string[],
): void {
  checkNodes(pair, machines);
  if (props.quorum !== undefined) checkVote(pair, machines, quorum);
  props.fencing?.method.check(
    pair,
    machines.map(({ name }) => name),
    machines,
    props.token ?? TOKEN,
  );
  checkAddress(pair, machines, props);
  checkDisks(pair, machines, props);
  checkSettings(pair, props);
  checkLink(pair, props);
  checkAdoption(pair, machines, props);
  if (props.alerts) checkAlerts(pair, props.alerts);
  if (props.metrics) checkMetrics(pair, props.metrics);
  checkSecondLink(pair, machines, props);
  checkPingHosts(pair, props);
  warnOfRisks(pair, machines, quorum, props);
  checkQuotas(pair, props);
  warnAtSynth(pair, () =>
    unused().map((name) => ({
      code: "nobody-admitted",
      what: `nobody may mount export '${name}', so that it is not exported`,
      allowed: "those whom 'clients' or mountOn name",
      fix: `clients: [Peer.cidr("...")], or export("${name}").mountOn(...)`,
    })),
  );
  checkAtSynth(pair, () =>
    props.exports.length
      ? []
      : [
          {
            code: "no-exports",
            what: "the pair exports nothing",
            allowed: "one export at least",
            fix: 'exports: [{ name: "assets", clients: [...] }]',
          },
        ],
  );
}

function checkQuotas(pair: Construct, { exports, fileSystem = "xfs" }: DrbdNfsPairProps): void {
  const limited = exports.find(({ quotaGiB }) => quotaGiB !== undefined);
  if (!limited || fileSystem === "xfs") return;
  refuse(pair, {
    code: "conflicting-setting",
    what: `'quotaGiB' of export '${limited.name}' on ${fileSystem}`,
    allowed:
      "'fileSystem' xfs, which counts by directory and cannot be chosen any more for a volume that exists",
    fix: "leave 'quotaGiB' out; on a new pair leave 'fileSystem' out",
  });
}

function checkNodes(pair: Construct, machines: readonly Machine[]): void {
  if (machines.length !== 2) {
    refuse(pair, {
      code: "not-a-pair",
      what: `${machines.length} nodes`,
      allowed: "two: DRBD of Debian's kernel keeps two copies",
      fix: "name two nodes; more space is a larger disk, and more exports are another pair",
    });
  }
}

function checkVote(pair: Construct, machines: readonly Machine[], quorum: readonly Machine[]): void {
  const [voter] = quorum;
  if (quorum.length !== 1 || machines.includes(voter!)) {
    refuse(pair, {
      code: "no-third-vote",
      what:
        quorum.length === 1
          ? `the third vote is on ${voter!.name}, which has one already`
          : `${quorum.length} quorum hosts`,
      allowed:
        "one machine that is no node of the pair: with two votes neither half knows whether it may go on",
      fix: "name a third machine, in a third zone; it may be a small one",
    });
  }
}

function checkAddress(
  pair: Construct,
  machines: readonly Machine[],
  { virtualIp, version3 }: DrbdNfsPairProps,
): void {
  if (version3 && virtualIp.mode === "elastic") {
    refuse(pair, {
      code: "conflicting-setting",
      what: "'version3' with an elastic address",
      allowed:
        "an address that the nodes themselves have: clients are told from it that the server was started anew, or they lose their locks",
      fix: "VirtualIp.routeTable(...), or leave 'version3' out",
    });
  }
  if (virtualIp.mode === "layer2") refuseToken(pair, "virtualIp", virtualIp.address);
  virtualIp.check(pair, machines);
}

/** Refuses what is no place for the data, before machines are made. */
export function checkVolumes(pair: Construct, { platform, disk, dataVolume }: DrbdNfsPairProps): void {
  const onHosts = platform.placesByHost;
  if ((disk !== undefined) === onHosts && (dataVolume === undefined || !onHosts)) return;
  refuse(pair, {
    code: "conflicting-setting",
    what: onHosts
      ? dataVolume
        ? "'dataVolume' on hosts that exist already"
        : "no 'disk' on hosts that exist already"
      : "'disk' on machines that are made with their volumes",
    allowed: "'disk' on hosts, 'dataVolume' on AWS: DRBD wants a block device for itself on each node",
    fix: onHosts ? 'disk: "/dev/vg0/nfs"' : "dataVolume: { sizeGiB: 100 }",
  });
}

function checkDisks(
  pair: Construct,
  machines: readonly Machine[],
  { disk, metaDisk }: DrbdNfsPairProps,
): void {
  const without = machines.find(({ aws }) => aws && !aws.dataVolume);
  if (without) {
    refuse(pair, {
      code: "conflicting-setting",
      what: `${without.name} has no volume for the data`,
      allowed: "one on each node, of the same size",
      fix: "dataVolume: { sizeGiB: 100 }",
    });
  }
  for (const [name, path] of Object.entries({ disk, metaDisk })) {
    if (path === undefined || /^\/dev\/[A-Za-z0-9/_.:+-]+$/.test(path)) continue;
    refuse(pair, {
      code: "bad-path",
      what: `'${name}' is '${path}'`,
      allowed: "the path of a block device below /dev: a disk, a partition or a logical volume",
      fix: `${name}: "/dev/vg0/nfs"`,
    });
  }
  if (metaDisk !== undefined && metaDisk === disk) {
    refuse(pair, {
      code: "bad-path",
      what: `'metaDisk' is 'disk', ${disk}`,
      allowed: "a device of its own: DRBD's notes would lie on the data",
      fix: "leave it out: the notes go to the end of the disk",
    });
  }
}

function checkSettings(pair: Construct, { secret, protocol }: DrbdNfsPairProps): void {
  if (secret.source.kind === "generated") {
    refuse(pair, {
      code: "secret-not-shared",
      what: "'secret' is generated on each machine",
      allowed: "a value that both nodes share",
      fix: "Secret.variable(...), Secret.file(...), Secret.awsSecretsManager(...) or Secret.awsParameter(...)",
    });
  }
  if (protocol !== undefined && protocol !== "C") {
    warn(pair, {
      code: "not-durable",
      what: `writes are acknowledged by protocol ${protocol}`,
      allowed: "C, which waits for the other node's disk",
      fix:
        protocol === "A"
          ? "leave 'protocol' out; as it is, what was on its way is lost with the node that serves"
          : "leave 'protocol' out; as it is, a power cut of both nodes loses what was in memory",
    });
  }
}

/** Of Mbit/s, in MiB/s. */
const MIB_OF_MBIT = 1e6 / 8 / 2 ** 20;

function checkLink(pair: Construct, { linkMbit = 1000, resyncRate }: DrbdNfsPairProps): void {
  const most = Math.floor(linkMbit * MIB_OF_MBIT);
  if (resyncRate === undefined || resyncRate <= most) return;
  refuse(pair, {
    code: "rate-above-link",
    what: `'resyncRate' is ${resyncRate} MiB/s, and the link carries ${most} (${linkMbit} Mbit/s)`,
    allowed: `up to ${most}, and less than that while clients write`,
    fix: "leave 'resyncRate' out, or say how fast the link is: linkMbit: 10_000",
  });
}

function checkAdoption(
  pair: Construct,
  machines: readonly Machine[],
  { adopt, exports }: DrbdNfsPairProps,
): void {
  if (!adopt) return;
  const names = machines.map(({ name }) => name);
  if (!names.includes(adopt.node)) {
    refuse(pair, {
      code: "unknown-node",
      what: `the data of '${adopt.node}' are to be taken over`,
      allowed: names.join(", "),
      fix: "name the node whose disk holds them",
    });
  }
  if (!exports.some(({ name }) => name === adopt.export)) {
    refuse(pair, {
      code: "unknown-export",
      what: `what is taken over becomes export '${adopt.export}'`,
      allowed: exports.map(({ name }) => name).join(", "),
      fix: `name one of these, or add { name: "${adopt.export}" } to 'exports'`,
    });
  }
}

function checkPingHosts(pair: Construct, { pingHosts = [] }: DrbdNfsPairProps): void {
  const wrong = pingHosts.find((address) => !isToken(address) && !isIp(address));
  if (wrong === undefined) return;
  refuse(pair, {
    code: "bad-address",
    what: `'pingHosts' has '${wrong}'`,
    allowed: "IP addresses: names would need a name server just when the network is in trouble",
    fix: 'pingHosts: ["10.0.1.1"], the router of the clients\' network',
  });
}

function checkSecondLink(
  pair: Construct,
  machines: readonly Machine[],
  { secondLink }: DrbdNfsPairProps,
): void {
  if (!secondLink) return;
  for (const { name, privateAddress } of machines) {
    const address = secondLink[name];
    if (address !== undefined && !isToken(address) && isIp(address) && address !== privateAddress) continue;
    refuse(pair, {
      code: "bad-address",
      what: `the second link of ${name} is ${address === undefined ? "nowhere" : `'${address}'`}`,
      allowed: "the address of each node on a second network",
      fix: `secondLink: { ${machines.map((machine, index) => `"${machine.name}": "192.168.7.${index + 1}"`).join(", ")} }`,
    });
  }
  const stranger = Object.keys(secondLink).find((name) => !machines.some((machine) => machine.name === name));
  if (stranger === undefined) return;
  refuse(pair, {
    code: "unknown-node",
    what: `'secondLink' has an address of '${stranger}'`,
    allowed: machines.map(({ name }) => name).join(", "),
    fix: "name the two nodes",
  });
}

function warnOfRisks(
  pair: Construct,
  machines: readonly Machine[],
  [voter]: readonly Machine[],
  { fencing }: DrbdNfsPairProps,
): void {
  if (fencing && !fencing.method.isCertain) {
    warn(pair, {
      code: "split-brain-accepted",
      what: "nobody can switch a node off: one that hangs or is cut off may go on writing while the other one has taken over",
      allowed: "Fencing.aws, Fencing.ipmi, Fencing.redfish, Fencing.watchdog or Fencing.command",
      fix: "as it is, what one of the two has written since is lost: DRBD stops, and a person has to choose",
    });
  }
  if (fencing?.method.isSoftware) {
    warn(pair, {
      code: "software-watchdog",
      what: "a node whose kernel hangs is not reset by its own timer: should it wake up later, it may write what it had under way",
      allowed: "a watchdog of the machine's own, or a power switch",
      fix: "leave 'software' out where the machines have a watchdog; as it is, hangs of a kernel are not covered",
    });
  }
  const beside = machines.find(({ zone }) => zone !== undefined && zone === voter?.zone);
  if (!beside) return;
  warn(pair, {
    code: "quorum-in-one-zone",
    what: `the third vote is in zone '${beside.zone}', with ${beside.name}`,
    allowed: "a zone of its own: when this one fails the node that is left has one vote of three, and stops",
    fix: "put the quorum host into a third zone",
  });
}
