import { AwsProvider } from "@cdktf/provider-aws/lib/provider";
import type { TerraformStack } from "cdktf";
import {
  AwsPlatform,
  CassandraInstallation,
  CassandraVersion,
  MetricsAgent,
  Peer,
  Port,
  RingTls,
  Secret,
  ServiceTier,
  Snapshots,
  type CassandraRingProps,
} from "../../lib";
import { changeOrder, defaultSeeds, type RingNode } from "../../lib/cassandra-ring/layout";
import { compareNames } from "../../lib/names";
import { Template } from "../../lib/testing";
import { newAws, newStack } from "../support/stack";
import { CERTIFICATE, newRing, ringHosts } from "./rings";

const node = (name: string, rack: string, datacenter = "dc"): RingNode => ({
  name,
  rack,
  datacenter,
  machine: undefined as never,
});
const names = (nodes: readonly RingNode[]): string[] => nodes.map(({ name }) => name);

test("seeds: one of each rack, three at most, stable by name; two where there is one rack", () => {
  const nodes = ["a", "b", "c", "d"].flatMap((rack, index) => [
    node(`n-${index + 11}`, rack),
    node(`n-${index + 2}`, rack),
  ]);
  expect(names(defaultSeeds(nodes))).toEqual(["n-2", "n-3", "n-4"]);
  expect(names(defaultSeeds([...nodes].reverse()))).toEqual(["n-2", "n-3", "n-4"]);
  expect(names(defaultSeeds([node("n-10", "a"), node("n-9", "a"), node("n-1", "a")]))).toEqual([
    "n-1",
    "n-9",
  ]);
});

test("repairs at least every ten days, or a warning; and copies for which there are nodes", () => {
  const warnings = (props: Partial<CassandraRingProps>): string => {
    const stack = newStack();
    newRing(stack, { clients: [Peer.anyone()], ...props });
    return Template.synth(stack).warnings.join("\n");
  };
  for (const repair of ["weekly", "Sun *-*-* 03:00", "*-*-1,8,15,22 03:00", "*-*-01/7", false] as const)
    expect(warnings({ repair })).toBe("");
  for (const repair of ["yearly", "*-*-01 03:00:00", "*-07-01"])
    expect(warnings({ repair })).toContain("[repair-too-rare]");
  const keyspaces = [{ name: "archive", replicationFactor: 2 }];
  expect(warnings({ keyspaces })).toContain("fix: replicationFactor: 3, or");
  expect(warnings({ keyspaces, nodes: ["cassandra-1", "cassandra-2"] })).toContain(
    "fix: a node more, then replicationFactor: 3, or",
  );
});

test("nodes begin datacenter after datacenter, by name and number, whoever is a seed", () => {
  const nodes = [node("n-10", "a"), node("n-2", "a"), node("m-1", "a", "other"), node("n-1", "b")];
  expect(names(changeOrder(nodes))).toEqual(["n-1", "n-2", "n-10", "m-1"]);
  expect(["n-10", "n-9", "n-1"].sort(compareNames)).toEqual(["n-1", "n-9", "n-10"]);
});

test("ports: the ring's own, the clients', and JMX for nobody", () => {
  const stack = newStack();
  const ring = newRing(stack, { clients: [Peer.cidr("10.0.2.0/24")] });
  const web = new ServiceTier(stack, "web", {
    platform: stack.node.findChild("rack") as never,
    nodes: ["cassandra-6"],
    port: 80,
    services: [{ name: "plain", describe: () => ({ files: [] }) }],
  });
  ring.connections.allowFrom(web);
  const template = Template.synth(stack).hasNoErrors();
  template.hasPort(ring, Port.tcp(9042)).onlyFrom(ring, web, Peer.cidr("10.0.2.0/24"));
  template.hasPort(ring, Port.tcp(7000)).onlyFrom(ring);
  for (const port of [7001, 7199, 9160]) template.hasPort(ring, Port.tcp(port)).toNobody();
  expect(template.file("cassandra-1", "/etc/cdktf-ha/firewall.nft")).toMatch(/7199/);
});

test("an own mirror: its keys are a file of the node's, and a mirror that moves restarts nobody", () => {
  const keys = "who signs\n-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n-----END PGP PUBLIC KEY BLOCK-----";
  const filesOf = (installation: CassandraInstallation): ((path: string) => string) => {
    const stack = newStack();
    newRing(stack, { installation });
    const template = Template.synth(stack).hasNoErrors();
    return (path) => template.file("cassandra-1", `/etc/cassandra/cdktf-ha/${path}`);
  };
  const mirror = "http://apt.internal/cassandra";
  const own = filesOf(CassandraInstallation.apt("5.0.6", { mirror, keys, suite: "bookworm" }));
  expect(own("apt-keys.asc")).toBe(`${keys}\n`);
  expect(own("ring")).toContain(
    `RING_SOURCE=('${mirror}' '/etc/cassandra/cdktf-ha/apt-keys.asc' 'bookworm')`,
  );
  const apache = filesOf(CassandraInstallation.apt("5.0.6"));
  expect(apache("ring")).toContain(
    "RING_SOURCE=('https://debian.cassandra.apache.org' 'https://downloads.apache.org/cassandra/KEYS' '50x')",
  );
  expect(() => apache("apt-keys.asc")).toThrow();
  expect(own("launch")).toBe(apache("launch"));
});

test("metrics: open to those who are named, the agent as it was checked; its rules restart nobody", () => {
  const stack = newStack();
  const monitoring = Peer.cidr("10.0.3.0/24");
  const ring = newRing(stack, {
    installation: CassandraInstallation.directory("5.0.6", "/opt/cassandra-5.0.6"),
    metrics: { clients: [monitoring], port: 9500 },
  });
  const template = Template.synth(stack).hasNoErrors();
  template.hasPort(ring, Port.tcp(9500)).onlyFrom(monitoring);
  template.hasPort(ring, Port.tcp(7070)).toNobody();
  const file = (path: string): string => template.file("cassandra-1", `/etc/cassandra/${path}`);
  const jar = /RING_METRICS='(\S+)=@ADDRESS@:9500:\/etc\/cassandra\/metrics.yaml'/.exec(
    file("cdktf-ha/launch"),
  )![1];
  expect(file("cdktf-ha/ring")).toContain(`RING_AGENT='${jar}'`);
  expect(file("cdktf-ha/ring")).toMatch(
    /RING_AGENT_SOURCE=\('https:\/\/repo1\.maven\.org\/\S+' '[0-9a-f]{64}'\)/,
  );
  const present = newStack();
  newRing(present, {
    metrics: { clients: [monitoring], agent: MetricsAgent.jar("/usr/share/java/agent.jar") },
  });
  const facts = Template.synth(present).file("cassandra-1", "/etc/cassandra/cdktf-ha/ring");
  expect(facts).toContain("RING_AGENT='/usr/share/java/agent.jar'\nRING_AGENT_SOURCE=()");
});

test("3.11 with Thrift and TLS: 9160 for clients, 7001 for the ring; what esmond is told", () => {
  const stack = newStack();
  const client = Peer.cidr("10.0.2.0/24");
  const ring = newRing(stack, {
    version: CassandraVersion.V3_11,
    thrift: true,
    clients: [client],
    keyspaces: [{ name: "esmond", replicationFactor: 2 }],
    nodes: ["cassandra-1", "cassandra-2"],
    tls: RingTls.authority(Secret.variable(stack, "authority"), { trusted: [CERTIFICATE] }),
  });
  expect(ring.contactPoints).toBe("10.0.1.61,10.0.1.62");
  expect(ring.esmondSettings()).toBe(
    "cassandra_servers = 10.0.1.61:9160,10.0.1.62:9160\ncassandra_replicas = 2\n",
  );
  const template = Template.synth(stack).hasNoErrors();
  template.hasPort(ring, Port.tcp(9160)).onlyFrom(client);
  template.hasPort(ring, Port.tcp(7001)).onlyFrom(ring);
  expect(template.file("cassandra-1", "/etc/cassandra/cdktf-ha/ring")).toContain(
    "RING_STORAGE_PORTS='7000 7001'",
  );
});

test("a weekly repair that fails is tried again before the week is over, a snapshot is not", () => {
  const stack = newStack();
  newRing(stack, { snapshots: Snapshots.directory("/srv/snapshots") });
  const template = Template.synth(stack).hasNoErrors();
  const unit = (name: string): string =>
    template.file("cassandra-1", `/etc/systemd/system/cassandra-${name}.service`);
  expect(unit("repair")).toMatch(/Type=oneshot\n(.*\n)*Restart=on-failure\nRestartSec=30min\n/);
  expect(unit("snapshot")).not.toContain("Restart=");
});

test("the rollout: node after node, then keyspaces by one node, then upkeep node after node", () => {
  const stack = newStack();
  newRing(stack, { keyspaces: [{ name: "esmond" }] });
  const pushes = Template.synth(stack).resources("terraform_data");
  const short = (name: string): string =>
    /(cassandra-\d[_-](?:cassandra(?:-schema|-upkeep)?|base)|members|dissolve)(?=_|$)/.exec(name)?.[1] ??
    name;
  const waits = Object.fromEntries(
    Object.entries(pushes).map(([name, { depends_on: on }]) => [
      short(name),
      ((on ?? []) as string[]).map(short).filter((other) => !other.endsWith("_base")),
    ]),
  );
  expect(waits).toMatchObject({
    "cassandra-1-cassandra": [],
    "cassandra-2-cassandra": ["cassandra-1-cassandra"],
    "cassandra-3-cassandra": ["cassandra-2-cassandra"],
    "cassandra-1-cassandra-schema": ["cassandra-3-cassandra"],
    "cassandra-1-cassandra-upkeep": ["cassandra-1-cassandra-schema"],
    "cassandra-2-cassandra-upkeep": ["cassandra-1-cassandra-upkeep"],
    "cassandra-3-cassandra-upkeep": ["cassandra-2-cassandra-upkeep"],
  });
});

test("the tolerance is told at synth, and in the topology", () => {
  const stack = newStack();
  const ring = newRing(stack, { keyspaces: [{ name: "esmond", replicationFactor: 3 }] });
  expect(ring.toleranceOf("esmond")).toMatchObject({ withACopyLeft: 2, localQuorum: { datacenter1: 1 } });
  expect(ring.topology()).toMatchObject({
    kind: "CassandraRing",
    members: [1, 2, 3].map((n) => ({ name: `cassandra-${n}`, zone: `rack-${n}`, roles: ["node", "seed"] })),
    survives: { failures: 1, of: "node" },
  });
});

test("two datacenters: each its own nodes first among the seeds, and its own copies", () => {
  const stack = newStack();
  const platform = ringHosts(stack);
  const ring = newRing(stack, {
    datacenters: {
      here: { platform, nodes: ["cassandra-1", "cassandra-2", "cassandra-3"] },
      there: { platform, nodes: ["cassandra-4", "cassandra-5"], seeds: ["cassandra-5"] },
    },
    keyspaces: [{ name: "esmond" }],
  });
  expect(ring.copiesOf("esmond")).toEqual({ here: 3, there: 2 });
  const template = Template.synth(stack).hasNoErrors();
  const seeds = (name: string): string | undefined =>
    /seeds: '([^']*)'/.exec(template.file(name, "/etc/cassandra/cassandra.yaml"))?.[1];
  expect(seeds("cassandra-1")).toBe("10.0.1.61,10.0.1.62,10.0.1.63,10.0.1.65");
  expect(seeds("cassandra-4")).toBe("10.0.1.65,10.0.1.61,10.0.1.62,10.0.1.63");
  expect(template.file("cassandra-4", "/etc/cassandra/cassandra-rackdc.properties")).toContain("dc=there");
});

describe("in several regions", () => {
  const regions = (stack: TerraformStack): { here: AwsPlatform; there: AwsPlatform } => {
    const here = newAws(stack, { ssh: { keyName: "ops", privateKeyFile: "~/.ssh/ops" } });
    const provider = new AwsProvider(stack, "other", { region: "us-east-1", alias: "other" });
    const there = new AwsPlatform(stack, "there", { ...here.props, vpcId: "vpc-0def", provider });
    return { here, there };
  };
  const nodes = ["cassandra-1", "cassandra-2", "cassandra-3"];
  const dataVolume = { sizeGiB: 500 };

  test("what is of the other region is made by its provider, and nothing else", () => {
    const stack = newStack();
    const { here, there } = regions(stack);
    newRing(stack, {
      datacenters: { eu: { platform: here, nodes }, us: { platform: there, nodes: ["cassandra-4"] } },
      dataVolume,
    });
    const { json } = Template.synth(stack).hasNoErrors();
    const all = [json.resource, json.data].flatMap((types) =>
      Object.entries(types as Record<string, Record<string, { provider?: string }>>)
        .filter(([type]) => type.startsWith("aws_"))
        .flatMap(([, some]) => Object.entries(some)),
    );
    const other = all.filter(([, { provider }]) => provider === "aws.other").map(([name]) => name);
    expect(all.filter(([, { provider }]) => provider !== "aws.other" && provider !== undefined)).toEqual([]);
    const names = all.map(([name]) => name);
    expect(other.sort()).toEqual(
      names
        .filter((name) => /cassandra-4|there/.test(name) && !name.includes("from-ring-cassandra-4"))
        .sort(),
    );
  });

  test("a second datacenter changes nothing of the first", () => {
    const addresses = (template: Template): string[] =>
      Object.entries(template.json.resource as Record<string, object>).flatMap(([type, some]) =>
        Object.keys(some).map((name) => `${type}.${name}`),
      );
    const one = newStack();
    newRing(one, { platform: regions(one).here, nodes, dataVolume });
    const two = newStack();
    const { here, there } = regions(two);
    newRing(two, {
      datacenters: {
        datacenter1: { platform: here, nodes },
        us: { platform: there, nodes: ["cassandra-4"] },
      },
      dataVolume,
    });
    expect(addresses(Template.synth(two))).toEqual(expect.arrayContaining(addresses(Template.synth(one))));
  });

  test("nodes that are elsewhere are let in by their addresses, and the other way round", () => {
    const stack = newStack();
    const aws = newAws(stack, { ssh: { keyName: "ops", privateKeyFile: "~/.ssh/ops" } });
    const ring = newRing(stack, {
      datacenters: {
        aws: { platform: aws, nodes },
        rack: { platform: ringHosts(stack), nodes: ["cassandra-4"] },
      },
    });
    const template = Template.synth(stack).hasNoErrors();
    template.hasPort(ring, Port.tcp(7000)).onlyFrom(ring);
    const into7000 = Object.values(
      template.resources("aws_vpc_security_group_ingress_rule") as Record<
        string,
        { from_port: number; cidr_ipv4?: string; referenced_security_group_id?: string }
      >,
    ).filter(({ from_port: port }) => port === 7000);
    expect(into7000.map(({ cidr_ipv4: network }) => network)).toEqual(["10.0.1.64/32", undefined]);
  });
});

describe("on AWS", () => {
  const stack = newStack();
  newRing(stack, {
    platform: newAws(stack, { ssh: { keyName: "ops", privateKeyFile: "~/.ssh/ops" } }),
    dataVolume: { sizeGiB: 500 },
    snapshots: Snapshots.s3("s3://archive/rings/one"),
  });
  const template = Template.synth(stack).hasNoErrors();

  test("a volume for each node, mounted where the data lie", () => {
    expect(Object.values(template.resources("aws_ebs_volume"))).toHaveLength(3);
    const unit = template.file("cassandra-1", "/etc/systemd/system/var-lib-cassandra.mount");
    expect(unit).toContain("Where=/var/lib/cassandra");
    // the device, which systemd waits for; by the volume's id without its dash, as udev names it
    expect(unit).toMatch(
      /What=\/dev\/disk\/by-id\/nvme-Amazon_Elastic_Block_Store_\$\{replace\(aws_volume_attachment\.\S+\.volume_id, "-", ""\)\}\n/,
    );
    const facts = template.file("cassandra-1", "/etc/cassandra/cdktf-ha/ring");
    expect(facts).toMatch(/RING_VOLUME=\S+/);
    expect(facts).toContain("RING_VOLUME_GIB='500'");
  });

  test("each node may write and read its own snapshots only", () => {
    const documents = JSON.stringify(template.json.data?.aws_iam_policy_document);
    for (const name of ["cassandra-1", "cassandra-2", "cassandra-3"]) {
      expect(documents).toMatch(new RegExp(`:s3:::archive/rings/one/${name}/\\*`));
    }
    expect(documents).toMatch(/"s3:ListBucket"\],"resources":\["arn:\S+?:s3:::archive"\]/);
  });

  test("a node that leaves the code hands over its rows before its instance goes", () => {
    interface Goodbyes {
      for_each: Record<string, { host: string }>;
      depends_on: string[];
    }
    const goodbyes = (part: string): [string, Goodbyes] =>
      Object.entries(template.resources("terraform_data")).find(([name]) =>
        name.includes(part),
      ) as unknown as [string, Goodbyes];
    const [[, members], [handovers, { depends_on: on }]] = [goodbyes("members"), goodbyes("handovers")];
    expect(Object.keys(members.for_each)).toEqual(["cassandra-1", "cassandra-2", "cassandra-3"]);
    expect(members.for_each["cassandra-1"]!.host).toMatch(/^\$\{aws_/);
    // Terraform destroys in the opposite order: only what the goodbyes depend on is still there while they are said
    expect(members.depends_on).toEqual([`terraform_data.${handovers}`]);
    for (const type of ["aws_instance", "aws_volume_attachment", "aws_iam_role_policy"]) {
      const names = Object.keys(template.resources(type)).map((name) => `${type}.${name}`);
      expect(names).toHaveLength(3);
      expect(on).toEqual(expect.arrayContaining(names));
    }
  });
});

test("a password goes into an upload of its own, and into nothing that Terraform keeps", () => {
  const stack = newStack();
  newRing(stack, { roles: [{ name: "esmond", password: Secret.variable(stack, "esmond-password") }] });
  const { json } = Template.synth(stack);
  const pushes = Object.values(Template.synth(stack).resources("terraform_data"));
  const kept = [
    json.locals,
    pushes.map(({ triggers_replace, connection }) => [triggers_replace, connection]),
  ];
  for (const name of ["var.esmond-password", "var.ring-password"]) {
    expect(JSON.stringify(pushes)).toContain(name);
    expect(JSON.stringify(kept)).not.toContain(name);
  }
});
