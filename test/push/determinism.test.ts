import { App, TerraformStack, TerraformVariable } from "cdktf";
import { HaproxyKeepalivedPair, Peer, Servers, ServiceTier, VirtualIp, type Service } from "../../lib";
import { Template } from "../../lib/testing";
import { newAws } from "../support/stack";

const service: Service = {
  name: "s",
  describe: (machine) => ({ files: [{ path: "/etc/s", text: machine.privateAddress }] }),
};

function synth(before: (stack: TerraformStack) => void): string {
  const stack = new TerraformStack(new App(), "stack");
  before(stack);
  const aws = newAws(stack);
  const web = new ServiceTier(stack, "web", {
    platform: aws,
    nodes: ["web-1", "web-2"],
    port: 80,
    services: [service],
  });
  const lb = new HaproxyKeepalivedPair(stack, "lb", { platform: aws, virtualIp: VirtualIp.elastic() });
  lb.balance("web", { port: 80, to: web, clients: [Peer.anyone()] });
  lb.balance("other", { port: 81, to: Servers.at({ a: "192.0.2.1:80" }) });
  return JSON.stringify(Template.synth(stack).json.resource);
}

test("the same code gives the same JSON, whatever else the program makes", () => {
  const first = synth(() => undefined);
  const second = synth((stack) =>
    [...Array(20).keys()].map((n) => new TerraformVariable(stack, `v${n}`, {}).stringValue),
  );
  expect(second).toBe(first);
});
