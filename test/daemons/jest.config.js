/** The real parsers on every golden configuration, and real shells and Terraform on what the push sends. */
module.exports = {
  rootDir: __dirname,
  transform: { "^.+\\.ts$": ["ts-jest", { diagnostics: false }] },
  testTimeout: 120_000,
};
