import { refuse } from "../problem";

/** A release line of Apache Cassandra; what differs between them stands here, once. */
export class CassandraVersion {
  /** The last line that speaks Thrift (9160). */
  static readonly V3_11 = new CassandraVersion("3.11", 0, [8], "311x");
  static readonly V4_0 = new CassandraVersion("4.0", 1, [11, 8], "40x");
  static readonly V4_1 = new CassandraVersion("4.1", 2, [11, 8], "41x");
  static readonly V5_0 = new CassandraVersion("5.0", 3, [17, 11], "50x");

  static readonly ALL: readonly CassandraVersion[] = [
    CassandraVersion.V3_11,
    CassandraVersion.V4_0,
    CassandraVersion.V4_1,
    CassandraVersion.V5_0,
  ];

  private constructor(
    /** `5.0` */
    readonly line: string,
    private readonly rank: number,
    /** Major versions of Java that it runs on, the best one first. */
    readonly java: readonly number[],
    /** Its part of Apache's apt repository. */
    readonly aptSuite: string,
  ) {}

  atLeast(other: CassandraVersion): boolean {
    return this.rank >= other.rank;
  }

  /** Is `5.0.6` of this line? */
  has(release: string): boolean {
    return release === this.line || release.startsWith(`${this.line}.`);
  }

  /** Thrift went in 4.0. */
  get hasThrift(): boolean {
    return !this.atLeast(CassandraVersion.V4_0);
  }

  /** Certificates and seeds are read again by nodetool, without a restart. */
  get reloads(): boolean {
    return this.atLeast(CassandraVersion.V4_0);
  }

  /** Settings carry their units in the value (`10s`) and not in the name (`_in_ms`). */
  get unitsInValues(): boolean {
    return this.atLeast(CassandraVersion.V4_1);
  }
}

/** The Java that Cassandra runs on. */
export class Java {
  /** OpenJDK's headless package of the machine's distribution. */
  static openjdk(major: number): Java {
    if (![8, 11, 17].includes(major)) {
      refuse("Java.openjdk", {
        code: "java-mismatch",
        what: `Java ${major}`,
        allowed: "8, 11 or 17: what releases of Cassandra run on",
        fix: "leave 'java' out for the one that fits the release",
      });
    }
    return new Java(major, undefined);
  }

  /** A Java that is on the machines already: the directory above its `bin`. */
  static at(home: string): Java {
    if (!/^(\/[A-Za-z0-9@%+=:,._-]+)+$/.test(home)) {
      refuse("Java.at", {
        code: "bad-path",
        what: `'${home}'`,
        allowed: "an absolute path on the machine, of letters, digits and @%+=:,._-",
        fix: "give the directory above bin/java",
      });
    }
    return new Java(undefined, home);
  }

  private constructor(
    readonly major: number | undefined,
    readonly home: string | undefined,
  ) {}
}
