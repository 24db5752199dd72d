/** @type {import("jest").Config} */
module.exports = {
  // A sealed lab, a life told in order.
  ...require("../machines/jest.config.js"),
  rootDir: __dirname,
  testTimeout: 900_000,
  testEnvironment: "<rootDir>/../machines/support/environment.js",
};
