import { Fencing, Peer, Port, ServiceTier, VirtualIp } from "../../lib";
import type { DrbdNfsPairProps } from "../../lib/drbd-nfs-pair/pair-props";
import { PacemakerService } from "../../lib/drbd-nfs-pair/pair-services";
import { Template } from "../../lib/testing";
import { newStack } from "../support/stack";
import { newAwsPair, newPair, pairHosts } from "./pairs";

test("ports are open between exactly those that talk", () => {
  const stack = newStack();
  const platform = pairHosts(stack);
  const pair = newPair(stack, { platform });
  const template = Template.synth(stack).hasNoErrors().hasNoWarnings();
  template.hasPort(pair, Port.tcp(7788)).onlyFrom(pair);
  template.hasPort(pair, Port.udp(5405)).onlyFrom(pair);
  template.hasPort(pair, Port.tcp(2049)).onlyFrom(Peer.cidr("10.0.1.66"));
  for (const port of [111, 20048, 662, 4045]) template.hasPort(pair, Port.tcp(port)).toNobody();
  const firewall = template.file("vote-1", "/etc/cdktf-ha/firewall.nft");
  expect(firewall.match(/dport \d+/g)).toEqual(["dport 22", "dport 5403"]);
});

test("clients of version 3 are let in to what it needs, and nobody else is", () => {
  const stack = newStack();
  const pair = newPair(stack, { version3: true });
  const template = Template.synth(stack).hasNoErrors().hasNoWarnings();
  for (const port of [2049, 111, 20048, 662, 4045])
    template.hasPort(pair, Port.tcp(port)).onlyFrom(Peer.cidr("10.0.1.66"));
  for (const port of [111, 662]) template.hasPort(pair, Port.udp(port)).onlyFrom(Peer.cidr("10.0.1.66"));
  expect(template.file("nfs-1", "/etc/nfs.conf.d/cdktf-ha.conf")).toContain("vers3=y\n");
});

test("who mounts an export is let in, and comes after the pair", () => {
  const stack = newStack();
  const platform = pairHosts(stack);
  const apps = new ServiceTier(stack, "apps", { platform, nodes: ["app-1"], port: 80, services: [] });
  const pair = newPair(stack, { platform, exports: [{ name: "assets" }] });
  const mount = pair.export("assets").mountOn(apps, "/srv/assets");
  const template = Template.synth(stack).hasNoErrors();
  template.hasPort(pair, Port.tcp(2049)).onlyFrom(apps);
  expect(template.file("nfs-1", "/etc/exports.d/cdktf-ha.exports")).toContain("10.0.1.66/32(rw,");
  expect(template.file("app-1", "/etc/systemd/system/srv-assets.mount")).toContain(
    "What=10.0.1.90:/srv/nfs/exports/assets\nWhere=/srv/assets\n",
  );
  expect(template.file("app-1", "/etc/cdktf-ha/firewall.nft")).toContain(
    "ip saddr 10.0.1.90 tcp sport 2049 ct state invalid tcp flags & (fin | syn | rst | ack) == ack accept",
  );
  expect(mount.ready).toHaveLength(1);
});

test("what the cluster is told is looked at again whenever a node's part of it was pushed, also by a change that was taken back", () => {
  const stack = newStack();
  newPair(stack);
  const { resource } = Template.synth(stack).json as {
    resource: { terraform_data: Record<string, { lifecycle?: { replace_triggered_by: string[] } }> };
  };
  const due = Object.entries(resource.terraform_data)
    .filter(([name]) => name.includes("nfs-resources_run"))
    .map(([, { lifecycle }]) =>
      lifecycle?.replace_triggered_by.map((by) => by.replace(/.*?(nfs-\d-.*)_run.*/, "$1")),
    );
  expect(due).toEqual([
    ["nfs-1-pacemaker", "nfs-2-pacemaker"],
    ["nfs-1-pacemaker", "nfs-2-pacemaker"],
  ]);
});

test("an export more changes the list of exports alone", () => {
  const files = (more: readonly { name: string }[]): Record<string, string> => {
    const stack = newStack();
    newPair(stack, { exports: [{ name: "assets", clients: [Peer.cidr("10.0.1.66")] }, ...more] });
    const template = Template.synth(stack);
    return Object.fromEntries(
      [
        "/etc/drbd.d/nfs.res",
        "/etc/corosync/corosync.conf",
        "/etc/cdktf-ha/drbd-nfs-cib.xml",
        "/etc/nfs.conf.d/cdktf-ha.conf",
        "/etc/exports.d/cdktf-ha.exports",
      ].map((path) => [path, template.file("nfs-1", path)]),
    );
  };
  const before = files([]);
  const client = { clients: [Peer.cidr("10.0.1.67")] };
  const after = files([{ name: "pictures", ...client }]);
  const changed = Object.keys(before).filter((path) => before[path] !== after[path]);
  expect(changed).toEqual(["/etc/exports.d/cdktf-ha.exports"]);
  expect(after[changed[0]!]).toContain(before[changed[0]!]!.trim());
});

test("a node whose volume hangs is switched off where somebody can do that, and else only told", () => {
  const cib = (props: Partial<DrbdNfsPairProps>): string => {
    const stack = newStack();
    newPair(stack, { operationTimeout: 40, ...props });
    return Template.synth(stack).file("nfs-1", "/etc/cdktf-ha/drbd-nfs-cib.xml");
  };
  const monitor = 'id="ha-nfsd-monitor-10" name="monitor" interval="20s" timeout="160s"';
  for (const text of [cib({}), cib({ fencing: Fencing.watchdog() })]) {
    expect(text).toContain(`${monitor} on-fail="fence">`);
    expect(text).toContain('name="write_within" value="80"');
  }
  expect(cib({ fencing: Fencing.none({ iAcceptSplitBrain: true }) })).toContain(
    `${monitor} on-fail="ignore">`,
  );
  // the peer's disk hangs: DRBD drops it after seven times 18 s, and this node's own is not taken for the one that does
  expect(cib({ token: 25 })).toContain('name="write_within" value="166"');
});

test("a bare machine is given what Pacemaker's agents call", () => {
  const pair = newPair(newStack());
  const { packages } = new PacemakerService(pair).describe(pair.machines[0]!);
  const commands = packages!.flatMap(({ unlessCommand }) => unlessCommand ?? []);
  // fuser: without it ocf:heartbeat:Filesystem starts nothing
  expect(commands).toEqual(expect.arrayContaining(["fuser", "ping", "logrotate"]));
});

test("a node's failure is remembered until it has switched itself off", () => {
  const stack = newStack();
  newPair(stack, { fencing: Fencing.watchdog({ timeout: 150 }) });
  const cib = Template.synth(stack).file("nfs-1", "/etc/cdktf-ha/drbd-nfs-cib.xml");
  expect(cib).toContain('name="stonith-watchdog-timeout" value="300s"');
  expect(cib).toContain('name="failure-timeout" value="360s"');
});

test("the pair's secret stands nowhere but on the machines", () => {
  const stack = newStack();
  newPair(stack);
  const template = Template.synth(stack);
  expect(template.file("nfs-1", "/etc/drbd.d/nfs.res")).toContain(
    'shared-secret "@@HA:quotable:stack-pair-secret-',
  );
  expect(template.file("nfs-1", "/etc/cdktf-ha/drbd-nfs-cib.xml")).not.toContain("secret");
  expect(template.file("nfs-1", "/etc/corosync/corosync.conf")).not.toContain("@@HA");
});

describe("on AWS", () => {
  interface Rights {
    statement: { actions: string[]; resources: string[] }[];
  }

  test("a node may stop the other one's instance, and no other", () => {
    const stack = newStack();
    newAwsPair(stack);
    const synthesized = Template.synth(stack).hasNoErrors().hasNoWarnings();
    const documents = synthesized.json.data as unknown as { aws_iam_policy_document: Record<string, Rights> };
    const rights = Object.entries(documents.aws_iam_policy_document).flatMap(([name, { statement }]) =>
      statement
        .filter(({ actions }) => actions.includes("ec2:StopInstances"))
        .map(({ resources }) => [name, resources.join()].join(" ").match(/nfs-\d|vote-\d/g)),
    );
    expect(rights.map((names) => [...new Set(names)]).sort()).toEqual([
      ["nfs-1", "nfs-2"],
      ["nfs-2", "nfs-1"],
    ]);
  });

  test("each node has its own volume for DRBD, under its own name", () => {
    const stack = newStack();
    newAwsPair(stack);
    const template = Template.synth(stack);
    expect(template.file("nfs-2", "/etc/hostname")).toBe("nfs-2\n");
    const disks = template.file("nfs-1", "/etc/drbd.d/nfs.res").match(/ disk \/.*/g);
    expect(disks).toEqual([expect.stringContaining("nfs-1_data"), expect.stringContaining("nfs-2_data")]);
  });

  test("an elastic address is on no interface", () => {
    const stack = newStack();
    newAwsPair(stack, { virtualIp: VirtualIp.elastic() });
    const cib = Template.synth(stack).hasNoErrors().file("nfs-1", "/etc/cdktf-ha/drbd-nfs-cib.xml");
    expect(cib).toContain('provider="cdktf-ha" type="moving-address"');
    expect(cib).not.toContain("cidr_netmask");
  });
});
