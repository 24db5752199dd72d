import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { refuse } from "../problem";

const TYPES: Readonly<Record<string, string>> = {
  css: "text/css",
  gif: "image/gif",
  ico: "image/x-icon",
  jpeg: "image/jpeg",
  jpg: "image/jpeg",
  png: "image/png",
  svg: "image/svg+xml",
  webp: "image/webp",
};

/** The page of the site's own that a visitor sees when nobody can answer. */
export class SplashPage {
  /**
   * An HTML file. Images and style sheets that it refers to by a relative path are put into it: when it is shown, there is
   * nobody who could be asked for them.
   */
  static file(path: string): SplashPage {
    return SplashPage.html(read(path), (reference) => dataUri(join(dirname(path), reference)));
  }

  /**
   * HTML as it is.
   * @param inline gives what a relative reference is replaced by; by default they stay, and lead nowhere
   */
  static html(text: string, inline?: (reference: string) => string): SplashPage {
    const whole = inline
      ? text.replace(
          /((?:src|href)\s*=\s*["']|url\(\s*["']?)(?![a-z][a-z0-9+.-]*:|\/|#)([^"')\s]+)/gi,
          (_, before: string, reference: string) => before + inline(reference),
        )
      : text;
    return new SplashPage(whole);
  }

  private constructor(
    /** With everything in it. */
    readonly html: string,
  ) {}

  /** Squid puts values in for %U, %h and the like: a page of the site's own has percent signs that mean themselves. */
  get template(): string {
    return this.html.replaceAll("%", "%%");
  }
}

function dataUri(path: string): string {
  const type = TYPES[path.split(".").at(-1)!.toLowerCase()];
  if (type === undefined) {
    return refuse("SplashPage.file", {
      code: "bad-path",
      what: `the page refers to '${path}'`,
      allowed: `files that end in ${Object.keys(TYPES).join(", ")}`,
      fix: "write an absolute URL where the file is served by somebody else",
    });
  }
  return `data:${type};base64,${readFile(path).toString("base64")}`;
}

function read(path: string): string {
  return readFile(path).toString("utf8");
}

function readFile(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch {
    return refuse("SplashPage.file", {
      code: "bad-path",
      what: `'${path}' cannot be read`,
      allowed: "a file on the computer that synthesizes, and its images beside it",
      fix: 'join(__dirname, "errors/splash.html")',
    });
  }
}
