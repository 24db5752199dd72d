import { waitUntil } from "../../machines/run";
import { VIP } from "./support/site";
import { figure } from "./support/ring-site";
import { NfsLab } from "./support/nfs/nfs-lab";
import { MOUNTED, serving, STATUS_PORT } from "./support/nfs/nfs-site";

/** Clients of version 3 beside those of version 4, and a volume that is full, on virtual machines. */
// Translated by QEMU: ten times slower than real machines.
jest.setTimeout(1_500_000);

let nfs: NfsLab;

beforeAll(async () => {
  nfs = await NfsLab.start({ version3: true });
  await nfs.deployment.deploy();
});
afterAll(() => nfs.stop());

/** Holds a lock on a file until it is told to end. */
const holder = (file: string): string =>
  `systemd-run --quiet --unit=lock-of-${file.split("/").at(-1)} python3 -c '
import fcntl, time
held = open("${file}", "w")
fcntl.lockf(held, fcntl.LOCK_EX)
time.sleep(10000)'`;

/** Waits until the server has somebody's lock on these files, as far as they are files of the export. */
const locked = (...names: string[]): Promise<void> =>
  waitUntil(
    async () => {
      const { stdout } = await (
        await serving(nfs.lab)
      ).ssh(
        `cd /srv/nfs/exports/assets
        for name in ${names.join(" ")}; do
          if grep -q ":$(stat --format %i $name) " /proc/locks; then echo $name; fi
        done`,
        { allowFailure: true },
      );
      return stdout === names.map((name) => `${name}\n`).join("");
    },
    200,
    () => `not all of ${names.join(", ")} are locked`,
    3000,
  );

/** The serving node's power is cut, and both mounts answer again. */
async function failover(what: string): Promise<void> {
  const client = nfs.lab.machine("client");
  const active = await serving(nfs.lab);
  const cut = performance.now();
  await active.cutPower();
  await waitUntil(
    async () =>
      (await client.ssh(`timeout 20 cat /mnt/three ${MOUNTED}/four`, { allowFailure: true })).code === 0 &&
      (await serving(nfs.lab)).name !== active.name,
    300,
    () => "nobody serves",
    1000,
  );
  figure(`${what}: it is read again after ${((performance.now() - cut) / 1000).toFixed(1)} s`);
}

test("a lock of either version survives the serving node's power cut", async () => {
  await nfs.settled();
  await nfs.lab.machine("client").ssh(
    `set -e
    printf '[statd]\nport=${STATUS_PORT}\n' >/etc/nfs.conf.d/lab.conf
    systemctl restart rpc-statd
    mount -t nfs -o vers=3,proto=tcp,hard ${VIP}:/srv/nfs/exports/assets /mnt
    ${holder("/mnt/three")}
    ${holder(`${MOUNTED}/four`)}`,
    { timeoutSeconds: 120 },
  );
  await locked("three", "four");
  await failover("power cut");
  await locked("three", "four");
});

test("on a volume that is full a failover is one, and a lock of version 4 survives it", async () => {
  await nfs.settled();
  const client = nfs.lab.machine("client");
  const full = await client.ssh(
    `for size in 128M 16M 1M 64K 4K; do
      for number in {1..20}; do fallocate --length $size ${MOUNTED}/fill-$size-$number || break; done
    done 2>&1 | tail -n 1`,
    { timeoutSeconds: 300 },
  );
  expect(full.stdout).toContain("No space left on device");
  await failover("power cut on a full volume");
  await locked("four");
  await client.ssh(`rm ${MOUNTED}/fill-* && echo more >${MOUNTED}/more && sync ${MOUNTED}/more`, {
    timeoutSeconds: 200,
  });
  await nfs.settled();
  await nfs.copiesAreEqual();
});
