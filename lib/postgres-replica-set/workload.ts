import type { Parameters } from "./parameters";

/** What a database is mostly asked to do: parameters that go with it. What `parameters` says counts more. */
export class Workload {
  /** PostgreSQL's own values. */
  static general(): Workload {
    return new Workload({});
  }

  /**
   * Few new rows, and one column of the old ones again and again: a note of when each measurement was last heard of. Each
   * update leaves a dead row behind, commits are many and small, and the first change of a page after a checkpoint writes all of it.
   * Tables of that kind want room on their pages as well: `alter table ... set (fillfactor = 70)`.
   */
  static manySmallUpdates(): Workload {
    return new Workload({
      // dead rows are taken away while there are few: their pages take the next update without touching an index
      autovacuum_naptime: "15s",
      autovacuum_vacuum_scale_factor: 0.02,
      autovacuum_analyze_scale_factor: 0.05,
      autovacuum_vacuum_cost_limit: 2000,
      // whole pages are written once in a checkpoint: fewer of them, and compressed
      checkpoint_timeout: "15min",
      max_wal_size: "2GB",
      wal_compression: true,
      // half a millisecond lets commits share one write to the disk, where five are under way
      commit_delay: 500,
      commit_siblings: 5,
    });
  }

  private constructor(readonly parameters: Parameters) {}
}
