import type { Construct } from "constructs";
import { PLAIN_PATH } from "../push/bundle";
import { checkCount, refuse } from "../problem";
import type { RefreshRule } from "./refresh-rule";
import type { SquidStore } from "./store-conf";

export interface CacheDiskProps {
  /**
   * How objects lie on the disk: a file each, or slots of one file that several workers share.
   * @default - "aufs" with one worker, "rock" with several, which can share no other
   */
  readonly kind?: "aufs" | "rock";
  /** Where the volume is mounted. @default "/var/spool/squid" - as the package has it */
  readonly directory?: string;
  /** Size of that volume, where it is known. The machine looks again. @default - the machine finds it out */
  readonly volumeGiB?: number;
  /**
   * MiB that the cache may use.
   * @default - 80 % of the volume, since Squid stops on a full one; on the root volume half of what is free, at most 10 GiB
   */
  readonly sizeMiB?: number;
}

export interface CacheProps {
  /** MiB for objects in memory. @default - half of the machine's, without 14 MiB of index for each GiB on disk */
  readonly memoryMiB?: number;
  /** False keeps objects in memory only. @default - on disk too */
  readonly disk?: CacheDiskProps | false;
  /** Processes that serve, at most one for each processor. @default 1 - a core answers some thousand requests a second */
  readonly workers?: number;
  /** @default 32 - larger ones go through and are not kept */
  readonly maximumObjectMiB?: number;
  /** With its headers. @default 512 - Squid's own; what is larger is read from the disk, which takes twice the processor time and more */
  readonly maximumObjectInMemoryKiB?: number;
  /** Seconds past its freshness for which an answer may still be shown while origins fail. @default 604800 - a week, Squid's own */
  readonly staleIfError?: number;
  /** Seconds for which an error of an origin (404 and the like) is kept. @default 0 - the origin says it itself */
  readonly negativeTtl?: number;
  /**
   * Of many visitors who ask at once for what is not there, does one fetch it for all? Squid 5.7 then keeps no two variants (`Vary`)
   * of a page: fit for pages that have none.
   * @default false - a visitor can crash a Squid before 6 by it (CVE-2023-49288), and Debian 12 has 5.7 without a fix
   */
  readonly collapsedForwarding?: boolean;
  /**
   * Whole URLs of the sites that a node fetches once, before it has visitors: a new node, or one whose cache was dropped. It takes a
   * minute at most, and what siblings have comes from them. A list that changes is fetched anew.
   * @default none - the first visitor of each page waits for an origin
   */
  readonly warm?: readonly string[];
  /** @default - queries by the origin's word only; the rest for a fifth of its age, three days at most */
  readonly refresh?: readonly RefreshRule[];
}

/** Of a volume: the rest is Squid's own log of what lies where, and the file system's. */
const SHARE_OF_VOLUME = 0.8;

/** Directories that others need as they are. */
const SYSTEM =
  /^\/+((bin|boot|dev|etc|lib\w*|proc|run|sbin|sys|tmp|usr)(\/.*)?|(home|media|mnt|opt|root|srv|var)?|var\/(cache|lib|log|mail|run|spool|tmp))\/*$/;

export function storeOf(scope: Construct, props: CacheProps): SquidStore {
  const { memoryMiB, workers = 1, disk = {} } = props;
  checkCount(scope, "cache.memoryMiB", memoryMiB, 8, 1e7, "8 MiB at least");
  checkCount(scope, "cache.workers", workers, 1, 256, "one at least");
  checkCount(scope, "cache.maximumObjectMiB", props.maximumObjectMiB, 1, 1e6, "1 MiB at least");
  checkCount(
    scope,
    "cache.maximumObjectInMemoryKiB",
    props.maximumObjectInMemoryKiB,
    1,
    1e6,
    "1 KiB at least",
  );
  checkCount(scope, "cache.staleIfError", props.staleIfError, 0, 31_536_000, "seconds, a year at most");
  checkCount(scope, "cache.negativeTtl", props.negativeTtl, 0, 86_400, "seconds, a day at most");
  if (disk === false) return { workers, memoryMiB };
  return { workers, memoryMiB, disk: diskOf(scope, disk, workers) };
}

function diskOf(scope: Construct, props: CacheDiskProps, workers: number): NonNullable<SquidStore["disk"]> {
  const { kind = workers > 1 ? "rock" : "aufs", directory = "/var/spool/squid", volumeGiB, sizeMiB } = props;
  if (kind === "aufs" && workers > 1) {
    refuse(scope, {
      code: "conflicting-setting",
      what: `${workers} workers with an aufs cache`,
      allowed: "rock: workers cannot share another form",
      fix: "leave 'disk.kind' out",
    });
  }
  if (!PLAIN_PATH.test(directory) || SYSTEM.test(directory) || directory.split("/").includes("..")) {
    refuse(scope, {
      code: "bad-path",
      what: `cache directory '${directory}'`,
      allowed:
        "an absolute path of letters, digits and @%+=:,._-, and none of the system's: it becomes Squid's own",
      fix: "the volume's mount point, like /srv/squid",
    });
  }
  checkCount(scope, "cache.disk.volumeGiB", volumeGiB, 1, 1e6, "1 GiB at least");
  checkCount(scope, "cache.disk.sizeMiB", sizeMiB, 64, 1e9, "64 MiB at least");
  const most = volumeGiB === undefined ? undefined : Math.floor(volumeGiB * 1024 * SHARE_OF_VOLUME);
  if (sizeMiB !== undefined && most !== undefined && sizeMiB > most) {
    refuse(scope, {
      code: "cache-too-large",
      what: `a cache of ${sizeMiB} MiB on a volume of ${volumeGiB} GiB`,
      allowed: `80 % of the volume, ${most} MiB: Squid stops on a full one`,
      fix: "leave 'sizeMiB' out",
    });
  }
  return { kind, directory, sizeMiB: sizeMiB ?? most };
}
