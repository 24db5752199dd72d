import { waitUntil } from "../../machines/run";
import { Lab, type LabMachine } from "../../machines/lab";
import { mountUnits, renderMountAgain, renderMountUnit } from "../../lib/drbd-nfs-pair/mount-unit";

/** A client's mount under its own systemd. The server is a file system that is there, or is not: a container's kernel has no NFS. */
const WHERE = "/srv/assets";
const units = mountUnits(WHERE);
let lab: Lab;
let client: LabMachine;

const put = (path: string, text: string): Promise<unknown> =>
  client.ssh(`base64 -d <<<${Buffer.from(text).toString("base64")} >/etc/systemd/system/${path}`);
async function serverIs(there: boolean): Promise<void> {
  const unit = renderMountUnit({ server: "10.0.1.90", path: "/assets", where: WHERE, readOnly: false })
    .replace("Type=nfs4", `Type=${there ? "tmpfs" : "ext4"}`)
    .replace(/^Options=.*$/m, "Options=rw")
    .replace(/^What=.*$/m, `What=${there ? "tmpfs" : "/dev/not-there"}`);
  await put(units.mount, unit);
  await client.ssh("systemctl daemon-reload");
}
const isMounted = async (): Promise<boolean> =>
  (await client.ssh(`mountpoint --quiet ${WHERE}`, { allowFailure: true })).code === 0;

beforeAll(async () => {
  lab = await Lab.start({ client: { address: "10.77.0.31/24" } });
  client = lab.machine("client");
});
afterAll(() => lab.stop());

test("a client that comes before its server mounts when that is there, and not again after it was told to let go", async () => {
  await put(units.again, renderMountAgain(units));
  await serverIs(false);
  expect((await client.ssh(`systemctl start ${units.mount}`, { allowFailure: true })).code).not.toBe(0);
  await waitUntil(
    async () =>
      (await client.ssh(`journalctl --unit ${units.mount} --output cat`)).stdout.split("Failed to mount")
        .length > 2,
    60,
    () => "it is not tried a second time",
    500,
  );
  expect(await isMounted()).toBe(false);
  await serverIs(true);
  await waitUntil(isMounted, 60, () => "it is not mounted", 500);
  // what mounted it has to end first
  await waitUntil(
    async () =>
      (await client.ssh(`systemctl is-active ${units.again}`, { allowFailure: true })).stdout ===
      "inactive\n",
    60,
    () => `${units.again} does not end`,
  );
  await client.ssh(`systemctl stop ${units.mount}`);
  const { stdout } = await client.ssh(
    `systemctl show --property ActiveState --value ${units.again} ${units.mount}`,
  );
  expect(stdout.split("\n").filter(Boolean)).toEqual(["inactive", "inactive"]);
}, 360_000);
