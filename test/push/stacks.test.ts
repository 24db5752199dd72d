import { Testing, TerraformStack } from "cdktf";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { HaproxyKeepalivedPair, Peer, ServiceTier, VirtualIp } from "../../lib";
import { newAws } from "../support/stack";

type Named = Record<string, object>;
interface Json {
  readonly resource: Record<string, Named>;
  readonly output?: Named;
}

/** Servers in one stack, their load balancers in another. */
function synth(fixed: boolean): Record<"servers" | "front", Json> {
  const app = Testing.app();
  const servers = new TerraformStack(app, "servers");
  const front = new TerraformStack(app, "front");
  const address = (last: number): { privateAddress?: string } =>
    fixed ? { privateAddress: `10.1.0.${last}` } : {};
  const web = new ServiceTier(servers, "web", {
    platform: newAws(servers),
    nodes: { "web-1": { zone: "a", ...address(11) }, "web-2": { zone: "a", ...address(12) } },
    port: 80,
    services: [{ name: "s", describe: ({ name }) => ({ files: [{ path: "/etc/s", text: name }] }) }],
  });
  const lb = new HaproxyKeepalivedPair(front, "lb", {
    platform: newAws(front),
    nodes: { "lb-1": { zone: "a", ...address(21) }, "lb-2": { zone: "a", ...address(22) } },
    virtualIp: VirtualIp.elastic(),
  });
  lb.balance("web", { port: 80, to: web, clients: [Peer.anyone()] });
  app.synth();
  const json = (stack: string): Json =>
    JSON.parse(readFileSync(join(app.outdir, "stacks", stack, "cdk.tf.json"), "utf8")) as Json;
  return { servers: json("servers"), front: json("front") };
}

test("with fixed addresses servers and load balancers may be in two stacks", () => {
  const { servers, front } = synth(true);
  const text = JSON.stringify(front);
  // no resource of the other stack is named in this one; what it needs of it are outputs
  for (const [type, all] of Object.entries(servers.resource)) {
    const own = Object.keys(front.resource[type] ?? {});
    const named = Object.keys(all).filter((name) => !own.includes(name) && text.includes(`${type}.${name}`));
    expect(named).toEqual([]);
  }
  const wanted = [...text.matchAll(/terraform_remote_state\.[\w-]+\.outputs\.([\w-]+)/g)].map(
    ([, name]) => name!,
  );
  expect(wanted.length).toBeGreaterThan(0); // the group of the servers, which a rule of this stack admits to
  for (const name of wanted) expect(Object.keys(servers.output ?? {})).toContain(name);
  // the servers' stack comes first, and cannot drain at load balancers that know it
  expect(JSON.stringify(servers).includes("terraform_remote_state")).toBe(false);
  expect(text.includes("10.1.0.11:80")).toBe(true);
});

test("with addresses that AWS chooses each would need the other first: Terraform's circle is told", () => {
  expect(() => synth(false)).toThrow(/circular dependency/);
});
