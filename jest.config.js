/** `npm test`: no root, no daemons, no network; what needs those is under test/daemons, test/machines and test/aws. */
module.exports = {
  roots: ["<rootDir>/test"],
  testPathIgnorePatterns: [
    "/node_modules/",
    "<rootDir>/test/daemons/",
    "<rootDir>/test/machines/",
    "<rootDir>/test/aws/",
  ],
  transform: { "^.+\\.ts$": ["ts-jest", { diagnostics: false }] },
  moduleNameMapper: {
    "^cdktf-ha-clusters$": "<rootDir>/lib/index.ts",
    "^cdktf-ha-clusters/testing$": "<rootDir>/lib/testing/index.ts",
  },
};
