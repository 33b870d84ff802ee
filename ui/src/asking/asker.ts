// Asker: what the views ask the server, a slot each. A slot that asks something else cancels what it asked before.

import { parseExact } from "./exact_json";

export type Parameters = Record<string, string | number | null | undefined>;

const MOST_AT_ONCE = 3;
const SLOW_MS = 400;
const MOST_RETRIES = 3;

/** Why there is no answer, as a sentence; of a filter also the place, and what was perhaps meant. */
export interface Trouble {
  text: string;
  position: number | null;
  suggestion: string | null;
  isFilter: boolean;
}

export interface Asked<T> {
  /** Also a link for people: the same question as JSON. */
  url: string;
  /** The last answer; while another is awaited it is still that of the question before. */
  answer: T | undefined;
  trouble: Trouble | undefined;
  isPending: boolean;
  isCancelled: boolean;
}

interface Slot extends Asked<unknown> {
  key: string;
  began: number;
  abort: AbortController;
}

export class Asker {
  private readonly slots = new Map<string, Slot>();
  private waiting: ((isTurn: boolean) => void)[] = [];
  private inFlight = 0;
  private generation = 0;
  private used = new Set<string>();
  private ticking: ReturnType<typeof setInterval> | undefined;

  /**
   * @param base where the page is mounted, with a slash at its end.
   * @param changed is called when there is something else to show.
   */
  constructor(
    readonly base: URL,
    private readonly changed: () => void,
  ) {}

  urlOf(path: string, parameters: Parameters = {}): string {
    const url = new URL(`api/${path}`, this.base);
    for (const [name, value] of Object.entries(parameters)) {
      if (value !== null && value !== undefined && value !== "") url.searchParams.set(name, String(value));
    }
    return url.href;
  }

  /** What is known of this question; asks it, if the slot does not already. Called while a view is drawn. */
  ask<T>(name: string, path: string, parameters: Parameters = {}): Asked<T> {
    const url = this.urlOf(path, parameters);
    const key = `${this.generation} ${url}`;
    this.used.add(name);
    let slot = this.slots.get(name);
    if (!slot || slot.key !== key) {
      slot?.abort.abort();
      slot = {
        url,
        key,
        answer: slot?.answer,
        trouble: undefined,
        isPending: true,
        isCancelled: false,
        began: Date.now(),
        abort: new AbortController(),
      };
      this.slots.set(name, slot);
      void this.fetchInto(slot);
    }
    return slot as Asked<T>;
  }

  /** An answer that belongs to no view. */
  async once<T>(path: string, parameters: Parameters = {}, signal?: AbortSignal): Promise<T> {
    return (await answerOf(this.urlOf(path, parameters), signal)) as T;
  }

  /** Draw, and cancel what no view asks any more. */
  during(draw: () => void): void {
    this.used = new Set();
    draw();
    for (const [name, slot] of this.slots) {
      if (!this.used.has(name)) {
        slot.abort.abort();
        this.slots.delete(name);
      }
    }
  }

  /** Ask everything again. */
  refresh(): void {
    this.generation += 1;
    this.changed();
  }

  cancel(): void {
    for (const slot of this.slots.values()) {
      if (slot.isPending) {
        slot.isCancelled = true;
        slot.isPending = false;
        slot.abort.abort();
      }
    }
    this.changed();
  }

  /** How long the oldest open question has been waiting, in ms; 0 if a person would not notice. */
  waitingMs(): number {
    const began = [...this.slots.values()].filter((slot) => slot.isPending).map((slot) => slot.began);
    const waited = began.length ? Date.now() - Math.min(...began) : 0;
    return waited < SLOW_MS ? 0 : waited;
  }

  private async fetchInto(slot: Slot): Promise<void> {
    const { signal } = slot.abort;
    this.tick();
    if (!(await this.turn(signal))) return;
    try {
      slot.answer = await answerOf(slot.url, signal);
      slot.isPending = false;
    } catch (error) {
      if (signal.aborted) return;
      slot.isPending = false;
      slot.trouble = error instanceof AnswerError ? error.trouble : troubleOf(String(error));
      if (slot.trouble.isFilter) slot.answer = undefined;
    } finally {
      const next = this.waiting.shift();
      if (next) next(true);
      else this.inFlight -= 1;
      this.changed();
    }
  }

  /** Few at once, so that a page does not take all threads of a server. False if it was given up before its turn came. */
  private turn(signal: AbortSignal): Promise<boolean> {
    if (this.inFlight < MOST_AT_ONCE) {
      this.inFlight += 1;
      return Promise.resolve(true);
    }
    return new Promise((resolve) => {
      this.waiting.push(resolve);
      signal.addEventListener("abort", () => {
        this.waiting = this.waiting.filter((each) => each !== resolve);
        resolve(false); // too late, and no matter, if its turn has come
      });
    });
  }

  private tick(): void {
    this.ticking ??= setInterval(() => {
      if (![...this.slots.values()].some((slot) => slot.isPending)) {
        clearInterval(this.ticking);
        this.ticking = undefined;
      }
      this.changed();
    }, 500);
  }
}

class AnswerError extends Error {
  constructor(readonly trouble: Trouble) {
    super(trouble.text);
  }
}

function troubleOf(text: string, more: Partial<Trouble> = {}): Trouble {
  return { text, position: null, suggestion: null, isFilter: false, ...more };
}

async function answerOf(url: string, signal?: AbortSignal, retries = MOST_RETRIES): Promise<unknown> {
  let response: Response;
  let text: string;
  try {
    response = await fetch(url, { signal: signal ?? null, headers: { Accept: "application/json" } });
    text = await response.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new AnswerError(troubleOf("The server of this page does not answer. Is it still running?"));
  }
  const wait = response.status === 503 ? Number(response.headers.get("Retry-After")) : 0;
  if (wait > 0 && wait <= 2 && retries > 0) {
    // Busy: a question that was given up keeps its place at the server until the store has answered.
    await passed(wait * 1000, signal);
    return answerOf(url, signal, retries - 1); // of a question that was given up it raises
  }
  let body: unknown;
  try {
    body = parseExact(text);
  } catch {
    throw new AnswerError(troubleOf(withoutJson(response.status)));
  }
  if (response.ok) return body;
  const { error, position, suggestion } = body as { error?: string; position?: number; suggestion?: string };
  const isFilter = response.status === 400 && typeof position === "number";
  throw new AnswerError(
    troubleOf(error || withoutJson(response.status), {
      position: position ?? null,
      suggestion: suggestion || null,
      isFilter,
    }),
  );
}

/** Waits so long, or until it is given up. */
function passed(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => resolve());
  });
}

function withoutJson(status: number): string {
  if (status === 401 || status === 403 || status === 404) {
    return "You may not see this page any more. Open it again by the URL that chest ui printed, or sign in.";
  }
  return `The server of this page answered with status ${status}. Its log says why.`;
}
