import type { TerraformStack } from "cdktf";
import { Rollout, Secret, type Service, type ServiceDescription } from "cdktf-ha-clusters";
import type { Lab, LabMachine } from "../../machines/lab";
import { waitUntil } from "../../machines/run";
import { Deployment } from "../support/deployment";
import { rackOf, startSite } from "./support/site";

/** Pushes that are cut off where it hurts most: between the nodes, at the very end, on the way back. */
let lab: Lab;
let one: LabMachine;
let two: LabMachine;
let deployment: Deployment;

const hosts = ["lb-1", "lb-2"] as const;
const BROKEN = "/root/broken";
const FILES = ["a", "b", "c"].map((name) => `/etc/app/${name}`);

beforeAll(async () => {
  lab = await startSite(hosts, "tests");
  [one, two] = [lab.machine("lb-1"), lab.machine("lb-2")];
  deployment = new Deployment(`${lab.directory}/deployment`, () => undefined);
});
afterAll(() => lab.stop());

/** Three files; lb-1 is the active node. */
function app(text: string, description: Partial<ServiceDescription> = {}): (stack: TerraformStack) => void {
  const service: Service = {
    name: "app",
    describe: () => ({
      files: FILES.map((path) => ({ path, text: `${text}\n` })),
      ...description,
      hooks: { active: "[[ $HA_MACHINE == lb-1 ]]", healthy: `[[ ! -e ${BROKEN} ]]`, ...description.hooks },
      healthyWithin: 1,
    }),
  };
  return (stack) => {
    const rack = rackOf(stack, lab);
    const nodes = hosts.map((name) => ({ machine: rack.host(name), services: [service] }));
    new Rollout(stack, "rollout", { nodes, standbyFirst: true });
  };
}

const deploy = (...built: Parameters<typeof app>): ReturnType<Deployment["deploy"]> =>
  deployment.changed(app(...built)).deploy();
const apply = (...built: Parameters<typeof app>): ReturnType<Deployment["apply"]> =>
  deployment.changed(app(...built)).apply();
const files = async (machine: LabMachine): Promise<string[]> =>
  (await machine.ssh(`cat ${FILES.join(" ")}`)).stdout.trim().split("\n");
const status = async (machine: LabMachine): Promise<string> => (await machine.ssh("cdktf-ha status")).stdout;
const cutAndBoot = async (machine: LabMachine): Promise<void> => {
  await machine.cutPower();
  await machine.powerOn();
};
const slow = { hooks: { activate: "sleep 20" } };
const killWhen = async (isSo: () => Promise<boolean>): Promise<void> => {
  await waitUntil(isSo, 240, () => "the push never came there", 50);
  await one.ssh("systemctl kill --signal=KILL 'cdktf-ha-push-*'");
};

test("an active node that cannot take a change goes back to what it had, and takes it at the next apply", async () => {
  await deploy("one");
  await one.ssh(`touch ${BROKEN}`);
  const failed = await apply("two");
  expect(failed.ok).toBe(false);
  expect(await files(one)).toEqual(["one", "one", "one"]);
  expect(await files(two)).toEqual(["two", "two", "two"]);
  expect(await status(one)).toContain("a change waits for the other nodes");
  // what somebody does about it by hand meanwhile is not lost
  await one.ssh(`rm ${BROKEN}; echo emergency >/etc/app/b`);
  const { steps } = await deploy("two");
  expect(await files(one)).toEqual(["two", "two", "two"]);
  expect(steps).toContainEqual(expect.stringContaining("[lb-1 app] /etc/app/b was changed by hand"));
  expect((await one.ssh("cat /var/lib/cdktf-ha/edited/app/*/etc/app/b")).stdout).toBe("emergency\n");
  expect(await status(one)).not.toContain("waits");
  // `cdktf-ha log` has the push's words and the completion's, of this service alone
  const { stdout: log } = await one.ssh("cdktf-ha log app");
  expect(log).toContain("this node is active: the change waits here");
  expect(log).toContain("healthy after");
});

test("the last step killed on the active node: the next apply does it", async () => {
  const pending = apply("three", slow);
  await killWhen(async () => (await files(one))[2] === "three");
  expect((await pending).ok).toBe(false);
  await deploy("three", slow);
  expect(await files(one)).toEqual(["three", "three", "three"]);
  expect(await status(one)).not.toMatch(/interrupted|waits|NOT HEALTHY/);
}, 600_000);

test("power cut while the new version takes the old one's place: it is there after the boot", async () => {
  const directory = "/var/lib/cdktf-ha/services/app";
  for (const moment of ["mv current staged; mkdir previous", "cp --archive current staged"]) {
    // as the program leaves it between its renames
    await one.ssh(`cd ${directory}; ${moment}; echo committing >phase; sync`);
    await cutAndBoot(one);
    expect(await files(one)).toEqual(["three", "three", "three"]);
    expect((await one.ssh(`cd ${directory}; ls; cdktf-ha verify`)).stdout).not.toMatch(
      /staged|previous|phase|app/,
    );
  }
});

test("what is edited after an interrupted push is kept, and a second boot changes nothing", async () => {
  await deploy("four");
  const pending = apply("five", { hooks: { ...slow.hooks, active: "false" } });
  await killWhen(async () => (await files(one))[2] === "five");
  await pending;
  await one.ssh("echo rescue >/etc/app/c");
  await cutAndBoot(one);
  expect(await files(one)).toEqual(["four", "four", "four"]);
  expect((await one.ssh("cat /var/lib/cdktf-ha/edited/app/*/etc/app/c")).stdout).toBe("rescue\n");
  await one.ssh("echo rescue >/etc/app/c");
  await cutAndBoot(one);
  expect(await files(one)).toEqual(["four", "four", "rescue"]);
  await deploy("five");
  expect(await files(one)).toEqual(["five", "five", "five"]);
}, 600_000);

test("a disk that fills up half way: there is room for the way back", async () => {
  const fill = "cat /dev/zero >/var/filler 2>/dev/null || true; exit 1";
  const failed = await apply("six", { hooks: { activate: fill } });
  const left = (await two.ssh("df --output=avail / | tail -n 1")).stdout.trim();
  await two.ssh("rm /var/filler");
  expect(failed.ok).toBe(false);
  expect(Number(left)).toBeLessThan(1024); // it was full indeed
  expect(await files(two)).toEqual(["five", "five", "five"]);
  await deploy("six");
  expect(await files(two)).toEqual(["six", "six", "six"]);
});

test("a service whose first push was killed leaves the machine with the code", async () => {
  const late: Service = {
    name: "late",
    describe: () => ({ files: [{ path: "/etc/late", text: "late\n" }], hooks: slow.hooks }),
  };
  const pending = deployment
    .changed((stack) => {
      const rack = rackOf(stack, lab);
      for (const name of hosts) rack.host(name);
      new Rollout(stack, "late", { nodes: [{ machine: rack.host("lb-1"), services: [late] }] });
    })
    .apply();
  await killWhen(async () => (await one.ssh("ls /etc/late", { allowFailure: true })).code === 0);
  await pending;
  await deploy("six");
  expect((await one.ssh("ls /etc/late", { allowFailure: true })).code).not.toBe(0);
}, 600_000);

test("the firewall comes back after nftables is restarted; one that was flushed is told and loaded again", async () => {
  const table = async (): Promise<number | null> =>
    (await one.ssh("nft list table inet cdktf_ha", { allowFailure: true })).code;
  for (const verb of ["start", "reload", "restart"]) {
    await one.ssh(`systemctl ${verb} nftables`);
    expect([verb, await table()]).toEqual([verb, 0]);
  }
  await one.ssh("systemctl disable --now nftables; nft flush ruleset");
  expect(await table()).not.toBe(0);
  expect(await status(one)).toMatch(/machine\s+NOT HEALTHY/);
  const same = deployment.changed(app("six"));
  const { output } = await deployment.terraform("state", "list");
  const base = output.split("\n").find((address) => address.includes("lb-1_base"))!;
  await same.deploy(`-replace=${base}`);
  expect(await table()).toBe(0);
});

test("apt's lists are in use, as after a boot: waited for", async () => {
  const lock =
    'use Fcntl; open F, ">", "/var/lib/apt/lists/lock"; fcntl(F, F_SETLK, pack("s s l! l! i", F_WRLCK, 0, 0, 0, 0)) or die; sleep 12';
  await two.ssh(`systemd-run --quiet --unit=apt-in-use perl -e '${lock}'`);
  const { ok, output } = await apply("six", { packages: [{ name: "cdktf-ha-no-such-package" }] });
  expect(ok).toBe(false);
  expect(output).toContain("apt-get could not install cdktf-ha-no-such-package");
  expect(output).not.toContain("Could not get lock");
  await deploy("six");
});

test("an empty password is refused", async () => {
  const built = (stack: TerraformStack): void => {
    const secret = Secret.variable(stack, "password");
    app("six", { secrets: [secret], files: [{ path: "/etc/app/a", text: secret.placeholder }] })(stack);
  };
  const empty = new Deployment(`${lab.directory}/deployment`, built, { password: "" });
  const { ok, output } = await empty.apply();
  expect(ok).toBe(false);
  expect(output).toContain("is empty: a password that is empty lets everybody in");
});
