// App: what every view gets: the question, the server, and how to go elsewhere.

import type { Asker } from "./asking/asker";
import type { Question } from "./words/question";

export type Page = "explore" | "record" | "new" | "health";

export interface Place {
  page: Page;
  /** Of the record. */
  id: string;
  question: Question;
}

/** What is seen and is no part of the URL. */
export interface Look {
  /** The condition whose place in the heatmap is shown. */
  hovered: string;
  isLive: boolean;
  /** What the fields of the distributions are narrowed to. */
  wantedName: string;
  /** Groups of the table that are marked, as filters. */
  marked: string[];
}

export interface App {
  readonly asker: Asker;
  readonly place: Place;
  readonly look: Look;
  /** The URL of a place. */
  href(page: Page, more?: { id?: string; question?: Partial<Question> }): string;
  /** Ask another question on Explore; a selection belongs to the old one, and goes unless it is given. */
  explore(changes: Partial<Question>): void;
  open(href: string): void;
  seen(changes: Partial<Look>): void;
  /** Tell people who listen to the page. */
  say(text: string): void;
  redraw(): void;
}
