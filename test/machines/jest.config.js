/** @type {import("jest").Config} */
module.exports = {
  rootDir: __dirname,
  // each sealed namespace has a /tmp of its own, where nothing translated would be found again
  cacheDirectory: "<rootDir>/../../node_modules/.cache/jest",
  testEnvironment: "<rootDir>/support/environment.js",
  transform: { "^.+\\.ts$": ["ts-jest", { tsconfig: "<rootDir>/../../tsconfig.json", diagnostics: false }] },
  moduleNameMapper: {
    "^cdktf-ha-clusters$": "<rootDir>/../../lib/index.ts",
    "^cdktf-ha-clusters/testing$": "<rootDir>/../../lib/testing/index.ts",
  },
  // A sealed namespace has one lab at a time. For more at once, start several sealed.sh.
  maxWorkers: 1,
  // ends what hangs; how long something takes is measured, not limited
  testTimeout: 300_000,
};
