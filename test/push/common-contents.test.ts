import { App, TerraformStack } from "cdktf";
import { ServiceTier, type Platform, type Service } from "../../lib";
import { Template } from "../../lib/testing";
import { newAws, newRack, newStack } from "../support/stack";

const LONG = [...Array(20).keys()].map((n) => `line ${n} \${HOME}\n`).join("");

/** How often it is described, and what it says now. */
class Counted implements Service {
  readonly name = "s";
  asked = 0;
  long = LONG;

  describe(machine: {
    readonly name: string;
    readonly privateAddress: string;
  }): ReturnType<Service["describe"]> {
    this.asked++;
    return {
      files: [
        { path: "/etc/long", text: this.long },
        { path: "/etc/own", text: LONG.replaceAll("line", machine.name) },
        { path: "/etc/address", text: LONG.replaceAll("line", machine.privateAddress) },
        { path: "/etc/short", text: "short\n" },
      ],
    };
  }
}

const HOSTS = ["web-1", "web-2", "lb-1"];

function build(service: Service, stack = newStack(), platform: Platform = newRack(stack)): TerraformStack {
  new ServiceTier(stack, "web", { platform, nodes: HOSTS, port: 80, services: [service] });
  return stack;
}

const times = (text: string, part: string): number => text.split(part).length - 1;

test("a text that several machines have stands in the JSON once, a short one beside what uses it", () => {
  const template = Template.synth(build(new Counted()));
  const locals = JSON.stringify(template.json.locals);
  expect(times(locals, '"/etc/long":')).toBe(1);
  expect(times(locals, '"/etc/own":')).toBe(3);
  expect(times(locals, '"/etc/short":')).toBe(3);
  for (const host of HOSTS) {
    expect(template.file(host, "/etc/long")).toBe(LONG);
    expect(template.file(host, "/etc/own")).toContain(`${host} 19 \${HOME}`);
  }
});

test("what Terraform fills in stays at its machine, and apart: nothing waits for another one's values", () => {
  const stack = new TerraformStack(new App(), "stack");
  const { locals = {} } = Template.synth(build(new Counted(), stack, newAws(stack))).json;
  expect(times(JSON.stringify(locals), '"/etc/address":')).toBe(3);
  const alike = Object.values(locals).filter((local) => JSON.stringify(local).includes('"/etc/long":'));
  expect(alike).toHaveLength(1);
  expect(JSON.stringify(alike)).not.toMatch(/[^$]\$\{(?!HOME)/);
});

test("what changes between two syntheses is there in the second one, and one describes each machine as often as another", () => {
  const service = new Counted();
  const stack = build(service);
  Template.synth(stack);
  const once = service.asked;
  service.long = LONG.replaceAll("line", "row");
  const second = Template.synth(stack);
  expect(service.asked).toBe(2 * once);
  for (const host of HOSTS) expect(second.file(host, "/etc/long")).toContain("row 19");
  expect(JSON.stringify(second.json)).not.toContain("line 19");
  // a first pass that looks for values, and the one whose result counts
  expect(once).toBeLessThanOrEqual(3 * HOSTS.length);
});
