import { isIpv6 } from "../net";
import type { PlacePlan } from "./place";

/** Who gets which address: plain data, the same for every kind of name server. Pure. */
export interface GeoPlan {
  readonly regions: readonly GeoRegion[];
  readonly defaultRegion: string;
  readonly records: readonly GeoRecord[];
}

export interface GeoRecord {
  /** Unique among the records of the name. */
  readonly id: string;
  readonly region: string;
  readonly type: "A" | "AAAA";
  readonly addresses: readonly string[];
  /** Nothing stands for the rest of the world. */
  readonly place?: PlacePlan;
}

export interface GeoRegion {
  readonly name: string;
  readonly addresses: readonly string[];
  readonly places: readonly PlacePlan[];
}

/** How a region is asked whether it is there. */
export interface CheckedSite {
  readonly name: string;
  readonly protocol: "HTTP" | "HTTPS";
  readonly port: number;
  readonly path: string;
}

/** Each region's places, and the rest of the world. */
export function planOf(regions: readonly GeoRegion[], defaultRegion: string): GeoPlan {
  return {
    regions,
    defaultRegion,
    records: regions.flatMap((region) => [
      ...region.places.flatMap((place) =>
        recordsOf(region, `${place.kind}-${place.code}`.toLowerCase(), place),
      ),
      ...(region.name === defaultRegion ? recordsOf(region, "default") : []),
    ]),
  };
}

/** One for each region, where no place decides. */
export function latencyRecords({ regions }: GeoPlan): GeoRecord[] {
  return regions.flatMap((region) => recordsOf(region, "latency"));
}

function recordsOf({ name, addresses }: GeoRegion, what: string, place?: PlacePlan): GeoRecord[] {
  return (["A", "AAAA"] as const).flatMap((type) => {
    const own = addresses.filter((address) => isIpv6(address) === (type === "AAAA"));
    return own.length
      ? [{ id: `${name}-${what}`.toLowerCase(), region: name, type, addresses: own, place }]
      : [];
  });
}
