// Completion of a filter: the names that there are, and behind an operator the values that a name has most often.

import type { Names } from "../asking/answers";
import type { Asker } from "../asking/asker";
import { conditionAt, partsOf, quoted } from "../words/conditions";
import { count } from "../words/format";

export interface Offer {
  /** What is put in the place of what was typed. */
  text: string;
  /** Beside it: its type, or the share of requests that have it. */
  note: string;
  isName: boolean;
}

const MOST_OFFERS = 12;

export class Completion {
  private readonly known = new Map<string, Promise<Names>>();

  constructor(private readonly asker: Asker) {}

  /** What could stand where the caret is, and which part of the text it would take the place of. */
  async offers(
    text: string,
    caret: number,
    since: string,
    until: string,
  ): Promise<{ offers: Offer[]; range: [number, number] }> {
    const range = conditionAt(text, caret);
    const { name, operator, value } = partsOf(text.slice(range[0], caret));
    if (!operator) return { offers: await this.names(name, since, until), range };
    const begin = value.lastIndexOf(",") + 1;
    const values = await this.values(name, value.slice(begin), since, until);
    return { offers: values, range: [caret - value.length + begin, range[1]] };
  }

  private async names(typed: string, since: string, until: string): Promise<Offer[]> {
    const { names = [] } = await this.ask({ since, until });
    return matching(names, (each) => each.name, typed).map((each) => ({
      text: each.name,
      note: each.type ?? "",
      isName: true,
    }));
  }

  private async values(name: string, typed: string, since: string, until: string): Promise<Offer[]> {
    const { values = [] } = await this.ask({ name, since, until });
    const present = values.filter((each) => each.value !== null && each.value.length <= 200);
    return matching(present, (each) => each.value ?? "", typed.replace(/^"/, "")).map((each) => ({
      text: each.condition?.startsWith(`${name}=`) ? each.condition.slice(name.length + 1) : quoted(each.value ?? ""),
      note: count(each.count),
      isName: false,
    }));
  }

  private ask(parameters: { name?: string; since: string; until: string }): Promise<Names> {
    const key = JSON.stringify(parameters);
    let answer = this.known.get(key);
    if (!answer) {
      answer = this.asker.once<Names>("names", parameters);
      answer.catch(() => this.known.delete(key));
      this.known.set(key, answer);
    }
    return answer;
  }
}

/** What begins with the text first, then what has it anywhere. */
function matching<T>(all: T[], textOf: (each: T) => string, typed: string): T[] {
  const wanted = typed.toLowerCase();
  const begins = all.filter((each) => textOf(each).toLowerCase().startsWith(wanted));
  const has = all.filter((each) => textOf(each).toLowerCase().indexOf(wanted) > 0);
  return [...begins, ...has].slice(0, MOST_OFFERS);
}

/** What is no condition, but has a digit: the id of a record or of a request. */
export function isId(text: string): boolean {
  return /^(?=.*\d)[\w.:-]{6,255}$/.test(text.trim());
}
