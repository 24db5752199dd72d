import type { ServicePackage } from "../push/service";
import { isToken, refuse } from "../problem";

/** What tells the country of an address. */
export class GeoDatabase {
  /**
   * A file of MaxMind's format on the name servers, with countries: GeoLite2-Country, GeoIP2-Country, DB-IP's. Put there and kept
   * new by somebody else (geoipupdate); a new one is read within five seconds.
   */
  static mmdb(path: string): GeoDatabase {
    const isRight = isToken(path) || (/^\/[\w./-]+\.mmdb$/.test(path) && !path.split("/").includes(".."));
    if (!isRight) {
      refuse("GeoDatabase.mmdb", {
        code: "bad-path",
        what: `'${path}'`,
        allowed:
          "an absolute path on the name servers that ends in .mmdb: letters, digits, dots, dashes and underscores",
        fix: "/var/lib/GeoIP/GeoLite2-Country.mmdb",
      });
    }
    return new GeoDatabase([path], `mmdb:${path}`, []);
  }

  /** The country table of Debian's package geoip-database. It is free and needs nobody's account, and its data is of 2019. */
  static packaged(): GeoDatabase {
    const files = ["/usr/share/GeoIP/GeoIP.dat", "/usr/share/GeoIP/GeoIPv6.dat"];
    return new GeoDatabase(files, files.map((file) => `dat:${file}`).join(" "), [{ name: "geoip-database" }]);
  }

  private constructor(
    readonly files: readonly string[],
    /** As PowerDNS names them. */
    readonly setting: string,
    readonly packages: readonly ServicePackage[],
  ) {}
}
