import { setTimeout as delay } from "node:timers/promises";
import {
  Peer,
  Rollout,
  RolloutOrder,
  Secret,
  type Service,
  type ServiceDescription,
} from "cdktf-ha-clusters";
import type { TerraformStack } from "cdktf";
import type { Lab, LabMachine } from "../../machines/lab";
import { waitUntil } from "../../machines/run";
import { Deployment, type Outcome } from "../support/deployment";
import { ADDRESSES, OPERATOR, rackOf, startSite } from "./support/site";

/** What a push does on a machine, with services made for the purpose. */
let lab: Lab;
let one: LabMachine;
let two: LabMachine;
let deployment: Deployment;

beforeAll(async () => {
  lab = await startSite(["lb-1", "lb-2"], "tests");
  [one, two] = [lab.machine("lb-1"), lab.machine("lb-2")];
  deployment = new Deployment(`${lab.directory}/deployment`, () => undefined);
});
afterAll(() => lab.stop());

const hosts = ["lb-1", "lb-2"];

/** A stack with services on both machines. */
function services(...all: Service[]): (stack: TerraformStack) => void {
  return (stack) => {
    const rack = rackOf(stack, lab);
    const nodes = hosts.map((name) => ({ machine: rack.host(name), services: all }));
    if (all.length) new Rollout(stack, "rollout", { nodes });
    else for (const name of hosts) rack.host(name);
  };
}

function service(name: string, description: Partial<ServiceDescription>): Service {
  return { name, describe: () => ({ files: [], ...description }) };
}

const push = (...all: Service[]): Promise<Outcome> => deployment.changed(services(...all)).apply();
const deploy = (...all: Service[]): Promise<Outcome> => deployment.changed(services(...all)).deploy();
const cat = async (machine: LabMachine, path: string): Promise<string> =>
  (await machine.ssh(`cat ${path}`)).stdout;

describe("text", () => {
  const texts: Record<string, string> = {
    "/etc/t/templates": '%{+Q}o ${HOME} $${x} %%{if} $$$${y} %${z} ${"quoted"}\n',
    "/etc/t/shell": "`id` $(id) \\ ' \" ! # ~ & ; | > < * ? [a] {b,c}\n$'x'\n",
    "/etc/t/heredoc": "cdktf-ha\nEOF\n#:0123456789abcdef01234567: end\n#:\n",
    "/etc/t/no-newline": "no newline at the end",
    "/etc/t/newlines": "\n\n\nthree before and three after\n\n\n",
    "/etc/t/empty": "",
    "/etc/t/crlf": "dos\r\nlines\r\n",
    "/etc/t/controls": "tab\t bell\u0007 escape\u001b[31m\n",
    "/etc/t/unicode": "äöü 漢字 🐘 \u00a0 a\u0308 (decomposed) \ufeff\n",
    "/etc/t/long-line": "x".repeat(300_000) + "\n",
    "/etc/t/megabyte": [...Array(16_384).keys()].map((n) => `${n}`.padStart(63, "0") + "\n").join(""),
  };

  test("every text arrives to the byte", async () => {
    const files = Object.entries(texts).map(([path, text]) => ({ path, text }));
    await deploy(service("texts", { files }));
    for (const [path, text] of Object.entries(texts)) {
      const { stdout } = await two.ssh(`base64 --wrap=0 ${path}`);
      expect([path, Buffer.from(stdout, "base64").equals(Buffer.from(text))]).toEqual([path, true]);
    }
    expect(await deployment.changed(services(service("texts", { files }))).isUpToDate()).toBe(true);
  });
});

describe("files", () => {
  test("owners and modes; what leaves the code leaves the machine, and what stood there before comes back", async () => {
    await one.ssh(
      "mkdir -p /etc/f; echo 'the distribution’s own' > /etc/f/taken; echo default > /etc/f/unwanted",
    );
    const files = [
      { path: "/etc/f/taken", text: "ours\n" },
      { path: "/etc/f/new", text: "new\n", mode: "0600", owner: "admin", group: "adm" },
      { path: "/etc/f/deep/down/here", text: "deep\n" },
    ];
    await deploy(service("files", { files, absent: ["/etc/f/unwanted"] }));
    const { stdout } = await one.ssh(
      "cd /etc/f; stat -c '%n %a %U %G' new taken deep deep/down; cat taken; ls unwanted || true",
    );
    expect(stdout).toBe(
      "new 600 admin adm\ntaken 644 root root\ndeep 755 root root\ndeep/down 755 root root\nours\n",
    );
    await deploy(service("files", { files: files.slice(2) }));
    expect(await cat(one, "/etc/f/taken /etc/f/unwanted")).toBe("the distribution’s own\ndefault\n");
    expect((await one.ssh("ls /etc/f/new", { allowFailure: true })).code).not.toBe(0);
  });

  test("a service that leaves the code leaves the machine, its daemon with it", async () => {
    const unit = {
      path: "/etc/systemd/system/sleeper.service",
      text: "[Service]\nExecStart=sleep infinity\n[Install]\nWantedBy=multi-user.target\n",
      onChange: "restart" as const,
    };
    await deploy(
      service("sleeper", { files: [unit], units: ["sleeper.service"] }),
      service("other", { files: [{ path: "/etc/other", text: "" }] }),
    );
    expect((await two.ssh("systemctl is-active sleeper; systemctl is-enabled sleeper")).stdout).toBe(
      "active\nenabled\n",
    );
    const { steps } = await deploy(service("other", { files: [{ path: "/etc/other", text: "" }] }));
    expect(steps).toContainEqual("[lb-2 sleeper] removed");
    const { stdout } = await two.ssh("systemctl is-active sleeper; ls /etc/systemd/system/sleeper.service", {
      allowFailure: true,
    });
    expect(stdout).toBe("inactive\n");
  });

  test("a unit that leaves a service that stays ends, and the others go on; taken back it runs again", async () => {
    const unit = (name: string, command = "sleep infinity") => ({
      path: `/etc/systemd/system/${name}.service`,
      text: `[Service]\nExecStart=${command}\n[Install]\nWantedBy=multi-user.target\n`,
      onChange: "restart" as const,
    });
    const sleepers = (...files: ReturnType<typeof unit>[]): Service =>
      service("sleepers", { files, units: files.map(({ path }) => path.split("/").at(-1)!) });
    const state = async (): Promise<string[]> =>
      (
        await two.ssh(
          "systemctl show --property MainPID --value sleeper-a; systemctl is-active sleeper-b; ls /etc/systemd/system/multi-user.target.wants | grep sleeper-b",
          { allowFailure: true },
        )
      ).stdout
        .trim()
        .split("\n");
    await deploy(sleepers(unit("sleeper-a"), unit("sleeper-b")));
    const both = [expect.stringMatching(/^[1-9]/), "active", "sleeper-b.service"];
    expect(await state()).toEqual(both);
    // what comes in its place does not live: everything is as it was
    expect((await push(sleepers(unit("sleeper-a"), unit("sleeper-c", "false")))).ok).toBe(false);
    expect(await state()).toEqual(both);
    await deploy(sleepers(unit("sleeper-a")));
    expect(await state()).toEqual([both[0], "inactive"]);
    await deploy();
  });

  test("a unit that cannot be enabled is no success: it would be missing after the next boot", async () => {
    const sleeper = service("sleeper", {
      files: [
        {
          path: "/etc/systemd/system/sleeper.service",
          text: "[Service]\nExecStart=sleep infinity\n[Install]\nWantedBy=multi-user.target\n",
          onChange: "restart",
        },
      ],
      units: ["sleeper.service"],
      healthyWithin: 3,
    });
    const wanted = "/etc/systemd/system/multi-user.target.wants/sleeper.service";
    await one.ssh(`mkdir -p ${wanted}`);
    const { ok, output } = await push(sleeper);
    expect(ok).toBe(false);
    expect(output).toContain("sleeper.service");
    await one.ssh(`rmdir ${wanted}`);
    await deploy(sleeper);
    expect((await one.ssh("systemctl is-enabled sleeper")).stdout).toBe("enabled\n");
    await deploy();
  });

  test("a daemon that dies is taken back to the version that lived", async () => {
    const unit = (command: string): Service =>
      service("daemon", {
        files: [
          {
            path: "/etc/systemd/system/mortal.service",
            text: `[Service]\nExecStart=/bin/sh -c '${command}'\n[Install]\nWantedBy=multi-user.target\n`,
            onChange: "restart",
          },
        ],
        units: ["mortal.service"],
        healthyWithin: 3,
      });
    await deploy(unit("exec sleep infinity"));
    const outcome = await push(unit("echo the daemon says no; sleep 0.1; exit 1"));
    expect(outcome.ok).toBe(false);
    expect(outcome.steps).toContain("[lb-1 daemon] | the daemon says no");
    expect(outcome.steps).toContain("[lb-1 daemon] back on the last good version, which is healthy");
    expect(outcome.steps.some((step) => step.startsWith("[lb-2"))).toBe(false);
    expect((await one.ssh("systemctl is-active mortal")).stdout).toBe("active\n");
    await deploy(unit("exec sleep infinity"));
  });
});

describe("packages, users, kernel", () => {
  /** A repository with two versions of a package that starts its daemon when it is installed, as Debian's do. */
  async function makeRepository(): Promise<void> {
    for (const machine of [one, two]) {
      await machine.ssh(
        `set -e
         mkdir -p /srv/repository && cd /srv/repository
         for version in 1.0 1.1 2.0; do
           d=$(mktemp -d); mkdir -p $d/DEBIAN $d/lib/systemd/system $d/usr/bin $d/etc/greeter
           printf '#!/bin/sh\\ncat /etc/greeter/greeting >>/run/greeted; exec sleep infinity\\n' >$d/usr/bin/greeter; chmod 755 $d/usr/bin/greeter
           echo "the package's own" >$d/etc/greeter/greeting
           printf '[Service]\\nExecStart=/usr/bin/greeter\\n[Install]\\nWantedBy=multi-user.target\\n' >$d/lib/systemd/system/greeter.service
           printf 'Package: greeter\\nVersion: %s\\nArchitecture: all\\nMaintainer: nobody <nobody@example.net>\\nDescription: greets\\n' $version >$d/DEBIAN/control
           echo /etc/greeter/greeting >$d/DEBIAN/conffiles
           printf '#!/bin/sh\\nset -e\\nsystemctl daemon-reload\\ndeb-systemd-helper enable greeter.service >/dev/null || true\\ndeb-systemd-invoke start greeter.service || true\\n' >$d/DEBIAN/postinst; chmod 755 $d/DEBIAN/postinst
           dpkg-deb --root-owner-group --build $d greeter_\${version}_all.deb >/dev/null
         done
         apt-ftparchive packages . >Packages
         rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*
         echo 'deb [trusted=yes] file:/srv/repository ./' >/etc/apt/sources.list.d/test.list`,
        { timeoutSeconds: 120 },
      );
    }
  }
  const greeter = (greeting: string, version?: string): Service =>
    service("greeter", {
      packages: [{ name: "greeter", version }],
      users: [{ name: "greeter-user", home: "/var/lib/greeter", groups: ["adm"] }],
      directories: [{ path: "/var/lib/greeter", mode: "0750", owner: "greeter-user", group: "greeter-user" }],
      files: [{ path: "/etc/greeter/greeting", text: greeting, onChange: "restart" }],
      sysctls: { "net.ipv4.ip_nonlocal_bind": 1 },
      units: ["greeter.service"],
    });
  const greeted = async (): Promise<string> => cat(one, "/run/greeted");

  test("a package is installed at the pinned version, and its daemon never runs with the package's own config", async () => {
    await makeRepository();
    const { steps } = await deploy(greeter("ours\n", "1.*"));
    expect(steps).toContain("[lb-1 greeter] installing greeter=1.*");
    expect((await one.ssh("dpkg-query -W -f '${Version}' greeter")).stdout).toBe("1.1");
    expect(await greeted()).toBe("ours\n");
    const { stdout } = await one.ssh(
      "systemctl is-enabled greeter; id -nG greeter-user; stat -c '%a %U' /var/lib/greeter; cat /proc/sys/net/ipv4/ip_nonlocal_bind",
    );
    expect(stdout).toBe("enabled\ngreeter-user adm\n750 greeter-user\n1\n");
  });

  test("an upgrade restarts, a version that is there already does not", async () => {
    await deploy(greeter("ours\n", "2.0"));
    expect(await greeted()).toBe("ours\nours\n");
    expect(await cat(one, "/etc/greeter/greeting")).toBe("ours\n");
    const { steps } = await deploy(greeter("ours\n", "2.*"));
    expect(steps.filter((step) => step.startsWith("[lb-1"))).toEqual([
      "[lb-1 greeter] nothing to change, healthy",
    ]);
    expect(await greeted()).toBe("ours\nours\n");
  });

  test("an upgrade of the active node waits for the others too; it is drained first, and checks with the new version", async () => {
    const version = "dpkg-query -W -f '${Version}' greeter";
    const guarded: Service = {
      name: "greeter",
      describe: (machine) => ({
        ...greeter("guarded\n", "1.0").describe(machine),
        hooks: {
          active: "[[ $HA_MACHINE == lb-1 ]]",
          drain: `${version} >>/run/drained`,
          check: `[[ $(${version}) == 1.0 ]]`,
        },
      }),
    };
    const { steps } = await deployment
      .changed((stack) => {
        const rack = rackOf(stack, lab);
        const nodes = hosts.map((name) => ({ machine: rack.host(name), services: [guarded] }));
        new Rollout(stack, "rollout", { nodes, standbyFirst: true });
      })
      .deploy();
    const order = [
      "lb-1 greeter] this node is active: greeter=1.0 waits here",
      "lb-2 greeter] restarted",
      "lb-1 greeter] drained",
      "lb-1 greeter] installing greeter=1.0",
      "lb-1 greeter] restarted",
    ];
    const places = order.map((words) => steps.findIndex((step) => step.includes(words)));
    expect([places, Math.min(...places) >= 0]).toEqual([[...places].sort((a, b) => a - b), true]);
    expect(await cat(one, "/run/drained")).toMatch(/^2\.0/);
    for (const machine of [one, two]) {
      expect((await machine.ssh(version)).stdout).toBe("1.0");
      expect(await cat(machine, "/etc/greeter/greeting")).toBe("guarded\n");
    }
    await deploy(greeter("ours\n", "2.0"));
  });

  test("a package that is not to be had stops the rollout, and nothing was changed", async () => {
    const outcome = await push(greeter("never\n", "9.9"));
    expect(outcome.ok).toBe(false);
    expect(outcome.output).toMatch(/Version '9.9' for 'greeter' was not found/);
    expect(outcome.steps).toContainEqual(
      expect.stringContaining("could not install greeter=9.9; nothing else was changed"),
    );
    expect(await cat(one, "/etc/greeter/greeting")).toBe("ours\n");
    await deploy(greeter("ours\n", "2.*"));
  });

  test("with the service the package's own config comes back", async () => {
    await deploy();
    expect(await cat(one, "/etc/greeter/greeting")).toBe("the package's own\n");
    expect((await one.ssh("systemctl is-active greeter", { allowFailure: true })).stdout).toBe("inactive\n");
  });
});

describe("secrets", () => {
  const value = "S3cret/with 'no' end\"$HOME`id`\\n&%{x}";
  const quotable = "quotable-S3cret $HOME`id`\\&%{x}";
  const withSecrets = (stack: TerraformStack, version = "1"): void => {
    const whole = Secret.variable(stack, "whole", { version });
    const inline = Secret.variable(stack, "inline", { hashKey: Secret.variable(stack, "hash_key") });
    const generated = Secret.generated("generated");
    const fromFile = Secret.file("/root/already-here");
    const vault: Service = {
      name: "vault",
      describe: () => ({
        files: [
          { path: "/etc/vault/whole", text: whole.placeholder },
          {
            path: "/etc/vault/config",
            text: `password='${inline.quotable}'\ngenerated=${generated.placeholder}\nfile=${fromFile.placeholder}`,
          },
        ],
        secrets: [whole, inline, generated, fromFile],
        hooks: { check: "! grep -q REFUSE /etc/vault/whole || { cat /etc/vault/config; exit 1; }" },
      }),
    };
    services(vault)(stack);
  };
  const variables = {
    whole: value,
    inline: quotable,
    hash_key: "a long key that CI keeps, 0123456789abcdef",
  };
  const vault = (values = variables, version = "1"): Deployment =>
    deployment.changed((stack) => withSecrets(stack, version), values);

  test("arrive to the byte, in files that nobody else can read", async () => {
    for (const machine of [one, two]) await machine.ssh("echo from-the-machine > /root/already-here");
    await vault().deploy();
    expect(await cat(one, "/etc/vault/whole")).toBe(value);
    const config = await cat(one, "/etc/vault/config");
    expect(config).toMatch(/^password='(.*)'\ngenerated=([0-9a-f]{48})\nfile=from-the-machine\n$/);
    expect(config).toContain(`password='${quotable}'`);
    expect((await one.ssh("stat -c '%a %U:%G' /etc/vault/*")).stdout).toBe("640 root:root\n640 root:root\n");
    expect(await cat(two, "/etc/vault/config")).not.toBe(config); // generated on each machine by itself
  });

  test("are nowhere else: not in the JSON, the state, the output, the journal, a process, a readable file", async () => {
    const outcome = await vault({ ...variables, whole: `${value} 2` }, "2").deploy("-no-color");
    expect(outcome.steps).toContainEqual(expect.stringMatching(/\[lb-2 vault\].*1 file changed/));
    const places = `${JSON.stringify(deployment.template ?? {})}${outcome.output}`;
    const files = await lab.run("grep", ["-rlE", "S3cret", deployment.directory], { allowFailure: true });
    expect(files.stdout).toBe("");
    expect(places).not.toContain("S3cret");
    const { stdout } = await one.ssh(
      `journalctl --no-pager | grep -c S3[c]ret
       grep -l S3[c]ret /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null
       grep -rl S3[c]ret /etc /var /tmp /run /root /home 2>/dev/null | while read -r file; do
         path=$file; open=yes
         while [ "$path" != / ]; do [ $(( 0$(stat -c %a "$path") & 05 )) = 0 ] && open=no; path=$(dirname "$path"); done
         echo "$open $file"
       done | sort`,
      { allowFailure: true },
    );
    expect(stdout.split("\n")).toEqual([
      "0",
      "no /etc/vault/config",
      "no /etc/vault/whole",
      "no /var/lib/cdktf-ha/services/vault/current/root/etc/vault/config",
      "no /var/lib/cdktf-ha/services/vault/current/root/etc/vault/whole",
      "",
    ]);
  });

  test("a changed value with a keyed hash is noticed by itself", async () => {
    const unchanged = vault({ ...variables, whole: `${value} 2` }, "2");
    expect(await unchanged.isUpToDate()).toBe(true);
    const changed = vault({ ...variables, whole: `${value} 2`, inline: "another-S3cret" }, "2");
    expect(await changed.isUpToDate()).toBe(false);
    const { steps } = await changed.deploy();
    expect(steps).toContainEqual(expect.stringMatching(/\[lb-1 vault\].*1 file changed/));
    expect(await cat(two, "/etc/vault/config")).toContain("password='another-S3cret'");
  });

  test("a parser that repeats a line with a secret is heard without it", async () => {
    const outcome = await vault({ ...variables, whole: "REFUSE", inline: "another-S3cret" }, "3").apply();
    expect(outcome.ok).toBe(false);
    expect(outcome.steps).toContain("[lb-1 vault] | password='(secret)'");
    expect(outcome.output).not.toContain("another-S3cret");
  });

  test("a value that would end its quotes is refused on the machine", async () => {
    const outcome = await vault({ ...variables, inline: "it's" }, "4").apply();
    expect(outcome.ok).toBe(false);
    expect(outcome.steps).toContainEqual(expect.stringMatching(/FAILED: secret .* holds a single quote/));
    await vault().deploy();
  });
});

describe("who may, and who manages", () => {
  test("a login user without sudo is told so", async () => {
    const outcome = await deployment
      .changed((stack) => {
        const ssh = { user: "nosudo", privateKeyFile: lab.privateKeyFile, timeoutSeconds: 20 };
        rackOf(stack, lab, { ssh, hosts: { third: { address: ADDRESSES["lb-1"] } } }).host("third");
      })
      .apply();
    expect(outcome.ok).toBe(false);
    expect(outcome.output).toContain("user nosudo cannot become root: sudo without a password is needed");
    await deploy();
  });

  test("a second stack may not take a machine over", async () => {
    const other = new Deployment(`${lab.directory}/other`, (stack) =>
      rackOf(stack, lab, {}, "second").host("lb-1"),
    );
    const outcome = await other.apply();
    expect(outcome.ok).toBe(false);
    expect(outcome.output).toContain("this machine is managed by stack/rack, not by stack/second");
    await one.ssh("cdktf-ha release");
    expect((await other.apply()).ok).toBe(true);
    await one.ssh("cdktf-ha release");
  });
});

describe("the firewall", () => {
  test("a rule set that locks Terraform out goes back by itself", async () => {
    await deploy();
    const outcome = await deployment
      .changed((stack) => {
        const rack = rackOf(stack, lab, { admins: [Peer.cidr("192.0.2.1")], firewallConfirmWithin: 5 });
        for (const name of hosts) rack.host(name);
      })
      .apply();
    expect(outcome.ok).toBe(false);
    expect(outcome.output).toMatch(/no new connection came in time|timeout|timed out/);
    let status = "";
    await waitUntil(
      async () => {
        ({ stdout: status } = await one.ssh("cdktf-ha status", { allowFailure: true }));
        return status.includes("machine") && !status.includes("a push is at work");
      },
      60,
      () => `still locked out, or going back: ${status}`,
    );
    const { stdout } = await one.ssh("nft list table inet cdktf_ha; cdktf-ha status");
    expect(stdout).toContain(`ip saddr ${OPERATOR} tcp dport 22 accept`);
    expect(stdout).not.toMatch(/interrupted|NOT HEALTHY/);
    await deploy();
    expect(await deployment.changed(services()).isUpToDate()).toBe(true);
  });

  test("without it nothing of it is left, and it comes back", async () => {
    await deployment
      .changed((stack) => {
        const rack = rackOf(stack, lab, { hostFirewall: false });
        for (const name of hosts) rack.host(name);
      })
      .deploy();
    const { stdout } = await one.ssh(
      "nft list tables; ls /etc/systemd/system/sysinit.target.wants | grep cdktf-ha",
    );
    expect(stdout).not.toContain("inet cdktf_ha");
    expect(stdout).not.toContain("firewall");
    await deploy();
    expect((await one.ssh("nft list tables")).stdout).toContain("inet cdktf_ha");
  });

  test("rules of others stay as they are", async () => {
    await one.ssh(
      "nft 'add table inet other; add chain inet other input { type filter hook input priority 10; }'",
    );
    await deployment
      .changed((stack) => {
        const rack = rackOf(stack, lab, { admins: [Peer.cidr(OPERATOR), Peer.cidr("192.0.2.1")] });
        for (const name of hosts) rack.host(name);
      })
      .deploy();
    expect((await one.ssh("nft list tables")).stdout).toContain("table inet other");
    await deploy();
  });
});

describe("interrupted", () => {
  const slow = (text: string, seconds: number): Service =>
    service("slow", {
      files: ["a", "b", "c"].map((name) => ({ path: `/etc/slow/${name}`, text: `${text}\n` })),
      hooks: {
        activate: `sleep ${seconds}`,
        healthy: `[[ $(sort -u /etc/slow/*) == "$(head -1 "$HA_DIR/root/etc/slow/a")" ]]`,
      },
    });

  test("power cut in the middle of a push: the machine boots with the last good files, the next apply heals", async () => {
    await deploy(slow("one", 0));
    const pending = deployment.changed(services(slow("two", 20))).apply("-parallelism=1");
    await waitUntil(
      async () => (await cat(one, "/etc/slow/c")) === "two\n",
      60,
      () => "no file was changed",
      50,
    );
    await one.cutPower();
    await delay(500);
    await one.powerOn();
    expect(await cat(one, "/etc/slow/a /etc/slow/b /etc/slow/c")).toBe("one\none\none\n");
    expect((await one.ssh("cdktf-ha status")).stdout).toContain(
      "a push was interrupted (power cut or reboot)",
    );
    expect((await pending).ok).toBe(false);
    await deploy(slow("two", 0));
    expect((await one.ssh("cdktf-ha status; cat /etc/slow/*")).stdout).toMatch(/two\ntwo\ntwo\n$/);
    expect((await one.ssh("cdktf-ha status")).stdout).not.toContain("interrupted");
  });

  test("the push itself killed on the machine: told, and healed by the next apply", async () => {
    const pending = deployment.changed(services(slow("three", 20))).apply();
    await waitUntil(
      async () => (await cat(one, "/etc/slow/c")) === "three\n",
      60,
      () => "no file was changed",
      50,
    );
    expect((await one.ssh("cdktf-ha status")).stdout).toContain("a push is at work (activating)");
    await one.ssh("systemctl kill --signal=KILL 'cdktf-ha-push-*'");
    const outcome = await pending;
    expect(outcome.ok).toBe(false);
    expect((await one.ssh("cdktf-ha status")).stdout).toContain("a push was interrupted (activating)");
    expect(outcome.steps).toContain("[lb-1 slow] FAILED: the push was killed on the machine");
    const { steps } = await deploy(slow("four", 0));
    expect(steps).toContainEqual(
      expect.stringContaining("[lb-1 slow] an earlier push was interrupted (activating)"),
    );
    expect(await cat(one, "/etc/slow/a")).toBe("four\n");
  });

  test("cable cut while the push runs: it goes on, and the next apply finds it done", async () => {
    const pending = deployment.changed(services(slow("five", 6))).apply();
    await waitUntil(
      async () => (await cat(one, "/etc/slow/c")) === "five\n",
      60,
      () => "no file was changed",
      50,
    );
    await one.unplug();
    await delay(8000);
    await one.plug();
    await pending;
    await deploy(slow("five", 6));
    expect((await one.ssh("cdktf-ha status")).stdout).not.toMatch(/interrupted|NOT HEALTHY/);
    expect(await cat(two, "/etc/slow/a")).toBe("five\n");
  });

  test("two pushes at once wait for each other", async () => {
    // whoever comes first stays at work until the other one waits for the lock; the other one has nobody to wait for
    const activate =
      "[[ ! -e /run/waited ]] || exit 0; touch /run/waited; for ((i = 0; i < 300; i++)); do ! pgrep -x flock >/dev/null || exit 0; sleep 0.1; done; exit 1";
    const [first, second] = ["first", "second"].map((name) =>
      service(name, { files: [{ path: `/etc/${name}`, text: `${Date.now()}` }], hooks: { activate } }),
    );
    const { steps } = await deployment
      .changed((stack) => {
        const rack = rackOf(stack, lab);
        const machine = rack.host("lb-1");
        for (const each of [first!, second!]) {
          new Rollout(stack, each.name, {
            nodes: [{ machine, services: [each] }],
            order: RolloutOrder.allAtOnce(),
          });
        }
        rack.host("lb-2");
      })
      .deploy();
    expect(steps).toContainEqual(
      expect.stringContaining("another push is at work on this machine; waiting for it"),
    );
  });
});

describe("a machine that leaves", () => {
  test("takes everything along, and its neighbours are not touched", async () => {
    const keeper = service("keeper", { files: [{ path: "/etc/keeper", text: "kept\n" }] });
    await deploy(keeper);
    const before = (await one.ssh("stat -c %Y /etc/keeper /etc/cdktf-ha/firewall.nft")).stdout;
    const outcome = await deployment
      .changed((stack) => {
        const rack = rackOf(stack, lab);
        new Rollout(stack, "rollout", { nodes: [{ machine: rack.host("lb-1"), services: [keeper] }] });
      })
      .deploy();
    expect(outcome).toMatchObject({ added: 0, changed: 1 }); // the list of who goes when all go, in Terraform's state only
    expect(outcome.steps).toEqual(["[lb-2 keeper] removed", "[lb-2 machine] removed"]);
    const { stdout } = await two.ssh(
      "ls /etc/keeper /usr/local/sbin/cdktf-ha /etc/cdktf-ha/firewall.nft 2>/dev/null; nft list tables | grep cdktf",
      {
        allowFailure: true,
      },
    );
    expect(stdout).toBe("");
    expect((await one.ssh("stat -c %Y /etc/keeper /etc/cdktf-ha/firewall.nft")).stdout).toBe(before);
  });
});
