import type { Backups } from "./backups";

/** What a new set begins from instead of nothing: another set as it was, out of its backups, which are only read. */
export interface Recovery {
  readonly from: Backups;
  /** Name of the set whose backups they are. */
  readonly set: string;
  /**
   * The last moment that is to be in it, `2026-11-20 14:03:59+00`: with its zone.
   * @default - the end of the log that was stored
   */
  readonly to?: string;
}

export const MOMENT = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,3})?[+-]\d\d(:?\d\d)?$/;
