import { EbsVolume } from "@cdktf/provider-aws/lib/ebs-volume";
import type { Instance } from "@cdktf/provider-aws/lib/instance";
import { VolumeAttachment } from "@cdktf/provider-aws/lib/volume-attachment";
import { Fn } from "cdktf";
import type { Construct } from "constructs";
import { checkCountIfKnown, isToken, refuse } from "../../problem";

/** A volume apart from the instance: an instance that is lost or replaced loses no data. */
export interface DataVolume {
  /** Size; it can grow at any time, never shrink. */
  readonly sizeGiB: number;
  /** Operations per second. @default 3000 - what every gp3 volume has */
  readonly iops?: number;
  /** MiB per second. @default 125 - what every gp3 volume has */
  readonly throughput?: number;
  /** Does Terraform refuse to destroy the volume? @default true - to give the data up: false, then destroy */
  readonly protected?: boolean;
  /**
   * Is a snapshot left behind when the volume is destroyed? No refusal covers a node that leaves the code. To be chosen
   * when the volume is made: the provider cannot change this setting alone.
   * @default true
   */
  readonly finalSnapshot?: boolean;
}

/** A data volume as its machine has it. */
export interface AttachedVolume {
  readonly id: string;
  /** Path of its block device: by the volume's own id, since names such as /dev/nvme1n1 change places. */
  readonly device: string;
  readonly sizeGiB: number;
  readonly attachment: VolumeAttachment;
}

export interface VolumeSurroundings {
  readonly instance: Instance;
  readonly availabilityZone: string;
  readonly kmsKeyArn?: string;
  readonly tags: Readonly<Record<string, string>>;
}

/** GiB of the largest gp3 volume. */
export const GP3_GIB = 65_536;

/** Refuses what EBS has no volume for. */
export function checkDataVolume(scope: Construct, node: string, volume: DataVolume | undefined): void {
  if (!volume) return;
  const setting = (name: string): string => `nodes.${node}.dataVolume.${name}`;
  checkCountIfKnown(scope, setting("sizeGiB"), volume.sizeGiB, 1, GP3_GIB, "EBS's own limits");
  checkCountIfKnown(scope, setting("iops"), volume.iops, 3000, 80_000, "a gp3 volume's own limits");
  checkCountIfKnown(
    scope,
    setting("throughput"),
    volume.throughput,
    125,
    2000,
    "MiB per second, a gp3 volume's own limits",
  );
  const { iops = 3000, throughput } = volume;
  if (isToken(iops) || isToken(throughput) || throughput === undefined || throughput <= iops / 4) return;
  refuse(scope, {
    code: "number-out-of-range",
    what: `'${setting("throughput")}' is ${throughput} at ${iops} operations per second`,
    allowed: `at most ${iops / 4}: a gp3 volume moves no more than 0.25 MiB in an operation`,
    fix: `iops: ${4 * throughput}, or less throughput`,
  });
}

/** The volume and its attachment; what the machine sees is the attachment's. */
export function createDataVolume(
  scope: Construct,
  { sizeGiB, iops, throughput, protected: kept = true, finalSnapshot = true }: DataVolume,
  { instance, availabilityZone, kmsKeyArn, tags }: VolumeSurroundings,
): AttachedVolume {
  const volume = new EbsVolume(scope, "data", {
    availabilityZone,
    size: sizeGiB,
    type: "gp3",
    iops,
    throughput,
    encrypted: true,
    kmsKeyId: kmsKeyArn,
    finalSnapshot,
    tags: { ...tags, Name: `${tags.Name} data` },
    lifecycle: { preventDestroy: kept },
  });
  const attachment = new VolumeAttachment(scope, "data-attachment", {
    deviceName: "/dev/sdf",
    volumeId: volume.id,
    instanceId: instance.id,
    // the file system is closed properly before its volume goes
    stopInstanceBeforeDetaching: true,
  });
  const serial = Fn.replace(attachment.volumeId, "-", "");
  return {
    id: attachment.volumeId,
    device: `/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_${serial}`,
    sizeGiB,
    attachment,
  };
}
