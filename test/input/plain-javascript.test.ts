import { Lazy, Token } from "cdktf";
import { Construct } from "constructs";
import { shapesOfLibrary } from "../../build/input-shapes";
import * as library from "../../lib";
import { SHAPES } from "../../lib/input/shapes";
import { Template } from "../../lib/testing";
import { newRack, newStack } from "../support/stack";

/** What TypeScript refuses is refused of plain JavaScript too, with the same words as everything else. */

const {
  CassandraRing,
  HaproxyKeepalivedPair,
  InvalidInput,
  Outgoing,
  Peer,
  PostgresReplicaSet,
  Secret,
  Servers,
  Tls,
  Timers,
  VirtualIp,
} = library;
type Class = new (scope: Construct, id: string, props: unknown) => Construct;

function refusal(build: () => unknown): library.InvalidInput {
  try {
    build();
  } catch (error) {
    if (error instanceof InvalidInput) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}

/** As plain JavaScript has it: whatever is given. */
function ring(props: object): library.InvalidInput {
  const stack = newStack();
  const superuser = { password: Secret.variable(stack, "superuser") };
  const given = { clusterName: "archive", platform: newRack(stack), nodes: ["lb-1", "lb-2"], superuser };
  return refusal(() => new CassandraRing(stack, "ring", { ...given, ...props }));
}

test("what is known of the types is what they are: `npm run shapes` writes it again", () => {
  expect(shapesOfLibrary()).toEqual(SHAPES);
});

test("no member is asked for that another version of `constructs` may not have", () => {
  const construct = ["node", "with"];
  for (const [name, { members = [] }] of Object.entries(SHAPES.things)) {
    expect([name, members.filter((member) => construct.includes(member))]).toEqual([name, []]);
  }
  const platform = newRack(newStack());
  const older = new Proxy(platform, { has: (target, key) => key !== "with" && key in target });
  expect(() => new HaproxyKeepalivedPair(newStack(), "lb", { platform: older })).not.toThrow();
});

const constructs = Object.entries(library).filter(
  ([name, exported]) => `${name}Props` in SHAPES.things && (exported as Class).prototype instanceof Construct,
) as unknown as [string, Class][];
/** Made by other constructs, which have looked at their props. */
const inner = ["Backend", "Keepalived", "Listener", "Machine", "OriginPool", "SquidRegion"];

test.each(constructs.filter(([name]) => !inner.includes(name)))("%s looks at its props", (_, Class) => {
  expect(refusal(() => new Class(newStack(), "id", 7)).message).toMatch(
    /^stack\/id: 'props' is the number 7 \[wrong-kind\]\n {2}allowed: an object with .+\n {2}fix: .+/,
  );
});

const functions = Object.entries(SHAPES.calls).filter(
  ([call, parameters]) => call.includes(".") && Object.keys(parameters).some((name) => /^\w+$/.test(name)),
);

test.each(functions)("%s looks at what it is given", (call) => {
  const [owner, name] = call.split(".") as [keyof typeof library, string];
  const it = library[owner] as unknown as Record<string, () => unknown>;
  expect(refusal(() => it[name]!()).message).toMatch(
    /^[\w.]+: '\w+' is missing \[wrong-kind\]\n {2}allowed: .+\n {2}fix: .+/,
  );
});

test("a misspelled setting is told with the one that was meant, however deep it is", () => {
  expect(ring({ keyspaces: [{ name: "archive", replicationFacter: 3 }] }).message).toBe(
    `stack/ring: nothing reads 'keyspaces[0].replicationFacter' [unknown-setting]
  allowed: name, replicationFactor, durableWrites
  fix: did you mean 'replicationFactor'?`,
  );
  expect(ring({ cleints: [] }).problem).toMatchObject({
    code: "unknown-setting",
    fix: "did you mean 'clients'?",
  });
  const pair = new HaproxyKeepalivedPair(newStack(), "lb", { platform: newRack(newStack("other")) });
  const to = Servers.at({ web: "10.0.1.70:80" });
  const wrong = { to, port: 80, stikiness: undefined, servers: { web: { wieght: 3 } } };
  expect(refusal(() => pair.balance("web", wrong as never)).message).toContain(
    "stack/lb: nothing reads 'servers.web.wieght'",
  );
});

test("what TypeScript lets pass passes: extended props, one object for several calls, an inventory with more in it", () => {
  const stack = newStack();
  const hosts = {
    "lb-1": { address: "10.0.1.66/27", zone: "rack-1", os: "debian12" },
    "lb-2": { address: "10.0.1.67/27", zone: "rack-2", os: "debian12" },
  };
  const platform = new library.SshPlatform(stack, "rack", {
    hosts,
    ssh: { privateKeyFile: "~/.ssh/id_ed25519" },
    admins: [Peer.cidr("10.0.0.0/24")],
  });
  const extended = { platform, environment: "production" };
  const pair = new HaproxyKeepalivedPair(stack, "lb", extended);
  const common = { to: Servers.at({ web: "10.0.1.70:80" }), port: 80, owner: "shop" };
  expect(() => pair.balance("web", common)).not.toThrow();
});

test("a setting that belongs elsewhere is warned of; in a class that extends the construct it is that one's", () => {
  const [stack, other] = [newStack(), newStack()];
  const props = { platform: newRack(stack), memberAuthentication: "certificate" };
  new HaproxyKeepalivedPair(stack, "lb", props);
  Template.synth(stack).hasWarning("unknown-setting");
  class Own extends HaproxyKeepalivedPair {}
  new Own(other, "lb", { ...props, platform: newRack(other) });
  expect(() => Template.synth(other).hasWarning("unknown-setting")).toThrow();
});

test("a name beside the one that it is like was not misspelled", () => {
  const pair = new HaproxyKeepalivedPair(newStack(), "lb", { platform: newRack(newStack("other")) });
  const props = { to: Servers.at({ web: "10.0.1.70:80" }), port: 80, ports: [80] };
  expect(() => pair.balance("web", props)).not.toThrow();
  const { port, ...others } = { ...props, prot: 80 };
  expect(port).toBe(80);
  expect(() => pair.balance("other", others as never)).toThrow("did you mean 'port'?");
});

test("the beginning of one setting's name is told with the rest of it, where no other begins so", () => {
  const stack = newStack();
  const tier = (props: object): library.SquidGeoProxyTier =>
    new library.SquidGeoProxyTier(stack, `tier-${stack.node.children.length}`, {
      regions: { uk: { platform: newRack(new Construct(stack, `at-${stack.node.children.length}`)) } },
      sites: [".example.net"],
      origins: Servers.at({ web: "10.0.1.70:80" }),
      ...props,
    });
  expect(refusal(() => tier({ purge: [] })).problem.fix).toBe("did you mean 'purgers'?");
  expect(refusal(() => tier({ cache: { memory: 512 } })).problem.fix).toBe("did you mean 'memoryMiB'?");
  expect(refusal(() => tier({ cache: { disk: { dir: "/srv" } } })).problem.fix).toBe(
    "did you mean 'directory'?",
  );
  // `cache.maximum` is the beginning of two
  for (const props of [{ cache: { maximum: 1 } }, { me: 1 }]) {
    expect(() => tier({ ...props, regions: {} })).toThrow("no region");
  }
});

test("what keeps a tier from being everybody's proxy is told also where it is missing", () => {
  const build = (props: object): unknown => new library.SquidGeoProxyTier(newStack(), "tier", props as never);
  const regions = { uk: { platform: newRack(newStack()) } };
  const origins = Servers.at({ web: "10.0.1.70:80" });
  expect(refusal(() => build({ regions, origins })).problem).toMatchObject({
    code: "open-proxy",
    what: "'sites' is missing",
    fix: 'sites: [".example.net"]',
  });
  expect(refusal(() => build({ regions, origins, site: [] })).code).toBe("unknown-setting");
});

test("one that is missing is told", () => {
  expect(ring({ clusterName: undefined }).problem.what).toBe("'clusterName' is missing");
  expect(refusal(() => Timers.of({ ttl: 30 } as never)).problem.what).toBe("'loopWait' is missing");
});

test("another kind of value is told with what would be right", () => {
  expect(ring({ nodes: 3 }).message).toBe(
    `stack/ring: 'nodes' is the number 3 [wrong-kind]
  allowed: a list, each of it a text, or an object that has, by name, a Machine or NodeProps
  fix: give 'nodes' such a value`,
  );
  expect(ring({ thrift: "yes" }).problem).toMatchObject({
    what: `'thrift' is "yes"`,
    allowed: "true or false",
  });
  expect(ring({ repair: null }).problem.fix).toMatch(/leave it out for the default/);
  expect(ring({ numTokens: NaN }).problem.what).toBe("'numTokens' is the number NaN");
  expect(ring({ platform: library.SshPlatform }).problem).toMatchObject({
    what: "'platform' is the function or class SshPlatform",
    allowed: "a Platform",
  });
  expect(ring({ tls: { authority: "x" } }).problem.fix).toBe("RingTls.authority(...), RingTls.given(...)");
  expect(ring({ clients: ["10.0.0.0/24"] }).problem).toMatchObject({
    what: "'clients[0]' is a text",
    fix: "Peer.cidr(...), Peer.anyone(...)",
    allowed: "a Connectable, or a Peer",
  });
  expect(refusal(() => Outgoing.only({ to: Peer.anyone(), ports: [80] } as never)).problem.what).toBe(
    "'allowed[0].ports[0]' is the number 80",
  );
});

test("of a value that is nearly right the members are told that it lacks", () => {
  const platform = new Proxy(newRack(newStack()), { has: (target, key) => key !== "zones" && key in target });
  const { what, fix } = ring({ platform }).problem;
  expect(what).toBe("'platform' is a SshPlatform without zones");
  expect(fix).toBe("new SshPlatform(...), new AwsPlatform(...)");
});

test("a password that is no Secret is not shown", () => {
  const { message } = ring({ superuser: { password: "swordfish" } });
  expect(message).toContain("'superuser.password' is a text [wrong-kind]");
  expect(message).toContain("fix: Secret.awsParameter(...)");
  expect(message).not.toContain("swordfish");
  // a machine can make up a password, and no certificate
  expect(message).toContain("Secret.generated(...)");
  expect(refusal(() => Tls.certificate("/etc/site.pem" as never)).problem.fix).not.toContain("generated");
  const stack = newStack();
  const props = { platform: newRack(stack), members: 3, memberPassword: "swordfish" } as never;
  expect(refusal(() => new PostgresReplicaSet(stack, "set", props)).message).not.toContain("swordfish");
  expect(refusal(() => Tls.certificate("swordfish" as never)).message).not.toContain("swordfish");
});

test("tokens are passed on, and not printed where something else is wrong with them", () => {
  const address = Lazy.stringValue({ produce: () => "10.0.0.1" });
  expect(Peer.cidr(address).cidrs).toEqual([address]);
  expect(() => VirtualIp.secondaryPrivateIp(Token.asString({ resolve: () => "x" }))).not.toThrow();
  const { message } = refusal(() => Secret.file(address));
  expect(message).not.toContain("TfToken");
  expect(message).toContain("(known when Terraform runs)");
});

test("what is somebody's own may have more than is asked for", () => {
  const service = { name: "own", describe: () => ({ files: [] }), more: 1 };
  class Found {
    readonly zone = "rack-1";
    readonly more = 1;
  }
  const stack = newStack();
  const platform = newRack(stack);
  const tier = new library.ServiceTier(stack, "tier", {
    platform,
    nodes: { "lb-1": new Found() },
    services: [service],
    port: 80,
  });
  const balanced = { balanceTarget: (port?: number) => tier.balanceTarget(port), more: 1 };
  const pair = new HaproxyKeepalivedPair(stack, "lb", { platform, nodes: ["lb-2"] });
  expect(() => pair.balance("web", { port: 80, to: balanced })).not.toThrow();
});
