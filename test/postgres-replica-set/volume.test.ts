import { EtcdCluster } from "../../lib";
import { Template } from "../../lib/testing";
import { newAws, newStack } from "../support/stack";
import { newSet } from "./sets";

const ssh = { keyName: "ops", privateKeyFile: "~/.ssh/ops" };
const dataVolume = { sizeGiB: 500 };

test("a member's data and etcd's lie on its volume, and nothing is pushed before that", () => {
  const stack = newStack();
  newSet(stack, { platform: newAws(stack, { ssh }), members: 4, dataVolume });
  const template = Template.synth(stack).hasNoErrors();
  expect(Object.values(template.resources("aws_ebs_volume"))).toHaveLength(4);
  const volume = template.file("metadata-1", "/etc/systemd/system/srv-volume.mount");
  expect(volume).toMatch(/What=\/dev\/disk\/by-id\/nvme-Amazon_\S+aws_volume_attachment\./);
  expect(template.file("metadata-1", "/etc/cdktf-ha/volume")).toContain(
    "VOLUME_KEPT='etcd /var/lib/etcd var-lib-etcd.mount\npostgresql /var/lib/postgresql var-lib-postgresql.mount'",
  );
  // etcd is on three of them
  expect(template.file("metadata-4", "/etc/cdktf-ha/volume")).toContain(
    "VOLUME_KEPT='postgresql /var/lib/postgresql var-lib-postgresql.mount'",
  );
  expect(template.file("metadata-1", "/etc/systemd/system/var-lib-postgresql.mount")).toContain(
    "What=/srv/volume/postgresql\nWhere=/var/lib/postgresql\nType=none\nOptions=bind\n",
  );
  const pushes = template.resources("terraform_data") as unknown as Record<string, { depends_on: string[] }>;
  const on = (part: string): string[] =>
    Object.entries(pushes).find(([name]) => name.includes(part))![1].depends_on;
  const mounted = Object.keys(pushes).filter((name) => name.includes("volume"));
  expect(mounted).toHaveLength(4);
  const first = mounted.find((name) => name.includes("metadata-1"))!;
  expect(on("etcd_rollout_metadata-1-etcd")).toContain(`terraform_data.${first}`);
  expect(on("access_metadata-4-postgres-access")).toEqual(
    expect.arrayContaining(mounted.map((name) => `terraform_data.${name}`)),
  );
  expect(on(first)).toContainEqual(expect.stringMatching(/^aws_volume_attachment\./));
});

test("an etcd cluster of its own has volumes too", () => {
  const stack = newStack();
  const nodes = ["etcd-1", "etcd-2", "etcd-3"];
  new EtcdCluster(stack, "etcd", { platform: newAws(stack, { ssh }), nodes, dataVolume });
  const template = Template.synth(stack).hasNoErrors();
  expect(template.file("etcd-2", "/etc/cdktf-ha/volume")).toContain("VOLUME_GIB='500'");
  expect(template.file("etcd-2", "/etc/systemd/system/etcd.service.d/cdktf-ha.conf")).toContain(
    "RequiresMountsFor=/var/lib/etcd\n",
  );
});
