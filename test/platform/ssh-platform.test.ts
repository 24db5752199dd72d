import { Construct } from "constructs";
import {
  Carrier,
  EtcdCluster,
  HaproxyKeepalivedPair,
  Peer,
  Secret,
  ServiceTier,
  SshPlatform,
  Servers,
  type Service,
} from "../../lib";
import { Template } from "../../lib/testing";
import { newRack, newStack } from "../support/stack";

const service: Service = {
  name: "s",
  describe: () => ({ files: [{ path: "/etc/s", text: "%{x} ${y}\n" }] }),
};

function tier(props: Parameters<typeof newRack>[1] = {}, nodes = ["web-1", "web-2"]): Template {
  const stack = newStack();
  new ServiceTier(stack, "web", { platform: newRack(stack, props), nodes, port: 80, services: [service] });
  return Template.synth(stack).hasNoErrors();
}

test.each([
  [Carrier.NULL_RESOURCE, "null_resource", "triggers"],
  [Carrier.TERRAFORM_DATA, "terraform_data", "triggers_replace"],
])(
  "%s carries triggers by file, and the texts escaped for Terraform's templates",
  (carrier, type, triggers) => {
    const template = tier({ carrier });
    const push = Object.entries(template.resources(type)).find(([name]) => name.includes("web-1-s"))![1];
    expect(push[triggers]).toMatchObject({
      machine: "10.0.1.70",
      "/etc/s": expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    expect(JSON.stringify(template.json.locals)).toContain("%%{x} $${y}");
    expect(template.file("web-1", "/etc/s")).toBe("%{x} ${y}\n");
  },
);

test("both carriers plan alike: the same triggers under the same names", () => {
  const triggersOf = (carrier: Carrier, attribute: string): unknown =>
    Object.fromEntries(
      Object.entries(tier({ carrier }).resources(carrier))
        .filter(([, resource]) => resource[attribute])
        .map(([name, resource]) => [name, resource[attribute]]),
    );
  expect(triggersOf(Carrier.NULL_RESOURCE, "triggers")).toEqual(
    triggersOf(Carrier.TERRAFORM_DATA, "triggers_replace"),
  );
});

test("the null provider is declared once, and the user's own is left alone", () => {
  const template = tier({ carrier: Carrier.NULL_RESOURCE });
  expect(template.json.provider).toEqual({ null: [{}] });
});

test("a changed text changes the trigger of its file, and nothing else", () => {
  const build = (text: string): Template => {
    const stack = newStack();
    const changing: Service = {
      name: "s",
      describe: () => ({
        files: [
          { path: "/etc/s", text },
          { path: "/etc/t", text: "t" },
        ],
      }),
    };
    new ServiceTier(stack, "web", {
      platform: newRack(stack),
      nodes: ["web-1"],
      port: 80,
      services: [changing],
    });
    return Template.synth(stack);
  };
  const triggers = (template: Template): Record<string, string> =>
    Object.entries(template.resources("terraform_data")).find(([name]) => name.includes("web-1-s"))![1]
      .triggers_replace as never;
  const [one, two] = [triggers(build("one")), triggers(build("two"))];
  expect(Object.keys(two).filter((key) => one[key] !== two[key])).toEqual(["/etc/s"]);
});

test("adding or removing a host touches no other host's resources", () => {
  const few = tier({}, ["web-1"]).resources("terraform_data");
  const many = tier({}, ["web-1", "web-2"]).resources("terraform_data");
  const own = (all: typeof few): object =>
    Object.fromEntries(Object.entries(all).filter(([name]) => name.includes("web-1")));
  expect(own(many)).toEqual(own(few));
});

test("connections: user, port, key file, bastion, host key; what a host says of its own wins", () => {
  const stack = newStack();
  const platform = new SshPlatform(stack, "rack", {
    hosts: {
      a: { address: "10.0.0.1" },
      b: {
        address: "10.0.0.2",
        ssh: { host: "b.example.net", user: "debian", port: 2222, hostKey: "ssh-ed25519 AAAA", agent: true },
      },
    },
    ssh: { user: "ops", privateKeyFile: "~/.ssh/id", bastion: "jump.example.net", timeoutSeconds: 30 },
    admins: [Peer.cidr("10.0.0.0/24")],
    carrier: Carrier.TERRAFORM_DATA,
  });
  expect(platform.host("a").connection).toEqual({
    type: "ssh",
    host: "10.0.0.1",
    user: "ops",
    port: 22,
    private_key: '${file(pathexpand("~/.ssh/id"))}',
    agent: false,
    bastion_host: "jump.example.net",
    bastion_port: 22,
    bastion_user: "ops",
    timeout: "30s",
    script_path: "./.cdktf-ha/%RAND%.sh",
  });
  expect(platform.host("b").connection).toMatchObject({
    host: "b.example.net",
    user: "debian",
    port: 2222,
    host_key: "ssh-ed25519 AAAA",
    agent: true,
  });
  expect(platform.host("b").hostRules().inbound).toContainEqual(expect.objectContaining({ first: 2222 }));
});

test("the key of a variable is in no trigger, no input, no local", () => {
  const stack = newStack();
  const key = Secret.variable(stack, "key");
  new ServiceTier(stack, "web", {
    platform: newRack(stack, { ssh: { privateKey: key } }),
    nodes: ["web-1"],
    port: 80,
    services: [service],
  });
  const template = Template.synth(stack).hasWarning("removal-needs-key");
  expect(template.json.variable).toMatchObject({ key: { sensitive: true } });
  for (const resource of Object.values(template.resources("terraform_data"))) {
    expect(JSON.stringify([resource.triggers_replace, resource.input, resource.for_each])).not.toContain(
      "var.key",
    );
  }
  expect(JSON.stringify(template.json.locals)).not.toContain("var.key");
});

test("a machine that leaves the code is told so by a block that stays", () => {
  const [, members] = Object.entries(tier().resources("terraform_data")).find(([name]) =>
    name.includes("members"),
  )!;
  expect(Object.keys(members.for_each as object)).toEqual(["web-1", "web-2"]);
  expect(JSON.stringify(members.provisioner)).toContain("cdktf-ha leave ${each.key}");
});

test("a service that hands something over is told so where its machine stays, before anybody else hears of it", () => {
  const stack = newStack();
  const rack = newRack(stack);
  new EtcdCluster(stack, "votes", { platform: rack, nodes: ["web-1"] });
  new ServiceTier(stack, "web", { platform: rack, nodes: ["web-1", "web-2"], port: 80, services: [service] });
  const resources = Object.entries(Template.synth(stack).resources("terraform_data"));
  const found = (part: string): [string, Record<string, unknown>] =>
    resources.find(([name]) => name.includes(part))!;
  const [name, handovers] = found("handovers");
  expect(Object.keys(handovers.for_each as object)).toEqual(["web-1/etcd"]);
  expect(JSON.stringify(handovers.provisioner)).toContain(
    'cdktf-ha leave-service ${replace(each.key, \\"/\\", \\" \\")}',
  );
  // a machine that leaves altogether goes first, with its services in their own order
  expect(found("members")[1].depends_on).toContain(`terraform_data.${name}`);
  expect(found("web-2_base_run")[1].depends_on).toContain(`terraform_data.${name}`);
});

test("a user's test reads who may connect", () => {
  const stack = newStack();
  const rack = newRack(stack);
  const web = new ServiceTier(stack, "web", {
    platform: rack,
    nodes: ["web-1", "web-2"],
    port: 80,
    services: [service],
  });
  const lb = new HaproxyKeepalivedPair(stack, "lb", { platform: rack });
  lb.balance("web", { port: 80, to: web, clients: [Peer.anyone()] });
  lb.balance("other", { port: 81, to: Servers.at({ a: "10.9.9.9:80" }) });
  const template = Template.synth(stack);
  const port = (number: number): Parameters<Template["hasPort"]>[1] =>
    lb.connections.inbound.find((one) => one.port.first === number)?.port ?? web.connections.inbound[0]!.port;
  template.hasPort(web, port(80)).onlyFrom(lb);
  template.hasPort(lb, port(80)).onlyFrom(Peer.anyone());
  expect(() => template.hasPort(web, port(80)).toNobody()).toThrow("it is open to stack/lb");
  expect(() => template.file("web-1", "/etc/nothing")).toThrow("web-1 gets no /etc/nothing; it gets:");
});

test("every machine gets the program itself as its command `cdktf-ha`", () => {
  const stack = newStack();
  new HaproxyKeepalivedPair(stack, "lb", { platform: newRack(stack) }).balance("web", {
    port: 80,
    to: Servers.at({ a: "192.0.2.1:80" }),
  });
  const { locals = {} } = Template.synth(stack).json as { locals?: Record<string, Record<string, string[]>> };
  const texts = Object.values(locals).flatMap((contents) => contents["/usr/local/sbin/cdktf-ha"] ?? []);
  // an expression of Terraform's, not the text of one
  expect(texts.filter((line) => line.includes("local."))).toEqual(
    Array<string>(2).fill("${local.cdktf-ha-push-program}"),
  );
});

test("a platform that no node uses has nobody to say goodbye to", () => {
  const stack = newStack();
  newRack(stack);
  const { dissolve } = Object.fromEntries(
    Object.entries(Template.synth(stack).resources("terraform_data")).map(([name, resource]) => [
      name.includes("dissolve") ? "dissolve" : name,
      resource,
    ]),
  );
  expect(dissolve).toBeDefined();
  expect(dissolve).not.toHaveProperty("provisioner");
});

test("no machine of any platform hears of a change before those that leave have left", () => {
  const stack = newStack();
  const [here, there] = ["here", "there"].map((id) =>
    newRack(new Construct(stack, id) as never, { hosts: { [`${id}-1`]: { address: "10.0.0.1" } } }),
  );
  here!.host("here-1");
  there!.host("there-1");
  const pushes = Object.entries(Template.synth(stack).resources("terraform_data"));
  const bases = pushes.filter(([name]) => name.includes("base_run"));
  expect(bases).toHaveLength(2);
  for (const [, { depends_on: on }] of bases) {
    expect((on as string[]).filter((address) => address.includes("members"))).toHaveLength(2);
  }
});
