import { refuse, refuseToken } from "../problem";

/** A part of the world, as name servers know it. */
export class Continent {
  static readonly AFRICA = new Continent("AF");
  static readonly ANTARCTICA = new Continent("AN");
  static readonly ASIA = new Continent("AS");
  static readonly EUROPE = new Continent("EU");
  static readonly NORTH_AMERICA = new Continent("NA");
  static readonly OCEANIA = new Continent("OC");
  static readonly SOUTH_AMERICA = new Continent("SA");

  private constructor(
    /** Two letters; some of them are a country's as well. */
    readonly code: string,
  ) {}
}

/** A country by its two letters (ISO 3166-1: `GB`, `US`), or a continent. */
export type Place = string | Continent;

export interface PlacePlan {
  readonly kind: "country" | "continent";
  readonly code: string;
}

const NAMES = new Intl.DisplayNames(["en"], { type: "region", fallback: "none" });

/** Refuses what is no place. */
export function placeOf(path: string, place: Place): PlacePlan {
  if (typeof place !== "string") return { kind: "continent", code: place.code };
  refuseToken(path, "serves", place);
  const known = /^[A-Z]{2}$/.test(place) && NAMES.of(place) !== undefined;
  if (!known || new Intl.Locale(`und-${place}`).region !== place) {
    refuse(path, {
      code: "bad-name",
      what: `country '${place}'`,
      allowed: "two capital letters of ISO 3166-1, GB and not UK; a continent is one of Continent",
      fix: "look the country up",
    });
  }
  return { kind: "country", code: place };
}
