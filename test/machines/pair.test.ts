import { setTimeout as delay } from "node:timers/promises";
import { Load } from "../../machines/load";
import type { Lab } from "../../machines/lab";
import { waitUntil } from "../../machines/run";
import { Deployment } from "../support/deployment";
import { ADDRESSES, hasAddress, holders, roles, site, startSite, VIP } from "./support/site";
import { awaitServers, serverStates } from "./support/haproxy";

/** The life of a pair: deployed, changed, broken, healed; clients go on. */
let lab: Lab;
let deployment: Deployment;
const url = `http://${VIP}/`;

beforeAll(async () => {
  lab = await startSite(["lb-1", "lb-2", "web-1", "web-2"]);
  deployment = new Deployment(`${lab.directory}/deployment`, site(lab));
});
afterAll(() => lab.stop());

/** For visitors who wait no longer, while nobody answers. */
const A_SECOND = 1000;

/**
 * Requests during an action, 200 a second where a gap is measured. Where nothing may fail half of that: what a busy computer has not done
 * yet must not grow all the while.
 */
async function underLoad(
  action: () => Promise<unknown>,
  // where nothing may fail: a busy computer answers late
  timeoutMs = 15_000,
): Promise<Awaited<ReturnType<Load["stop"]>>> {
  const load = Load.start({ url, perSecond: timeoutMs > A_SECOND ? 100 : 200, timeoutMs });
  try {
    await delay(300);
    await action();
    await delay(300);
  } finally {
    await load.stop(); // else the requests go on when the action has failed
  }
  return load.stop();
}

/** Brings everything back to the state in which the next test finds it. */
async function settle(): Promise<void> {
  for (const machine of ["lb-1", "lb-2"])
    if (!lab.machine(machine).isOn) await lab.machine(machine).powerOn();
  await roles(lab);
  await waitUntil(
    async () => (await fetch(url).catch(() => undefined))?.ok === true,
    15,
    () => "the site does not answer",
  );
}

test("deployed: both nodes are healthy, one has the address, requests are spread", async () => {
  const outcome = await deployment.deploy();
  expect(outcome.steps).toContainEqual(expect.stringMatching(/\[lb-2 keepalived\] started.*healthy after/));
  await settle();
  expect(await holders(lab)).toHaveLength(1);
  await awaitServers([lab.machine("lb-1"), lab.machine("lb-2")], { "web/web-1": "UP", "web/web-2": "UP" });
  const bodies = await Promise.all([...Array(20)].map(async () => (await fetch(url)).text()));
  expect(new Set(bodies)).toEqual(new Set(["web-1\n", "web-2\n"]));
});

test("applied again: nothing to do", async () => {
  expect(await deployment.isUpToDate()).toBe(true);
  const { added, changed, destroyed } = await deployment.deploy();
  expect({ added, changed, destroyed }).toEqual({ added: 0, changed: 0, destroyed: 0 });
});

test("one changed file: the standby first, the active node by reload, the address stays, no request fails", async () => {
  const { active, standby } = await roles(lab);
  const changed = await deployment.changed(site(lab, { checkPath: "/index.html" })).prepare();
  let steps: readonly string[] = [];
  const result = await underLoad(async () => ({ steps } = await changed.deploy()));
  expect(result.requests.length).toBeGreaterThan(200);
  expect(result.failed).toEqual([]);
  const reloads = steps.filter((step) => step.includes("reloaded"));
  expect(reloads).toHaveLength(2);
  expect(reloads[0]).toContain(`[${standby.name} haproxy]`);
  expect(reloads[1]).toContain(`[${active.name} haproxy]`);
  expect(await holders(lab)).toEqual([active.name]);
});

test("servers change one at a time: drained, changed, brought back; no request fails", async () => {
  const changed = await deployment.changed(site(lab, { page: ({ name }) => `${name} again\n` })).prepare();
  let steps: readonly string[] = [];
  const result = await underLoad(async () => ({ steps } = await changed.deploy()));
  expect(result.failed).toEqual([]);
  expect(steps.filter((step) => step.includes("restarted"))).toHaveLength(2);
  expect(await (await fetch(url)).text()).toMatch(/again/);
});

test("a server is drained by code and gets no request, then comes back", async () => {
  const drained = (state?: "drain"): Deployment =>
    deployment.changed((stack) =>
      site(lab, {
        page: ({ name }) => `${name} again\n`,
        also: (lb, web) => {
          const backend = lb.backend("again", { to: web, servers: state ? { "web-1": { state } } : {} });
          lb.listen("again", backend, { port: 81, clients: [] }).route({ path: "/x" }, backend);
        },
      })(stack),
    );
  await drained("drain").deploy();
  const balancers = ["lb-1", "lb-2"].map((name) => lab.machine(name));
  const states = await Promise.all(balancers.map((node) => serverStates(node)));
  expect(states.map((all) => all["again/web-1"])).toEqual(["DRAIN", "DRAIN"]);
  // a change somewhere else reloads, and the state stays
  await drained("drain").deploy();
  await drained().deploy();
  await awaitServers(balancers, { "again/web-1": "UP" }, 10);
  await deployment.deploy();
});

test("what an operator drains by hand stays drained over a reload", async () => {
  const { active } = await roles(lab);
  await active.ssh("echo 'set server web/web-2 state drain' | socat - /run/haproxy/admin.sock");
  await deployment.changed(site(lab, { checkPath: "/index.html" })).deploy();
  expect((await serverStates(active))["web/web-2"]).toBe("DRAIN");
  await active.ssh("echo 'set server web/web-2 state ready' | socat - /run/haproxy/admin.sock");
  await deployment.deploy();
});

test("a configuration that the parser refuses reaches nobody, and the next good one heals", async () => {
  const { standby } = await roles(lab);
  const bad = await deployment
    .changed(site(lab, { pair: { extraGlobalLines: ["no-such-keyword 1"] } }))
    .prepare();
  const good = deployment.changed(site(lab, { checkPath: "/index.html" }));
  const result = await underLoad(async () => {
    const outcome = await bad.apply();
    expect(outcome.ok).toBe(false);
    expect(outcome.output).toContain("unknown keyword 'no-such-keyword'");
    expect(outcome.output).toContain("refused by haproxy -c; nothing was changed");
  });
  expect(result.failed).toEqual([]);
  const { stdout } = await standby.ssh("cat /etc/haproxy/haproxy.cfg; cdktf-ha status");
  expect(stdout).not.toContain("no-such-keyword");
  expect(stdout).not.toContain("NOT HEALTHY");
  await good.deploy();
  expect(await good.isUpToDate()).toBe(true);
});

test("a configuration that only fails when it runs is taken back on the standby; the active node never sees it", async () => {
  const { active, standby } = await roles(lab);
  // the port is taken by somebody else on the standby: the parser cannot know
  await standby.ssh("systemd-run --quiet --unit=squatter socat TCP-LISTEN:8888,fork,reuseaddr -");
  const bad = await deployment
    .changed(
      site(lab, { also: (lb, web) => lb.listen("taken", lb.backend("taken", { to: web }), { port: 8888 }) }),
    )
    .prepare();
  const result = await underLoad(async () => {
    const outcome = await bad.apply();
    expect(outcome.ok).toBe(false);
    expect(outcome.steps).toContainEqual(
      expect.stringContaining(`[${standby.name} haproxy] back on the last good version, which is healthy`),
    );
    expect(outcome.output).toMatch(/Address already in use|cannot bind/i);
  });
  expect(result.failed).toEqual([]);
  expect((await active.ssh("cat /etc/haproxy/haproxy.cfg")).stdout).not.toContain("8888");
  await standby.ssh("systemctl stop squatter");
  await deployment.deploy();
  expect(await deployment.isUpToDate()).toBe(true);
});

test("terraform killed in the middle of a push: the machine finishes by itself, the next apply heals", async () => {
  const changed = deployment.changed(site(lab, { checkPath: "/index.html" }));
  changed.synth();
  const result = await underLoad(async () => {
    await changed.killedWhen((output) => output.includes("haproxy] checked"), { seconds: 60, everyMs: 5 });
  });
  expect(result.failed).toEqual([]);
  await changed.deploy();
  expect(await changed.isUpToDate()).toBe(true);
  for (const name of ["lb-1", "lb-2"]) {
    const { stdout } = await lab
      .machine(name)
      .ssh("cdktf-ha status; cdktf-ha verify; cat /etc/haproxy/haproxy.cfg");
    expect(stdout).toContain("uri /index.html");
    expect(stdout).not.toMatch(/NOT HEALTHY|waits|interrupted/);
  }
});

test("a full disk: nothing lost; with room again it heals", async () => {
  const { standby } = await roles(lab);
  await deployment.prepare();
  await standby.fillDisk();
  const result = await underLoad(async () => {
    const outcome = await deployment.apply();
    expect(outcome.ok).toBe(false);
    expect(outcome.output).toContain("Failed to upload script"); // Terraform's own words: not even that fits
  });
  expect(result.failed).toEqual([]);
  expect((await standby.ssh("systemctl is-active haproxy keepalived")).stdout).toBe("active\nactive\n");
  await standby.freeDisk();
  await deployment.deploy();
  expect(await deployment.isUpToDate()).toBe(true);
  expect((await standby.ssh("cdktf-ha verify; cdktf-ha status")).stdout).not.toMatch(
    /NOT HEALTHY|interrupted/,
  );
});

test("a file edited by hand is told, kept aside and replaced", async () => {
  const { standby } = await roles(lab);
  await standby.ssh("echo '# by hand' >> /etc/haproxy/haproxy.cfg");
  const verify = await standby.ssh("cdktf-ha verify", { allowFailure: true });
  expect(verify).toMatchObject({ code: 1, stdout: "haproxy: /etc/haproxy/haproxy.cfg\n" });
  const { steps } = await deployment.changed(site(lab, { checkPath: "/index.html" })).deploy();
  expect(steps).toContainEqual(
    expect.stringContaining("/etc/haproxy/haproxy.cfg was changed by hand since the last push"),
  );
  const kept = await standby.ssh("cat /var/lib/cdktf-ha/edited/haproxy/*/etc/haproxy/haproxy.cfg | tail -1");
  expect(kept.stdout).toBe("# by hand\n");
  expect((await standby.ssh("cdktf-ha verify")).code).toBe(0);
  await deployment.deploy();
});

test("haproxy killed: the address moves at once, haproxy comes back", async () => {
  const { active, standby } = await roles(lab);
  const result = await underLoad(async () => {
    await active.ssh("pkill -KILL haproxy");
    await waitUntil(
      () => hasAddress(standby, VIP),
      20,
      () => "the address did not move",
    );
  }, A_SECOND);
  report("haproxy killed", result);
  expect(result.longestGapMs).toBeLessThan(10_000);
  await waitUntil(
    async () =>
      (await active.ssh("systemctl is-active haproxy", { allowFailure: true })).stdout === "active\n",
    10,
    () => "haproxy did not come back",
  );
  expect((await roles(lab)).active.name).toBe(standby.name);
});

test("keepalived killed: nobody keeps the address twice", async () => {
  const { active, standby } = await roles(lab);
  const result = await underLoad(async () => {
    await active.ssh("pkill -KILL keepalived");
    await waitUntil(
      () => hasAddress(standby, VIP),
      20,
      () => "the address did not move",
    );
    // what keepalived has left is taken away by the end of its unit, which the other node does not wait for
    await waitUntil(
      async () => !(await hasAddress(active, VIP)),
      5,
      () => `${active.name} keeps the address`,
      50,
    );
  }, A_SECOND);
  report("keepalived killed", result);
  expect(result.longestGapMs).toBeLessThan(10_000);
  await waitUntil(
    async () =>
      (await active.ssh("cat /run/cdktf-ha-vrrp/main", { allowFailure: true })).stdout === "BACKUP\n",
    10,
    () => "keepalived did not come back",
  );
});

test("a haproxy that hangs: the address moves to one that answers", async () => {
  const { active, standby } = await roles(lab);
  const result = await underLoad(async () => {
    await active.ssh("pkill -STOP haproxy");
    await waitUntil(
      () => hasAddress(standby, VIP),
      15,
      () => "the address did not move",
    );
  }, A_SECOND);
  report("haproxy hangs", result);
  expect(result.longestGapMs).toBeLessThan(20_000);
  await active.ssh("pkill -CONT haproxy");
  await settle();
});

test("power cut of the active node: the other one takes over; it comes back as standby", async () => {
  const { active, standby } = await roles(lab);
  const result = await underLoad(async () => {
    await active.cutPower();
    await waitUntil(
      () => hasAddress(standby, VIP),
      20,
      () => "the address did not move",
    );
    await delay(500);
  }, A_SECOND);
  report("power cut", result);
  expect(result.longestGapMs).toBeLessThan(10_000);
  const back = await underLoad(async () => {
    await active.powerOn();
    await delay(3000);
  });
  expect(back.failed).toEqual([]); // no preemption
  expect((await roles(lab)).active.name).toBe(standby.name);
});

test("cable cut and healed: one holder, and no second one after the heal", async () => {
  const { active, standby } = await roles(lab);
  const result = await underLoad(async () => {
    await active.unplug();
    await waitUntil(
      () => hasAddress(standby, VIP),
      20,
      () => "the address did not move",
    );
  }, A_SECOND);
  report("cable cut", result);
  expect(result.longestGapMs).toBeLessThan(10_000);
  await active.plug();
  await delay(3000);
  await waitUntil(
    async () => (await holders(lab)).length === 1,
    20,
    () => "not one has the address",
  );
  await settle();
});

test("the two nodes cannot hear each other: two holders until the heal, one within an advert after it", async () => {
  await lab.partition(["lb-1"], ["lb-2"]);
  await waitUntil(
    async () => (await holders(lab)).length === 2,
    10,
    () => "no second holder",
  );
  // each node notes when it loses the address, by its own clock, which is this computer's
  const watch = (name: string): Promise<{ stdout: string }> =>
    lab
      .machine(name)
      .ssh(
        `until [ $SECONDS -gt 15 ]; do if [ -z "$(ip -o address show to ${VIP})" ]; then date +%s%3N; exit; fi; sleep 0.005; done; echo held`,
        { timeoutSeconds: 60 },
      );
  const watches = [watch("lb-1"), watch("lb-2")];
  await delay(3000); // until both look
  const healed = Date.now();
  await lab.heal();
  const lost = (await Promise.all(watches)).map(({ stdout }) => stdout.trim());
  const times = lost.filter((text) => text !== "held").map((text) => Number(text) - healed);
  process.stderr.write(`both were holders until ${times.join(", ")} ms after the heal\n`);
  expect(times).toHaveLength(1);
  // an advert comes every 200 ms; the rest is this computer's own slowness
  expect(times[0]).toBeLessThan(5000);
  await settle();
});

test("both nodes rebooted at once: everything comes back by itself", async () => {
  await Promise.all([lab.machine("lb-1").reboot(), lab.machine("lb-2").reboot()]);
  await settle();
  for (const name of ["lb-1", "lb-2"]) {
    let stdout = "";
    await waitUntil(
      async () => {
        ({ stdout } = await lab.machine(name).ssh("cdktf-ha status; nft list table inet cdktf_ha"));
        return !stdout.includes("NOT HEALTHY");
      },
      30, // a machine lets ssh in before its services have answered their first checks
      () => `${name} did not come back: ${stdout}`,
    );
    expect(stdout).toContain(
      `ip saddr ${ADDRESSES[name === "lb-1" ? "lb-2" : "lb-1"]} meta l4proto 112 accept`,
    );
  }
  expect(await deployment.isUpToDate()).toBe(true);
});

test("destroyed: services stopped, files gone, packages' own files back, the firewall open again", async () => {
  const { ok, output } = await deployment.destroy();
  expect(output).toContain("Destroy complete");
  expect(ok).toBe(true);
  for (const name of ["lb-1", "lb-2"]) {
    const machine = lab.machine(name);
    const { stdout } = await machine.ssh(
      "systemctl is-active haproxy keepalived; nft list tables; ls /etc/systemd/system | grep -c cdktf; head -1 /etc/haproxy/haproxy.cfg; ls /usr/local/sbin | grep cdktf",
      { allowFailure: true },
    );
    expect(stdout).toBe("inactive\ninactive\n0\nglobal\n");
  }
});

function report(what: string, result: Awaited<ReturnType<Load["stop"]>>): void {
  process.stderr.write(
    `${what}: longest gap ${Math.round(result.longestGapMs)} ms, ${result.failed.length} of ${result.requests.length} requests failed\n`,
  );
}
