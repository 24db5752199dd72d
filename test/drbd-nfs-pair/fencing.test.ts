import { Secret } from "../../lib";
import { Fencing } from "../../lib/drbd-nfs-pair/fencing";
import { Template } from "../../lib/testing";
import { newStack } from "../support/stack";
import { DOMAIN, OTHER_DOMAIN, newPair } from "./pairs";

/** What each node is given; that the real agents do the right thing with it is seen in test/daemons. */
const NODES = ["nfs-1", "nfs-2"] as const;
const board = { address: "10.0.9.91", user: "fence", password: Secret.file("/etc/boards/password") };
const other = { ...board, address: "10.0.9.92" };

function templateOf(fencing: Fencing): Template {
  const stack = newStack();
  newPair(stack, { fencing });
  return Template.synth(stack).hasNoErrors();
}

/** The cluster's parameters of the device that switches the first node off. */
function parameters(template: Template): Record<string, string> {
  const cib = template.file("nfs-1", "/etc/cdktf-ha/drbd-nfs-cib.xml");
  const pairs = cib.matchAll(/id="ha-fence-nfs-1-parameters-\S+" name="(\S+)" value="([^"]*)"/g);
  return Object.fromEntries([...pairs].map(([, name, value]) => [name!, value!]));
}

test("a domain of libvirt's is destroyed by its hypervisor, whose key is known", () => {
  const template = templateOf(Fencing.libvirt({ "nfs-1": DOMAIN, "nfs-2": OTHER_DOMAIN }));
  expect(parameters(template)).toEqual({
    ip: "10.0.8.21",
    username: "fence",
    identity_file: "/etc/cdktf-ha/drbd-nfs-fence-nfs-1",
    ssh_options: "-F /etc/cdktf-ha/drbd-nfs-fence-nfs-1.ssh",
    login_timeout: "20",
    shell_timeout: "20",
    pcmk_host_map: "nfs-1:files-1",
    disable_timeout: "0",
    power_timeout: "40",
    pcmk_reboot_timeout: "120s",
    pcmk_host_list: "nfs-1",
  });
  for (const node of NODES) {
    const file = (name: string) => template.file(node, `/etc/cdktf-ha/drbd-nfs-fence-${name}`);
    expect(file("nfs-1")).toBe(`${DOMAIN.privateKey.placeholder}\n`);
    expect(file("nfs-2.known-hosts")).toBe(
      "nfs-2 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGhvc3Qga2V5IG9mIGEgaHlwZXJ2aXNvcg==\n",
    );
    expect(file("nfs-1.ssh")).toMatch(/^StrictHostKeyChecking yes$/m);
    expect(file("nfs-2.ssh")).toMatch(/^RemoteCommand .*virsh domstate files-2/m);
  }
});

test("a key that holds a second line is one line", () => {
  const hostKey = `${DOMAIN.hostKey}\nnfs-2 ssh-ed25519 AAAA\n`;
  const template = templateOf(Fencing.libvirt({ "nfs-1": { ...DOMAIN, hostKey }, "nfs-2": OTHER_DOMAIN }));
  expect(template.file("nfs-1", "/etc/cdktf-ha/drbd-nfs-fence-nfs-1.known-hosts").split("\n")).toHaveLength(
    2,
  );
});

test("an IPMI board is asked with the least rights, and its password is on no command line", () => {
  const told = parameters(templateOf(Fencing.ipmi({ "nfs-1": board, "nfs-2": other })));
  expect(told).toMatchObject({ lanplus: "1", privlvl: "operator" });
  expect(Object.keys(told)).not.toContain("password_script");
  expect(told.ipmitool_path).toBe("/usr/local/lib/cdktf-ha/drbd-nfs/fence-ipmitool-nfs-1");
});

test("a Redfish board's certificate is verified where that is asked for, never by ssl_insecure=0, and it may have several systems", () => {
  const self = templateOf(Fencing.redfish({ "nfs-1": board, "nfs-2": other }));
  expect(parameters(self)).toMatchObject({ ssl_insecure: "1" });
  expect(parameters(self)).not.toHaveProperty("systems_uri");
  const told = (systemsUri: string) => ({ ...board, verifyCertificate: true, systemsUri });
  const blades = Fencing.redfish({
    "nfs-1": told("/redfish/v1/Systems/1"),
    "nfs-2": told("/redfish/v1/Systems/2"),
  });
  const verified = parameters(templateOf(blades));
  expect(verified).not.toHaveProperty("ssl_insecure");
  expect(verified.systems_uri).toBe("/redfish/v1/Systems/1");
});

test.each([
  ["ipmitool", Fencing.ipmi({ "nfs-1": board, "nfs-2": other })],
  ["openssh-client", Fencing.libvirt({ "nfs-1": DOMAIN, "nfs-2": OTHER_DOMAIN })],
  ["snmp", Fencing.agent("fence_apc_snmp", {}, ["snmp"])],
])("%s, which fence-agents does without, is installed", (name, { method }) => {
  expect(method.packages).toEqual([{ name: "fence-agents" }, { name }]);
});

test("two domains of one hypervisor fail together", () => {
  const stack = newStack();
  newPair(stack, {
    fencing: Fencing.libvirt({ "nfs-1": DOMAIN, "nfs-2": { ...DOMAIN, domain: "files-2" } }),
  });
  expect(Template.synth(stack).warnings.join()).toContain(
    "both nodes are domains of the hypervisor 10.0.8.21",
  );
});

test("another agent is told what is said by node, and given its password in a file", () => {
  const pve = { username: "fence@pve", vmtype: "qemu", pve_node_auto: "1" };
  const one = { plug: "101", parameters: { ip: "10.0.8.5", ...pve }, password: board.password };
  const template = templateOf(Fencing.agent("fence_pve", { "nfs-1": one, "nfs-2": { ...one, plug: "102" } }));
  expect(parameters(template)).toMatchObject({
    ip: "10.0.8.5",
    ...pve,
    shell_timeout: "30",
    password_script: "/usr/local/lib/cdktf-ha/drbd-nfs/fence-password-nfs-1",
    pcmk_host_map: "nfs-1:101",
    pcmk_host_list: "nfs-1",
  });
  expect(template.file("nfs-1", "/etc/cdktf-ha/drbd-nfs-cib.xml")).toContain('type="fence_pve"');
  expect(template.file("nfs-2", "/etc/cdktf-ha/drbd-nfs-fence-nfs-1")).toContain("@@HA:");
});
