import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { Secret } from "../../lib";
import type { FenceDevice } from "../../lib/drbd-nfs-pair/cib";
import { Fencing } from "../../lib/drbd-nfs-pair/fencing";
import { DOMAIN } from "../drbd-nfs-pair/pairs";
import { program, root, testWithNeeds, type Need } from "../support/needs";
import { FencePlace, type Answer } from "./support/fence-place";

/** The real fence agents, told what a pair tells them, against what a real board or hypervisor speaks. */
jest.setTimeout(600_000);
const INSTALL = join(__dirname, "support/redfish/install.sh");
const redfish = spawnSync(INSTALL, ["--where"], { encoding: "utf8" });
const emulator: Need = () =>
  redfish.status === 0 ? undefined : `the Redfish emulator is not installed (${INSTALL})`;
const NEEDS = [root, program("nsenter"), program("setpriv"), program("ip")];
const secret = Secret.file("/etc/nfs/fence");
const RIGHT = "correct-horse-7";
let place: FencePlace;

/** On, by every way that there is, and what it looks like from outside. */
interface Machine {
  readonly device: FenceDevice;
  /** Asked of the machine itself. */
  readonly isOn: () => boolean;
  readonly more?: Readonly<Record<string, string>>;
  /** What must be seen nowhere. */
  readonly hidden: string;
}

const [ON, OFF] = [0, 2];

/** On, off, off again, on, and both in one, each seen at the machine itself; nothing is told meanwhile to those who look on. */
async function isSwitched({ device, isOn, more, hidden }: Machine): Promise<void> {
  const answers: Answer[] = [];
  const call = async (action: string): Promise<number | null> => {
    answers.push(await place.call(device, action, more));
    return answers.at(-1)!.status;
  };
  expect([isOn(), await call("status"), await call("monitor")]).toEqual([true, ON, 0]);
  expect([await call("off"), isOn(), await call("status")]).toEqual([0, false, OFF]);
  expect([await call("off"), isOn(), await call("monitor")]).toEqual([0, false, 0]);
  expect([await call("on"), isOn(), await call("status")]).toEqual([0, true, ON]);
  // what Pacemaker asks for unless it is told otherwise
  expect([await call("reboot"), isOn()]).toEqual([0, true]);
  expect(answers.at(-1)!.words).toContain("Success: Rebooted");
  const seen = answers.flatMap(({ words, commandLines }) => [words, ...commandLines]).join("\n");
  expect(seen).toContain(`/usr/sbin/${device.agent}`);
  for (const line of hidden.split("\n")) expect(seen).not.toContain(line);
}

/** It fails, by itself, and the machine has been left as it was: nobody may take over. */
async function isRefused({ device, isOn, more }: Machine, told?: RegExp): Promise<void> {
  const { status, words } = await place.call(device, "off", more);
  expect([status, words]).toEqual([1, expect.stringMatching(told ?? /./)]);
  expect(words).not.toContain("Success");
  expect(isOn()).toBe(true);
}

describe("IPMI", () => {
  const withBoard = testWithNeeds([
    ...NEEDS,
    program("ipmi_sim"),
    program("ipmitool"),
    program("fence_ipmilan"),
  ]);
  /** The simulator knows no question for cipher suites, and ipmitool asks for 14 s each time. */
  const more = { cipher: "3" };
  const board = (user: string, password = RIGHT): Machine => ({
    device: place.give(
      Fencing.ipmi({
        "nfs-1": { address: "127.0.0.1", user, password: secret },
        "nfs-2": { address: "127.0.0.2", user, password: secret },
      }),
      new Map([[secret, password]]),
    ),
    isOn: () => place.must(`cat '${place.directory}/power'`) === "1",
    more,
    hidden: password,
  });

  beforeAll(async () => {
    place = new FencePlace();
    if (withBoard !== test) return;
    await place.start();
    place.write("power", "1\n");
    // DEVICE get|set WORDS...
    place.write(
      "chassis",
      `#!/bin/sh
[ "$2" != get ] || echo "power:$(cat '${place.directory}/power')"
[ "$2 $3" != "set power" ] || echo "$4" >'${place.directory}/power'
`,
      "0755",
    );
    place.write(
      "lan.conf",
      `name "board"
set_working_mc 0x20
startlan 1
  addr 127.0.0.1 623
  priv_limit admin
  guid a123456789abcdefa123456789abcdef
  allowed_auths_user md5
  allowed_auths_operator md5
  allowed_auths_admin md5
endlan
chassis_control "${place.directory}/chassis 0x20"
user 2 true "operator" "${RIGHT}" operator 10 md5
user 3 true "admin" "${RIGHT}" admin 10 md5
`,
    );
    place.write(
      "commands",
      "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr\nmc_enable 0x20\n",
    );
    // who is called is written down before ipmitool itself can cover anything
    place.must(
      'cp /usr/bin/ipmitool /run/ipmitool; printf \'#!/bin/sh\\necho "$@" >>/run/called\\nexec /run/ipmitool "$@"\\n\' >/run/noting; chmod 755 /run/noting; mount --bind /run/noting /usr/bin/ipmitool',
    );
    place.must(`mkdir '${place.directory}/state'`);
    await place.daemon(
      "board",
      "ipmi_sim -c lan.conf -f commands -s state -n",
      "ss -lun | grep ':623 ' >/dev/null",
    );
  });
  afterAll(() => place.stop());

  withBoard.each(["operator", "admin"])("%s switches it", async (user) => {
    await isSwitched(board(user));
    const called = place.must("cat /run/called; rm /run/called");
    expect(called).toContain("-L OPERATOR");
    expect(called).not.toContain(RIGHT);
  });

  withBoard("by what the pair says alone", async () => {
    expect(await place.call(board("operator").device, "status")).toMatchObject({ status: ON });
  });

  withBoard("a wrong password", () => isRefused(board("operator", "battery-staple"), /Failed|Unable/));

  /** The simulator opens a session of any level to everybody, and then looks at the level. */
  withBoard("nothing less than an operator's session", () => {
    const less = { ...more, privlvl: "user", disable_timeout: "0", power_timeout: "10" };
    return isRefused({ ...board("operator"), more: less }, /Insufficient privilege level|Timed out/);
  });

  withBoard("a board that is away", async () => {
    place.signal("board");
    await isRefused(board("operator"), /Failed|timed out/);
  });
});

describe("Redfish", () => {
  const withBoard = testWithNeeds([...NEEDS, emulator, program("openssl"), program("fence_redfish")]);
  const [ONE, TWO] = ["27946b59-9e44-4fa7-8e91-f3527a1ef094", "58893887-8974-2487-2389-841168418919"];
  const python = (text: string): string => place.must(`'${redfish.stdout.trim()}/bin/python' -`, text);
  const isOn = (system: string) => (): boolean =>
    python(
      `import requests, urllib3
urllib3.disable_warnings()
print(requests.get("https://127.0.0.1/redfish/v1/Systems/${system}", verify=False, auth=("fence", "${RIGHT}")).json()["PowerState"])`,
    ) === "On";
  const board = (password = RIGHT, verifyCertificate?: boolean, system = TWO): Machine => {
    const systemsUri = `/redfish/v1/Systems/${system}`;
    const one = { address: "127.0.0.1", user: "fence", password: secret, verifyCertificate, systemsUri };
    const boards = Fencing.redfish({ "nfs-1": one, "nfs-2": { ...one, address: "127.0.0.2" } });
    return {
      device: place.give(boards, new Map([[secret, password]])),
      isOn: isOn(system),
      hidden: password,
    };
  };

  beforeAll(async () => {
    place = new FencePlace();
    if (withBoard !== test) return;
    await place.start();
    place.must(
      `cd '${place.directory}' && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out certificate.pem -days 2 -subj /CN=board -addext subjectAltName=IP:127.0.0.1`,
    );
    const hash = python(`import bcrypt; print(bcrypt.hashpw(b"${RIGHT}", bcrypt.gensalt(4)).decode())`);
    place.write("users", `fence:${hash}\n`);
    const system = (uuid: string, name: string): string =>
      `{ "uuid": "${uuid}", "name": "${name}", "power_state": "On", "nics": [] }`;
    place.write(
      "settings.py",
      `SUSHY_EMULATOR_LISTEN_IP = "127.0.0.1"
SUSHY_EMULATOR_LISTEN_PORT = 443
SUSHY_EMULATOR_SSL_CERT = "${place.directory}/certificate.pem"
SUSHY_EMULATOR_SSL_KEY = "${place.directory}/key.pem"
SUSHY_EMULATOR_AUTH_FILE = "${place.directory}/users"
SUSHY_EMULATOR_STATE_DIR = "${place.directory}"
SUSHY_EMULATOR_FAKE_SYSTEMS = [${system(ONE, "blade-1")}, ${system(TWO, "blade-2")}]
`,
    );
    const config = join(place.directory, "settings.py");
    await place.daemon(
      "board",
      `'${redfish.stdout.trim()}/bin/sushy-emulator' --fake --config '${config}'`,
      "ss -ltn | grep ':443 ' >/dev/null",
    );
  });
  afterAll(() => place.stop());

  withBoard("the fence user switches it", () => isSwitched(board()));

  withBoard("of a board's systems the one that is named, and no other", async () => {
    const { device } = board(RIGHT, undefined, ONE);
    expect(await place.call(device, "off")).toMatchObject({ status: 0 });
    expect([isOn(ONE)(), isOn(TWO)()]).toEqual([false, true]);
    expect(await place.call(device, "on")).toMatchObject({ status: 0 });
  });

  withBoard("a wrong password", () => isRefused(board("battery-staple")));

  withBoard("a certificate that is verified, and that nobody trusts; and then somebody does", async () => {
    await isRefused(board(RIGHT, true), /certificate verify failed/);
    place.must(`cat '${place.directory}/certificate.pem' >>/etc/ssl/certs/ca-certificates.crt`);
    await isSwitched(board(RIGHT, true));
  });

  withBoard("a board that is away", async () => {
    const machine = board();
    expect(machine.isOn()).toBe(true);
    place.signal("board");
    await isRefused({ ...machine, isOn: () => true }, /Connection refused/);
  });
});

describe("another agent", () => {
  const withAgent = testWithNeeds([...NEEDS, program("fence_dummy")]);

  beforeAll(async () => {
    place = new FencePlace();
    if (withAgent === test) await place.start();
  });
  afterAll(() => place.stop());

  withAgent("Debian's fence_dummy switches what its file says", async () => {
    const status_file = place.write("status", "on");
    const one = { plug: "7", parameters: { type: "file", status_file }, password: secret };
    const switches = Fencing.agent("fence_dummy", { "nfs-1": one, "nfs-2": { ...one, plug: "8" } });
    const device = place.give(switches, new Map([[secret, RIGHT]]));
    const isOn = (): boolean => place.must(`cat '${status_file}'`) === "on";
    await isSwitched({ device, isOn, hidden: RIGHT });
  });
});

describe("libvirt", () => {
  const withHypervisor = testWithNeeds([
    ...NEEDS,
    program("libvirtd"),
    program("virsh"),
    program("sshd"),
    program("qemu-system-x86_64"),
    program("fence_virsh"),
  ]);
  const URI = "qemu:///system";
  let hostKey = "";
  const key = (name: string): string => place.must(`cat '${place.directory}/${name}'`);
  const isOn = (): boolean =>
    place.shell("grep --quiet 'guest=files-[1],' /proc/[0-9]*/cmdline").status === 0;
  const domain = (change: Partial<typeof DOMAIN> = {}, privateKey = "user"): Machine => {
    const one = { ...DOMAIN, address: "127.0.0.1", hostKey, privateKey: secret, ...change };
    const domains = Fencing.libvirt({ "nfs-1": one, "nfs-2": { ...one, address: "127.0.0.2" } });
    const hidden = key(privateKey);
    const device = place.give(domains, new Map([[secret, hidden]]));
    return { device, isOn, hidden };
  };
  /** Another program in virsh's place, until `then` is through. */
  const withVirsh = async (text: string, then: () => Promise<void>): Promise<void> => {
    place.write("/run/virsh", text, "0755");
    place.must("mount --bind /run/virsh /usr/bin/virsh");
    await then().finally(() => place.must("umount /usr/bin/virsh"));
  };

  beforeAll(async () => {
    place = new FencePlace();
    if (withHypervisor !== test) return;
    await place.start();
    const at = place.directory;
    for (const name of ["host", "user", "other"])
      place.must(`ssh-keygen -q -t ed25519 -N '' -f '${at}/${name}'`);
    hostKey = key("host.pub");
    // Debian's packages make these when libvirt is installed as a whole
    place.must(`
getent passwd libvirt-qemu >/dev/null || echo 'libvirt-qemu:x:64055:64055::/nonexistent:/usr/sbin/nologin' >>/etc/passwd
getent passwd sshd >/dev/null || echo 'sshd:x:64057:65534::/run/sshd:/usr/sbin/nologin' >>/etc/passwd
getent group libvirt-qemu >/dev/null || echo 'libvirt-qemu:x:64055:' >>/etc/group
sed -i '/^libvirt:/d' /etc/group; echo 'libvirt:x:64058:fence' >>/etc/group
echo 'fence:x:64056:65534::/nonexistent:/bin/sh' >>/etc/passwd; echo 'fence:*:1:0:99999:7:::' >>/etc/shadow
echo 'virtual machines' >/etc/motd; chmod 755 '${at}'`);
    place.write(
      "/etc/libvirt/libvirtd.conf",
      'auth_unix_rw = "none"\nunix_sock_group = "libvirt"\nunix_sock_rw_perms = "0770"\n',
    );
    place.write(
      "/etc/libvirt/qemu.conf",
      'user = "root"\ngroup = "root"\nswtpm_user = "root"\nswtpm_group = "root"\nsecurity_driver = "none"\ncgroup_controllers = []\nnamespaces = []\nremember_owner = 0\nstdio_handler = "file"\n',
    );
    await place.daemon("libvirtd", "libvirtd", `virsh -c ${URI} version`);
    // no operating system: it stops at the BIOS
    place.write(
      "domain.xml",
      '<domain type="qemu"><name>files-1</name><memory unit="MiB">32</memory><os><type arch="x86_64" machine="pc">hvm</type></os><devices><emulator>/usr/bin/qemu-system-x86_64</emulator><memballoon model="none"/></devices></domain>',
    );
    place.must(`virsh -c ${URI} define '${at}/domain.xml'; virsh -c ${URI} start files-1`);
    // a key that opens nothing but commands
    place.write("/etc/keys/fence", `restrict ${key("user.pub")}\n`);
    place.write(
      "/etc/ssh/of-test",
      `HostKey ${at}/host\nListenAddress 127.0.0.1:22\nAuthorizedKeysFile /etc/keys/%u\nUsePAM no\nPidFile none\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n`,
    );
    await place.daemon(
      "sshd",
      "/usr/sbin/sshd -D -e -f /etc/ssh/of-test",
      "ss -ltn | grep ':22 ' >/dev/null",
    );
  });
  afterAll(() => place.stop());

  withHypervisor("a user of the group libvirt, with a restricted key, switches it", () =>
    isSwitched(domain()),
  );

  withHypervisor("a domain that is paused is on, and destroyed", async () => {
    place.must(`virsh -c ${URI} suspend files-1`);
    const { device } = domain();
    expect(await place.call(device, "status")).toMatchObject({ status: ON });
    expect(await place.call(device, "off")).toMatchObject({ status: 0 });
    expect(isOn()).toBe(false);
    expect(await place.call(device, "on")).toMatchObject({ status: 0 });
  });

  withHypervisor(
    "a domain that is saved would go on as it was: it is on, and what is saved goes",
    async () => {
      const { device } = domain();
      place.must(`virsh -c ${URI} managedsave files-1`);
      expect([isOn(), await place.call(device, "status")]).toEqual([
        false,
        expect.objectContaining({ status: ON }),
      ]);
      expect(await place.call(device, "reboot")).toMatchObject({ status: 0 });
      expect(isOn()).toBe(true);
      expect(place.must(`virsh -c ${URI} domstate files-1 --reason`)).toBe("running (booted)");
    },
  );

  withHypervisor("a domain that has migrated is not off, and its monitor tells", () =>
    withVirsh(
      '#!/bin/sh\ncase "$1 $3" in "domstate --reason") echo "shut off (migrated)" ;; "domstate ") echo "shut off" ;; *) echo ok ;; esac\n',
      async () => {
        const machine = domain();
        await isRefused(machine);
        expect(await place.call(machine.device, "monitor")).toMatchObject({ status: 1 });
      },
    ),
  );

  withHypervisor("a domain by its UUID, as anybody may write it", async () => {
    const uuid = place.must(`virsh -c ${URI} domuuid files-1`);
    for (const domainId of [uuid, uuid.toUpperCase(), uuid.replaceAll("-", "")]) {
      const { device } = domain({ domain: domainId });
      expect(await place.call(device, "status")).toMatchObject({ status: ON });
    }
  });

  withHypervisor("a domain that cannot be started again was switched off all the same", async () => {
    const { device } = domain();
    const xml = place.must(`virsh -c ${URI} dumpxml files-1 --inactive`);
    const broken = "<disk type='file'><source file='/nonexistent'/><target dev='hda'/></disk></devices>";
    const define = (text: string): string =>
      place.must(`virsh -c ${URI} define '${place.write("new.xml", text)}'`);
    define(xml.replace("</devices>", broken));
    const { status, words } = await place.call(device, "reboot");
    expect([status, words]).toEqual([0, expect.stringContaining("Timed out waiting to power ON")]);
    expect(isOn()).toBe(false);
    define(xml);
    place.must(`virsh -c ${URI} start files-1`);
  });

  withHypervisor("a key that is not let in", () => isRefused(domain({}, "other"), /Unable to connect/));
  withHypervisor("another host in the hypervisor's place", () =>
    isRefused(domain({ hostKey: key("other.pub") }), /Unable to connect/),
  );
  withHypervisor("a domain that is not there, which the monitor notices", async () => {
    const wrong = domain({ domain: "files-7" });
    await isRefused(wrong);
    expect(await place.call(wrong.device, "monitor")).toMatchObject({ status: 1 });
  });

  /** Each of these is "off" to the agent by itself. */
  const NO_ANSWERS = [
    ["has no virsh that runs", "#!/nonexistent\n"],
    ["has no memory left", "#!/bin/sh\nkill -9 $$\n"],
    ["says nothing", "#!/bin/sh\n"],
  ] as const;
  const GERMAN = "#!/bin/sh\necho laufend\n";
  withHypervisor.each(NO_ANSWERS)("a hypervisor that %s", (_, text) =>
    withVirsh(text, () => isRefused(domain())),
  );
  withHypervisor.each([...NO_ANSWERS, ["speaks German", GERMAN] as const])(
    "(fence_virsh by itself: off, where a hypervisor %s)",
    (_, text) =>
      withVirsh(text, async () => {
        const { device } = domain();
        const [, own] = /<parameter name="ssh_options"[^]*?default="([^"]*)"/.exec(
          place.must("fence_virsh -o metadata"),
        )!;
        place.write("/etc/keys/fence", key("user.pub"));
        const options = own!.replaceAll("&apos;", "'").replaceAll("&quot;", '"');
        const ssh_options = `-o UserKnownHostsFile=/etc/cdktf-ha/drbd-nfs-fence-nfs-1.known-hosts -o HostKeyAlias=nfs-1 ${options}`;
        const { status, words } = await place.call(device, "off", { ssh_options });
        expect([status, words]).toEqual([0, expect.stringContaining("Success: Already OFF")]);
        expect(isOn()).toBe(true);
      }),
  );
  withHypervisor(
    "a hypervisor that says what nobody knows: the domain is on, and is not said to be off",
    () =>
      withVirsh(GERMAN, async () => {
        const { device } = domain();
        expect(await place.call(device, "status")).toMatchObject({ status: ON });
      }),
  );

  withHypervisor("a hypervisor without libvirtd", async () => {
    place.signal("libvirtd");
    await isRefused(domain());
  });
  withHypervisor("a hypervisor that hangs", async () => {
    place.signal("sshd", "STOP");
    await isRefused(domain(), /Unable to connect/);
    place.signal("sshd", "CONT");
  });
  withHypervisor("a hypervisor that is away", async () => {
    place.signal("sshd");
    await isRefused(domain(), /Unable to connect/);
  });
});
