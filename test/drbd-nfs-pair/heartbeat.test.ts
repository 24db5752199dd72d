import { Manager, Port, type HeartbeatProps } from "../../lib";
import { Template } from "../../lib/testing";
import { newStack } from "../support/stack";
import { newHeartbeatPair, newPair } from "./pairs";

test("Heartbeat's port is open between the two alone, and nothing of Pacemaker's is", () => {
  const stack = newStack();
  const pair = newHeartbeatPair(stack);
  const template = Template.synth(stack).hasNoErrors();
  template.hasPort(pair, Port.udp(694)).onlyFrom(pair);
  template.hasPort(pair, Port.tcp(7788)).onlyFrom(pair);
  for (const port of [5403, 5405, 5406]) template.hasPort(pair, Port.udp(port)).toNobody();
  expect(JSON.stringify(template.json)).not.toMatch(/corosync-q|pacemaker.service/);
});

test("what can be lost is said at every synth", () => {
  const stack = newStack();
  newHeartbeatPair(stack);
  expect(() => Template.synth(stack).hasNoWarnings()).toThrow("[split-brain-accepted]");
});

test("plain JavaScript cannot choose it without accepting what can be lost", () => {
  expect(() => Manager.heartbeat({} as HeartbeatProps)).toThrow("'iAcceptSplitBrain' is missing");
  expect(() => Manager.heartbeat({ iAcceptSplitBrain: false as true })).toThrow(
    "'iAcceptSplitBrain' is false",
  );
});

test("the secret stands nowhere but on the machines, in a file for root alone", () => {
  const stack = newStack();
  newHeartbeatPair(stack);
  expect(Template.synth(stack).file("nfs-1", "/etc/ha.d/authkeys")).toMatch(
    /^auth 1\n1 sha1 @@HA:secret:stack-pair-secret-[0-9a-f]{8}@@\n$/,
  );
});

test("both nodes have the same files but for their interface", () => {
  const stack = newStack();
  newHeartbeatPair(stack);
  const template = Template.synth(stack);
  for (const file of ["ha.cf", "haresources", "authkeys"]) {
    expect(template.file("nfs-2", `/etc/ha.d/${file}`)).toBe(template.file("nfs-1", `/etc/ha.d/${file}`));
  }
});

test("initdead follows a longer deadtime, and the deadtime is what a failover begins with", () => {
  const stack = newStack();
  const pair = newHeartbeatPair(stack, { deadtime: 30 });
  expect(Template.synth(stack).file("nfs-1", "/etc/ha.d/ha.cf")).toContain("deadtime 30\ninitdead 60\n");
  expect(pair.topology().timers).toMatchObject([{ seconds: 30 }]);
  expect(pair.topology().members).toHaveLength(2);
  expect(newPair(newStack()).topology().members).toHaveLength(3);
});
