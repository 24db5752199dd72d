import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { program, root, testWithNeeds } from "../support/needs";

/** Pacemaker's agent for addresses of AWS, with a network of its own and a claim that does what the test says. */
const directory = mkdtempSync(join(tmpdir(), "cdktf-ha-address-"));
afterAll(() => rmSync(directory, { recursive: true }));
const withNetwork = testWithNeeds([program("unshare"), program("ip"), root]);
const file = (name: string): string => join(directory, name);

const AGENT = readFileSync(join(__dirname, "../../lib/drbd-nfs-pair/on-machine/moving-address.sh"), "utf8")
  .replaceAll("/usr/local/lib/cdktf-ha/drbd-nfs/claim", file("claim"))
  .replaceAll("/run/cdktf-ha-nfs-address", file("started"))
  .replaceAll("/etc/cdktf-ha/drbd-nfs-interface", file("interface"));

/** What the script prints, in a network namespace with the agent as the command `agent`. */
function run(claim: string, script: string, env: Record<string, string> = {}): string[] {
  writeFileSync(file("agent"), AGENT, { mode: 0o755 });
  writeFileSync(file("claim"), `#!/bin/bash\necho "$1" >>'${file("calls")}'\n${claim}\n`, { mode: 0o755 });
  writeFileSync(file("interface"), "eth0\n");
  for (const name of ["started", "calls"]) rmSync(file(name), { force: true });
  const prepared = `ip link add eth0 type veth peer name eth1 && ip link set eth0 up
agent() { '${file("agent")}' "$1"; echo "$1 $?"; }
address() { ip -brief address show dev eth0 to 10.99.0.90 | grep -o 10.99.0.90/32 || echo none; }
${script}`;
  const { stdout, stderr } = spawnSync("unshare", ["--net", "bash", "-c", prepared], {
    encoding: "utf8",
    env: { ...process.env, OCF_RESKEY_ip: "10.99.0.90", OCF_RESKEY_cidr_netmask: "32", ...env },
  });
  expect(stderr).toBe("");
  return stdout.trim().split("\n");
}
const calls = (): string[] => readFileSync(file("calls"), "utf8").trim().split("\n");

withNetwork("it is there from start to stop, and only while it is there the API is asked", () => {
  const life = `agent monitor; agent start; address
agent monitor; OCF_RESKEY_CRM_meta_interval=20000 agent monitor
agent start; agent stop; address; agent stop; agent monitor`;
  expect(run("true", life)).toEqual([
    "monitor 7",
    "start 0",
    "10.99.0.90/32",
    "monitor 0",
    "monitor 0",
    "start 0",
    "stop 0",
    "none",
    "stop 0",
    "monitor 7",
  ]);
  expect(calls()).toEqual(["take", "verify", "take"]);
});

withNetwork("an address that the machine itself does not see is on no interface", () => {
  const life = "agent start; address; agent monitor; agent stop; agent monitor";
  expect(run("true", life, { OCF_RESKEY_cidr_netmask: "" })).toEqual([
    "start 0",
    "none",
    "monitor 0",
    "stop 0",
    "monitor 7",
  ]);
});

withNetwork("an API that is away is tried again, within the time that the start has", () => {
  const comesBack = `[[ $(grep -c take '${file("calls")}') -gt 2 ]] || { echo "no API"; exit 1; }`;
  expect(run(comesBack, "agent start", { OCF_RESKEY_CRM_meta_timeout: "60000" })).toEqual(["start 0"]);
  expect(calls()).toEqual(["take", "take", "take"]);
  expect(run("exit 1", "agent start", { OCF_RESKEY_CRM_meta_timeout: "8000" })).toEqual(["start 1"]);
  expect(calls().length).toBeGreaterThan(1);
});

withNetwork(
  "an API that does not answer later on stops nothing; an address that somebody removed is told",
  () => {
    const life = `agent start; export OCF_RESKEY_CRM_meta_interval=20000; agent monitor
ip address delete 10.99.0.90/32 dev eth0; agent monitor`;
    expect(run('[[ $1 == take ]] || { echo "no API"; exit 1; }', life)).toEqual([
      "start 0",
      "monitor 0",
      "monitor 7",
    ]);
  },
);
