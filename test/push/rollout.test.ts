import { RolloutOrder, Rollout, type Service } from "../../lib";
import { Template } from "../../lib/testing";
import { newRack, newStack } from "../support/stack";

const service = (name: string): Service => ({
  name,
  describe: () => ({ files: [{ path: `/etc/${name}`, text: name }] }),
});

/** Which pushes each push waits for, by readable names. */
function waits(template: Template): Record<string, string[]> {
  const short = (name: string): string =>
    name
      .replace(/_[0-9A-F]{8}$/, "")
      .replace(/^.*_(?=[a-z]+-\d)/, "")
      .replace("_run", "");
  return Object.fromEntries(
    Object.entries(template.resources("terraform_data"))
      .filter(([name]) => name.includes("rollout"))
      .map(([name, resource]) => [
        short(name),
        ((resource.depends_on ?? []) as string[]).map((address) => short(address.split(".")[1]!)).sort(),
      ]),
  );
}

function rolledOut(
  order: RolloutOrder | undefined,
  standbyFirst: boolean,
  nodes = ["lb-1", "lb-2"],
): Template {
  const stack = newStack();
  const rack = newRack(stack);
  new Rollout(stack, "rollout", {
    nodes: nodes.map((name) => ({ machine: rack.host(name), services: [service("one"), service("two")] })),
    order,
    standbyFirst,
  });
  return Template.synth(stack);
}

test("node after node, service after service, each after its machine's base", () => {
  expect(waits(rolledOut(undefined, false))).toEqual({
    "lb-1-one": ["lb-1_base"],
    "lb-1-two": ["lb-1-one", "lb-1_base"],
    "lb-2-one": ["lb-1-two", "lb-2_base"],
    "lb-2-two": ["lb-2-one", "lb-2_base"],
  });
});

test("half of the nodes at a time", () => {
  const chain = waits(rolledOut(RolloutOrder.halves(), false, ["lb-1", "lb-2", "web-1", "web-2"]));
  expect(chain["lb-2-one"]).toEqual(["lb-2_base"]);
  expect(chain["web-1-one"]).toEqual(["lb-1-two", "lb-2-two", "web-1_base"]);
  expect(chain["web-2-one"]).toEqual(["lb-1-two", "lb-2-two", "web-2_base"]);
});

test("all at once", () => {
  const chain = waits(rolledOut(RolloutOrder.allAtOnce(), false));
  expect(chain["lb-2-one"]).toEqual(["lb-2_base"]);
});

test("the active node is completed after the last node, however its push came to run", () => {
  const template = rolledOut(undefined, true);
  const chain = waits(template);
  expect(chain["lb-1-complete"]).toEqual(["lb-1-one", "lb-1-two", "lb-2-two"]);
  const complete = Object.entries(template.resources("terraform_data")).find(([name]) =>
    name.includes("complete"),
  )![1];
  expect((complete.lifecycle as { replace_triggered_by: string[] }).replace_triggered_by).toHaveLength(2);
});

test("a service is on a machine once", () => {
  const stack = newStack();
  const rack = newRack(stack);
  const nodes = [{ machine: rack.host("lb-1"), services: [service("one")] }];
  new Rollout(stack, "first", { nodes });
  expect(() => new Rollout(stack, "second", { nodes })).toThrow("duplicate-service");
});

test("the order of groups", () => {
  const nodes = ["a", "b", "c", "d", "e"];
  expect(RolloutOrder.oneByOne().groups(nodes)).toEqual([["a"], ["b"], ["c"], ["d"], ["e"]]);
  expect(RolloutOrder.halves().groups(nodes)).toEqual([
    ["a", "b", "c"],
    ["d", "e"],
  ]);
  expect(RolloutOrder.batches(2).groups(nodes)).toEqual([["a", "b"], ["c", "d"], ["e"]]);
  expect(RolloutOrder.allAtOnce().groups(nodes)).toEqual([nodes]);
  expect(() => RolloutOrder.batches(0)).toThrow("number-out-of-range");
});
