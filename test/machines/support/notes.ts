import type { Lab } from "../../../machines/lab";

/** What programs on the machines noted by this name, with the seconds at which they did, in the order of time. */
export async function notesBy(
  identifier: string,
  lab: Lab,
  names: readonly string[],
): Promise<{ at: number; name: string; text: string }[]> {
  const all = await Promise.all(
    names.map(async (name) => {
      const { stdout } = await lab
        .machine(name)
        .ssh(
          `journalctl --sync; journalctl --identifier=${identifier} --output=short-unix --no-pager --quiet`,
        );
      return stdout.split("\n").flatMap((line) => {
        const [, at, text] = /^(\d+\.\d+) \S+ [\w-]+(?:\[\d+\])?: (.*)$/.exec(line) ?? [];
        return text === undefined ? [] : [{ at: Number(at), name, text }];
      });
    }),
  );
  return all.flat().sort((a, b) => a.at - b.at);
}
