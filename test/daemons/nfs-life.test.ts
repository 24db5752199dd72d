import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { nfsPairCases } from "../drbd-nfs-pair/golden";
import { StandInNode } from "../drbd-nfs-pair/stand-ins";
import { program, root, testWithNeeds, type Need } from "../support/needs";

/** What a pair's programs do with real disks, file systems and receivers; only DRBD's kernel module is a stand-in. */
const loops: Need = () =>
  spawnSync("losetup", ["--find"]).status === 0 ? undefined : "there are no loop devices here";
const fileSystem = (name: string): Need[] => [root, loops, program(`mkfs.${name}`)];
const everything = nfsPairCases().find(({ name }) => name === "nfs-everything")!.files;

let node: StandInNode | undefined;
let devices: string[] = [];
afterEach(() => {
  for (const device of devices) sh(`losetup --detach ${device}`);
  devices = [];
  node?.remove();
  node = undefined;
});

function sh(text: string): string {
  const { status, stdout, stderr } = spawnSync("bash", ["-euo", "pipefail", "-c", text], {
    encoding: "utf8",
    env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` },
  });
  if (status !== 0) throw new Error(`${text}: ${stdout}${stderr}`);
  return stdout;
}

/** A node whose disk is a file of so many MiB, with a file system on some of them. */
function nodeWithDisk(type: string, of: { disk: number; files: number; meta?: number }): StandInNode {
  const made = new StandInNode();
  const device = (name: string, size: number): string => {
    sh(`truncate --size=${size}M '${made.path(name)}'`);
    const [loop] = sh(`losetup --find --show '${made.path(name)}'`)
      .trim()
      .split("\n");
    devices.push(loop!);
    return loop!;
  };
  const disk = device("disk", of.disk);
  const meta = of.meta === undefined ? "" : device("meta", of.meta);
  if (type === "xfs") sh(`mkfs.xfs -q -d size=${of.files}m ${disk}`);
  else sh(`mkfs.ext4 -q ${disk} ${of.files}M`);
  const facts = readFileSync(made.path("facts"), "utf8")
    .replace("/dev/vg0/nfs", disk)
    .replace(/^PAIR_FILE_SYSTEM=.*/m, `PAIR_FILE_SYSTEM='${type}'`)
    .replace(/^PAIR_META_DISK=.*/m, `PAIR_META_DISK='${meta}'`);
  writeFileSync(made.path("facts"), facts);
  return (node = made);
}

describe("a single server's disk is taken over", () => {
  /** DRBD's own program for metadata, called as drbdadm calls it. */
  const withNotes = (made: StandInNode, type: string): StandInNode => {
    const disk = devices[0]!;
    const place = devices[1] ? `${devices[1]} flex-external` : `${disk} internal`;
    made.program(
      "drbdadm",
      `[[ $1 == create-md ]] && exec drbdmeta --force 0 v08 ${place} create-md </dev/null`,
    );
    sh(
      `mkdir '${made.path("mnt")}' && mount -t ${type} ${disk} '${made.path("mnt")}' && echo kept >'${made.path("mnt/file")}' && umount '${made.path("mnt")}'`,
    );
    return made;
  };
  const content = (made: StandInNode, type: string) =>
    sh(
      `mount -t ${type} -o ro ${devices[0]} '${made.path("mnt")}' && cat '${made.path("mnt/file")}'; umount '${made.path("mnt")}'`,
    );

  describe.each([["ext4"], ["xfs"]])("%s", (type) => {
    const withDisks = testWithNeeds([program("drbdmeta"), ...fileSystem(type)]);
    const size = type === "xfs" ? 320 : 32;

    withDisks("its files stay, and it is known to be no empty disk", () => {
      const made = withNotes(nodeWithDisk(type, { disk: size + 2, files: size }), type);
      expect(made.shell("pair_adopt_disk")).toMatchObject({ status: 0 });
      expect(sh(`drbdmeta 0 v08 ${devices[0]} internal dump-md`)).toContain('version "v08"');
      expect(content(made, type)).toBe("kept\n");
      expect(made.shell("[[ -e $adopts ]]").status).toBe(0);
    });

    withDisks("where it leaves no room it is refused, and stays as it is", () => {
      const made = withNotes(nodeWithDisk(type, { disk: size, files: size }), type);
      const before = sh(`sha256sum ${devices[0]}`);
      const { status, words } = made.shell("pair_adopt_disk");
      expect(words).toContain("make the disk larger");
      expect(status).not.toBe(0);
      expect(sh(`sha256sum ${devices[0]}`)).toBe(before);
      expect(content(made, type)).toBe("kept\n");
    });

    withDisks("with the notes elsewhere it fits", () => {
      const made = withNotes(nodeWithDisk(type, { disk: size, files: size, meta: 1 }), type);
      expect(made.shell("pair_adopt_disk")).toMatchObject({ status: 0 });
      expect(content(made, type)).toBe("kept\n");
    });

    withDisks("another file system than the code says is refused", () => {
      const made = nodeWithDisk(type, { disk: size + 2, files: size });
      sh(`wipefs --all --quiet ${devices[0]}`);
      const { status, words } = made.shell("pair_adopt_disk");
      expect(words).toContain(`holds no file system: to be taken over it must hold ${type}`);
      expect(status).not.toBe(0);
    });
  });
});

describe("nfs-pair-split looks at a copy that nobody has mounted", () => {
  describe.each([["ext4"], ["xfs"]])("%s", (type) => {
    const withDisks = testWithNeeds(fileSystem(type));

    withDisks("and writes nothing to it, whatever its log still holds", () => {
      const size = type === "xfs" ? 320 : 32;
      const made = nodeWithDisk(type, { disk: size, files: size });
      const [disk] = devices;
      // a copy as a power cut leaves it: taken while it is mounted
      sh(`mkdir '${made.path("mnt")}' && cd '${made.directory}'
        mount ${disk} mnt && echo 12345 >mnt/orders && umount mnt
        mount ${disk} mnt && echo more >>mnt/orders && echo new >mnt/only-in-the-log && sync mnt/orders mnt/only-in-the-log
        cp disk copy && umount mnt && dd if=copy of=${disk} bs=1M conv=fsync status=none`);
      const before = sh(`sha256sum ${disk}`);
      made.is({ cstate: "StandAlone", dstate: "UpToDate/DUnknown", role: "Secondary/Unknown" });
      const { status, words } = made.run("split.sh");
      expect(words).toMatch(/last writes:\n {2}\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \d+ bytes \/orders\n/);
      expect(status).toBe(0);
      sh(`blockdev --flushbufs ${disk}`);
      expect(sh(`sha256sum ${disk}`)).toBe(before);
      expect(sh("losetup --list --noheadings --output BACK-FILE")).not.toContain(disk);
    });
  });
});

describe("alerts", () => {
  let server: Server;
  const posted: { type?: string; body: string }[] = [];
  beforeEach(
    () =>
      new Promise<void>((resolve) => {
        server = createServer((request, response) => {
          let body = "";
          request.on("data", (part: Buffer) => (body += part.toString()));
          request.on("end", () => {
            posted.push({ type: request.headers["content-type"], body });
            response.end();
          });
        }).listen(0, "127.0.0.1", resolve);
      }),
  );
  afterEach(() => new Promise((resolve) => server.close(resolve)));

  testWithNeeds([program("curl")])("curl takes one to the webhook", async () => {
    node = new StandInNode();
    const { port } = server.address() as AddressInfo;
    mkdirSync(node.path("run/alerts"));
    writeFileSync(node.path("webhook"), `http://127.0.0.1:${port}/hook`);
    node.run("notify.sh", ["failover", "nfs-2 serves"]);
    const status = await node.runBeside("alert-send.sh");
    expect(status).toBe(0);
    expect(posted.map(({ type, body }) => ({ type, body: JSON.parse(body) as unknown }))).toEqual([
      {
        type: "application/json",
        body: { cluster: "files", node: "nfs-1", kind: "failover", text: "nfs-2 serves" },
      },
    ]);
  });
});

describe("systemd", () => {
  const withSystemd = testWithNeeds([program("systemd-analyze"), program("systemd-tmpfiles")]);

  withSystemd("takes the units and calendars", () => {
    const made = (node = new StandInNode());
    const units = Object.entries(everything).filter(([name]) =>
      /^nfs-(upkeep|verify|alert|metrics|metrics-volume)\./.test(name),
    );
    expect(units.length).toBe(10);
    for (const [name, text] of units) writeFileSync(made.path(`cdktf-ha-${name}`), text);
    for (const [name] of units) {
      const { stderr } = spawnSync("systemd-analyze", ["verify", made.path(`cdktf-ha-${name}`)], {
        encoding: "utf8",
      });
      expect(stderr.split("\n").filter((line) => line.includes("cdktf-ha-nfs-"))).toEqual([]);
    }
    const calendar = /OnCalendar=(.*)/.exec(everything["nfs-verify.timer"]!)![1]!;
    expect(sh(`systemd-analyze calendar '${calendar}'`)).toContain("Next elapse");
  });
});
