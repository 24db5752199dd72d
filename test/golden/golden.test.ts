import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { goldenCases } from "./cases";

/**
 * Rendered configurations as an operator would review them. After a change on purpose: `npm test -- -u`, and read the diff.
 * The real daemons' parsers read the same files in test/daemons.
 */
const update = expect.getState().snapshotState._updateSnapshot === "all";

describe.each(goldenCases())("$name", ({ name, files }) => {
  test.each(Object.keys(files))("%s", (file) => {
    const path = join(__dirname, name, file);
    if (update) {
      mkdirSync(join(__dirname, name), { recursive: true });
      writeFileSync(path, files[file]!);
    }
    expect(existsSync(path)).toBe(true);
    expect(files[file]).toBe(readFileSync(path, "utf8"));
  });
});
