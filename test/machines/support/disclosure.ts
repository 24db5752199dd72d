import type { LabMachine } from "../../../machines/lab";

/** Files of a machine that hold a text, as `root` or `anybody` (an ordinary user without sudo) finds them. */
export async function filesThatHold(
  machine: LabMachine,
  text: string,
  reader: "root" | "anybody",
): Promise<string[]> {
  const search = "grep --recursive --files-with-matches --no-messages --fixed-strings --file=-";
  const user = reader === "root" ? "" : "runuser --user nosudo -- ";
  const { stdout } = await machine.ssh(`${user}${search} /etc /home /opt /run /srv /tmp /usr/local /var`, {
    input: `${text}\n`,
    allowFailure: true, // nothing found; files that may not be read
  });
  return stdout.split("\n").filter(Boolean).sort();
}
