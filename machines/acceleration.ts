import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "./run";

/** What executes a virtual machine's instructions: the processor itself, or QEMU by translating them. */
export type Acceleration = "kvm" | "tcg";

let found: Promise<Acceleration> | undefined;

/**
 * Found out once in a process, and told. /dev/kvm alone says little: where the computer is a virtual machine itself and its
 * processor has no virtualisation, KVM may answer, and then boot nothing or at a snail's pace. So it must boot a kernel.
 * HA_VM_ACCELERATION=kvm or tcg decides instead.
 */
export function acceleration(imageDirectory: string): Promise<Acceleration> {
  return (found ??= find(imageDirectory).then(({ acceleration, reason }) => {
    process.stderr.write(
      acceleration === "kvm"
        ? `[vm] KVM: ${reason}\n`
        : `[vm] TCG: slow, some ten times slower than KVM: ${reason}\n`,
    );
    return acceleration;
  }));
}

async function find(imageDirectory: string): Promise<{ acceleration: Acceleration; reason: string }> {
  const wanted = process.env.HA_VM_ACCELERATION;
  if (wanted === "kvm" || wanted === "tcg")
    return { acceleration: wanted, reason: "HA_VM_ACCELERATION says so" };
  if (wanted) throw new Error(`HA_VM_ACCELERATION is kvm or tcg, not "${wanted}"`);
  if (!existsSync("/dev/kvm")) return { acceleration: "tcg", reason: "this computer has no /dev/kvm" };
  if (!/^flags\s*:.*\b(vmx|svm)\b/m.test(readFileSync("/proc/cpuinfo", "utf8")))
    return { acceleration: "tcg", reason: "the processor has neither vmx nor svm" };
  const boots = await bootsKernel(imageDirectory, "kvm");
  return boots
    ? { acceleration: "kvm", reason: "a kernel booted" }
    : { acceleration: "tcg", reason: "no kernel boots on /dev/kvm" };
}

/** Whether a machine with no disk gets to its initrd. */
export async function bootsKernel(imageDirectory: string, by: Acceleration, seconds = 15): Promise<boolean> {
  const { stdout } = await run(
    "timeout",
    [
      ...["--signal=KILL", `${seconds}`, "qemu-system-x86_64", ...processorOptions(by), "-m", "128"],
      ...["-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio"],
      ...["-kernel", join(imageDirectory, "vmlinuz"), "-initrd", join(imageDirectory, "initrd")],
      ...["-append", "console=ttyS0 quiet panic=-1 lab.probe"],
    ],
    { allowFailure: true, timeoutSeconds: seconds + 10 },
  );
  return stdout.includes("the kernel is up");
}

export function processorOptions(acceleration: Acceleration): string[] {
  return acceleration === "kvm"
    ? ["-machine", "pc,usb=off", "-accel", "kvm", "-cpu", "host"]
    : ["-machine", "pc,usb=off", "-accel", "tcg,thread=multi,tb-size=256", "-cpu", "Nehalem"];
}
