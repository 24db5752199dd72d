import { spawnSync } from "node:child_process";

/**
 * A test of what needs more than Node.js. Where that is missing the test is skipped, and says so with the reason; with
 * HA_TEST_NEEDS=all, as CI sets it, what is missing is a failure.
 */
export function testWithNeeds(needs: readonly Need[]): jest.It {
  const missing = needs.map((need) => need()).filter((reason) => reason !== undefined);
  if (!missing.length) return test;
  const words = `SKIPPED: ${missing.join("; ")}`;
  if (process.env.HA_TEST_NEEDS === "all") {
    const failing = ((name: string) =>
      test(name, () => {
        throw new Error(words.replace("SKIPPED", "needed, but"));
      })) as unknown as jest.It;
    failing.each = (() => failing) as never;
    return failing;
  }
  process.stderr.write(`${words}\n`);
  return test.skip;
}

export type Need = () => string | undefined;

/** A program on the PATH. */
export function program(name: string): Need {
  return () =>
    spawnSync("/bin/sh", ["-c", `PATH=$PATH:/usr/sbin:/sbin command -v ${name}`]).status === 0
      ? undefined
      : `${name} is not installed`;
}

export const root: Need = () => (process.getuid?.() === 0 ? undefined : "this needs root");
