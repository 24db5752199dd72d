import * as http from "node:http";
import * as https from "node:https";

/** One request's answer, or the reason there is none. */
export interface LoadAnswer {
  /** Whether this counts as a success. Default for HTTP: status 200 to 399. */
  readonly ok: boolean;
  /** HTTP status, if there was an answer. */
  readonly status?: number;
  /** Why it failed. */
  readonly error?: string;
  readonly body?: string;
}

export interface LoadRequest extends LoadAnswer {
  /** When it was started, ms since the epoch. */
  readonly at: number;
  /** How long it took up to its end, ms. */
  readonly ms: number;
}

/** A request of one's own, for instance a SQL query. It should end when the signal fires. */
export type RequestFunction = (signal: AbortSignal) => Promise<LoadAnswer>;

/** What to ask: a URL (http or https), or a function. */
export type LoadOptions = LoadSettings & ({ readonly url: string } | { readonly request: RequestFunction });

export interface LoadSettings {
  /** Requests started per second. Default: 50, a resolution of 20 ms for gaps. */
  readonly perSecond?: number;
  /** A request without a complete answer after this many ms has failed. Default: 1000. */
  readonly timeoutMs?: number;
  /**
   * Most requests under way at once; further ones fail without being sent, so that a hanging server does not use
   * up this process. Default: as many as can be under way when every one times out.
   */
  readonly maxOutstanding?: number;
  /** Keep connections and use them again. Default: false, a new connection each, as every new client makes one. */
  readonly keepAlive?: boolean;
  /** Default: none but Node's own. */
  readonly headers?: Readonly<Record<string, string>>;
  /** PEM of the certificate authority to trust for https. Default: the well-known ones. */
  readonly ca?: string;
  /** Local address to send from. Default: the kernel's choice, the gateway of the subnet. */
  readonly from?: string;
}

/**
 * Requests at a constant rate, each started on time however slow the others are (an open loop): the load does
 * not go easy on a server in trouble, and an outage shows in full length.
 */
export class Load {
  private readonly requests: LoadRequest[] = [];
  private readonly started = performance.now();
  private readonly ticker: NodeJS.Timeout;
  private readonly outstanding = new Set<Promise<void>>();
  private sent = 0;

  static start(options: LoadOptions): Load {
    if ("request" in options) return new Load(options.request, options, () => undefined);
    const { url, keepAlive = false } = options;
    const { Agent } = url.startsWith("https:") ? https : http;
    const agent = keepAlive ? new Agent({ keepAlive: true }) : undefined;
    return new Load(
      (signal) => ask(url, agent, options, signal),
      options,
      () => agent?.destroy(),
    );
  }

  private constructor(
    private readonly request: RequestFunction,
    private readonly settings: LoadSettings,
    private readonly close: () => void,
  ) {
    const { perSecond = 50 } = settings;
    // A timer may be late: each tick starts all that is due since the load began.
    const tick = () => {
      const due = ((performance.now() - this.started) / 1000) * perSecond;
      while (this.sent <= due) this.send();
    };
    this.ticker = setInterval(tick, Math.max(1, Math.min(10, 1000 / perSecond)));
    this.ticker.unref(); // a load that nobody stops, since a test failed before, keeps no process alive
    tick();
  }

  /** The requests that have ended so far, for a look while the load runs. */
  soFar(): LoadResult {
    return new LoadResult([...this.requests]);
  }

  /** Starts no more requests, and waits for those under way. */
  async stop(): Promise<LoadResult> {
    clearInterval(this.ticker);
    await Promise.all(this.outstanding);
    this.close();
    return new LoadResult(this.requests);
  }

  private send(): void {
    const { perSecond = 50, timeoutMs = 1000 } = this.settings;
    const { maxOutstanding = Math.ceil((perSecond * timeoutMs) / 1000) + perSecond } = this.settings;
    this.sent++;
    const at = performance.timeOrigin + performance.now();
    const end = (answer: LoadAnswer) =>
      this.requests.push({ ...answer, at, ms: performance.timeOrigin + performance.now() - at });
    if (this.outstanding.size >= maxOutstanding) {
      end({ ok: false, error: `not sent: ${maxOutstanding} requests are under way` });
      return;
    }
    const request = within(timeoutMs, this.request).then(end);
    const settled = request.then(() => void this.outstanding.delete(settled));
    this.outstanding.add(settled);
  }
}

/** What became of the requests of a `Load`, in the order of their start. */
export class LoadResult {
  readonly requests: readonly LoadRequest[];

  constructor(requests: readonly LoadRequest[]) {
    this.requests = [...requests].sort((a, b) => a.at - b.at);
  }

  get succeeded(): readonly LoadRequest[] {
    return this.requests.filter((request) => request.ok);
  }

  get failed(): readonly LoadRequest[] {
    return this.requests.filter((request) => !request.ok);
  }

  /**
   * The longest outage that a client saw, ms: from the start of the last success before one or more failures to
   * the end of the next success. So it is never shorter than the real outage, and longer by no more than the
   * time between two requests and one answer. Where no success comes before or after, the load's begin or end
   * counts. 0 without a failure.
   */
  get longestGapMs(): number {
    let longest = 0;
    let from = this.requests[0]?.at ?? 0;
    let failing = false;
    for (const { at, ms, ok } of this.requests) {
      if (ok && failing) longest = Math.max(longest, at + ms - from);
      if (ok) from = at;
      failing = !ok;
    }
    if (failing) for (const { at, ms } of this.requests) longest = Math.max(longest, at + ms - from);
    return longest;
  }

  /** How many successes each server answered, where the body or the given function tells which one it was. */
  byServer(
    serverOf: (request: LoadRequest) => string = ({ body }) => body?.trim() ?? "",
  ): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const request of this.succeeded) {
      const server = serverOf(request);
      counts[server] = (counts[server] ?? 0) + 1;
    }
    return counts;
  }
}

/** Ends a request that takes longer, also one that does not heed its signal. */
async function within(timeoutMs: number, request: RequestFunction): Promise<LoadAnswer> {
  const abort = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<LoadAnswer>((resolve) => {
    timer = setTimeout(() => {
      resolve({ ok: false, error: `no answer within ${timeoutMs} ms` });
      abort.abort();
    }, timeoutMs);
  });
  const answer = Promise.resolve(abort.signal)
    .then(request)
    .catch((error: unknown): LoadAnswer => ({ ok: false, error: String(error) }));
  return Promise.race([answer, timeout]).finally(() => clearTimeout(timer));
}

function ask(
  url: string,
  agent: http.Agent | undefined,
  { headers, ca, from: localAddress }: LoadSettings,
  signal: AbortSignal,
): Promise<LoadAnswer> {
  const { get } = url.startsWith("https:") ? https : http;
  return new Promise((resolve, reject) => {
    get(url, { agent: agent ?? false, headers, ca, localAddress, signal }, (response) => {
      const body: Buffer[] = [];
      const status = response.statusCode ?? 0;
      response.on("data", (chunk: Buffer) => body.push(chunk));
      response.on("error", reject);
      response.on("end", () =>
        resolve({ ok: status >= 200 && status < 400, status, body: Buffer.concat(body).toString() }),
      );
    }).on("error", reject);
  });
}
