import { Lazy, Token, type TerraformStack } from "cdktf";
import { Construct } from "constructs";
import {
  AwsPlatform,
  EtcdCluster,
  HaproxyKeepalivedPair,
  MachineImage,
  Outgoing,
  Peer,
  Port,
  Secret,
  ServiceTier,
  Servers,
  Tls,
  VirtualIp,
  type AwsPlatformProps,
  type Service,
} from "../../lib";
import { Template } from "../../lib/testing";
import { newAws, newStack } from "../support/stack";

const plain: Service = { name: "plain", describe: () => ({ files: [{ path: "/etc/plain", text: "" }] }) };
const only = <T>(record: Record<string, T>): T => {
  expect(Object.keys(record)).toHaveLength(1);
  return Object.values(record)[0]!;
};

/** A pair in two zones in front of a tier. */
function synth(
  virtualIp: VirtualIp | undefined,
  props: Partial<AwsPlatformProps> = {},
  nodes: string[] = ["lb-1", "lb-2"],
): Template {
  const stack = newStack("prod");
  const aws = newAws(stack, props);
  const web = new ServiceTier(stack, "web", {
    platform: aws,
    nodes: ["web-1", "web-2", "web-3"],
    port: 8080,
    services: [plain],
  });
  const lb = new HaproxyKeepalivedPair(stack, "lb", { platform: aws, nodes, virtualIp });
  lb.balance("site", {
    port: 443,
    to: web,
    clients: [Peer.anyone()],
    tls: Tls.certificate(Secret.awsSecretsManager("site/tls", { jsonKey: "pem" })),
  });
  return Template.synth(stack).hasNoErrors();
}

test("an instance: its own interface, no old metadata service, encrypted, spread, never replaced by a newer image", () => {
  const template = synth(VirtualIp.elastic());
  const [name, instance] = Object.entries(template.resources("aws_instance")).find(([key]) =>
    key.includes("web-1"),
  )!;
  expect(instance).toMatchObject({
    ami: "ami-0123456789abcdef0",
    instance_type: "t3.small",
    key_name: "ops",
    metadata_options: { http_endpoint: "enabled", http_tokens: "required", http_put_response_hop_limit: 1 },
    root_block_device: { encrypted: true, volume_type: "gp3", volume_size: 16 },
    placement_group: expect.stringMatching(/^\$\{aws_placement_group\.web_spread_.*\.name\}$/),
    lifecycle: { ignore_changes: ["ami", "instance_type", "user_data", "key_name", "placement_group"] },
    tags: { Name: "web-1", ManagedBy: "cdktf-ha-clusters" },
  });
  expect(instance).not.toHaveProperty("iam_instance_profile"); // it may do nothing at AWS
  const interfaceName = name.replace("instance", "interface").replace(/_[0-9A-F]{8}$/, "");
  expect(instance.network_interface).toEqual([
    {
      device_index: 0,
      network_interface_id: expect.stringContaining(`aws_network_interface.${interfaceName}`),
    },
  ]);
  expect(Object.values(template.resources("aws_network_interface"))).toContainEqual(
    expect.objectContaining({
      subnet_id: "subnet-a",
      source_dest_check: true,
      tags: { Name: "web-1", ManagedBy: "cdktf-ha-clusters" },
    }),
  );
  expect(only(template.json.provider ?? {})).toBeDefined();
});

test("nodes go to zones by their own number, and a list that grows moves nobody", () => {
  const zones = (names: string[]): Record<string, unknown> => {
    const interfaces = synth(VirtualIp.elastic(), {}, names).resources("aws_network_interface");
    return Object.fromEntries(
      Object.values(interfaces).map(({ tags, subnet_id }) => [(tags as { Name: string }).Name, subnet_id]),
    );
  };
  const before = zones(["lb-1", "lb-3"]);
  expect(before).toMatchObject({ "lb-1": "subnet-a", "lb-3": "subnet-c", "web-2": "subnet-b" });
  expect(zones(["lb-1", "lb-2", "lb-3"])).toMatchObject(before);
});

test("adding a node changes no resource of another node", () => {
  const without = synth(VirtualIp.elastic(), {}, ["lb-1", "lb-2"]).json.resource!;
  const withThird = synth(VirtualIp.elastic(), {}, ["lb-1", "lb-2", "lb-3"]).json.resource!;
  for (const type of ["aws_instance", "aws_network_interface", "aws_iam_role", "aws_iam_role_policy"]) {
    expect(withThird[type]).toMatchObject(without[type]!);
  }
});

describe("gates", () => {
  const rules = (template: Template): Record<string, object> =>
    Object.fromEntries(
      Object.entries(template.resources("aws_vpc_security_group_ingress_rule")).map(([name, rule]) => [
        name.replace(/_[0-9A-F]{8}$/, ""),
        rule,
      ]),
    );

  test("each admission is a rule of its own, between groups where the peer has one", () => {
    const ingress = rules(synth(VirtualIp.elastic()));
    expect(Object.keys(ingress).sort()).toEqual([
      "aws_administration_from-10-0-0-0-24-tcp-22",
      "lb_from-0-0-0-0-0-tcp-443",
      "lb_from-0-tcp-443",
      "lb_from-lb-tcp-10000",
      "lb_from-lb-vrrp",
      "web_from-lb-tcp-8080",
    ]);
    expect(ingress["web_from-lb-tcp-8080"]).toMatchObject({
      ip_protocol: "tcp",
      from_port: 8080,
      to_port: 8080,
      security_group_id: expect.stringMatching(/aws_security_group\.web_security-group/),
      referenced_security_group_id: expect.stringMatching(/aws_security_group\.lb_security-group/),
    });
    expect(ingress["lb_from-lb-vrrp"]).toMatchObject({ ip_protocol: "112" });
    expect(ingress["lb_from-lb-vrrp"]).not.toHaveProperty("from_port");
    expect(ingress["lb_from-0-tcp-443"]).toMatchObject({ cidr_ipv6: "::/0" });
  });

  test("no group has rules inside, which would fight with those beside", () => {
    const groups = Object.values(synth(VirtualIp.elastic()).resources("aws_security_group"));
    expect(groups).toHaveLength(3);
    for (const group of groups) {
      expect(group).not.toHaveProperty("ingress");
      expect(group).not.toHaveProperty("egress");
    }
  });

  test("the same thing said twice is one rule", () => {
    const stack = newStack();
    const web = new ServiceTier(stack, "web", {
      platform: newAws(stack),
      nodes: ["web-1"],
      port: 80,
      services: [plain],
    });
    for (let n = 0; n < 3; n++) web.connections.allowFrom(Peer.cidr("192.0.2.0/24"), Port.tcp(80));
    Template.synth(stack).resourceCountIs("aws_vpc_security_group_ingress_rule", 2); // and SSH
  });

  test("everything may leave, unless outgoing traffic is restricted", () => {
    const open = Object.values(synth(VirtualIp.elastic()).resources("aws_vpc_security_group_egress_rule"));
    expect(open).toHaveLength(6); // three groups, two families
    expect(open.every(({ ip_protocol }) => ip_protocol === "-1")).toBe(true);
    const outgoing = Outgoing.only({ to: Peer.cidr("10.1.0.2"), ports: [Port.udp(53)], purpose: "names" });
    const restricted = Object.values(
      synth(VirtualIp.elastic(), { outgoing }).resources("aws_vpc_security_group_egress_rule"),
    );
    expect(restricted).toContainEqual(
      expect.objectContaining({ ip_protocol: "udp", from_port: 53, cidr_ipv4: "10.1.0.2/32" }),
    );
    expect(restricted).toContainEqual(
      expect.objectContaining({
        from_port: 8080,
        referenced_security_group_id: expect.stringContaining("web_security-group"),
      }),
    );
    expect(restricted.some(({ ip_protocol }) => ip_protocol === "-1")).toBe(false);
  });

  test("the machines' own firewalls say the same", () => {
    const text = synth(VirtualIp.elastic()).file("web-1", "/etc/cdktf-ha/firewall.nft");
    expect(text).toMatch(
      /ip saddr \{ \$\{aws_network_interface\.lb_lb-1\S+\.private_ip\}, \$\{aws_network_interface\.lb_lb-2\S+ \} tcp dport 8080 accept/,
    );
    expect(text).toContain("ip saddr 10.0.0.0/24 tcp dport 22 accept");
  });
});

describe("virtual IPs", () => {
  const statements = (template: Template): { actions: string[]; resources: string[] }[] =>
    Object.values(template.json.data?.aws_iam_policy_document ?? {})
      .flatMap(({ statement }) => statement as { actions: string[]; resources: string[] }[])
      .filter(({ actions }) => !actions.includes("sts:AssumeRole"));

  test("elastic: an address nobody associates but keepalived, and the right to do just that", () => {
    const template = synth(VirtualIp.elastic());
    template.resourceCountIs("aws_eip", 1).resourceCountIs("aws_eip_association", 0);
    expect(statements(template).filter(({ actions }) => actions.includes("ec2:AssociateAddress"))).toEqual(
      ["lb-1", "lb-2"].map((name) => ({
        actions: ["ec2:AssociateAddress"],
        resources: [
          expect.stringMatching(/:ec2:.*:elastic-ip\/\$\{aws_eip\.\S+\.allocation_id\}$/),
          expect.stringMatching(new RegExp(`aws_network_interface\\.lb_${name}_\\S+\\.arn`)),
        ],
      })),
    );
    expect(template.file("lb-1", "/usr/local/lib/cdktf-ha/vrrp-claims/main.1")).toMatch(
      /^ALLOCATION='\$\{aws_eip\.\S+\.allocation_id\}'$/m,
    );
    // keepalived does not start without any address
    expect(template.file("lb-1", "/etc/keepalived/keepalived.conf")).toMatch(
      /virtual_ipaddress \{\n\s+169\.254\.255\.\d+\/32 dev lo scope host\n\s+\}/,
    );
    expect(template.file("lb-1", "/etc/keepalived/cdktf-ha-addresses")).toMatch(
      /^169\.254\.255\.\d+\/32 lo\n$/,
    );
  });

  test("secondary private address: the interfaces are keepalived's to change", () => {
    const nodes = { "lb-1": { zone: "a" }, "lb-2": { zone: "a" } };
    const stack = newStack();
    const lb = new HaproxyKeepalivedPair(stack, "lb", {
      platform: newAws(stack),
      nodes,
      virtualIp: VirtualIp.secondaryPrivateIp("10.1.0.90"),
    });
    lb.balance("site", { port: 80, to: Servers.at({ a: "10.1.0.1:80" }) });
    const template = Template.synth(stack).hasWarning("one-zone");
    for (const networkInterface of Object.values(template.resources("aws_network_interface"))) {
      expect(networkInterface.lifecycle).toEqual({ ignore_changes: ["private_ips", "private_ips_count"] });
    }
    const [reservation] = Object.entries(template.resources("aws_ec2_subnet_cidr_reservation"));
    expect(reservation![1]).toMatchObject({
      subnet_id: "subnet-a",
      cidr_block: "10.1.0.90/32",
      reservation_type: "explicit",
    });
    // before AWS chooses addresses for the nodes themselves
    for (const networkInterface of Object.values(template.resources("aws_network_interface")))
      expect(networkInterface.depends_on).toEqual([`aws_ec2_subnet_cidr_reservation.${reservation![0]}`]);
    expect(statements(template).map(({ actions }) => actions)).toEqual([
      ["ec2:AssignPrivateIpAddresses"],
      ["ec2:AssignPrivateIpAddresses"],
    ]);
    expect(template.file("lb-1", "/etc/keepalived/keepalived.conf")).toContain("10.1.0.90/32 dev");
  });

  test("route tables: led to the first node once, then keepalived's; packets for foreign addresses let through", () => {
    const template = synth(VirtualIp.routeTable("192.168.90.1", { routeTableIds: ["rtb-1", "rtb-2"] }));
    expect(Object.values(template.resources("aws_route"))).toEqual([
      expect.objectContaining({
        route_table_id: "rtb-1",
        destination_cidr_block: "192.168.90.1/32",
        lifecycle: { ignore_changes: ["network_interface_id"] },
      }),
      expect.objectContaining({ route_table_id: "rtb-2" }),
    ]);
    const checks = Object.values(template.resources("aws_network_interface")).map(
      ({ tags, source_dest_check }) => [(tags as { Name: string }).Name, source_dest_check],
    );
    expect(Object.fromEntries(checks)).toEqual({
      "lb-1": false,
      "lb-2": false,
      "web-1": true,
      "web-2": true,
      "web-3": true,
    });
    expect(
      statements(template).flatMap(({ resources, actions }) => (resources.includes("*") ? actions : [])),
    ).toEqual(["ec2:DescribeRouteTables", "ec2:DescribeRouteTables"]);
  });

  test("a secret is read with the machine's own right", () => {
    const read = statements(synth(undefined)).filter(({ actions }) =>
      actions.includes("secretsmanager:GetSecretValue"),
    );
    expect(read).toHaveLength(2);
    expect(read[0]!.resources[0]).toMatch(/:secretsmanager:.*:secret:site\/tls-\?\?\?\?\?\?$/);
    expect(synth(undefined).file("lb-1", "/etc/haproxy/tls/site-1.pem")).toMatch(
      /^@@HA:secret:site-tlspem-\w+@@$/,
    );
  });
});

describe("rights to a secret", () => {
  const KEY = "arn:aws:kms:us-east-1:123456789012:key/1234";
  interface Statement {
    actions: string[];
    resources: string[];
    condition?: object[];
  }
  const rightsTo = (secret: Secret): Statement[] => {
    const stack = newStack("prod");
    const reader: Service = { name: "reader", describe: () => ({ files: [], secrets: [secret] }) };
    new ServiceTier(stack, "web", {
      platform: newAws(stack),
      nodes: ["web-1"],
      port: 80,
      services: [reader],
    });
    return Object.values(Template.synth(stack).json.data?.aws_iam_policy_document ?? {})
      .flatMap(({ statement }) => statement as Statement[])
      .filter(({ actions }) => !actions.includes("sts:AssumeRole"));
  };

  test("of another region", () => {
    const [read, ...more] = rightsTo(Secret.awsSecretsManager("site/tls", { region: "us-east-1" }));
    expect(read!.resources).toEqual([
      expect.stringMatching(/:secretsmanager:us-east-1:\$\{\S+\}:secret:site\/tls-\?{6}$/),
    ]);
    expect(more).toEqual([]);
  });

  test("by its ARN, which may be a token", () => {
    const arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:site/tls-AbCdEf";
    expect(rightsTo(Secret.awsSecretsManager(arn))[0]!.resources).toEqual([arn]);
    const token = Lazy.stringValue({ produce: () => "${aws_secretsmanager_secret.tls.arn}" });
    const secret = Secret.awsSecretsManager("site/tls", { arn: token });
    expect(rightsTo(secret)[0]!.resources).toEqual(["${aws_secretsmanager_secret.tls.arn}"]);
  });

  test("under a key of the customer's own: to decrypt with it, by way of this service alone", () => {
    const secret = Secret.awsParameter("/db", { region: "us-east-1", kmsKeyArn: KEY });
    expect(rightsTo(secret)[1]).toEqual({
      actions: ["kms:Decrypt"],
      resources: [KEY],
      condition: [
        { test: "StringEquals", variable: "kms:ViaService", values: ["ssm.us-east-1.amazonaws.com"] },
      ],
    });
    expect(rightsTo(Secret.awsSecretsManager("a", { kmsKeyArn: KEY }))[1]!.condition).toEqual([
      expect.objectContaining({
        values: [expect.stringMatching(/^secretsmanager\.\$\{data\.aws_region\.\S+\.id\}\.amazonaws\.com$/)],
      }),
    ]);
  });
});

describe("names at AWS", () => {
  const roles = (stack: TerraformStack): unknown[] =>
    Object.values(Template.synth(stack).resources("aws_iam_role")).map(({ name }) => name);

  test("machines of one name on two platforms have roles of their own", () => {
    const stack = newStack("prod");
    for (const site of ["one", "two"]) {
      const scope = new Construct(stack, site);
      const platform = new AwsPlatform(scope, "aws", {
        vpcId: "vpc-0abc",
        subnets: { a: "subnet-a", b: "subnet-b" },
        image: MachineImage.id("ami-0123456789abcdef0", { user: "admin" }),
        ssh: { publicKey: "ssh-ed25519 AAAA", agent: true },
        admins: [Peer.cidr("10.0.0.0/24")],
      });
      platform.machine(new Construct(scope, "web"), "web-1", {}).aws!.grant({
        actions: ["ec2:DescribeRouteTables"],
        resources: ["*"],
      });
    }
    expect(roles(stack)).toEqual(["prod-one-web-web-1", "prod-two-web-web-1"]);
    expect(
      Object.values(Template.synth(stack).resources("aws_key_pair")).map(({ key_name }) => key_name),
    ).toEqual(["prod-one-aws", "prod-two-aws"]);
  });

  test("long ones stay different and within IAM's limit", () => {
    const stack = newStack("a-stack-with-a-name-that-leaves-little-room-for-the-nodes");
    const platform = newAws(stack);
    for (const name of ["database-1", "database-2"]) {
      const { aws } = platform.machine(stack, name, {});
      aws!.grant({ actions: ["ec2:DescribeRouteTables"], resources: ["*"] });
    }
    const names = roles(stack) as string[];
    expect(new Set(names).size).toBe(2);
    for (const name of names) expect(name).toMatch(/^a-stack-with-a-name-[\w-]{43,44}$/);
  });
});

test("a boundary is every role's", () => {
  const permissionsBoundary = "arn:aws:iam::123456789012:policy/machines";
  const roles = Object.values(synth(VirtualIp.elastic(), { permissionsBoundary }).resources("aws_iam_role"));
  expect(roles).toHaveLength(2);
  for (const role of roles) expect(role).toMatchObject({ permissions_boundary: permissionsBoundary });
});

test("a key from a variable is warned of where a machine has something to hand over", () => {
  const withKey = (): { stack: TerraformStack; platform: AwsPlatform } => {
    const stack = newStack();
    return {
      stack,
      platform: newAws(stack, { ssh: { keyName: "ops", privateKey: Secret.variable(stack, "key") } }),
    };
  };
  const none = withKey();
  new ServiceTier(none.stack, "web", {
    platform: none.platform,
    nodes: ["web-1"],
    port: 80,
    services: [plain],
  });
  expect(Template.synth(none.stack).warnings.join()).not.toContain("removal-needs-key");
  const some = withKey();
  new EtcdCluster(some.stack, "votes", { platform: some.platform, nodes: ["votes-1"] });
  Template.synth(some.stack).hasWarning("removal-needs-key");
});

test("the block that says goodbye stays when the last machine that hands over has left the code", () => {
  const stack = newStack();
  newAws(stack);
  const found = Object.entries(Template.synth(stack).resources("terraform_data")).find(([name]) =>
    name.includes("handovers"),
  );
  expect(found?.[1]).toMatchObject({ for_each: {}, provisioner: [expect.anything()] });
});

test("a type of a node's own changes that node, the platform's none", () => {
  const stack = newStack();
  const nodes = { "web-1": { zone: "a" }, "web-2": { zone: "b", instanceType: "t3.medium" } };
  new ServiceTier(stack, "web", { platform: newAws(stack), nodes, port: 80, services: [plain] });
  const [kept, changed] = Object.values(Template.synth(stack).resources("aws_instance")) as {
    lifecycle: { ignore_changes: string[]; postcondition?: { condition: string; error_message: string }[] };
  }[];
  expect(kept!.lifecycle.ignore_changes).toContain("instance_type");
  expect(kept!.lifecycle.postcondition).toEqual([
    {
      condition: '${self.instance_type == "t3.small"}',
      error_message: expect.stringContaining("[all-at-once]"),
    },
  ]);
  expect(changed!.lifecycle.ignore_changes).not.toContain("instance_type");
  expect(changed!.lifecycle).not.toHaveProperty("postcondition");
});

test("pushes wait for the instance, its rules and its rights", () => {
  const pushes = synth(VirtualIp.elastic()).resources("terraform_data");
  const [, base] = Object.entries(pushes).find(([name]) => name.includes("lb-1_machine_base"))!;
  const waits = (base.depends_on as string[]).map((address) => address.split(".")[0]);
  expect(new Set(waits)).toEqual(
    new Set([
      "aws_iam_role_policy",
      "aws_instance",
      "aws_vpc_security_group_egress_rule",
      "aws_vpc_security_group_ingress_rule",
      "terraform_data", // machines that leave
    ]),
  );
  expect(base.triggers_replace).toMatchObject({
    machine: expect.stringMatching(/^\$\{aws_instance\.lb_lb-1_instance\S+\.id\}$/),
  });
});

test("outgoing and bastion: connections go through it to private addresses", () => {
  const template = synth(VirtualIp.elastic(), {
    ssh: { keyName: "ops", agent: true, bastion: { host: "10.9.9.9", user: "jump" } },
  });
  const push = Object.values(template.resources("terraform_data")).find(({ connection }) => connection)!;
  expect(push.connection).toMatchObject({
    bastion_host: "10.9.9.9",
    bastion_user: "jump",
    user: "admin",
    agent: true,
  });
  expect(push.connection).toMatchObject({ host: expect.stringMatching(/private_ip\}$/) });
  expect(template.file("web-1", "/etc/cdktf-ha/firewall.nft")).toContain("10.9.9.9/32");
});

test("a bastion behind a forwarded port: localhost is nobody whom the machines let in", () => {
  const template = synth(undefined, {
    ssh: { keyName: "ops", agent: true, bastion: { forwardedPort: 2222, user: "jump" } },
  });
  const [, push] = Object.entries(template.resources("terraform_data")).find(([name]) =>
    name.includes("web-1_machine_base"),
  )!;
  expect(push.connection).toMatchObject({
    bastion_host: "127.0.0.1",
    bastion_port: 2222,
    bastion_user: "jump",
  });
  expect(template.file("web-1", "/etc/cdktf-ha/firewall.nft")).not.toContain("127.0.0.1");
});

test("sizes that only Terraform knows are passed on", () => {
  const stack = newStack();
  const number = (): number => Token.asNumber({ resolve: () => 40 });
  const aws = newAws(stack, { rootVolumeGiB: number() });
  const dataVolume = { sizeGiB: number(), iops: number(), throughput: number() };
  expect(() => aws.machine(stack, "a-1", { zone: "a", dataVolume })).not.toThrow();
});
