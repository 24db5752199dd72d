// Run as: machines/sealed.sh npx jest -c test/machines/jest.config.js harness
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Lab, type LabMachine } from "../../machines/lab";
import { Load, LoadResult } from "../../machines/load";
import { portScan } from "../../machines/ports";
import { run, waitUntil } from "../../machines/run";
import { greetsSsh } from "../../machines/ssh";

const root = join(__dirname, "..", "..");

describe("a lab of three machines in two subnets", () => {
  let lab: Lab;
  let a: LabMachine, b: LabMachine, far: LabMachine;

  beforeAll(async () => {
    lab = await Lab.start({
      a: { address: "10.77.0.11/24" },
      b: { address: "10.77.0.12/24", diskMiB: 64 },
      far: { address: "10.78.0.11/24", hostname: "distant" },
    });
    [a, b, far] = [lab.machine("a"), lab.machine("b"), lab.machine("far")];
  });
  afterAll(() => lab.stop());

  const reaches = async (from: LabMachine, to: LabMachine) =>
    (await from.ssh(`ping -c 2 -W 5 ${to.address}`, { allowFailure: true })).code === 0;

  test("boots machines that answer and whose systemd is running", async () => {
    for (const machine of [a, b, far]) {
      const { stdout } = await machine.ssh(
        "systemctl is-system-running --wait; umask; ip -br link show eth0",
      );
      expect(stdout).toMatch(/^running\n0022\neth0/);
      expect(stdout).toContain(machine.mac);
    }
    expect((await far.ssh("hostname; hostname -f")).stdout).toBe("distant\ndistant\n");
    expect((await a.ssh("cat /etc/hosts")).stdout).not.toMatch(/distant|10\.7/);
    expect((await a.ssh("whoami; sudo whoami", { user: "admin" })).stdout).toBe("admin\nroot\n");
    expect((await a.ssh("sudo -n true", { user: "nosudo", allowFailure: true })).code).not.toBe(0);
    const [keyA, keyB] = await Promise.all(
      [a, b].map((machine) => machine.ssh("cat /etc/ssh/ssh_host_*.pub")),
    );
    expect(keyA?.stdout).not.toBe(keyB?.stdout);
  });

  test("machines have kernel settings of their own", async () => {
    await a.ssh("sysctl --system && sysctl -w vm.swappiness=1 net.ipv4.ip_nonlocal_bind=1");
    expect((await a.ssh("sysctl -n vm.swappiness net.ipv4.ip_nonlocal_bind")).stdout).toBe("1\n1\n");
    expect((await b.ssh("sysctl -n vm.swappiness net.ipv4.ip_nonlocal_bind")).stdout).not.toMatch(/^1$/m);
    expect(readFileSync("/proc/sys/vm/swappiness", "utf8")).not.toBe("1\n");
  });

  test("has no way out", async () => {
    expect((await lab.run("ip", ["route", "show", "default"])).stdout).toBe("");
    const links = (await lab.run("ip", ["-o", "link"])).stdout.trim().split("\n");
    const names = links.map((line) => line.split(": ")[1]?.split("@")[0]);
    expect(names.sort()).toEqual(["lo", "br-0", "br-1", a.port, b.port, far.port].sort());
  });

  test("tells all about a failed script, and passes input", async () => {
    await expect(a.ssh("echo out; echo err >&2; exit 3")).rejects.toThrow(/exit status 3\nerr\nout/);
    await expect(a.ssh("sleep 5", { timeoutSeconds: 0.5 })).rejects.toThrow("no end within 0.5 s");
    expect((await a.ssh("cat", { input: "text" })).stdout).toBe("text");
    expect(() => lab.machine("nobody")).toThrow('no machine "nobody" in this lab, only a, b, far');
  });

  test("routes between the subnets", async () => {
    expect([lab.bridgeOf(a.address), lab.bridgeOf(far.address)]).toEqual(["br-0", "br-1"]);
    expect(await reaches(a, far)).toBe(true);
    expect(await reaches(far, b)).toBe(true);
    expect((await a.ssh(`ip route get ${far.address}`)).stdout).toContain("via 10.77.0.1 ");
  });

  test("a power cut is silent, and the disk is kept", async () => {
    await b.ssh("echo kept >/root/file; sync");
    // A connection on which the machine would say goodbye if it could.
    const server = createServer().listen(0, "10.77.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const connected = once(server, "connection");
    await b.ssh(`systemd-run --quiet socat EXEC:'sleep 60' TCP:10.77.0.1:${port}`);
    const [connection] = (await connected) as [Socket];
    const goodbye = jest.fn();
    connection.on("end", goodbye).on("error", goodbye);

    await b.cutPower();
    expect(b.isOn).toBe(false);
    expect(await b.memoryMiB()).toBe(0);
    expect(await greetsSsh(b.address)).toBe(false);
    await delay(300);
    expect(goodbye).not.toHaveBeenCalled();
    connection.destroy();
    server.close();

    await b.powerOn();
    expect((await b.ssh("cat /root/file")).stdout).toBe("kept\n");
    expect(await reaches(a, b)).toBe(true); // at once: its MAC is the same
  });

  test("unplug and plug", async () => {
    await b.unplug();
    expect(await reaches(a, b)).toBe(false);
    expect(b.isOn).toBe(true);
    await b.plug();
    expect(await reaches(a, b)).toBe(true);
    expect((await b.ssh("ip route show default")).stdout).toContain("10.77.0.1");
  });

  test("partitions add up, within a subnet and across, and heal", async () => {
    const reached = async () => {
      const pairs = {
        "a-b": reaches(a, b),
        "b-a": reaches(b, a),
        "a-far": reaches(a, far),
        "far-b": reaches(far, b),
      };
      const answers = await Promise.all(Object.values(pairs));
      return Object.keys(pairs).filter((_, index) => answers[index]);
    };
    await lab.partition(["a"], ["b"]);
    expect(await reached()).toEqual(["a-far", "far-b"]);
    await lab.partition(["a", "b"], ["far"]);
    expect(await reached()).toEqual([]);
    expect((await a.ssh("cat /sys/class/net/eth0/carrier")).stdout).toBe("1\n");
    await lab.heal();
    expect(await reached()).toEqual(["a-b", "b-a", "a-far", "far-b"]);
  });

  test("a partition cuts virtual addresses and multicast as well", async () => {
    await b.ssh("ip address add 10.77.0.100/24 dev eth0");
    await lab.partition(["a"], ["b"]);
    expect((await a.ssh("ping -c 1 -W 1 10.77.0.100", { allowFailure: true })).code).not.toBe(0);
    const listen = "socat -u UDP-RECV:5000,ip-add-membership=224.0.0.18:eth0 - >/root/heard";
    await a.ssh(`systemd-run --quiet --collect --unit=listener sh -c 'exec ${listen}'`);
    await waitUntil(
      async () => (await a.ssh("ip maddress show dev eth0")).stdout.includes("224.0.0.18"),
      20,
      () => "nobody listens",
    );
    const shout = () =>
      b.ssh("echo $HOSTNAME | socat - UDP-DATAGRAM:224.0.0.18:5000,ip-multicast-if=10.77.0.12");
    await shout();
    await lab.heal();
    await shout();
    const heard = async (): Promise<string> => (await a.ssh("cat /root/heard")).stdout;
    await waitUntil(
      async () => (await heard()) !== "",
      20,
      () => "nothing is heard after the heal",
    );
    expect(await heard()).toBe("b\n");
    await a.ssh("systemctl stop listener");
    await b.ssh("ip address del 10.77.0.100/24 dev eth0");
  });

  test("a full disk is full for root, and only there", async () => {
    const write = "dd if=/dev/zero of=/root/block bs=4k count=1 2>&1";
    await b.fillDisk();
    const { code, stdout } = await b.ssh(write, { allowFailure: true });
    expect(code).not.toBe(0);
    expect(stdout).toContain("No space left on device");
    expect((await b.ssh("df --output=avail / | tail -n 1")).stdout.trim()).toBe("0");
    await a.ssh(write);
    await b.freeDisk();
    await b.ssh(write);
    // The size is a real limit, too.
    expect(
      (await b.ssh("dd if=/dev/zero of=/root/big bs=1M count=65 2>&1", { allowFailure: true })).stdout,
    ).toContain("No space left on device");
    await b.ssh("rm /root/big");
  });

  test("shutdown is clean, reboot starts anew", async () => {
    // Only a clean shutdown runs ExecStop.
    await b.ssh("systemd-run --quiet --property=ExecStop='/bin/touch /root/stopped' sleep infinity");
    const id = async () => (await b.ssh("cat /proc/sys/kernel/random/boot_id; stat -c %Y /proc/1")).stdout;
    const first = await id();
    await b.reboot();
    expect(await id()).not.toBe(first);
    await b.ssh("rm /root/stopped");
    await b.shutdown();
    expect(b.isOn).toBe(false);
    await b.powerOn();
  });

  test("a machine can reboot itself and go off by itself", async () => {
    await b.ssh("touch /run/before");
    await b.ssh("systemctl reboot", { allowFailure: true });
    await waitUntil(
      async () => (await b.ssh("test ! -e /run/before", { allowFailure: true })).code === 0,
      120,
      () => "it did not boot",
    );
    expect((await b.ssh("ls /run/before", { allowFailure: true })).code).toBe(2);
    await b.ssh("systemctl poweroff", { allowFailure: true });
    await waitUntil(
      () => Promise.resolve(!b.isOn),
      60,
      () => "it did not go off",
    );
    await b.powerOn();
  });

  test("machines come and go", async () => {
    const more = await lab.add("more", { address: "10.79.5.130/25" });
    expect(lab.bridgeOf("10.79.5.200")).toBe("br-2");
    expect(await reaches(more, a)).toBe(true);
    expect((await more.ssh("ip route show default")).stdout).toContain("via 10.79.5.129 ");
    expect(await more.memoryMiB()).toBeGreaterThan(1);
    await expect(lab.add("twin", { address: "10.79.5.130/25" })).rejects.toThrow(
      "already has a machine more",
    );
    await lab.remove("more");
    expect(() => lab.machine("more")).toThrow("no machine");
    // The same name and address anew: a new disk.
    await (await lab.add("more", { address: "10.79.5.130/25" })).ssh("true");
    await lab.remove("more");
  });

  test("there is one lab at a time", async () => {
    await expect(Lab.start({})).rejects.toThrow("another lab");
  });

  test("load measures an outage", async () => {
    await b.ssh("hostname >/var/www/html/name; systemctl start nginx");
    const load = Load.start({ url: `http://${b.address}/name`, perSecond: 50, timeoutMs: 200 });
    await delay(500);
    const times = [performance.now()];
    await b.unplug();
    times.push(performance.now());
    await delay(1000);
    times.push(performance.now());
    await b.plug();
    times.push(performance.now());
    await delay(500);
    const result = await load.stop();
    expect(result.requests.length).toBeGreaterThan(90); // the rate is kept through the outage
    expect(result.failed.length).toBeGreaterThan(30);
    expect(result.failed[0]?.error).toBe("no answer within 200 ms");
    const [unplug = 0, unplugged = 0, plug = 0, plugged = 0] = times;
    expect(result.longestGapMs).toBeGreaterThan(plug - unplugged - 50);
    expect(result.longestGapMs).toBeLessThan(plugged - unplug + 5000); // a busy computer answers late
    expect(result.byServer()).toEqual({ b: result.succeeded.length });
  });

  test("a port scan tells open, closed and filtered apart", async () => {
    await b.ssh(`systemctl start nginx; nft '
      table inet filter {
        chain input {
          type filter hook input priority 0
          tcp dport { 443, 5432 } drop
          udp dport 53 drop
          ip protocol 112 drop
        }
      }'`);
    const targets = { tcp: "all", udp: [53, 123], protocols: [112, 113] } as const;
    expect(await portScan(a, b.address, targets)).toEqual({
      tcp: { open: [22, 80], closed: expect.anything(), filtered: [443, 5432] },
      udp: { open: [], closed: [123], filtered: [53] },
      protocols: { open: [], closed: [113], filtered: [112] },
    });
    expect((await portScan(lab, b.address, { tcp: [22, 23] })).tcp).toEqual({
      open: [22],
      closed: [23],
      filtered: [],
    });
  });
});

test("a gap is measured from the last success's start to the next success's end", () => {
  const at = (start: number, ms: number, ok: boolean) => ({ at: start, ms, ok });
  const gap = (...requests: ReturnType<typeof at>[]) => new LoadResult(requests).longestGapMs;
  const outage = [at(0, 5, true), at(20, 200, false), at(40, 200, false)];
  expect(gap(...outage, at(60, 7, true), at(80, 5, true))).toBe(67);
  expect(gap(...outage)).toBe(240); // it did not end
  expect(gap(at(10, 200, false), at(50, 5, true))).toBe(45);
  expect(gap(at(0, 5, true), at(900, 5, true))).toBe(0);
  expect(gap()).toBe(0);
});

test("the load keeps its rate while requests hang, and never has too many under way", async () => {
  let underWay = 0;
  let most = 0;
  const request = async () => {
    most = Math.max(most, ++underWay);
    await delay(300);
    underWay--;
    return { ok: true };
  };
  const load = Load.start({ request, perSecond: 100, timeoutMs: 1000, maxOutstanding: 10 });
  await delay(1000);
  const result = await load.stop();
  expect(most).toBe(10);
  expect(result.requests.length).toBeGreaterThan(90);
  expect(result.failed[0]?.error).toBe("not sent: 10 requests are under way");
});

test("two sealed labs run at once with the same addresses", async () => {
  const meeting = mkdtempSync(join(root, "node_modules", ".cache", "meeting-"));
  const sealed = join(root, "machines", "sealed.sh");
  const script = `
    const { Lab } = require("./machines/lab");
    (async () => {
      const lab = await Lab.start({ a: { address: "10.77.0.11/24" }, b: { address: "10.77.0.12/24" } });
      await lab.machine("a").ssh("echo " + process.argv[1] + " >/root/who");
      const { existsSync, writeFileSync } = require("node:fs");
      const [who, meeting] = process.argv.slice(1);
      writeFileSync(meeting + "/" + who, "");
      console.log("start", Date.now());
      for (let i = 0; i < 600 && !existsSync(meeting + "/" + (who === "one" ? "two" : "one")); i++)
        await new Promise((resolve) => setTimeout(resolve, 100));
      const { stdout } = await lab.machine("b").ssh("ping -q -c 1 10.77.0.11 >/dev/null && echo reached");
      console.log((await lab.machine("a").ssh("cat /root/who")).stdout + stdout + "end " + Date.now());
      await lab.stop();
    })();`;
  const tsx = ["--require", "tsx/cjs", "--eval", script];
  const labs = ["one", "two"].map((who) =>
    run(sealed, [process.execPath, ...tsx, who, meeting], { cwd: root, timeoutSeconds: 150 }),
  );
  const outputs = (await Promise.all(labs)).map(({ stdout }) => stdout);
  rmSync(meeting, { recursive: true });
  const times = outputs.map((output) =>
    /^start (\d+)\n(?:one|two)\nreached\nend (\d+)\n$/.exec(output)?.slice(1).map(Number),
  );
  const [[start1, end1], [start2, end2]] = times as [[number, number], [number, number]];
  expect(Math.max(start1, start2)).toBeLessThan(Math.min(end1, end2));
});

test("a killed lab leaves nothing behind", async () => {
  // Here in a nested lab; CI runs the same outside: npx tsx machines/leftovers-check.ts
  const { stdout } = await run("node_modules/.bin/tsx", ["machines/leftovers-check.ts"], {
    cwd: root,
    timeoutSeconds: 280,
  });
  expect(stdout.match(/all gone/g)).toHaveLength(3);
});
