// Virtual machines beside containers in one lab, and the power switch. Run as:
// machines/sealed.sh npx jest -c test/machines/jest.config.js vms
import { Lab, type LabMachine } from "../../machines/lab";
import { PowerSwitch } from "../../machines/power-switch";
import { waitUntil } from "../../machines/run";
import { greetsSsh } from "../../machines/ssh";

// Translated by QEMU and beside other tests, what takes a second elsewhere can take half a minute.
jest.setTimeout(600_000);

const LINK = "10.78.0.0/24";

describe("two virtual machines and a container in one lab", () => {
  let lab: Lab;
  let a: LabMachine, b: LabMachine, c: LabMachine;
  let power: PowerSwitch;

  beforeAll(async () => {
    lab = await Lab.start({
      a: {
        address: "10.77.0.11/24",
        moreAddresses: ["10.78.0.11/24"],
        vm: { dataDisks: [{ sizeMiB: 320 }] },
      },
      b: {
        address: "10.77.0.12/24",
        moreAddresses: ["10.78.0.12/24"],
        vm: { memoryMiB: 384, dataDisks: [{ sizeMiB: 32, serial: "store" }, { sizeMiB: 48 }] },
        hostname: "bee",
      },
      c: { address: "10.77.0.13/24", moreAddresses: ["10.78.0.13/24"], flavour: "vms" },
    });
    [a, b, c] = [lab.machine("a"), lab.machine("b"), lab.machine("c")];
    power = await PowerSwitch.start(lab, {
      address: "10.78.0.1",
      password: "secret",
      machines: ["a", "b"],
      firmwareSeconds: 10,
    });
  });
  afterAll(async () => {
    await power.stop();
    await lab.stop();
  });

  /** What a fence agent in the container is told; its socat waits 3 s for a connection and 20 s for an answer. */
  const ask = async (request: string, password = "secret", seconds = 20) => {
    const socat = `socat -t ${seconds} - TCP:10.78.0.1:9000,connect-timeout=3`;
    const { code, stdout, stderr } = await c.ssh(`printf '%s\\n' '${password}' '${request}' | ${socat}`, {
      allowFailure: true,
    });
    return code === 0 ? stdout.trim() : stderr;
  };
  const reaches = async (from: LabMachine, address: string) =>
    (await from.ssh(`ping -c 2 -W 5 ${address}`, { allowFailure: true })).code === 0;

  test("have a kernel, disks and two links of their own, the users of every machine, and nothing that starts by itself", async () => {
    const look =
      "systemctl is-system-running --wait; uname -r; hostname; ss -Hltn | awk '{ print $4 }' | sort; lsblk -dnbro NAME,SIZE; ip -br address";
    const [atA, atB, atC] = await Promise.all([a, b, c].map(async (each) => (await each.ssh(look)).stdout));
    expect(atA).toMatch(/^running\n6\.1\..*-amd64\na\n0\.0\.0\.0:22\n\[::\]:22\nvda .*\nvdb 335544320\n/);
    expect(atB).toMatch(/^running\n.*\nbee\n0\.0\.0\.0:22\n\[::\]:22\nvda .*\nvdb 33554432\nvdc 50331648\n/);
    expect(atA).toMatch(/eth0 .*10\.77\.0\.11\/24.*\neth1 .*10\.78\.0\.11\/24/);
    expect(atC).toMatch(/^running\n/);
    expect(atC).toMatch(/eth0\S* .*10\.77\.0\.13\/24.*\neth1\S* .*10\.78\.0\.13\/24/);
    expect(atC).not.toContain(atA?.split("\n")[1]);
    const { stdout } = await b.ssh("whoami; sudo whoami; readlink -f /dev/disk/by-id/virtio-store", {
      user: "admin",
    });
    expect(stdout).toBe("admin\nroot\n/dev/vdb\n");
    expect((await b.ssh("sudo -n true", { user: "nosudo", allowFailure: true })).code).not.toBe(0);
    expect(await a.memoryMiB()).toBeGreaterThan(64);
    await expect(a.plugDisk("/dev/null", "/dev/sdf")).rejects.toThrow("dataDisks");
  });

  test("have DRBD 8.4, XFS, a watchdog and the kernel's NFS server", async () => {
    const serve = `set -e
      modprobe -a drbd softdog
      head -n 1 /proc/drbd
      test -c /dev/watchdog && echo a watchdog
      mkfs.xfs -q /dev/vdb
      mkdir -p /srv/shared && mount /dev/vdb /srv/shared && echo content >/srv/shared/file
      echo '/srv/shared *(rw,no_root_squash,no_subtree_check)' >/etc/exports
      systemctl start nfs-server`;
    expect((await a.ssh(serve)).stdout).toMatch(/^version: 8\.4\.\d+ .*\na watchdog\n/);
    const mount = "mount -t nfs4 10.78.0.11:/srv/shared /mnt && cat /mnt/file && umount /mnt";
    expect((await b.ssh(mount)).stdout).toBe("content\n");
    await a.ssh("systemctl stop nfs-server && umount /srv/shared");
  });

  test("a link is cut one way, both ways, or pulled, and the other link is not", async () => {
    // Broadcasts need no answer, not even to ARP: what arrives tells which way is open. The container is the witness.
    const [all, link] = [[a, b, c], "10.78.0.255"];
    const listen = `systemd-run --quiet --unit=listen socat -u UDP-RECV:5000 CREATE:/run/heard`;
    for (const each of all) {
      await each.ssh(listen);
      await waitUntil(
        async () => (await each.ssh("ss -Hlun sport = :5000")).stdout !== "",
        60,
        () => `${each.name} does not listen`,
      );
    }
    const heard = async (machine: LabMachine) => {
      const { stdout } = await machine.ssh("cat /run/heard 2>/dev/null || true");
      const own = `-${machine.name}`; // which Linux gives back to the sender
      return stdout.split("\n").filter((word) => word && !word.endsWith(own));
    };
    const say = async (word: string) => {
      for (const each of [a, b])
        await each.ssh(`echo ${word}-${each.name} | socat -u - UDP-DATAGRAM:${link}:5000,broadcast`);
      await waitUntil(
        async () => (await heard(c)).includes(`${word}-b`),
        30,
        () => `${word} was not heard`,
        250,
      );
    };

    await say("before");
    await lab.partition(["a"], ["b"], { oneWay: true, subnet: LINK });
    await say("one-way");
    await lab.partition(["b"], ["a"], { oneWay: true, subnet: LINK });
    await say("cut");
    expect(await reaches(a, b.address)).toBe(true);
    await lab.partition(["a"], ["b"]);
    expect(await reaches(a, b.address)).toBe(false);
    await lab.heal();
    await say("healed");
    expect(await heard(c)).toEqual(
      ["before", "one-way", "cut", "healed"].flatMap((word) => [`${word}-a`, `${word}-b`]),
    );
    expect(await heard(b)).toEqual(["before-a", "healed-a"]);
    expect(await heard(a)).toEqual(["before-b", "one-way-b", "healed-b"]);

    await a.unplug("10.78.0.11");
    const carriers = async () => (await a.ssh("cat /sys/class/net/eth[01]/carrier")).stdout;
    expect(await carriers()).toBe("1\n0\n");
    await a.plug("10.78.0.11");
    expect(await carriers()).toBe("1\n1\n");
    await expect(a.unplug(b.address)).rejects.toThrow("a has 10.77.0.11 and 10.78.0.11, not 10.77.0.12");
  });

  test("the power switch wants its password, and can refuse, hang and be unreachable", async () => {
    expect(await ask("list")).toBe("a b");
    expect(await ask("status a")).toBe("on");
    expect(await ask("off a", "guess")).toBe("error wrong password");
    expect(await ask("off c")).toBe("error no machine c");
    expect(await ask("explode a")).toMatch(/^error not a request/);
    await power.set("refuses");
    expect(await ask("off a")).toContain("Connection refused");
    await power.set("unreachable");
    expect(await ask("off a")).toContain("timed out");
    await power.set("hangs");
    expect(await ask("off a", "secret", 2)).toBe("");
    expect(power.requests.at(-1)).toMatchObject({ client: "10.78.0.13", request: "off a" });
    expect(power.requests.at(-1)?.answer).toBeUndefined();
    await power.set("works");
    expect(await ask("status a")).toBe("on");
    expect(a.isOn).toBe(true);
  });

  test("a power cut loses what was not written, and nothing else; a machine that resets itself comes back", async () => {
    const idOfBoot = "cat /proc/sys/kernel/random/boot_id";
    const before = (await b.ssh(idOfBoot)).stdout;
    // Nothing is to be written by itself before the cut comes, however busy this computer is.
    await a.ssh(`sysctl --quiet -w vm.dirty_writeback_centisecs=0 vm.dirty_expire_centisecs=360000
      echo written >/root/written && sync && echo lost >/root/lost && cat /root/lost`);
    expect(await ask("off a")).toBe("ok");
    expect(a.isOn).toBe(false);
    expect(await ask("status a")).toBe("off");
    expect(await ask("off a")).toBe("ok");
    expect(await greetsSsh(a.address)).toBe(false);
    expect(await ask("on a")).toBe("ok");
    expect(await ask("status a")).toBe("on");
    expect(a.isOn).toBe(false); // its firmware is at work
    await waitUntil(
      () => a.isOn,
      60,
      () => "a is not switched on",
    );
    await b.ssh(
      "systemd-run --quiet --on-active=10 --timer-property=AccuracySec=100ms sh -c 'echo b >/proc/sysrq-trigger'",
    );
    // A connection into the reset is never answered: it is given up.
    const isAnew = () =>
      b.ssh(idOfBoot, { timeoutSeconds: 30 }).then(
        ({ stdout }) => stdout !== before,
        () => false,
      );
    await waitUntil(isAnew, 500, () => "b has not booted again", 2000);
    await a.untilReady();
    expect((await a.ssh("cat /root/written; cat /root/lost 2>/dev/null || true")).stdout).toBe("written\n");
    expect(await reaches(a, "10.78.0.12")).toBe(true);
  });

  test("a shutdown is clean, and a machine that is removed leaves nothing", async () => {
    await a.ssh(
      `systemd-run --quiet --unit=last --property=RemainAfterExit=yes --property='ExecStop=/bin/sh -c "echo goodbye >/dev/ttyS0"' true`,
    );
    await a.shutdown();
    expect(a.isOn).toBe(false);
    expect(await a.consoleTail(5)).toContain("goodbye");
    await lab.remove("a");
    expect((await lab.run("ip", ["-o", "link"])).stdout).not.toContain(a.port);
    expect((await lab.run("ps", ["-eo", "args"])).stdout).not.toContain("qemu-system-x86_64 -name a ");
    expect((await lab.run("ps", ["-eo", "args"])).stdout).toContain("qemu-system-x86_64 -name b ");
  });
});
