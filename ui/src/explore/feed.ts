// The feed: the records that are shown, those that have come since, and where earlier ones begin; of one question at a time.

import type { App } from "../app";
import type { Records, StoredRecord } from "../asking/answers";
import type { Asked } from "../asking/asker";
import { scope } from "../words/question";

export const LIMIT = 50;
export const MOST_WAITING = 500;
const MOST_SHOWN = 500;
const LIVE_MS = 2000;
/** More than this between two looks is more than a person can read: the feed goes on at the newest. */
const MOST_AT_ONCE = 200;

const feed = {
  of: "",
  shown: [] as StoredRecord[],
  /** Came since, while paused. */
  waiting: [] as StoredRecord[],
  next: null as string | number | null,
  newest: null as string | number | null,
  trouble: "",
  began: 0,
  came: 0,
  /** Some that came were passed over. */
  isCut: false,
};
let isFollowing = false;

/** The feed of this question, which goes on with what comes. */
export function fed(app: App, asked: Asked<Records>): Readonly<typeof feed> {
  const of = asked.url + (asked.isPending ? " asked" : "");
  if (feed.of !== of) begin(of, asked.answer);
  if (app.look.isLive) showWaiting();
  if (!asked.isPending && !asked.trouble) follow(app);
  return feed;
}

function begin(of: string, answer: Records | undefined): void {
  const { records: shown = [], next = null, newest = null } = answer ?? {};
  Object.assign(feed, { of, shown, next, newest, waiting: [], trouble: "", began: Date.now(), came: 0, isCut: false });
}

function showWaiting(): void {
  if (!feed.waiting.length) return;
  feed.shown = [...feed.waiting, ...feed.shown];
  feed.waiting = [];
  if (feed.shown.length > MOST_SHOWN) {
    feed.shown = feed.shown.slice(0, MOST_SHOWN);
    feed.next = feed.shown.at(-1)?.id ?? null;
  }
}

export async function earlier(app: App): Promise<void> {
  const { of, next } = feed;
  try {
    const found = await app.asker.once<Records>("records", {
      ...scope(app.place.question),
      limit: LIMIT,
      before_id: next,
    });
    if (feed.of !== of || feed.next !== next) return;
    feed.shown = [...feed.shown, ...found.records];
    feed.next = found.next;
  } catch (error) {
    feed.trouble = (error as Error).message;
  }
  app.redraw();
}

/** Ask for what came since, again and again while the records are drawn. A range that ends gets nothing new. */
function follow(app: App): void {
  if (isFollowing || app.place.question.until) return;
  isFollowing = true;
  setTimeout(async () => {
    if (app.place.page === "explore" && !document.hidden) await catchUp(app);
    isFollowing = false;
    app.redraw(); // which follows on, also if another question is asked by now
  }, LIVE_MS);
}

async function catchUp(app: App): Promise<void> {
  const { of, newest } = feed;
  const { isLive } = app.look;
  if (feed.waiting.length >= MOST_WAITING) return;
  const { since: _, ...where } = scope(app.place.question);
  const ask = (after: object) => app.asker.once<Records>("records", { ...where, ...after, limit: MOST_AT_ONCE });
  try {
    // 0: behind nothing, for an empty store. What was shown before it was emptied is no place any more.
    let found = await ask({ after_id: newest ?? 0 });
    const isTooMany = isLive && found.records.length >= MOST_AT_ONCE;
    if (isTooMany) found = await ask({});
    if (feed.of !== of || feed.newest !== newest) return; // the same question may have been answered anew
    feed.came += found.records.length;
    feed.newest = found.newest ?? null;
    feed.trouble = "";
    if (isTooMany) Object.assign(feed, { shown: found.records, next: found.next, isCut: true });
    else feed.waiting = [...found.records, ...feed.waiting];
  } catch (error) {
    if (feed.of === of) feed.trouble = (error as Error).message;
  }
}
