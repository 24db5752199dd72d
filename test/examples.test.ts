import { join } from "node:path";
import { exampleNames, synthesizeExample } from "../demo/examples";

const root = join(__dirname, "..");

test.each(exampleNames(root))(
  "examples/%s synthesizes",
  (name) => {
    for (const stack of Object.values(synthesizeExample(root, name))) {
      expect(Object.keys(stack.resource ?? {}).length).toBeGreaterThan(0);
    }
  },
  60_000,
);
