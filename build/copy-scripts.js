// The shell programs that run on machines are read at synth time from beside the compiled code.
const fs = require("node:fs");
fs.cpSync("lib", "dist", {
  recursive: true,
  filter: (path) => fs.statSync(path).isDirectory() || /\.(sh|py)$/.test(path),
});
