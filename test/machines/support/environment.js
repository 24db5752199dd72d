const { TestEnvironment } = require("jest-environment-node");

/**
 * A file of these tests tells a life in order. After the first chapter that fails the others would tell nothing, and take
 * minutes for it: they are skipped, and the file has failed.
 */
module.exports = class StopAtFirstFailure extends TestEnvironment {
  handleTestEvent(event) {
    // A beforeAll that failed makes its tests fail by itself: skipped, they would hide its error.
    const skips = event.name === "hook_failure" && event.hook.type !== "beforeAll";
    if (event.name === "test_fn_failure" || skips) this.failed = true;
    if (event.name === "test_start" && this.failed) event.test.mode = "skip";
  }
};
